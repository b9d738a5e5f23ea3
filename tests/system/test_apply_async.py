"""The operator on its own, as its README shows it: on a real Kafka, in a pipeline unrelated to tasks."""

import re
import signal
import subprocess
import sys

from tests.conftest import ROOT, until

README = (ROOT / "processor" / "apply_async" / "README.md").read_text()


def test_the_readmes_example_greets_everybody_and_commits_it(topics, tmp_path):
    [example] = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    statements = [line for line in example.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(statements) <= 15
    example = (
        example.replace("localhost:9092", topics.kafka.bootstrap_servers)
        .replace('"names"', f'"{topics.name}"')
        .replace('"greetings"', f'"{topics.results}"')
        .replace('"greeter"', f'"{topics.name}-group"')
    )
    assert example.count(topics.name) == 4
    script = tmp_path / "greeter.py"
    script.write_text(example)
    people = [f"person {number}" for number in range(200)]
    for person in people:
        topics.producer.produce(topics.name, person, key=person)
    topics.producer.flush()

    log = tmp_path / "log"
    with log.open("wb") as output:
        greeter = subprocess.Popen(
            [sys.executable, script], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=output, stderr=output
        )
    try:
        until(lambda: len(topics.read()) == 200 or greeter.poll() is not None, "all greetings")
        assert greeter.poll() is None, log.read_text()
        until(lambda: topics.lag() == 0, "all offsets to be committed")
        greeter.send_signal(signal.SIGTERM)
        assert greeter.wait(60) == 0, log.read_text()
    finally:
        greeter.kill()
        greeter.wait()

    assert {seen.value.decode() for seen in topics.seen} == {f"Hello, {person}" for person in people}
    assert all(seen.value.decode() == f"Hello, {seen.key.decode()}" for seen in topics.seen)

"""docs/add-a-task-type.md, followed to the letter on a copy of the tree: a task of the new type becomes a row."""

import re
import shutil
import sys

import pytest

from sandbox.child import Child, free_port
from tests.conftest import ROOT, ended_at_last, until

PAGE = (ROOT / "docs" / "add-a-task-type.md").read_text()
SECTION = re.compile(r"^## \d\. .*?`([^`]+)`\n(.*?)(?=^## |\Z)", re.M | re.S)
BLOCK = re.compile(r"^```(diff|sql)\n(.*?)^```$", re.M | re.S)


def changed(text, diff):
    """Return the text with the diff applied."""
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[:1] in " -")
    after = "\n".join(line[1:] for line in lines if line[:1] in " +")
    assert text.count(before) == 1, f"not once in the file:\n{before}"
    return text.replace(before, after)


@pytest.fixture
def tree(tmp_path):
    """A copy of the programs with the page's changes."""
    for folder in ("shared", "processor", "gateway", "sandbox", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = {}
    for name, section in SECTION.findall(PAGE):
        for kind, block in BLOCK.findall(section):
            path = tmp_path / name
            path.write_text(changed(path.read_text(), block) if kind == "diff" else block)
            files[name] = files.get(name, 0) + 1
    assert files == {
        "shared/messages.py": 2,
        "processor/enrich/task_types.py": 1,
        "sql/006_add_address.sql": 1,
        "sandbox/simulators.py": 1,
    }
    return tmp_path


def test_the_page_adds_a_task_type(tree, topics, database, postgres, start, start_processor):
    for _ in range(2):  # twice: the file is safe to run again
        postgres.psql(database.name, "-q", "-f", tree / "sql" / "006_add_address.sql")
    port = free_port()
    simulators = Child(
        "simulators",
        [sys.executable, "-m", "sandbox.simulators", "--port", str(port), "--latency-ms", "10"],
        tree / "simulators.log",
        folder=tree,
    )
    with ended_at_last(simulators):
        simulators.start()
        start_processor(folder=tree, DADATA_URL=f"http://127.0.0.1:{port}")
        gateway = start("gateway", folder=tree)

        address = {"task_id": 7, "task_type": "address", "data": "мск сухонска 11/-89"}
        answer = until(
            lambda: (found := gateway.client.post("/tasks", json=address)).status_code == 200 and found, "the reply"
        )

        assert database.rows()[answer.json()["id"]] == [
            {"source": "мск сухонска 11/-89", "result": "г Москва, ул Сухонская, д 11, кв 89", "qc": 0},
            "address",
        ]
        assert 'value="address"' in gateway.client.get("/").text
        types = gateway.client.get("/openapi.json").json()["components"]["schemas"]["Task"]["properties"]["task_type"]
        assert "address" in types["enum"]
        until(lambda: topics.lag() == 0, "the offset to be committed")

"""The local stack as a person uses it: make demo, make scale-demo, make up, make down, and dump.sql."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections import Counter
from io import StringIO
from pathlib import Path

import httpx
import psycopg
import pytest
from rich.console import Console

from sandbox.answers import TEXTS, clean_email, clean_phone, complete
from sandbox.demo import overtake
from sandbox.dump import DUMP
from sandbox.dump_tasks import tasks
from sandbox.stack import Stack
from sandbox.user_settings import provider_keys
from tests import readme
from tests.conftest import ROOT, until

COMMAND = [sys.executable, "-m", "sandbox"]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the stack needs, so that a stack that runs in the real checkout is not touched."""
    for name in ("gateway", "processor", "shared", "sandbox", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def run(checkout, *arguments, **environment):
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "NO_COLOR": "1", "COLUMNS": "100", **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
    )


def left_running(checkout):
    """Return the commands of processes whose command line or working folder is in the checkout."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = str((process / "cwd").readlink())
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # the process has just ended
            continue
        # A process without a command line has ended and is being removed by the kernel.
        if command and (folder.startswith(str(checkout)) or str(checkout) in command):
            found.append(command)
    return found


def test_the_demo_shows_tasks_of_all_types_and_leaves_nothing_running(checkout):
    shown = run(checkout, "demo")

    assert shown.returncode == 0, shown.stdout
    for words in (
        "REST",
        "Kafka",
        "phone",
        "email",
        "gpt",
        "Hamlet",
        "│ phone     │ +7 916 823-34-54 ",
        "│ email     │ serega@yandex.ru ",
        "│ phone     │ nothing recognised ",
        "tasks-dlt",
        "error_code: invalid_task",
    ):
        assert words in shown.stdout
    assert "8 tasks, 8 replies, 8 rows, 1 dead letter" in shown.stdout
    [milliseconds] = re.findall(r'^  by REST: {"task_id":10,"id":\d+} after (\d+) ms$', shown.stdout, re.M)
    [waiting] = re.findall(
        r"^  on Kafka: (\d+) of the 100 tasks sent before it were still waiting$", shown.stdout, re.M
    )
    assert int(milliseconds) < 2500, "the backlog takes 5000 ms"
    assert int(waiting) > 25
    assert re.search(r"1 dead letter in [\d.]+ s, then a backlog overtaken in [\d.]+ s;$", shown.stdout, re.M)
    assert re.search(r"waiting\n✓ Working off the backlog", shown.stdout), "a pipe gets no bar"
    assert "\x1b" not in shown.stdout, "NO_COLOR and pipes are respected"
    assert left_running(checkout) == []


def test_the_demo_shows_no_backlog_where_it_costs_money():
    keys = {"DADATA_API_KEY": "real", "DADATA_SECRET_KEY": "real"}
    stack = Stack(processors=0, settings=provider_keys({**keys, "LOG_LEVEL": "DEBUG"}))
    stack.delete()

    with StringIO() as shown:
        assert overtake(Console(file=shown), None, stack, None) is None
        assert shown.getvalue() == ""


def test_ctrl_c_ends_the_demo_and_leaves_nothing_running(checkout):
    demo = subprocess.Popen(
        [*COMMAND, "demo"], cwd=checkout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    until(lambda: (checkout / ".sandbox" / "logs" / "gateway.log").exists(), "the gateway to be started")

    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, said
    assert "nothing is left running" in said
    assert left_running(checkout) == []


def test_ctrl_c_while_a_program_is_started_is_never_lost(tmp_path):
    interrupted = """
import os, signal, sys, threading, time
from pathlib import Path
from sandbox.child import Child

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with SIGINT ignored
# An exception in this hook is swallowed, and the other thread takes a signal that the main thread blocks.
os.register_at_fork(after_in_parent=lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(0.1)))
threading.Thread(target=time.sleep, args=[60], daemon=True).start()
child = Child("sleep", ["sleep", "60"], Path(sys.argv[1]))
try:
    child.start()
    sys.exit("not interrupted")
except KeyboardInterrupt:
    child.kill()
"""

    done = subprocess.run(
        [COMMAND[0], "-c", interrupted, tmp_path / "log"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    assert (done.returncode, done.stdout) == (0, "")


def numbers(owned):
    """Return the partitions that are shown, such as `0-2,5`."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", owned)
    return [number for first, last in spans for number in range(int(first), int(last or first) + 1)]


def test_scaling_is_shown_in_a_pipe_and_repeats_nothing(checkout):
    shown = run(checkout, "scale-demo", "--tasks", "100", COLUMNS="80")

    assert shown.returncode == 0, shown.stdout
    owners = [line.split(" | ") for line in re.findall(r"partitions: (.*)", shown.stdout)]
    assert [3, 3, 3, 3] in [[len(numbers(owned)) for owned in line] for line in owners]
    assert re.findall(r"│ +(\d) │ +[\d.]+ │ +[\d.]+ │ +0 │ +0 │", shown.stdout) == ["1", "2", "4"]
    assert "Scaling repeated no result and no call" in " ".join(shown.stdout.split())
    assert "\x1b" not in shown.stdout, "NO_COLOR and pipes are respected"
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert left_running(checkout) == []


def test_ctrl_c_ends_the_moving_picture_of_a_terminal_and_leaves_nothing_running(checkout):
    terminal, its_other_end = pty.openpty()
    termios.tcsetwinsize(its_other_end, (24, 80))
    demo = subprocess.Popen(
        [*COMMAND, "scale-demo"],
        cwd=checkout,
        env={**os.environ, "TERM": "xterm"},
        stdin=its_other_end,
        stdout=its_other_end,
        stderr=its_other_end,
    )
    os.close(its_other_end)
    os.set_blocking(terminal, False)
    shown = b""

    def said(words):
        nonlocal shown
        # Reading fails with EIO after the program has ended, and with BlockingIOError while there is no output.
        with contextlib.suppress(OSError):
            while more := os.read(terminal, 65536):
                shown += more
        return words in shown

    until(lambda: said("▒".encode()), "records in flight to be shown")
    demo.send_signal(signal.SIGINT)
    until(lambda: said(b"nothing is left running") or demo.poll() is not None, "it to end")

    assert demo.wait(60) == 130
    assert said(b"nothing is left running")
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l"), "the cursor is shown again"
    assert left_running(checkout) == []
    os.close(terminal)


def test_a_first_task_is_not_sent_where_it_costs_money(checkout):
    keys = dict.fromkeys(("DADATA_API_KEY", "DADATA_SECRET_KEY", "YANDEXGPT_API_KEY", "YANDEXGPT_FOLDER_ID"), "real")
    try:
        up = run(checkout, "up", "--processors", "1", **keys)
        assert up.returncode == 0, up.stdout
        sent = re.search(r"curl (http://\S+)/tasks", up.stdout)[1]
        metrics = httpx.get(f"{sent}/metrics").text
    finally:
        run(checkout, "down")

    assert "Real keys are set for DaData and YandexGPT: every call to them is paid for." in up.stdout
    assert "none was sent" in up.stdout
    assert not re.search(r"^integration_gateway_tasks_sent_total\S* [^0]", metrics, re.M)


def commands_of(shown):
    """Return the commands that `make up` prints, each as one line."""
    joined = shown.replace("\\\n", "")
    return [line.strip() for line in joined.splitlines() if re.match(r" +(curl|psql|set -a|TOKEN)\b", line)]


def test_up_leaves_the_stack_running_until_down(checkout):
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    up = run(checkout, "up", "--processors", "1", COLUMNS="80")
    try:
        assert up.returncode == 0, up.stdout
        assert '"task_id":1,"id":1' in up.stdout
        send, answer, psql, redrive, fail, heal = commands_of(up.stdout)
        assert readme.run(send, checkout).endswith('{"task_id":1,"id":2}\n'), "the line can be copied"
        assert "1 | phone     | +7 916 823-34-54" in readme.run(answer, checkout)
        assert "1 row" in readme.run(f"{psql} -c 'SELECT 1'", checkout)

        urls = set(re.findall(r"http://\S+", up.stdout))
        links = {url for url in urls if httpx.URL(url).path not in ("/tasks", "/_control")}
        pages = {"/", "/docs", "/openapi.json", "/asyncapi", "/asyncapi.json", "/metrics", "/health/ready"}
        assert {httpx.URL(link).path for link in links} == pages
        assert {link: httpx.get(link, timeout=30).status_code for link in links} == dict.fromkeys(links, 200)

        # A failure that can be seen, and its dead letter.
        readme.run(fail, checkout)
        failing = send.replace("8 916", "fail")
        assert '"error_code": "provider_unavailable"' in readme.run(failing, checkout)
        assert readme.run(redrive, checkout).endswith("1 would be put back (1 provider_unavailable), 0 skipped\n")
        readme.run(heal, checkout)
        assert '{"task_id":1,"id":' in readme.run(failing, checkout)

        files = [checkout / ".sandbox" / name for name in ("env", "state.json")]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600], "they hold passwords"
        up_again = run(checkout, "up", COLUMNS="80").stdout
        assert "is up already" in up_again
        assert commands_of(up_again) == commands_of(up.stdout)
    finally:
        down = run(checkout, "down")
    assert down.returncode == 0, down.stdout
    assert left_running(checkout) == []
    assert not any(file.exists() for file in files)
    assert "Nothing is up" in run(checkout, "down").stdout


def test_up_starts_what_has_been_killed_and_keeps_the_data(checkout):
    try:
        up = run(checkout, "up", "--processors", "1")
        assert up.returncode == 0, up.stdout
        programs = json.loads((checkout / ".sandbox" / "state.json").read_text())["programs"]
        killed = [program for program in programs if program["recipe"]["name"] in ("gateway", "PostgreSQL")]
        for program in killed:
            os.kill(program["pid"], signal.SIGKILL)

        again = run(checkout, "up")

        assert again.returncode == 0, again.stdout
        for name in ("gateway", "PostgreSQL"):
            assert f"{name} has ended." in again.stdout
        assert re.search(r"started: http://\S+ ", again.stdout), "the log's end is shown"
        assert "Kafka has ended" not in again.stdout
        send, answer, *_ = commands_of(again.stdout)
        assert '{"task_id":1,"id":' in readme.run(send)
        assert "1 | phone     | +7 916 823-34-54" in readme.run(answer)
    finally:
        run(checkout, "down")
    assert left_running(checkout) == []


def test_up_starts_anew_where_the_data_is_gone_too(checkout):
    try:
        assert run(checkout, "up", "--processors", "1").returncode == 0
        left = json.loads((checkout / ".sandbox" / "state.json").read_text())
        for program in left["programs"]:
            os.killpg(program["pid"], signal.SIGKILL)
        shutil.rmtree(left["folder"])

        again = run(checkout, "up", "--processors", "1")

        assert '"task_id":1,"id":1' in again.stdout, again.stdout
    finally:
        run(checkout, "down")
    assert left_running(checkout) == []


def test_up_uses_the_users_settings_and_names_those_that_it_does_not(checkout):
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    secret_key = "a-secret-key-of-more-than-32-bytes"
    example = (ROOT / ".env.example").read_text()
    (checkout / ".env").write_text(
        example.replace("SECRET_KEY=change-me-change-me-change-me-change-me", f"SECRET_KEY='{secret_key}'")
        + "GATEWAY_AUTH=required\nTASK_TYPES=email\nLOG_LEVEL=DEBUG\n"
    )
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # another program has the port
            taken.enter_context(socket.create_server(("127.0.0.1", 8000)))
        try:
            up = run(checkout, "up", "--processors", "1", LOG_LEVEL="WARNING")
            assert up.returncode == 0, up.stdout
            token, send, *_ = commands_of(up.stdout)
            replied = readme.run(f"{token}\n{send}", checkout)
            url = re.search(r"http://\S+/tasks", send)[0]
            as_it_was = run(checkout, "up", LOG_LEVEL="WARNING").stdout
            changed = run(checkout, "up", LOG_LEVEL="ERROR").stdout
            without = httpx.post(url, json={"task_id": 1, "task_type": "email", "data": "a@b.c"})
        finally:
            run(checkout, "down")

    assert replied.endswith('{"task_id":1,"id":2}\n')
    assert without.status_code == 401
    assert ("settings have changed" in as_it_was, "settings have changed" in changed) == (False, True)
    [port] = re.findall(r"^Port 8000 is in use: gateway has (\d+)\.$", up.stdout, re.M)
    assert url == f"http://localhost:{port}/tasks"
    [used] = re.findall(r"^Your settings, from the environment or \.env: (.*)$", up.stdout, re.M)
    assert used == "GATEWAY_AUTH, LOG_LEVEL, SECRET_KEY, TASK_TYPES"
    [unused] = re.findall(r"^Not used, .*: (.*)$", up.stdout, re.M)
    assert {"POSTGRES_HOST", "KAFKA_BOOTSTRAP_SERVERS", "DADATA_URL"} <= set(unused.split(", "))
    assert secret_key not in up.stdout
    assert "[info" not in (checkout / ".sandbox" / "logs" / "gateway.log").read_text()


def test_every_example_of_the_readme_comes_out_as_shown_after_up(checkout):
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    try:
        up = run(checkout, "up", "--processors", "1")
        assert up.returncode == 0, up.stdout
        gateway, kafka = re.findall(r"^  (?:gateway|Kafka) +(?:http://)?([\w.]+:\d+)", up.stdout, re.M)

        def pasted(example, program="bash -e"):
            """Paste an example, with other ports where those of the README are in use, and return what is printed."""
            here = example.replace("localhost:8000", gateway).replace("localhost:9092", kafka)
            return readme.run(program, checkout, stdin=here)

        # A task by REST.
        command, shown = readme.block("curl --json")
        assert pasted(command).splitlines()[-1] == shown

        # A task directly on Kafka, and its result. An interactive Python reads it line by line, as when it is pasted.
        assert f"{readme.PYTHON_SHOWN}\n" in pasted(readme.PYTHON, ".venv/bin/python -i -q")

        # A request that does not wait for the reply.
        command, shown = readme.block("curl -i --json")
        answer = readme.lines(readme.without_ids(pasted(command)))
        assert set(readme.lines(readme.without_ids(shown))) <= set(answer)

        # The stored answers.
        settings, psql, shown = readme.stored_answers()
        table = until(lambda: "4 rows" in (table := pasted(f"{settings}\n{psql}")) and table, "the last row")
        assert readme.lines(table)[: len(readme.lines(shown))] == readme.lines(shown)
    finally:
        run(checkout, "down")
    assert left_running(checkout) == []


def test_a_program_that_does_not_start_is_told_with_the_end_of_its_log(checkout):
    (checkout / "gateway" / "__main__.py").write_text("raise SystemExit('a reason of its own')")

    shown = run(checkout, "demo")

    assert shown.returncode == 1
    assert "a reason of its own" in shown.stdout
    assert left_running(checkout) == []


def test_the_dump_restores_into_an_empty_database_and_has_what_the_simulators_answer(postgres):
    postgres.create_database("restored")

    postgres.psql("restored", "-q", "-f", DUMP)

    with psycopg.connect(postgres.conninfo("restored")) as connection:
        rows = connection.execute("SELECT id, task_type::text, data FROM integration_service ORDER BY id").fetchall()
        entries = connection.execute("SELECT id FROM ledger ORDER BY id").fetchall()
        keys = connection.execute(
            'SELECT id FROM idempotency_keys JOIN ledger USING (topic_id, partition, "offset")'
        ).fetchall()
        redriven = connection.execute("SELECT topic_id FROM redriven").fetchall()
    answers = {"phone": clean_phone, "email": clean_email, "gpt": complete}
    assert rows == [(row_id, kind, answers[kind](data)) for row_id, (kind, data) in enumerate(tasks(), 1)], "make dump"
    assert entries == [(row_id,) for row_id, *_ in rows]
    assert len(keys) > 30
    assert len(redriven) == 1
    postgres.apply_schema("restored")


def test_the_dump_has_several_hundred_tasks_of_all_types_and_no_echo():
    kinds = Counter(kind for kind, _ in tasks())

    assert len(set(tasks())) == kinds.total() > 300
    assert kinds["phone"] > kinds["email"] > kinds["gpt"] > 20
    assert {data for kind, data in tasks() if kind == "gpt"} == TEXTS.keys()
    phones = [clean_phone(data) for kind, data in tasks() if kind == "phone"]
    emails = [clean_email(data) for kind, data in tasks() if kind == "email"]
    assert {phone["qc"] for phone in phones} == {0, 1, 2, 3, 7}
    assert {email["qc"] for email in emails} == {0, 1, 2, 3, 4}
    assert {email["type"] for email in emails} == {"PERSONAL", "CORPORATE", "ROLE", "DISPOSABLE", None}
    assert len({phone["provider"] for phone in phones}) > 6
    assert len({phone["region"] for phone in phones}) > 15


def test_make_dump_writes_the_same_rows_again(checkout):
    shown = run(checkout, "dump")

    assert shown.returncode == 0, shown.stdout
    assert copied((checkout / "dump.sql").read_text()) == copied(DUMP.read_text())
    assert left_running(checkout) == []


def copied(text):
    """Return the lines that a dump restores into integration_service."""
    [lines] = re.findall(r"^COPY public\.integration_service .*?\n(.*?)^\\\.$", text, re.M | re.S)
    return lines.splitlines()


def test_every_command_has_help(checkout):
    for command in ((), ("demo",), ("scale-demo",), ("up",), ("down",), ("dump",)):
        assert run(checkout, *command, "--help").returncode == 0
    for package in ("sandbox.simulators", "bench", "tests.chaos", "tests.fuzz"):
        shown = subprocess.run([sys.executable, "-m", package, "--help"], cwd=ROOT, capture_output=True, check=True)
        assert b"usage" in shown.stdout


def test_simulators_that_cannot_start_say_so_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "sandbox.simulators", "--port", str(taken.getsockname()[1])]
        failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert "Address already in use" in line

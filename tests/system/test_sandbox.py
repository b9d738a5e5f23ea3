"""The local stack as a person uses it: make demo, make up, make down, dump.sql."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import ROOT, until

COMMAND = [sys.executable, "-m", "sandbox"]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the stack needs, so that a stack that a person left running in this one is not touched."""
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
        timeout=120,
        check=False,
    )


def left_running(checkout):
    """Return the processes whose command or folder is the checkout's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = str((process / "cwd").readlink())
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
        # Without a command line it has ended, and the kernel is still clearing it away.
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
        "serega@yandex.ru",
        "tasks-dlt",
        "error_code: invalid_task",
    ):
        assert words in shown.stdout
    assert "8 tasks, 8 replies, 8 rows, 1 dead letter" in shown.stdout
    assert "\x1b" not in shown.stdout, "NO_COLOR and pipes are respected"
    assert left_running(checkout) == []


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


def test_up_leaves_the_stack_running_until_down(checkout):
    up = run(checkout, "up", "--processors", "1")
    try:
        assert up.returncode == 0, up.stdout
        url = re.search(r"Gateway +(http://\S+)", up.stdout)[1]
        task = {"task_id": 1, "task_type": "phone", "data": "8 916 823 34 54"}
        assert httpx.post(f"{url}/tasks", json=task, timeout=30).status_code == 200
        assert "is up already" in run(checkout, "up").stdout
    finally:
        down = run(checkout, "down")
    assert down.returncode == 0, down.stdout
    assert left_running(checkout) == []
    assert "Nothing is up" in run(checkout, "down").stdout


def test_a_program_that_does_not_start_is_told_with_the_end_of_its_log(checkout):
    (checkout / "gateway" / "__main__.py").write_text("raise SystemExit('a reason of its own')")

    shown = run(checkout, "demo")

    assert shown.returncode == 1
    assert "a reason of its own" in shown.stdout
    assert left_running(checkout) == []


def test_the_dump_restores_into_an_empty_database(postgres):
    postgres.create_database("restored")

    postgres.psql("restored", "-q", "-f", ROOT / "dump.sql")

    with psycopg.connect(postgres.conninfo("restored")) as connection:
        rows = connection.execute("SELECT id, task_type::text, data FROM integration_service").fetchall()
        entries = connection.execute("SELECT id FROM ledger").fetchall()
    assert {task_type for _, task_type, _ in rows} == {"phone", "email", "gpt"}
    assert {row_id for row_id, *_ in rows} == {row_id for (row_id,) in entries}
    assert all(isinstance(data, dict) for *_, data in rows)
    assert json.dumps(rows)
    postgres.apply_schema("restored")


def test_every_command_has_help(checkout):
    for arguments in (["--help"], ["demo", "--help"], ["up", "--help"], ["down", "--help"], ["dump", "--help"]):
        assert run(checkout, *arguments).returncode == 0
    for package in ("sandbox.simulators", "bench", "tests.system.chaos"):
        shown = subprocess.run([sys.executable, "-m", package, "--help"], cwd=ROOT, capture_output=True, check=True)
        assert b"usage" in shown.stdout


def test_simulators_that_cannot_start_say_so_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "sandbox.simulators", "--port", str(taken.getsockname()[1])]
        failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert "Address already in use" in line

"""The log lines of both programs."""

import ast
import asyncio
import gc
import json
import logging
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvloop

from shared import logs
from shared.logs import FIELDS, configure_logs

ROOT = Path(__file__).parents[3]
CANARY = "canary-7d1f"


@pytest.fixture
def root(monkeypatch):
    """The root logger. It and everything else that logging changes are restored afterwards."""
    for owner, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture(params=["json", "console"])
def log_format(request):
    return request.param


@pytest.fixture
def told(root, capsys):
    """Return a function that returns what was logged and checks that the canary is not in it."""

    def told():
        text = capsys.readouterr().err
        assert CANARY not in text
        return text

    return told


def fail(data):
    raise RuntimeError(f"over {data}")


def fail_because(data):
    try:
        fail(data)
    except RuntimeError as error:
        raise KeyError(data) from error


def test_an_exception_is_told_by_its_type_and_place_and_never_by_its_text(root, told, log_format):
    configure_logs("DEBUG", log_format)

    try:
        fail_because(CANARY)
    except KeyError:
        root.exception("unforeseen")

    text = told()
    assert "RuntimeError" in text and "KeyError" in text
    assert text.index("RuntimeError") < text.index("KeyError")
    assert "unforeseen" in text and "test_logs.py" in text


def test_an_exception_that_hides_its_cause_is_told_alone(root, told, log_format):
    configure_logs("DEBUG", log_format)

    try:
        try:
            fail(CANARY)
        except RuntimeError:
            raise KeyError(CANARY) from None
    except KeyError as error:
        error.__notes__ = [CANARY]
        root.error("unforeseen", exc_info=error)

    assert "RuntimeError" not in told()


def test_what_ends_a_thread_or_the_program_is_told_likewise(told, log_format):
    configure_logs("DEBUG", log_format)

    thread = threading.Thread(target=fail_because, args=(CANARY,))
    thread.start()
    thread.join()
    assert "unforeseen KeyError ends a thread" in told()

    try:
        fail(CANARY)
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert "unforeseen RuntimeError ends the program" in told()


def test_what_a_finalizer_raises_is_told_likewise(told, log_format):
    configure_logs("DEBUG", log_format)

    class Failing:
        def __del__(self):
            fail(CANARY)

    failing = Failing()
    del failing

    assert "unforeseen RuntimeError, and Python goes on" in told()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("debug", [False, True])
def test_an_event_loop_tells_no_arguments_and_no_results(told, run, debug, log_format):
    configure_logs("DEBUG", log_format)

    async def failing(data):
        fail(data)

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(fail, CANARY)
        loop.call_soon(partial(fail, CANARY))
        task = asyncio.ensure_future(failing(CANARY))
        task.set_name(CANARY)
        await asyncio.wait([task])
        del task
        future = loop.create_future()
        future.set_exception(RuntimeError(CANARY))
        del future
        gc.collect()
        await asyncio.sleep(0)

    run(main(), debug=debug)

    text = told()
    assert text.count("Exception in callback") == 2
    assert "Task exception was never retrieved" in text
    assert "Future exception was never retrieved" in text


def test_a_line_that_cannot_be_written_is_not_told_with_its_arguments(root, told, log_format):
    configure_logs("DEBUG", log_format)

    root.info("%d", CANARY)
    root.info("%s %s", CANARY)

    told()


def logged_fields():
    """Return the keys that the programs pass to a logger as `extra`, directly or in a dict named `fields`."""
    for path in (path for package in ("shared", "gateway", "processor") for path in (ROOT / package).rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            names = {target.id for target in ast.walk(node) if isinstance(target, ast.Name)}
            is_extra = isinstance(node, ast.keyword) and node.arg == "extra"
            if is_extra or (
                "extra=fields" in text and isinstance(node, ast.Assign | ast.AnnAssign) and "fields" in names
            ):
                for each in ast.walk(node):
                    if isinstance(each, ast.Dict):
                        yield from (key.value for key in each.keys if isinstance(key, ast.Constant))


def test_every_field_that_the_programs_log_gets_through():
    logged = set(logged_fields())

    assert {"position", "attempts", "route"} <= logged
    assert logged <= set(FIELDS), "the logger would drop it without a word"


@pytest.mark.parametrize(
    ("seconds", "levels"),
    [([0], ["info"]), ([0, 1, 29], ["info"]), ([0, 31, 62], ["info", "warning", "warning"]), ([0, 3600], ["info"] * 2)],
)
def test_a_producer_that_kafka_is_not_ready_for_is_a_warning_only_if_that_lasts(
    root, capsys, monkeypatch, seconds, levels
):
    configure_logs("DEBUG", "json")
    clock = iter(map(float, seconds))
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for _ in seconds:
        logging.getLogger("librdkafka").warning(
            "GETPID [thrd:main]: rdkafka#producer-1: Failed to acquire idempotence PID from broker localhost:9092/1: "
            "Broker: Coordinator load in progress: retrying"
        )

    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == levels


def test_other_warnings_of_librdkafka_are_warnings_at_once(root, capsys):
    configure_logs("WARNING", "json")

    logging.getLogger("librdkafka").warning("GETPID: Failed to acquire idempotence PID from broker localhost:9092/1")
    logging.getLogger("librdkafka").warning("MAXPOLL: Application maximum poll interval exceeded")

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"].startswith("MAXPOLL")

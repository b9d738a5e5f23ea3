"""The command lines of both programs: on a terminal, in a pipe, and with wrong arguments or settings."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import psycopg
import pytest

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from shared.messages import ErrorCode
from tests.conftest import ROOT, until

COLOURS_FORCED = {"FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "PY_COLORS": "1", "COLUMNS": "40"}
"""Environment variables of CI machines."""

COLOUR = re.compile(r"\x1b\[[\d;]*m")
COMMANDS = [("processor",), ("processor", "redrive"), ("processor", "audit"), ("gateway",)]


def environment(**more):
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **more}


def started(*arguments, **more):
    """Start Python with the arguments and with pipes for its output."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def piped(*arguments, **more):
    """Run Python with the arguments to its end, with pipes for its output."""
    with started(*arguments, **more) as program:
        told, errors = program.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, program.returncode, told, errors)


def on_terminal(*arguments, columns=80, **more):
    """Run Python with the arguments on a terminal to its end. Return its exit code and the terminal's content."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    program = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment(TERM="xterm", **more), stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    got = b""
    try:
        while some := os.read(ours, 65536):
            got += some
    except OSError:  # the program has ended and closed the terminal
        pass
    os.close(ours)
    return program.wait(60), got.decode()


def widest(text):
    return max(len(line) for line in COLOUR.sub("", text).splitlines())


@pytest.mark.parametrize("arguments", COMMANDS)
@pytest.mark.parametrize("more", [{}, COLOURS_FORCED])
def test_help_in_a_pipe_is_plain_text(arguments, more):
    shown = piped("-m", *arguments, "--help", **more)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.isascii()
    assert "\x1b" not in shown.stdout
    assert widest(shown.stdout) <= 80


@pytest.mark.parametrize("arguments", COMMANDS)
def test_help_on_a_terminal_has_colours_and_fits_it(arguments):
    returncode, shown = on_terminal("-m", *arguments, "--help")

    assert returncode == 0
    assert COLOUR.search(shown)
    assert widest(shown) <= 80
    for words in ("Usage: ", "Exit codes:", "Examples:"):
        assert words in COLOUR.sub("", shown)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_help_on_a_terminal_with_no_color_is_plain_text(arguments):
    returncode, shown = on_terminal("-m", *arguments, "--help", NO_COLOR="1")

    assert returncode == 0
    assert "\x1b" not in shown
    assert widest(shown) <= 80


@pytest.mark.parametrize(("program", "settings"), [("processor", ProcessorSettings), ("gateway", GatewaySettings)])
def test_help_names_every_setting_that_must_be_there(program, settings):
    shown = piped("-m", program, "--help").stdout

    for name, field in settings.model_fields.items():
        assert not field.is_required() or name.upper() in shown


def test_the_help_of_redrive_names_every_error_code():
    shown = piped("-m", "processor", "redrive", "--help").stdout

    assert all(f"{code.value} " in shown for code in ErrorCode)
    by_default = re.search("may have passed: ([a-z_, ]+)", " ".join(shown.split()))[1]
    assert by_default.split(", ") == ["provider_unavailable", "provider_refused_account", "internal_error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("processor", "--help"),
        ("processor", "redrive", "--help"),
        ("processor", "audit", "--help"),
        ("processor", "audit"),
        ("processor", "redrive", "--limit", "0"),
        ("processor", "redrive"),
        ("processor",),
        ("gateway", "--help"),
        ("gateway", "no-command"),
        ("gateway",),
    ],
)
def test_help_and_what_is_wrong_do_not_wait_for_the_programs_imports(arguments):
    imports = piped("-X", "importtime", "-m", *arguments)

    assert imports.returncode == (0 if "--help" in arguments else 2)
    assert "typer" in imports.stderr
    for package in ("quixstreams", "confluent_kafka", "psycopg", "fastapi", "uvicorn"):
        assert f" {package}" not in imports.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("processor", "redrive", "--reason", "fax"), f"processor: .*'fax' is not one of {', '.join(ErrorCode)}"),
        (("processor", "redrive", "--since", "soon\n"), r"processor: .*'soon\\n' is not a time such as 2026-01-31 .*"),
        (("processor", "redrive", "--limit", "0"), "processor: .*'0' is not a whole number of at least 1"),
        (("processor", "redrive", "--limit", "-1"), "processor: .*'-1' is not a whole number of at least 1"),
        (("processor", "redrive", "--limit"), "processor: Option '--limit' requires an argument; see --help"),
        (("processor", "redrive", "--dry"), "processor: No such option: --dry .*--dry-run.*; see --help"),
        (("processor", "redrive", "all"), "processor: .*unexpected.*all.*; see --help"),
        (("processor", "redriv"), "processor: .*Did you mean 'redrive'.*; see --help"),
        (("processor", "--install-completion"), "processor: No such option: --install-completion.*"),
        (("processor",), "processor: KAFKA_IMPORT_TOPIC: is required; .*; POSTGRES_PASSWORD: is required"),
        (("processor", "redrive"), "processor: KAFKA_IMPORT_TOPIC: is required; .*"),
        (("processor", "audit"), "processor: KAFKA_IMPORT_TOPIC: is required; .*"),
        (("processor", "audit", "all"), "processor: .*unexpected.*all.*; see --help"),
        (("gateway", "--port", "1"), "gateway: No such option: --port.*; see --help"),
        (("gateway", "serve"), "gateway: No such command 'serve'; see --help"),
        (("gateway",), "gateway: KAFKA_IMPORT_TOPIC: is required; KAFKA_RESULT_TOPIC: is required"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_would_be_right_and_exit_code_2(arguments, said):
    wrong = piped("-m", *arguments, **COLOURS_FORCED)

    assert (wrong.returncode, wrong.stdout) == (2, "")
    [line] = wrong.stderr.splitlines()
    assert re.fullmatch(said, line)


def test_what_is_wrong_is_one_plain_line_on_a_terminal_too():
    assert on_terminal("-m", "gateway", "serve") == (2, "gateway: No such command 'serve'; see --help\r\n")


def test_an_unforeseen_error_is_told_without_the_values_of_variables():
    program = """
from shared.command_line import ask, command_line
app = command_line("")
@app.command()
def fail():
    password = "canary".upper()
    raise RuntimeError("a reason of its own")
ask(app, "program")
"""
    failed = piped("-c", program, **COLOURS_FORCED)

    assert failed.returncode == 1
    assert "RuntimeError: a reason of its own" in failed.stderr
    assert "CANARY" not in failed.stderr


@pytest.fixture
def settings(topics, database):
    """The environment of a processor with Kafka and a database."""
    return {**topics.environment, **database.environment}


def send_dead_letters(topics, count, code=ErrorCode.PROVIDER_UNAVAILABLE):
    """Put dead letters on the dead-letter topic whose original records Kafka no longer has."""
    for offset in range(count):
        where = (topics.name, "0", str(1_000_000 + offset), "0", "a reason")
        names = ("topic", "partition", "offset", "timestamp")
        headers = [(f"kafka_dlt-original-{name}", text.encode()) for name, text in zip(names, where[:4], strict=True)]
        headers += [("kafka_dlt-exception-message", b"a reason"), ("error_code", code.value.encode())]
        topics.producer.produce(topics.dead_letters, b"a task", headers=headers)
        topics.producer.poll(0)
    assert topics.producer.flush(60) == 0


def test_redrive_in_a_pipe_tells_a_table_that_a_script_can_read(topics, settings):
    send_dead_letters(topics, 3)
    send_dead_letters(topics, 2, ErrorCode.INVALID_TASK)

    done = piped("-m", "processor", "redrive", "--reason", "provider_unavailable", **settings, **COLOURS_FORCED)

    assert (done.returncode, done.stderr) == (0, "")
    assert [re.split(" {2,}", line.strip()) for line in done.stdout.splitlines()] == [
        ["error_code", "examined", "put back", "skipped"],
        ["invalid_task", "2", "0", "2 other error_code"],
        ["provider_unavailable", "3", "3", "0"],
        ["total", "5", "3", "2"],
        ["3 put back (3 provider_unavailable), 2 skipped (2 other error_code)"],
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_redrive_on_a_terminal_shows_how_far_it_is_and_a_table(topics, settings, columns):
    send_dead_letters(topics, 1200)

    returncode, shown = on_terminal("-m", "processor", "redrive", columns=columns, **settings)

    assert returncode == 0
    progress, _, told = shown.partition("error_code")
    assert re.search(r"dead letters .*1200/1200.* 100%.* \d:\d\d:\d\d", COLOUR.sub("", progress))
    assert COLOUR.search(told)
    assert re.search(r"total +1200 +1200 +0", COLOUR.sub("", told))
    assert told.endswith("1200 put back (1200 provider_unavailable), 0 skipped\r\n")
    assert widest(told) <= columns


def test_redrive_on_a_terminal_with_no_color_has_none(topics, settings):
    send_dead_letters(topics, 1)

    returncode, shown = on_terminal("-m", "processor", "redrive", **settings, NO_COLOR="1")

    assert returncode == 0
    assert re.search(r"total +1 +1 +0", shown)
    assert not COLOUR.search(shown)


def test_the_audit_fits_a_terminal_with_colours_or_none_and_a_pipe_has_one_line_for_each_finding(settings):
    columns = {"columns": 80, **settings}
    returncode, shown = on_terminal("-m", "processor", "audit", **columns)
    _, plain = on_terminal("-m", "processor", "audit", **columns, NO_COLOR="1")
    in_pipe = piped("-m", "processor", "audit", **settings, **COLOURS_FORCED)

    assert (returncode, in_pipe.returncode, in_pipe.stderr) == (1, 1, "")
    assert COLOUR.search(shown) and not COLOUR.search(plain) and not COLOUR.search(in_pipe.stdout)
    assert COLOUR.sub("", shown) == plain
    assert widest(plain) <= 80
    lines = in_pipe.stdout.splitlines()
    assert len(lines) == 2 + int(lines[-1].removesuffix(" found"))
    assert all(len(re.split(" {2,}", line.strip())) == 3 for line in lines[:-1])


def test_redrive_says_in_words_that_there_is_nothing_to_do(topics, settings):
    empty = piped("-m", "processor", "redrive", **settings)
    send_dead_letters(topics, 1)
    piped("-m", "processor", "redrive", **settings)
    again = piped("-m", "processor", "redrive", **settings)

    assert (empty.returncode, again.returncode) == (0, 0)
    assert empty.stdout == f"There are no dead letters on {topics.dead_letters}.\n0 put back, 0 skipped\n"
    assert again.stdout.splitlines()[-2:] == [
        "There is nothing to put back.",
        "0 put back, 1 skipped (1 put back before)",
    ]


def test_a_dry_run_changes_nothing_in_kafka_and_postgresql(topics, database, settings):
    send_dead_letters(topics, 700)
    database.query("INSERT INTO redriven VALUES ('a topic that Kafka has no more', 0, 0)")
    database.query("REVOKE INSERT, DELETE ON redriven FROM integration_service")

    dry = piped("-m", "processor", "redrive", "--dry-run", "--limit", "600", **settings)

    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.splitlines()[-1] == "600 would be put back (600 provider_unavailable), 0 skipped"
    assert topics.lag() == 0, "something is on the import topic"
    assert database.query("SELECT topic_id FROM redriven") == [("a topic that Kafka has no more",)]
    database.query("GRANT INSERT, DELETE ON redriven TO integration_service")
    assert piped("-m", "processor", "redrive", **settings).returncode == 0
    assert topics.lag() == 700


def test_a_reader_that_hangs_up_is_no_error(topics, settings):
    send_dead_letters(topics, 1)
    with started("-m", "processor", "redrive", **settings) as program:
        program.stdout.close()

        assert program.stderr.read() == ""
    assert program.returncode == 0
    assert topics.lag() == 1


@pytest.mark.parametrize(("number", "returncode"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_redrive_after_the_batch_at_hand(topics, database, settings, number, returncode):
    send_dead_letters(topics, 1200)
    with psycopg.connect(database.postgres.conninfo(database.name)) as other:
        other.execute("LOCK TABLE redriven")
        program = started("-m", "processor", "redrive", "--dry-run", **settings)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        until(lambda: database.query(waiting, database.name), "the first batch to be looked up")
        program.send_signal(number)
    told, errors = program.communicate(timeout=60)

    assert (program.returncode, errors) == (returncode, "")
    assert told.splitlines()[-1] == (
        "500 would be put back (500 provider_unavailable), 0 skipped; stopped before the end"
    )


def test_what_is_in_the_way_of_redrive_is_one_line_and_exit_code_1(topics, settings):
    send_dead_letters(topics, 1)

    failed = piped("-m", "processor", "redrive", **{**settings, "POSTGRES_PORT": "1"})

    assert (failed.returncode, failed.stdout) == (1, "")
    [line] = failed.stderr.splitlines()
    assert line.startswith("processor redrive: PostgreSQL cannot be used: ")

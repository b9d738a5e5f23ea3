"""The README's examples: each command that it shows is run and prints what the README shows."""

import os
import re
import secrets
import shlex
import shutil
import sys

import pytest
import yaml
from confluent_kafka import Producer

from processor.outcome import dead_letter
from processor.record import Record
from shared.messages import ErrorCode
from tests.conftest import ROOT, until
from tests.readme import BLOCKS, README, block, lines, run

PROGRAMS = ("make", "docker", "cp", "curl", "psql", "python", ".venv/bin/python")
COMMANDS = sorted(
    {
        part.strip()
        for line in [line for block in BLOCKS for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", README)
        for part in re.split(r"&&|#", line)
        if part.split() and part.split()[0] in PROGRAMS
    }
)


def commands(*programs):
    """Return the README's commands that run these programs."""
    found = [command for command in COMMANDS if command.split()[0] in programs and len(command.split()) > 1]
    assert found, f"the README has no command of {programs}"
    return found


def test_rows_are_deleted_as_shown(start_processor, topics, database, postgres):
    start_processor()
    by_id, by_answer = block("DELETE")
    topics.send(b'{"task_id": 1, "task_type": "email", "data": "serega@yandex/ru"}')
    until(lambda: len(database.rows()) == 1, "the first row")
    topics.send(b'{"task_id": 2, "task_type": "phone", "data": "8 916 823 34 54"}')
    until(lambda: len(database.rows()) == 2, "the second row")

    postgres.psql(database.name, "-c", by_answer)
    assert [task_type for _, task_type in database.rows().values()] == ["email"]
    postgres.psql(database.name, "-c", by_id)
    assert database.rows() == {}


def test_a_token_lets_its_bearer_in_as_shown(start, start_processor):
    start_processor()
    secret_key = secrets.token_hex(32)
    gateway = start("gateway", GATEWAY_AUTH="required", SECRET_KEY=secret_key)
    make, rest = block("TOKEN=")
    send, _, shown = rest.partition("\n")

    both = f"{make}\n{send.replace('localhost:8000', gateway.url)} -s"

    assert run(both, SECRET_KEY=secret_key) == f"{shown}\n"


def test_a_dry_run_of_redrive_comes_out_as_shown(topics, database):
    command, shown = block("python -m processor redrive")
    record = Record(topics.name, 0, 0, b"{}", None, 0, [])
    producer = Producer({"bootstrap.servers": topics.kafka.bootstrap_servers})
    for code, count in ((ErrorCode.PROVIDER_UNAVAILABLE, 201), (ErrorCode.TASK_REJECTED, 3)):
        for number in range(count):
            outcome = dead_letter(record._replace(partition=1, offset=number + count), "topic-id", code, "no reason")
            producer.produce(topics.dead_letters, outcome.value, headers=outcome.headers)
    assert producer.flush(30) == 0

    assert lines(run(command, **topics.environment, **database.environment)) == lines(shown)


def test_the_schema_the_role_and_the_dump_are_applied_as_shown(postgres):
    postgres.create_database("as_shown")
    postgres.create_database("as_dumped")
    postgres.psql("postgres", "-c", "CREATE ROLE your_user LOGIN")
    where = {"PGHOST": postgres.host, "PGPORT": str(postgres.port), "PGUSER": postgres.user}
    where["PGPASSWORD"] = postgres.password

    for command in [command for command in commands("psql") if " -f " in command]:
        run(command, PGDATABASE="as_dumped" if "dump.sql" in command else "as_shown", **where)
    [grant] = re.findall(r"`(GRANT [^`]+)`", README)
    postgres.psql("as_shown", "-c", grant)

    assert postgres.psql("as_dumped", "-At", "-c", "SELECT count(*) > 0 FROM integration_service").strip() == "t"
    rights = "SELECT has_table_privilege('your_user', 'integration_service', 'INSERT')"
    assert postgres.psql("as_shown", "-At", "-c", rights).strip() == "t"


@pytest.mark.parametrize("command", commands("make"))
def test_a_make_command_exists(command):
    run(f"make --dry-run {command.removeprefix('make ')}")


def test_make_help_begins_with_what_a_newcomer_needs():
    assert re.findall(r"^  make ([a-z-]+) ", run("make help"), re.M)[:4] == ["help", "up", "down", "demo"]


def test_the_first_command_works_from_the_command_line(tmp_path):
    for name in ("gateway", "processor", "shared", "sandbox", "sql", "locks", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy2(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")

    shown = run(f"make -C {tmp_path} demo", HOME=os.environ["HOME"])

    assert "8 tasks, 8 replies, 8 rows, 1 dead letter" in shown


def test_the_second_command_is_what_runs_all_tests():
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("command", commands("python", ".venv/bin/python"))
def test_a_python_command_takes_its_arguments(command):
    arguments = shlex.split(command)[1:]
    assert arguments[0] == "-m"

    run(shlex.join([sys.executable, *arguments, "--help"]))


@pytest.mark.parametrize("command", commands("docker", "cp"))
def test_a_docker_command_names_what_is_in_the_compose_file(command):
    name, services = map(yaml.safe_load((ROOT / "docker-compose.yaml").read_text()).get, ("name", "services"))
    match shlex.split(command):
        case ["cp", source, ".env" | "edge/tls/tls.conf"]:
            assert (ROOT / source).exists()
        case ["docker", "compose", "up", *options]:
            named = [option.partition("=")[0] for option in options if not option.startswith("-")]
            assert set(named) <= services.keys()
            assert {option for option in options if option.startswith("-")} <= {"-d", "--detach", "--build", "--scale"}
        case ["docker", "compose", "exec", service, *_]:
            assert service in services
        case ["docker", "compose", "logs", "-f", *named]:
            assert set(named) <= services.keys()
        case ["docker", "compose", "-p", project, "down", *options]:
            assert project == name
            assert options in ([], ["-v"])
        case ["docker", "compose", "-f", path, "--profile", "*", "config", "--lock-image-digests", ">", "digests.yaml"]:
            assert (ROOT / path).exists()
        case ["docker", "build", "-f", path, "-t", _, "."]:  # test_chart.py knows the images' names
            assert (ROOT / path).exists()
        case other:
            pytest.fail(f"no test knows {other}")


def test_the_profiles_and_addresses_are_those_of_the_compose_file():
    compose = (ROOT / "docker-compose.yaml").read_text()
    services = yaml.safe_load(compose)["services"].values()
    profiles = {profile for service in services for profile in service.get("profiles", ())}
    published = set(re.findall(r"127\.0\.0\.1:\$\{[A-Z_]+:-(\d+)", compose))

    assert profiles == set(re.findall(r"^\| `(\w+)` \| .* \| (?:inside only|http://localhost:.*) \|$", README, re.M))
    assert set(re.findall(r"http://localhost:(\d+)", README)) <= published

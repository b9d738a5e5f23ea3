"""The running containers: what they may do, see and reach, and that the service works with that. Needs Docker."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from sandbox.child import free_port
from tests import readme
from tests.conftest import PATIENCE_SECONDS, ROOT, until

pytestmark = pytest.mark.timeout(1200)  # enough to build the images

SERVICES = ("edge", "gateway", "processor", "simulators", "kafka", "db")
SECRETS_OF = {
    service: {name.upper() for name, field in settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    for service, settings in (("gateway", GatewaySettings), ("processor", ProcessorSettings))
} | {"db": {"POSTGRES_PASSWORD"}}
SECRETS = sorted(set().union(*SECRETS_OF.values()))
CANARY = "canary-secret-of-more-than-32-bytes"
TASKS = {"phone": "8 916 823 34 54", "email": "serega@yandex/ru", "gpt": "Hi"}

INSUFFICIENT_PRIVILEGE = "42501"  # SQLSTATE


@dataclass
class Project:
    """A copy of the project's files in its own folder, run as its own compose project."""

    folder: Path
    name: str
    gateway_port: int
    kafka_port: int

    def compose(self, *arguments, stdin=None):
        """Run docker compose and return its standard output; its progress goes to the test's output."""
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        return subprocess.run(
            command, cwd=self.folder, check=True, text=True, input=stdin, stdout=subprocess.PIPE
        ).stdout

    def up(self, *options):
        """Start the services that are not running and wait until all are healthy."""
        self.compose("up", "--build", "--detach", "--wait", *options)

    def run(self, service, *command, stdin=None):
        """Run a command in the service's container and return its exit code and all its output."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, "exec", "-T", service, *command],
            cwd=self.folder,
            text=True,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout

    def python(self, service, program):
        """Run a Python program in the service's container and return its output."""
        returncode, printed = self.run(service, "python", "-", stdin=program)
        assert returncode == 0, printed
        return printed

    def containers(self, *services):
        """Return Docker's description (inspect) of the services' containers, including those that have ended."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return json.loads(subprocess.run(["docker", "inspect", *ids], check=True, stdout=subprocess.PIPE).stdout)

    def post(self, task_type, task_id=1):
        """Send a task by REST and return the answer."""
        task = {"task_id": task_id, "task_type": task_type, "data": TASKS[task_type]}
        return httpx.post(f"http://127.0.0.1:{self.gateway_port}/tasks", json=task, timeout=PATIENCE_SECONDS)

    def sql(self, *statements):
        """Run statements as the processor's user, over the network, and return the first row or SQLSTATE of each."""
        program = f"""
import json, psycopg
from processor.settings import ProcessorSettings
from shared.settings import read_settings
told = []
with psycopg.connect(**read_settings(ProcessorSettings).postgres_connection(), autocommit=True) as connection:
    for statement in {statements!r}:
        try:
            cursor = connection.execute(statement)
            told.append(cursor.fetchone() if cursor.description else None)
        except psycopg.Error as error:
            told.append(error.sqlstate)
print(json.dumps(told))
"""
        return json.loads(self.python("processor", program))


@contextlib.contextmanager
def running(folder, environment, override="{}"):
    """Run the project with the user's environment; nothing of it is left after the block, even if it raises."""
    for name in ("edge", "locks", "gateway", "processor", "shared", "sandbox", "sql", "observability"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [
        *ROOT.glob("Dockerfile.*"),
        *map(ROOT.joinpath, (".dockerignore", "docker-compose.yaml")),
    ]:
        shutil.copy2(path, folder)
    project = Project(folder, f"test-{uuid.uuid4().hex[:8]}", free_port(), free_port())
    ports = f"GATEWAY_PORT={project.gateway_port}\nKAFKA_HOST_PORT={project.kafka_port}\n"
    (folder / ".env").write_text(f"{environment}\n{ports}")
    (folder / "docker-compose.override.yaml").write_text(override)
    try:
        project.up()
        yield project
    finally:
        (folder / ".env").unlink()  # by its name, a project can be removed without it
        project.compose("down", "--volumes", "--rmi", "local", "--timeout", "1")


def example(**settings):
    """Return the example environment with some settings replaced, or removed if they are None."""
    text = re.sub(rf"^(?:{'|'.join(settings)})=.*\n", "", (ROOT / ".env.example").read_text(), flags=re.M)
    return text + "".join(f"{name}={value}\n" for name, value in settings.items() if value is not None)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the example environment and every secret set."""
    secrets = dict.fromkeys(SECRETS, CANARY) | {"GATEWAY_AUTH": "none"}
    with running(tmp_path_factory.mktemp("compose"), example(**secrets, PROCESSORS=2)) as project:
        yield project


@pytest.mark.parametrize("task_type", TASKS)
def test_a_task_of_each_type_is_answered(project, task_type):
    answer = project.post(task_type, task_id=42)

    assert answer.status_code == 200, answer.text
    assert answer.json()["task_id"] == 42


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_is_root_or_has_or_can_gain_what_only_root_may(project, service):
    _, printed = project.run(service, "sh", "-c", "cat /proc/[0-9]*/status")

    assert {uid for uids in re.findall(r"^Uid:(.*)$", printed, re.M) for uid in uids.split()}.isdisjoint({"0"})
    assert set(re.findall(r"^Cap\w+:\s*(\w+)$", printed, re.M)) == {"0" * 16}
    assert set(re.findall(r"^NoNewPrivs:\s*(\d)$", printed, re.M)) == {"1"}


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "kafka"])
def test_the_image_cannot_be_written_and_what_can_be_cannot_be_run(project, service):
    assert project.run(service, "touch", "/new") == (1, "touch: cannot touch '/new': Read-only file system\n")
    assert project.run(service, "cp", "/bin/true", "/tmp/true") == (0, "")
    returncode, printed = project.run(service, "/tmp/true")

    assert (returncode, "permission denied" in printed.lower()) == (126, True)


def test_kafka_cannot_write_to_its_image_but_where_its_user_may(project):
    assert project.run("kafka", "touch", "/new") == (1, "touch: cannot touch '/new': Permission denied\n")


@pytest.mark.parametrize("service", SERVICES)
def test_the_kernel_limits_memory_and_processes(project, service):
    # Control groups version 2, or version 1.
    for limit in ("memory.max memory/memory.limit_in_bytes", "pids.max pids/pids.max"):
        returncode, printed = project.run(service, "sh", "-c", f"cd /sys/fs/cgroup && cat {limit} 2>/dev/null")
        assert int(printed) <= 8 * 1024**3, (returncode, printed)


def test_the_gateway_may_have_as_many_connections_as_requests_may_wait(project):
    _, printed = project.run("gateway", "sh", "-c", "ulimit -n")

    assert int(printed) > GatewaySettings.model_fields["waiting_replies_max"].default


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_sees_its_own_secrets_only(project, service):
    _, printed = project.run(service, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ; env")

    assert set(re.findall(rf"^(\w+)={CANARY}$", printed, re.M)) == SECRETS_OF.get(service, set())


def test_nothing_is_published_to_other_machines(project):
    bindings = [
        binding["HostIp"]
        for container in project.containers()
        for published in container["NetworkSettings"]["Ports"].values()
        for binding in published or ()
    ]

    assert set(bindings) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("service", "host", "port", "reached"),
    [
        ("gateway", "kafka", 9094, True),
        ("gateway", "db", 5432, False),
        ("gateway", "simulators", 8090, False),
        ("processor", "kafka", 9094, True),
        ("processor", "db", 5432, True),
        ("processor", "simulators", 8090, True),
        ("simulators", "kafka", 9094, False),
        ("simulators", "db", 5432, False),
    ],
)
def test_a_container_reaches_only_whom_it_talks_to(project, service, host, port, reached):
    program = """
import socket, sys
try:
    socket.create_connection((%r, %d), timeout=2).close()
except OSError:
    print(False)
else:
    print(True)
"""
    assert project.python(service, program % (host, port)) == f"{reached}\n"

    # The same must hold for its addresses as for its name.
    [container] = project.containers(host)
    addresses = [network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()]
    assert [project.python(service, program % (address, port)) for address in addresses].count("True\n") == reached


def test_the_processors_user_may_do_no_more_than_its_role(project):
    role = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles"
    refused = (
        "UPDATE integration_service SET id = 0",
        "TRUNCATE ledger",
        "DROP TABLE ledger",
        "ALTER TABLE integration_service ADD COLUMN more TEXT",
        "CREATE TABLE more (id BIGINT)",
        "CREATE TEMPORARY TABLE more (id BIGINT)",
        "CREATE SCHEMA more",
        "CREATE FUNCTION more() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE more",
        "SET ROLE schema_owner",
        "SELECT * FROM pg_authid",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
    )

    assert project.sql(f"{role} WHERE rolname = current_user", "SELECT count(*) >= 0 FROM ledger") == [[False], [True]]
    assert project.sql(*refused) == [INSUFFICIENT_PRIVILEGE] * len(refused)


def test_no_password_opens_the_superuser(project):
    _, printed = project.run(
        "db",
        "psql",
        "-U",
        "schema_owner",
        "-d",
        "postgres",
        "-Atc",
        "SELECT rolname, rolsuper, rolpassword IS NULL FROM pg_authid WHERE rolsuper OR rolcanlogin ORDER BY rolsuper",
    )

    assert printed.split() == ["postgres|f|f", "schema_owner|t|t"]


def test_kafka_is_reached_from_this_machine_at_the_port_of_the_environment(project):
    consumer = Consumer({"bootstrap.servers": f"localhost:{project.kafka_port}", "group.id": "test"})
    try:
        brokers = consumer.list_topics(timeout=PATIENCE_SECONDS).brokers.values()
        consumer.assign([TopicPartition("results", 0, OFFSET_BEGINNING)])
        _, end = consumer.get_watermark_offsets(TopicPartition("results", 0), timeout=PATIENCE_SECONDS)
    finally:
        consumer.close()

    assert {(broker.host, broker.port) for broker in brokers} == {("localhost", project.kafka_port)}
    assert end >= 0


def test_the_documented_commands_show_the_rows_and_the_results(project):
    answer = project.post("phone", task_id=4_711).json()
    psql = documented("psql -U postgres -d postgres")
    consumer = documented("--from-beginning")

    id_ = answer["id"]
    assert project.run(*psql, "-Atc", f"SELECT task_type FROM integration_service WHERE id = {id_}") == (0, "phone\n")
    returncode, printed = project.run(
        *consumer, "--timeout-ms", f"{PATIENCE_SECONDS * 1000:.0f}", "--max-messages", "1"
    )
    assert (returncode, '{"task_id":' in printed) == (0, True), printed


def documented(end):
    """Return the service and the command of the line `docker compose exec ...` in docs/operations.md that ends so."""
    operations = (ROOT / "docs" / "operations.md").read_text()
    [line] = [line for line in re.findall(r"^    docker compose exec (.*)$", operations, re.M) if line.endswith(end)]
    return shlex.split(line)


def test_without_an_environment_the_service_can_be_stopped_and_not_started(tmp_path):
    compose = (ROOT / "docker-compose.yaml").read_text()
    (tmp_path / "docker-compose.yaml").write_text(compose.replace("name: ", f"name: test-{uuid.uuid4().hex[:8]}-", 1))

    def run(*command):
        return subprocess.run(
            ["docker", "compose", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("down").returncode == 0
    refused = run("up", "--detach")
    assert (refused.returncode, f"{tmp_path}/.env not found" in refused.stderr) == (1, True), refused.stderr


def test_three_processors_share_the_work_and_sigterm_ends_each_program_with_0(project):
    project.up("--scale", "processor=3")
    processors = project.containers("processor")

    assert [container["State"]["Health"]["Status"] for container in processors] == ["healthy"] * 3
    assert Counter(project.post("phone", n).status_code for n in range(30)) == {200: 30}

    project.compose("stop", "gateway", "processor")

    stopped = project.containers("gateway", "processor")
    assert [container["State"]["ExitCode"] for container in stopped] == [0] * 4

    project.up()  # without --scale there are as many as the environment says

    assert len(project.containers("processor")) == 2


def test_every_example_of_the_readme_comes_out_as_shown(tmp_path):
    with running(tmp_path, example()) as project:
        gateway = f"localhost:{project.gateway_port}"
        project.post("phone")  # `make up` has sent a first task; the README's ids come after it

        # A task by REST.
        command, shown = readme.block("curl --json")
        assert readme.run(command.replace("localhost:8000", gateway)).splitlines()[-1] == shown

        # A task directly on Kafka, and its result, from within the network: port 9092 may be in use here.
        snippet = readme.PYTHON.replace("localhost:9092", "kafka:9094")
        assert readme.PYTHON_SHOWN in project.python("processor", snippet).splitlines()

        # A request that does not wait for the reply.
        command, shown = readme.block("curl -i --json")
        answer = readme.lines(readme.without_ids(readme.run(command.replace("localhost:8000", gateway))))
        assert set(readme.lines(readme.without_ids(shown))) <= set(answer)

        # The stored answers.
        _, psql, shown = readme.stored_answers()
        [_, option, select] = shlex.split(psql)
        table = until(
            lambda: "4 rows" in (table := project.run("db", "psql", "-U", "postgres", option, select)[1]) and table,
            "the last row",
        )
        assert readme.lines(table)[: len(readme.lines(shown))] == readme.lines(shown)


NASTY = """a'b"c\\d $HOME ${HOME} %s;--\\n{}"""


def test_secrets_may_be_files_and_then_docker_shows_none(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    contents = dict.fromkeys(SECRETS, CANARY) | {"POSTGRES_PASSWORD": f"{CANARY}{NASTY}"}
    names = {name: name.lower() for name in SECRETS}
    for name, content in contents.items():
        (tmp_path / names[name]).write_text(f"{content}\n")
        (tmp_path / names[name]).chmod(0o644)
    services = {service: {"secrets": list(names.values())} for service in ("gateway", "processor", "db")}
    override = json.dumps(
        {"services": services, "secrets": {name: {"file": str(tmp_path / name)} for name in names.values()}}
    )
    environment = example(
        **dict.fromkeys(SECRETS), **{f"{name}_FILE": f"/run/secrets/{file}" for name, file in names.items()}
    )

    with running(folder, environment, override) as project:
        answers = [project.post(task_type).status_code for task_type in TASKS]
        shown = json.dumps(project.containers()) + project.compose("logs")

    assert answers == [200, 200, 200]
    assert CANARY not in shown


def test_an_environment_of_the_old_names_comes_up_against_the_real_providers(tmp_path):
    environment = """
SECRET_KEY=short
DADATA_API_KEY=key
DADATA_SECRET_KEY=secret
POSTGRES_HOST=db
POSTGRES_PORT=5432
POSTGRES_USER=Some-User
POSTGRES_PASSWORD='pass $word "and" more'
POSTGRES_NAME=Some-Database
KAFKA_BOOTSTRAP_SERVERS=kafka:9094
KAFKA_IMPORT_TOPIC=import
KAFKA_RESULT_TOPIC=result
"""
    with running(tmp_path, environment) as project:
        connected = project.sql("SELECT current_user, current_database()", "DROP TABLE ledger")
        assert connected == [["Some-User", "Some-Database"], INSUFFICIENT_PRIVILEGE]
        ready = httpx.get(f"http://127.0.0.1:{project.gateway_port}/health/ready", timeout=PATIENCE_SECONDS)
        assert ready.status_code == 200

"""A broker that requires TLS and a password and denies what no ACL allows, and a PostgreSQL that requires TLS."""

import itertools
import json
import re
import subprocess
from dataclasses import dataclass

import psycopg
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from sandbox.kafka import Kafka, Security
from sandbox.postgres import Postgres
from tests.conftest import ROOT, Database, ended_at_last, until

PASSWORD = "canary-secret-of-a-program"
WRONG = "canary-secret-that-is-wrong"
REJECTED = {"kind": "status", "status": 400, "when": "rejected"}


def make_ca(folder, name):
    file = folder / f"{name}.pem"
    make_certificate(file, "-subj", f"/CN={name}")
    return file


def make_certificate(file, *arguments):
    """Create a PEM file with a certificate, and a file beside it with its key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file.with_suffix(".key")]
    command = ["openssl", "req", "-x509", "-days", "2", *key, "-out", file, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def signed(ca, name):
    """Make a certificate of the CA for a client or for the server `localhost`, and return its file."""
    file = ca.with_name(f"{ca.stem}-{name}.pem")
    by = ["-CA", ca, "-CAkey", ca.with_suffix(".key"), "-addext", "basicConstraints=critical,CA:FALSE"]
    make_certificate(file, "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", *by)
    return file


def make_server_certificate(ca):
    """Make a certificate of the CA for the server `localhost`, and return its file, which begins with its key."""
    file = signed(ca, "server")
    file.write_text(file.with_suffix(".key").read_text() + file.read_text())
    return file


@dataclass(frozen=True)
class Certificates:
    """The certificates for the services and the programs."""

    ca: str
    another_ca: str
    security: Security


@pytest.fixture(scope="module")
def folder(session_folder):
    folder = session_folder / "tls"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture(scope="module")
def certificates(folder):
    ca, another_ca = make_ca(folder, "ca"), make_ca(folder, "another-ca")
    server = make_server_certificate(ca)
    return Certificates(str(ca), str(another_ca), Security(ca, server, "canary-secret-of-the-administrator"))


@pytest.fixture(scope="module")
def kafka(folder, certificates):
    broker = Kafka(folder, folder / "logs", security=certificates.security)
    with ended_at_last(broker):
        broker.start()
        yield broker


@pytest.fixture(scope="module")
def tls_postgres(folder, certificates):
    cluster = Postgres(folder, folder / "logs", certificate=certificates.security.certificate)
    with ended_at_last(cluster):
        cluster.start()
        cluster.apply_schema()
        cluster.create_processor("processor", PASSWORD)
        yield cluster


@pytest.fixture
def database(tls_postgres):
    return Database(tls_postgres, "postgres")


class Administrator:
    """Creates the programs' users and grants and revokes their rights."""

    def __init__(self, kafka, topics):
        self._admin = AdminClient(kafka.connection)
        self._topics = topics
        self._names = {
            "KAFKA_IMPORT_TOPIC": topics.name,
            "KAFKA_RESULT_TOPIC": topics.results,
            "KAFKA_DEAD_LETTER_TOPIC": topics.dead_letters,
            "KAFKA_CONSUMER_GROUP": f"{topics.name}-group",
        }

    def user(self, program):
        """Return the name of the program's user in this test."""
        return f"{self._topics.name}-{program}"

    def set_password(self, program, password):
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(self.user(program), credential, password.encode())
        for changed in self._admin.alter_user_scram_credentials([change]).values():
            changed.result(30)

    def rights(self, user_of):
        """Return the rights that docs/operations.md lists, as (kind, name, operation)."""
        table = (
            (ROOT / "docs" / "operations.md")
            .read_text()
            .partition("| user of | on | operations |")[2]
            .partition("\n\n")[0]
        )
        return [
            (kind, self._names[setting], operation)
            for user, kind, setting, operations in re.findall(r"^\| (\w+).* \| (\w+) (\w+) \| (.*) \|$", table, re.M)
            for operation in operations.split(", ")
            if user == user_of
        ]

    def grant(self, program, *rights):
        for granted in self._admin.create_acls([AclBinding(*self._acl(program, right)) for right in rights]).values():
            granted.result(30)

    def revoke(self, program, *rights):
        filters = [AclBindingFilter(*self._acl(program, right)) for right in rights]
        for revoked in self._admin.delete_acls(filters).values():
            assert len(revoked.result(30)) == 1

    def _acl(self, program, right):
        kind, name, operation = right
        allowed = AclOperation[re.sub("(?<=[a-z])(?=[A-Z])", "_", operation).upper()]
        user = f"User:{self.user(program)}"
        return (
            ResourceType[kind.upper()],
            name,
            ResourcePatternType.LITERAL,
            user,
            "*",
            allowed,
            AclPermissionType.ALLOW,
        )


@pytest.fixture
def administrator(kafka, topics):
    administrator = Administrator(kafka, topics)
    for program in ("gateway", "processor"):
        administrator.set_password(program, PASSWORD)
    return administrator


@pytest.fixture
def programs(start, start_processor, administrator, certificates):
    """Return a function that starts `gateway` or `processor` as the documents describe."""

    def programs(package, **options):
        return (start_processor if package == "processor" else lambda **all_options: start(package, **all_options))(
            **{
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
                "KAFKA_SASL_USERNAME": administrator.user(package),
                "KAFKA_SASL_PASSWORD": PASSWORD,
                "KAFKA_SSL_CA_LOCATION": certificates.ca,
                "POSTGRES_HOST": "localhost",
                "POSTGRES_PASSWORD": PASSWORD,
                "POSTGRES_SSLMODE": "verify-full",
                "POSTGRES_SSLROOTCERT": certificates.ca,
                **options,
            }
        )

    return programs


def warnings(program, but=()):
    """Return the program's warnings and errors, except usual ones such as librdkafka's GETPID at a producer's start."""
    assert "canary-secret" not in program.log_text()
    lines = [json.loads(line) for line in program.log_text().splitlines() if line.startswith("{")]
    usual = ("GATEWAY_AUTH=none", "GETPID", "audit: ", *but)
    return [
        line["event"]
        for line in lines
        if line["level"] not in ("debug", "info") and not line["event"].startswith(usual)
    ]


def missing(program):
    return program.client.get("/health/ready").json()["missing"]


def task(task_id, data="8 916 823 34 54"):
    return {"task_id": task_id, "task_type": "phone", "data": data}


def test_both_programs_and_redrive_work_over_tls_with_exactly_the_rights_of_the_readme(
    programs, administrator, topics, database, simulators
):
    for program in ("gateway", "processor"):
        administrator.grant(program, *administrator.rights(program))
    gateway, processor = programs("gateway"), programs("processor")

    answer = gateway.client.post("/tasks", json=task(1))
    assert answer.status_code == 200 and answer.json()["id"] in database.rows()
    simulators.control(faults=[REJECTED])
    rejected = gateway.client.post("/tasks", json=task(2, "rejected"))
    assert rejected.status_code == 422

    def redrive(returncode):
        arguments = ("redrive", "--reason", "task_rejected")
        program = programs("processor", wait=False, arguments=arguments, LOG_LEVEL="INFO")
        until(lambda: not program.running, "redrive to end")
        assert program.returncode == returncode, program.log_text()
        return program.log_text().splitlines()

    assert redrive(1) == [f"processor redrive: Kafka: missing: the right WRITE on the topic {topics.name}"]
    administrator.grant("processor", *administrator.rights("redrive"))
    simulators.control(faults=[])
    assert redrive(0)[-1] == "1 put back (1 task_rejected), 0 skipped"
    found = f"/tasks/{rejected.headers['x-correlation-id']}"
    until(lambda: gateway.client.get(found).status_code == 200, "the task that was put back to be done")

    for program in (gateway, processor):
        assert program.stop() == 0
        assert warnings(program, but=["dead letter"]) == []


def test_a_processor_that_may_not_write_any_more_goes_on_once_it_may(programs, administrator, topics, database):
    administrator.grant("processor", *administrator.rights("processor"))
    processor = programs("processor", LOG_LEVEL="INFO")
    administrator.revoke("processor", ("topic", topics.results, "Write"))
    topics.send_tasks(range(10))

    until(lambda: any("accepts no outcomes" in what for what in missing(processor)), "the right to be missing")
    assert processor.answers("/health/ready", 503)
    assert "Traceback" not in processor.log_text()
    [line] = [line for line in warnings(processor) if "is held" in line]
    assert "Topic authorization failed" in line and "the right WRITE" in line
    administrator.grant("processor", ("topic", topics.results, "Write"))
    until(lambda: topics.read_results().keys() == {*range(10)}, "all results")
    until(lambda: missing(processor) == [], "nothing to be missing")
    assert all(len(ids) == 1 for ids in topics.read_results().values()), "a result was repeated"


def test_the_audit_says_what_it_may_not_read_until_its_rights_are_granted(programs, administrator, topics, database):
    administrator.grant("processor", *administrator.rights("processor"))

    def audited():
        audit = programs("processor", wait=False, arguments=("audit",), LOG_LEVEL="INFO")
        until(lambda: not audit.running, "the audit to end")
        assert audit.returncode == 1, audit.log_text()
        return audit.log_text()

    unread = audited()
    administrator.grant("processor", *administrator.rights("audit"))
    read = audited()

    hidden = f"the settings of {topics.name}, {topics.results}, {topics.dead_letters} may not be read"
    assert (hidden in unread, hidden in read) == (True, False)
    assert ("min.insync.replicas below 2" in unread, "min.insync.replicas below 2" in read) == (False, True)
    assert "fewer than 3 replicas" in unread and "canary-secret" not in unread + read


@pytest.mark.parametrize("package", ["gateway", "processor"])
def test_each_missing_right_is_named_and_the_program_goes_on_once_it_is_granted(programs, administrator, package):
    rights = administrator.rights(package)
    named = {
        right: f"the right {re.sub('(?<=[a-z])(?=[A-Z])', '_', right[2]).upper()} on the {right[0]} {right[1]}"
        for right in rights
    }
    denied = rights[0]
    administrator.grant(package, *rights[1:])
    program = programs(package, wait=False)
    program.wait_until(lambda: program.answers("/health/live"))

    def wait_for(right):
        until(lambda: named[right] in missing(program), f"{named[right]} to be missing")

    wait_for(denied)
    for right in rights[1:]:
        administrator.revoke(package, right)
        administrator.grant(package, denied)  # the group's right is missed only once the topics' are granted
        wait_for(right)
        denied = right
    administrator.grant(package, denied)
    program.wait()

    # A producer whose right is revoked before it has its id has failed for good, and is replaced once it is granted.
    lines = warnings(program, but=["the producer has failed and is replaced"])
    told = [line.partition(": missing: ")[2] for line in lines]
    assert {right for line in told for right in line.split(", ")} == {*named.values()}
    assert all(line != after for line, after in itertools.pairwise(told))


def test_what_keeps_a_program_from_kafka_or_postgresql_is_said_in_one_line(
    programs, administrator, topics, kafka, certificates, tls_postgres, postgres
):
    for program in ("gateway", "processor"):
        administrator.grant(program, *administrator.rights(program))
    another_user = f"{topics.name}-user"
    tls_postgres.create_processor(another_user, PASSWORD)
    by_address = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.port}"}  # its certificate does not name this address
    wrong_with_kafka = {
        "KAFKA_SASL_PASSWORD": {"KAFKA_SASL_PASSWORD": WRONG},
        "KAFKA_SSL_CA_LOCATION": {"KAFKA_SSL_CA_LOCATION": certificates.another_ca},
        "KAFKA_BOOTSTRAP_SERVERS": by_address,
        "KAFKA_SECURITY_PROTOCOL": {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
    }
    wrong_with_postgresql = {
        "POSTGRES_PASSWORD": {"POSTGRES_PASSWORD": WRONG, "POSTGRES_USER": another_user},
        "POSTGRES_SSLROOTCERT": {"POSTGRES_SSLROOTCERT": certificates.another_ca},
        "POSTGRES_HOST": {"POSTGRES_HOST": "127.0.0.1"},
        "POSTGRES_SSLMODE": {"POSTGRES_PORT": postgres.port},
    }

    cases = [
        (package, setting, what, programs(package, wait=False, **options))
        for what, packages, wrong in (
            ("Kafka", ("gateway", "processor"), wrong_with_kafka),
            ("PostgreSQL", ("processor",), wrong_with_postgresql),
        )
        for setting, options in wrong.items()
        for package in packages
    ]
    redrives = {
        setting: programs("processor", wait=False, arguments=("redrive",), LOG_LEVEL="INFO", **options)
        for setting, options in {**wrong_with_kafka, **wrong_with_postgresql}.items()
        if setting.endswith("_PASSWORD")
    }

    for package, setting, what, program in cases:
        until(lambda p=program, s=setting: any(s in line for line in warnings(p)), f"{package} to name {setting}")
        assert what in missing(program)
    for package, setting, _, program in cases:
        assert len(warnings(program)) == 1, (package, setting, program.log_text())
    for setting, program in redrives.items():
        until(lambda p=program: not p.running, "redrive to end")
        [line] = program.log_text().splitlines()
        assert program.returncode == 1 and setting in line and "canary-secret" not in line

    administrator.set_password("gateway", WRONG)
    administrator.set_password("processor", WRONG)
    with psycopg.connect(tls_postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE \"{another_user}\" PASSWORD '{WRONG}'")
    for _, setting, _, program in cases:
        if setting.endswith("_PASSWORD"):
            program.wait()

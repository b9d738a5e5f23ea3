"""The audit: what a real Kafka and a real PostgreSQL cannot promise, at the start and by the command."""

import json
import re

import pytest

from sandbox.child import Child
from sandbox.postgres import Postgres, program
from tests.conftest import Database, ended_at_last, until
from tests.pooler import running_pooler

ONE_BROKER = ["fewer than 3 replicas", "min.insync.replicas below 2"]
"""What is found of every cluster with one broker."""


def audited(start_processor, **options):
    """Run the command. Return its exit code, and the columns `found` and `to do` of its table."""
    program = start_processor(arguments=("audit",), wait=False, LOG_LEVEL="INFO", **options)
    until(lambda: not program.running, "the audit to end")
    rows = [re.split(" {2,}", line.strip()) for line in program.log_text().splitlines()]
    return program.returncode, rows


def found(rows):
    """Return what was found, without its explanation."""
    return [re.split(r" \(|: ", what)[0] for where, what, _ in rows[1:-1]]


def warnings(program):
    lines = [json.loads(line) for line in program.log_text().splitlines() if line.startswith("{")]
    return [line["event"] for line in lines if line["level"] == "warning"]


def health(program):
    return program.client.get("/health/ready").json()


def test_what_is_found_at_the_start_is_a_warning_each_and_in_the_health_which_stays_200(topics, start_processor):
    processor = start_processor()
    until(lambda: health(processor)["audit"] is not None, "the audit")

    assert processor.answers("/health/ready", 200)
    audit = health(processor)["audit"]
    assert [finding.partition(" (")[0].removeprefix("Kafka: ") for finding in audit] == ONE_BROKER
    assert f"({topics.name} 1, {topics.results} 1, {topics.dead_letters} 1)" in audit[0]
    assert [line for line in warnings(processor) if line.startswith("audit: ")] == [f"audit: {each}" for each in audit]
    returncode, rows = audited(start_processor)
    assert (returncode, rows[0], rows[-1]) == (1, ["where", "found", "to do"], ["2 found"])
    assert [f"{where}: {what}; {to_do}" for where, what, to_do in rows[1:-1]] == audit


def test_topics_that_may_lose_records_are_found(topics, start_processor):
    topics.alter(topics.name, retention_ms=3_600_000, retention_bytes=1_000_000, max_message_bytes=5_000_000)
    topics.alter(topics.results, unclean_leader_election_enable="true")

    returncode, rows = audited(start_processor)

    assert (returncode, found(rows)) == (
        1,
        [
            *ONE_BROKER,
            "unclean leader election",
            f"{topics.name} keeps records for 0.0417 of 7 days",
            f"{topics.name} keeps 1000000 bytes of each partition",
            f"max.message.bytes below that of {topics.name}, 5000000",
        ],
    )


def test_fewer_partitions_than_processors_are_found(topics, start_processor):
    topics.partitions = 1
    topics.name, few = f"{topics.name}-few", {"KAFKA_IMPORT_TOPIC": f"{topics.name}-few", "KAFKA_TOPIC_PARTITIONS": 1}
    processors = [start_processor(**few) for _ in range(3)]

    def counted():
        _, rows = audited(start_processor, **few)
        return f"{topics.name} has 1 partitions for 3 processors" in found(rows)

    until(counted, "all three to have leases")
    assert all(processor.running for processor in processors)


@pytest.fixture
def own_postgres(session_folder, tmp_path):
    """A PostgreSQL of this test with its settings, and its database."""
    folder = session_folder / tmp_path.name
    folder.mkdir()
    with ended_at_last(Postgres(folder, tmp_path)) as cluster:
        cluster.start()
        cluster.apply_schema()
        cluster.create_processor("processor", "processor")
        yield Database(cluster, "postgres")


def test_a_postgresql_that_may_lose_rows_is_found_also_where_it_answers_only_after_the_start(
    own_postgres, start_processor
):
    cluster = own_postgres.postgres
    own_postgres.query("ALTER SYSTEM SET fsync = off")
    own_postgres.query("ALTER ROLE processor SET synchronous_commit = off")
    cluster.stop()
    processor = start_processor(wait=False, **own_postgres.environment)
    until(lambda: processor.answers("/health/ready", 503), "the processor to wait for PostgreSQL")
    until(lambda: "the audit is made later" in processor.log_text(), "the first attempt")
    assert health(processor)["audit"] is None
    cluster.start()

    until(lambda: health(processor)["audit"], "the audit")

    assert processor.wait().answers("/health/ready")
    returncode, rows = audited(start_processor, **own_postgres.environment)
    assert (returncode, found(rows)) == (1, [*ONE_BROKER, "fsync is off", "synchronous_commit is off"])


def test_a_standby_is_found_unless_commits_wait_for_one(own_postgres, session_folder, tmp_path, start_processor):
    (session_folder / f"{tmp_path.name}-standby").mkdir()
    (tmp_path / "standby").mkdir()
    with ended_at_last(Postgres(session_folder / f"{tmp_path.name}-standby", tmp_path / "standby")) as standby:
        standby.follow(own_postgres.postgres)
        standby.start()
        until(lambda: own_postgres.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), "the standby")

        _, asynchronous = audited(start_processor, **own_postgres.environment)
        own_postgres.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        own_postgres.query("SELECT pg_reload_conf()")
        _, synchronous = audited(start_processor, **own_postgres.environment)

    assert (found(asynchronous), found(synchronous)) == ([*ONE_BROKER, "no commit waits for a standby"], ONE_BROKER)


def test_a_subscriber_is_no_standby(own_postgres, tmp_path, start_processor):
    cluster = own_postgres.postgres
    own_postgres.query("ALTER SYSTEM SET wal_level = logical")
    cluster.stop()
    cluster.start()
    options = ["--slot=subscriber", "--plugin=test_decoding", "--create-slot", "--start", "--file=-"]
    command = [program("pg_recvlogical"), "-d", cluster.conninfo(), *options]
    with ended_at_last(Child("subscriber", command, tmp_path / "subscriber.log")) as subscriber:
        subscriber.start()
        until(
            lambda: own_postgres.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), "the subscriber"
        )

        _, rows = audited(start_processor, **own_postgres.environment)

    assert found(rows) == ONE_BROKER


@pytest.mark.parametrize(("pool_mode", "more"), [("session", []), ("transaction", ["a pooler in transaction mode"])])
def test_a_pooler_is_found_in_transaction_mode(session_folder, tmp_path, postgres, start_processor, pool_mode, more):
    with running_pooler(session_folder, tmp_path, postgres, pool_mode) as pooler:
        processor = start_processor(POSTGRES_PORT=pooler.port)  # its statements come in between
        _, rows = audited(start_processor, POSTGRES_PORT=pooler.port)
        assert processor.stop() == 0

    assert found(rows) == [*ONE_BROKER, *more]


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "no-such-broker.invalid:9092"},
            "Kafka does not answer: .*KAFKA_BOOTSTRAP_SERVERS",
        ),
        ({"POSTGRES_PORT": "1"}, "PostgreSQL cannot be used: .*"),
        ({"POSTGRES_PASSWORD": "canary-secret"}, "PostgreSQL cannot be used: .*POSTGRES_USER and POSTGRES_PASSWORD"),
    ],
)
def test_what_does_not_answer_is_one_line_and_exit_code_2(start_processor, away, said):
    program = start_processor(arguments=("audit",), wait=False, LOG_LEVEL="INFO", **away)
    until(lambda: not program.running, "the audit to end")

    [line] = program.log_text().splitlines()
    assert program.returncode == 2
    assert re.fullmatch(f"processor audit: {said}", line) and "canary-secret" not in line

"""PostgreSQL with a streaming standby: failovers under load, synchronous and asynchronous."""

import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from tests.conftest import Database, until

TASKS = 3000
"""Of each part of a test."""

LETTERS = 20

REFUSE = "ALTER TABLE integration_service ADD CONSTRAINT refuse CHECK (id < 0) NOT VALID"
ACCEPT = "ALTER TABLE integration_service DROP CONSTRAINT refuse"
ENTRIES = "SELECT count(*) FROM ledger"
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'processor'"
CUT_REPLICATION = "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'"


@pytest.fixture
def start_replica(start_processor, cluster_pair):
    """Return a function that starts a processor which knows both servers."""
    one, two = cluster_pair

    def start_replica(**options):
        return start_processor(
            POSTGRES_HOST=f"{one.host},{two.host}",
            POSTGRES_PORT=f"{one.port},{two.port}",
            POSTGRES_DB="postgres",
            **options,
        )

    return start_replica


def promote(standby, simulators):
    """Promote the standby, wait for its first new row and then for the next paid call, and print how long that took."""
    database = Database(standby, "postgres")
    before = database.query(ENTRIES)
    standby.promote()
    promoted_at = time.monotonic()
    until(lambda: database.query(ENTRIES) > before, "the first row after the promotion")
    row_at, calls = time.monotonic(), simulators.calls("phone")
    until(lambda: simulators.calls("phone") > calls, "a call after that")
    call_at = time.monotonic()
    print(f"first row {row_at - promoted_at:.1f} s after the promotion, a call {call_at - promoted_at:.1f} s")


def ids_of(topics):
    """Return task_id -> its different ids."""
    return {task_id: set(ids) for task_id, ids in topics.read_results().items()}


@pytest.mark.parametrize("failure", ["kill", "pause"])
def test_a_failover_to_a_synchronous_standby_and_back_loses_and_doubles_nothing(
    cluster_pair, start_replica, topics, simulators, failure
):
    one, two = cluster_pair
    one.wait_for_standby()
    simulators.control(latency_ms=100, remember_inputs=True)
    replicas = [start_replica() for _ in range(2)]

    for number, (primary, standby) in enumerate([(one, two), (two, one)]):
        done = number * 2 * TASKS
        topics.send_tasks(range(done, done + 2 * TASKS))
        until(lambda done=done: len(topics.read_results()) > done + TASKS // 10, "some results")
        getattr(primary, failure)()
        promote(standby, simulators)
        primary.kill()  # one that was paused must not come back as a primary
        primary.follow(standby)
        primary.start()
        standby.wait_for_standby()
        Database(standby, "postgres").query(END_SESSIONS)
        until(lambda done=done: len(topics.read_results()) == done + 2 * TASKS, "all results")

    database = Database(one, "postgres")
    database.query(REFUSE)
    last = 4 * TASKS + LETTERS
    topics.send_tasks(range(4 * TASKS, last))
    until(lambda: len(topics.read_dead_letters()) == LETTERS, "the dead letters")
    database.query(ACCEPT)
    redrive = start_replica(wait=False, arguments=("redrive",))
    until(lambda: not redrive.running, "redrive to end")
    assert redrive.returncode == 0, redrive.log_text()
    until(lambda: len(topics.read_results()) == last, "the results of redrive")

    assert len(topics.read_dead_letters()) == LETTERS
    ids = [row_id for of_task in ids_of(topics).values() for row_id in of_task]
    assert len(ids) == last
    assert sorted(ids) == sorted(database.rows())
    assert database.query(ENTRIES) == [(last,)]
    assert all(replica.running for replica in replicas)
    answered = simulators.requests()["answered"]
    assert sum(answered.values()) == last + LETTERS  # the first answers to these were refused


def test_a_failover_that_loses_rows_gives_no_id_twice_and_offsets_that_are_reset_bring_the_rows_back(
    cluster_pair, start_replica, topics, simulators
):
    one, two = cluster_pair
    replicas = [start_replica() for _ in range(2)]
    topics.send_tasks(range(TASKS))
    until(lambda: len(topics.read_results()) == TASKS, "the results that the standby gets")
    until(lambda: Database(two, "postgres").query(ENTRIES) == [(TASKS,)], "the standby to have them")
    for statement in (CUT_REPLICATION, "SELECT pg_reload_conf()"):
        Database(two, "postgres").query(statement)
    until(lambda: not Database(two, "postgres").query("SELECT FROM pg_stat_wal_receiver"), "the cut")
    topics.send_tasks(range(TASKS, 2 * TASKS))
    until(lambda: len(topics.read_results()) == 2 * TASKS, "the results that it does not get")

    one.kill()
    topics.send_tasks(range(2 * TASKS, 3 * TASKS))
    promote(two, simulators)
    until(lambda: len(topics.read_results()) == 3 * TASKS, "the results after the failover")

    ids = ids_of(topics)
    kept = Database(two, "postgres").rows().keys()
    lost = {task_id for task_id, of_task in ids.items() if not of_task & kept}
    assert lost == set(range(TASKS, 2 * TASKS))
    assert len(set().union(*ids.values())) == 3 * TASKS

    for replica in replicas:
        assert replica.stop() == 0
    before = sum(simulators.requests()["answered"].values())
    starts = [TopicPartition(topics.name, partition, 0) for partition in range(topics.partitions)]
    group = topics.environment["KAFKA_CONSUMER_GROUP"]
    reset = topics.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, starts)])
    reset[group].result(30)
    start_replica()

    until(lambda: all(len(results) > 1 for results in topics.read_results().values()), "all results again")
    ids = ids_of(topics)
    assert {task_id for task_id, of_task in ids.items() if len(of_task) > 1} == lost
    assert len(set().union(*ids.values())) == 4 * TASKS
    assert len(Database(two, "postgres").rows()) == 3 * TASKS
    assert sum(simulators.requests()["answered"].values()) - before == TASKS
    assert topics.read_dead_letters() == []

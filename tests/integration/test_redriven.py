"""The table of dead letters that were put back, in a real PostgreSQL."""

import contextlib
import time

import pytest

from processor.record import Position
from processor.redrive.put_back import NotRemembered, Redriven


def positions(*offsets, topic_id="topic-id", partition=0):
    return [Position(topic_id, partition, offset) for offset in offsets]


def connection(database, **other):
    return {
        "host": database.postgres.host,
        "port": database.postgres.port,
        "user": "processor",
        "password": "processor",
        "dbname": database.name,
        **other,
    }


@pytest.fixture
def redriven(database):
    with contextlib.closing(Redriven(connection(database))) as redriven:
        yield redriven


def test_what_was_entered_is_known_and_nothing_else(redriven):
    redriven.enter(positions(1, 2))
    redriven.enter(positions(2, 3))
    redriven.enter([])

    asked = positions(0, 1, 3) + positions(1, partition=1) + positions(1, topic_id="other")

    assert redriven.known(asked) == set(positions(1, 3))
    assert redriven.known([]) == set()


def test_pruning_forgets_what_kafka_has_no_more(redriven):
    redriven.enter(positions(*range(10)) + positions(1, partition=1) + positions(1, topic_id="other"))

    redriven.prune("topic-id", 0, 7)
    redriven.forget({"other"} & redriven.topic_ids())

    everything = positions(*range(10)) + positions(1, partition=1) + positions(1, topic_id="other")
    assert redriven.known(everything) == set(positions(7, 8, 9) + positions(1, partition=1))


def test_the_lock_is_one_topics_and_ends_with_its_holder(database, redriven):
    with contextlib.closing(Redriven(connection(database))) as other:
        assert other.lock("import-dlt")
        assert not redriven.lock("import-dlt")
        assert redriven.lock("another-dlt")

    assert redriven.lock("import-dlt")


def test_a_database_that_ends_idle_transactions_does_not_end_the_lock(database):
    database.query(f"ALTER DATABASE {database.name} SET idle_in_transaction_session_timeout = '1s'")

    with contextlib.closing(Redriven(connection(database))) as redriven:
        assert redriven.lock("import-dlt")
        time.sleep(2)
        assert redriven.topic_ids() == set()


def test_without_its_lock_redrive_goes_no_further(database, redriven):
    assert redriven.lock("import-dlt")

    database.query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND datname = current_database()"
    )

    with pytest.raises(NotRemembered, match="PostgreSQL cannot be used"):
        redriven.known(positions(1))


def test_a_database_that_does_not_answer_or_has_no_table_is_told_in_one_line(database, redriven):
    with pytest.raises(NotRemembered, match="PostgreSQL cannot be used"):
        Redriven(connection(database, port=1))
    database.query("DROP TABLE redriven")
    with pytest.raises(NotRemembered, match="run sql/ again"):
        redriven.topic_ids()

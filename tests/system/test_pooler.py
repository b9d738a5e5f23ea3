"""PostgreSQL behind PgBouncer with its default settings, in session and in transaction pooling."""

import contextlib
from operator import gt

import pytest

from processor.redrive.put_back import Redriven
from tests.conftest import until
from tests.integration.test_redriven import connection
from tests.pooler import running_pooler

TASKS = 4000
LETTERS = 700
"""More than one batch of redrive."""

REFUSE = "ALTER TABLE integration_service ADD CONSTRAINT refuse CHECK (id < 0)"
ACCEPT = "ALTER TABLE integration_service DROP CONSTRAINT refuse"
SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON redriven FOR EACH STATEMENT EXECUTE FUNCTION wait()
"""
FAST = "DROP TRIGGER slow ON redriven"


@pytest.fixture(params=["session", "transaction"])
def pooler(request, session_folder, tmp_path, postgres):
    with running_pooler(session_folder, tmp_path, postgres, request.param) as pooler:
        yield pooler


def kill_and_start(pooler, replicas):
    """Kill the pooler, and start it again when the replicas have noticed."""

    def logged(line):
        return [replica.log_text().count(line) for replica in replicas]

    noticed, answered = logged("PostgreSQL cannot be used"), logged("PostgreSQL answers")
    pooler.kill()
    until(lambda: all(map(gt, logged("PostgreSQL cannot be used"), noticed)), "the replicas to notice")
    pooler.start()
    until(lambda: all(map(gt, logged("PostgreSQL answers"), answered)), "the replicas to go on")


def test_a_pooler_that_is_killed_and_started_again_loses_and_doubles_nothing(
    pooler, start_processor, topics, simulators, database
):
    replicas = [start_processor(POSTGRES_PORT=pooler.port) for _ in range(2)]
    topics.send_tasks(range(TASKS))
    until(lambda: len(topics.read_results()) > TASKS // 10, "some results")
    assert not any("PostgreSQL cannot be used" in replica.log_text() for replica in replicas)

    kill_and_start(pooler, replicas)
    kill_and_start(pooler, replicas)

    until(lambda: len(topics.read_results()) == TASKS, "all results")
    assert sorted(row_id for [row_id] in topics.read_results().values()) == sorted(database.rows())
    answered = simulators.requests()["answered"]
    assert len(answered) == TASKS and set(answered.values()) == {1}


def test_redrive_goes_through_a_pooler_one_at_a_time_and_may_be_cut_off(
    pooler, start_processor, topics, simulators, database
):
    def redrive():
        return start_processor(wait=False, arguments=("redrive",), LOG_LEVEL="INFO", POSTGRES_PORT=pooler.port)

    def ended(program):
        until(lambda: not program.running, "redrive to end")
        return program.returncode, program.log_text().splitlines()[-1]

    database.query(REFUSE)
    start_processor(POSTGRES_PORT=pooler.port, PROVIDER_ATTEMPTS=1)
    topics.send_tasks(range(LETTERS))
    until(lambda: len(topics.read_dead_letters()) == LETTERS, "the dead letters")
    database.query(ACCEPT)

    with contextlib.closing(Redriven(connection(database, port=pooler.port))) as other:
        assert other.lock(topics.dead_letters)
        assert ended(redrive()) == (1, "processor redrive: another redrive is at work")

    database.query(SLOW)
    cut_off = redrive()
    until(lambda: database.query("SELECT 1 FROM redriven"), "the first batch")
    pooler.kill()
    returncode, said = ended(cut_off)
    assert returncode == 1 and said.startswith("processor redrive: PostgreSQL cannot be used")
    pooler.start()
    database.query(FAST)
    [(before,)] = database.query("SELECT count(*) FROM redriven")
    assert 0 < before < LETTERS

    assert ended(redrive()) == (
        0,
        f"{LETTERS - before} put back ({LETTERS - before} internal_error), {before} skipped ({before} put back before)",
    )

    until(lambda: len(topics.read_results()) == LETTERS, "the results")
    assert sorted(set().union(*topics.read_results().values())) == sorted(database.rows())
    assert all(len(set(ids)) == 1 for ids in topics.read_results().values())
    assert len(database.rows()) == LETTERS
    code, said = ended(redrive())
    assert (code, said) == (0, f"0 put back, {LETTERS} skipped ({LETTERS} put back before)")

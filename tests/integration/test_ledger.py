"""The ledger and the rows beside it, in a real PostgreSQL."""

import asyncio
import contextlib
import json
import logging
import time
import traceback
from types import SimpleNamespace

import psycopg
import pytest

from processor import ledger as ledger_module
from processor.claims import Claims
from processor.grouped import Grouped
from processor.ledger import CLAIMS_DAYS, KEYS_DAYS, Claim, Ledger, Owner, Position, Row, RowRefused
from processor.sink import Sink
from sandbox.postgres import Postgres
from tests.conftest import PATIENCE_SECONDS, Database, ended_at_last

TOPIC = "topic-id"
NUL = '{"a":"\\u0000"}'
CANARY = "canary-7d1f"


def position(offset, partition=0, topic_id=TOPIC):
    return Position(topic_id, partition, offset)


def row(offset, data=None, **where):
    return Row(position(offset, **where), json.dumps({"offset": offset}) if data is None else data, "phone")


@contextlib.asynccontextmanager
async def ledger_of(database):
    """Open a ledger as the processor does, and close it."""
    ledger = Ledger(
        {
            "host": database.postgres.host,
            "port": database.postgres.port,
            "user": "processor",
            "password": "processor",
            "dbname": database.name,
        }
    )
    try:
        await asyncio.wait_for(ledger.connect(), PATIENCE_SECONDS)
        yield ledger
    finally:
        await ledger.close()


def run(database, work):
    """Run `work(ledger)` with a ledger of its own and return what it returns."""

    async def main():
        async with ledger_of(database) as ledger:
            return await asyncio.wait_for(work(ledger), PATIENCE_SECONDS)

    return asyncio.run(main())


async def until(condition, what):
    """Let the event loop run until the condition answers something true, and return that."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up_at, f"not in time: {what}"
        await asyncio.sleep(0.02)
    return answer


def entries(database):
    """Return position -> id."""
    return {
        Position(*where): row_id
        for *where, row_id in database.query('SELECT topic_id, partition, "offset", id FROM ledger')
    }


def test_a_row_and_its_entry_are_written_together_and_the_id_comes_back(database):
    ids = run(database, lambda ledger: ledger.write([row(7, '{"phone": "+7 916"}')]))

    assert ids == entries(database) == {position(7): ids[position(7)]}
    assert database.rows() == {ids[position(7)]: [{"phone": "+7 916"}, "phone"]}


def test_each_row_of_a_batch_has_the_id_of_its_own_entry(database):
    rows = [
        Row(Position(topic_id, partition, offset), json.dumps([topic_id, partition, offset]), task_type)
        for topic_id in ("one", "two")
        for partition in range(3)
        for offset, task_type in enumerate(["phone", "email", "gpt"] * 50)
    ]

    ids = run(database, lambda ledger: ledger.write(rows))

    assert ids == entries(database)
    assert database.rows() == {ids[row.position]: [list(row.position), row.task_type] for row in rows}


def test_a_position_written_again_answers_its_first_id_and_its_row_stays(database):
    async def work(ledger):
        first = await ledger.write([row(1, '{"first": true}')])
        return first, await ledger.write([row(1, '{"first": false}')])

    first, again = run(database, work)

    assert first == again == entries(database)
    assert database.rows() == {first[position(1)]: [{"first": True}, "phone"]}


def test_a_batch_of_old_and_new_positions_answers_all_their_ids(database):
    async def work(ledger):
        await ledger.write([row(offset) for offset in range(0, 100, 3)])
        return await ledger.write([row(offset) for offset in range(100)])

    ids = run(database, work)

    assert ids == entries(database)
    assert ids.keys() == {position(offset) for offset in range(100)}
    assert {row_id: data["offset"] for row_id, (data, _) in database.rows().items()} == {
        row_id: where.offset for where, row_id in ids.items()
    }


def test_two_connections_that_race_for_a_position_get_one_id(database):
    async def work(ledger):
        async with ledger_of(database) as other:
            for offset in range(200):
                one, two = await asyncio.gather(
                    ledger.write([row(offset, '{"by": 1}')]), other.write([row(offset, '{"by": 2}')])
                )
                assert one == two

    run(database, work)

    assert sorted(entries(database)) == [position(offset) for offset in range(200)]
    assert sorted(database.rows()) == sorted(entries(database).values())


def test_two_connections_that_race_with_batches_in_opposite_order_agree(database):
    # They may block each other for good; PostgreSQL then ends one of the two statements, which is tried again.
    async def work(ledger):
        async with ledger_of(database) as other:
            for first in range(0, 2000, 400):
                rows = [row(offset) for offset in range(first, first + 400)]
                one, two = await asyncio.gather(ledger.write(rows), other.write(rows[::-1]))
                assert one == two

    run(database, work)

    assert len(entries(database)) == 2000
    assert sorted(database.rows()) == sorted(entries(database).values())


REFUSED = {
    "NUL": NUL,
    "half a surrogate pair": '{"a":"\\ud800"}',
    "no JSON": "{",
    "a number out of range": '{"a":1e200000}',
    "too deep": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_a_batch_with_a_refused_row_writes_nothing(database, data):
    async def work(ledger):
        with pytest.raises(RowRefused, match="SQLSTATE"):
            await ledger.write([row(1), row(2, data), row(3)])

    run(database, work)

    assert entries(database) == database.rows() == {}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_of_rows_that_wait_together_only_the_refused_one_fails(database, caplog, refused):
    caplog.set_level(logging.DEBUG)
    bad = (0, 13, 77)

    async def work(ledger):
        sink = Sink(ledger)
        rows = [row(offset, refused if offset in bad else None) for offset in range(100)]
        return await asyncio.gather(*(sink.write(row) for row in rows), return_exceptions=True)

    answers = run(database, work)

    assert [offset for offset, answer in enumerate(answers) if isinstance(answer, RowRefused)] == list(bad)
    written = {position(offset): answer for offset, answer in enumerate(answers) if offset not in bad}
    assert written == entries(database)
    assert sorted(database.rows()) == sorted(written.values())
    assert "offset" not in caplog.text, "neither do the rows beside it appear in the log"


def test_a_refused_position_can_be_written_later(database):
    async def work(ledger):
        with pytest.raises(RowRefused):
            await ledger.write([row(1, NUL)])
        return await ledger.write([row(1)])

    assert run(database, work) == entries(database)
    assert len(database.rows()) == 1


def test_what_was_done_is_found_on_every_page_and_nothing_else(database, monkeypatch):
    monkeypatch.setattr(ledger_module, "PAGE_OFFSETS", 100)
    done = [offset for offset in range(3000) if offset % 7 and not 500 <= offset < 900]

    async def work(ledger):
        ids = await ledger.write([row(offset) for offset in done])
        await ledger.write([row(offset, partition=1) for offset in range(500, 900)])
        await ledger.write([row(offset, topic_id="other") for offset in range(500, 900)])
        finished = await ledger.finished(TOPIC, 0)
        return ids, {offset: await finished.find(offset) for offset in range(3200)}

    ids, found = run(database, work)

    assert found == {offset: ids.get(position(offset)) for offset in range(3200)}


def test_records_that_are_looked_up_at_once_are_found_across_pages(database, monkeypatch):
    monkeypatch.setattr(ledger_module, "PAGE_OFFSETS", 10)

    async def work(ledger):
        ids = await ledger.write([row(offset) for offset in range(0, 200, 2)])
        finished = await ledger.finished(TOPIC, 0)
        return ids, await asyncio.gather(*(finished.find(offset) for offset in range(300)))

    ids, found = run(database, work)

    assert found == [ids.get(position(offset)) for offset in range(300)]


def test_of_a_partition_without_entries_nothing_is_done(database):
    async def work(ledger):
        await ledger.write([row(0, partition=1)])
        finished = await ledger.finished(TOPIC, 0)
        return [await finished.find(offset) for offset in range(5)]

    assert run(database, work) == [None] * 5


def test_what_is_written_after_a_partition_was_assigned_is_not_looked_up(database):
    async def work(ledger):
        await ledger.write([row(0)])
        finished = await ledger.finished(TOPIC, 0)
        await ledger.write([row(1)])
        return await finished.find(1)

    assert run(database, work) is None


def test_pruning_deletes_entries_below_the_first_offset_and_nothing_else(database, monkeypatch):
    monkeypatch.setattr(ledger_module, "PAGE_OFFSETS", 64)
    partitions = [(TOPIC, 0), (TOPIC, 1), ("other", 0)]

    async def work(ledger):
        for topic_id, partition in partitions:
            await ledger.write([row(offset, partition=partition, topic_id=topic_id) for offset in range(1000)])
        await ledger.prune(TOPIC, 0, 700)

    run(database, work)

    assert entries(database).keys() == {
        Position(*partition, offset)
        for partition in partitions
        for offset in range(700 if partition == (TOPIC, 0) else 0, 1000)
    }
    assert len(database.rows()) == 3000


def test_pruning_what_is_not_there_does_nothing(database):
    async def work(ledger):
        await ledger.write([row(5)])
        await ledger.prune(TOPIC, 0, 5)
        await ledger.prune(TOPIC, 3, 100)

    run(database, work)

    assert entries(database).keys() == {position(5)}


def claim(key, offset, fingerprint=b"task", **where):
    return Claim(key, fingerprint, position(offset, **where))


def claims(database):
    """Return key -> position."""
    return {
        key: Position(*where)
        for key, *where in database.query('SELECT key, topic_id, partition, "offset" FROM idempotency_keys')
    }


def test_a_key_belongs_to_the_first_that_claims_it_and_gets_the_id_of_its_row(database):
    async def work(ledger):
        first = await ledger.claim([claim("k", 1)])
        others = await ledger.claim([claim("k", 2, b"another"), claim("l", 3), claim("k", 1), claim("l", 4)])
        ids = await ledger.write([row(1)])
        return first, others, ids, await ledger.claim([claim("k", 5)])

    first, others, ids, at_last = run(database, work)

    k, other = Owner(claim("k", 1), None), Owner(claim("l", 3), None)
    assert first == [k]
    assert others == [k, other, k, other]
    assert at_last == [Owner(claim("k", 1), ids[position(1)])]
    assert claims(database) == {"k": position(1), "l": position(3)}


def test_two_connections_that_claim_the_same_keys_in_opposite_order_agree(database):
    async def work(ledger):
        async with ledger_of(database) as other:
            for first in range(0, 2000, 400):
                keys = [f"key-{number}" for number in range(first, first + 400)]
                mine = [claim(key, number) for number, key in enumerate(keys, first)]
                theirs = [claim(key, number, partition=1) for number, key in enumerate(keys, first)]
                one, two = await asyncio.gather(ledger.claim(mine), other.claim(theirs[::-1]))
                assert one == two[::-1]
                assert None not in one

    run(database, work)

    assert len(claims(database)) == 2000


def test_of_many_records_with_a_key_at_two_replicas_one_works_and_the_others_get_its_id(database):
    worked = []

    async def work(ledger):
        async with ledger_of(database) as other:
            replicas = [(replica, Claims(Grouped(replica.claim), Grouped(replica.find))) for replica in (ledger, other)]

            async def one(number):
                replica, settle = replicas[number % 2]
                row_id = await settle(claim("k", number))
                if row_id is None:
                    worked.append(number)
                    [row_id] = (await replica.write([row(number)])).values()
                return row_id

            return await asyncio.gather(*(one(number) for number in range(50)))

    ids = run(database, work)

    assert len(worked) == len(set(ids)) == len(database.rows()) == 1


def test_a_key_that_is_given_up_is_free_and_one_that_is_anothers_or_has_its_row_stays(database):
    async def work(ledger):
        await ledger.claim([claim("failed", 1), claim("another", 2), claim("done", 3)])
        await ledger.write([row(3)])
        await ledger.release([claim("failed", 1), claim("another", 9), claim("done", 3), claim("unknown", 4)])
        left = claims(database)
        return left, await ledger.claim([claim("failed", 5)])

    left, again = run(database, work)

    assert left == {"another": position(2), "done": position(3)}
    assert again == [Owner(claim("failed", 5), None)]


def test_a_position_that_holds_another_key_gets_no_second(database):
    async def work(ledger):
        await ledger.claim([claim("one", 1)])
        return await ledger.claim([claim("two", 1)])

    assert run(database, work) == [None]
    assert claims(database) == {"one": position(1)}


def test_ids_are_found_by_their_positions_in_the_order_of_asking(database):
    async def work(ledger):
        ids = await ledger.write([row(1), row(2), row(2, partition=1)])
        asked = [position(2, partition=1), position(9), position(1), position(1)]
        return [ids.get(where) for where in asked], await ledger.find(asked)

    expected, found = run(database, work)

    assert found == expected
    assert None in found


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_pruning_leaves_what_a_key_answers_and_ends_claims_of_records_that_kafka_has_no_more(
    database, monkeypatch, page
):
    monkeypatch.setattr(ledger_module, "PAGE_OFFSETS", page)

    async def work(ledger):
        await ledger.write([row(offset) for offset in range(10)])
        await ledger.claim([claim("answered", 4), claim("lost", 12), claim("waiting", 20)])
        await ledger.claim([claim("elsewhere", 12, partition=1), claim("of another topic", 12, topic_id="other")])
        await ledger.prune(TOPIC, 0, 15)

    run(database, work)

    assert entries(database).keys() == {position(4)}
    assert claims(database).keys() == {"answered", "waiting", "elsewhere", "of another topic"}


@pytest.mark.parametrize("page", [1, 1000])
def test_pruning_keys_ends_those_that_are_old_and_claims_that_never_finished(database, monkeypatch, page):
    monkeypatch.setattr(ledger_module, "PAGE_OFFSETS", page)
    days = {"done": 1, "done long ago": KEYS_DAYS - 1, "done too long ago": KEYS_DAYS + 1}
    days |= {"new": 1, "waits": CLAIMS_DAYS - 1, "waits too long": CLAIMS_DAYS + 1}

    async def work(ledger):
        await ledger.claim([claim(key, offset) for offset, key in enumerate(days)])
        for key, age in days.items():
            database.query(
                "UPDATE idempotency_keys SET made_at = made_at - make_interval(days => %s) WHERE key = %s", age, key
            )
        await ledger.write([row(offset) for offset in range(3)])
        await ledger.prune_keys()

    run(database, work)

    assert claims(database).keys() == {"done", "done long ago", "new", "waits"}


def test_pruning_ends_entries_of_keys_that_are_pruned(database):
    async def work(ledger):
        await ledger.claim([claim("k", 1)])
        await ledger.write([row(1)])
        await ledger.prune(TOPIC, 0, 10)
        kept = entries(database)
        database.query("UPDATE idempotency_keys SET made_at = made_at - interval '1 year'")
        await ledger.prune_keys()
        await ledger.prune(TOPIC, 0, 10)
        return kept

    assert run(database, work).keys() == {position(1)}
    assert entries(database) == {}


def backends(database, waiting_for_lock=False):
    """Return the process ids of the ledger's connections."""
    condition = "AND wait_event_type = 'Lock'" if waiting_for_lock else ""
    found = database.query(
        "SELECT pid FROM pg_stat_activity "
        f"WHERE datname = %s AND application_name = 'integration-service processor' {condition}",
        database.name,
    )
    return [pid for (pid,) in found]


def test_a_connection_that_postgresql_ends_is_opened_again(database):
    async def work(ledger):
        first = await ledger.write([row(1)])
        [pid] = backends(database)
        database.query("SELECT pg_terminate_backend(%s, 10000)", pid)
        second = await ledger.write([row(2)])
        assert backends(database) != [pid]
        return first | second

    ids = run(database, work)

    assert ids == entries(database)
    assert len(database.rows()) == len(ids) == 2


def test_a_write_whose_connection_postgresql_ends_happens_once(database, caplog):
    caplog.set_level(logging.INFO)

    async def work(ledger):
        with psycopg.connect(database.postgres.conninfo(database.name)) as lock:
            lock.execute("LOCK TABLE ledger IN EXCLUSIVE MODE")
            writing = asyncio.ensure_future(ledger.write([row(1)]))
            [pid] = await until(lambda: backends(database, waiting_for_lock=True), "the write waits for the lock")
            database.query("SELECT pg_terminate_backend(%s)", pid)
            await until(lambda: not ledger.connected, "the ledger notices")
            lock.rollback()
        ids = await writing
        assert ledger.connected
        return ids

    ids = run(database, work)

    assert ids == entries(database)
    assert list(database.rows()) == list(ids.values())
    assert [record.levelname for record in caplog.records if record.name == "processor.ledger"] == [
        "INFO",
        "WARNING",
        "INFO",
    ]


class BlackHole:
    """A proxy to PostgreSQL that takes everything and, while it is silent, passes nothing on."""

    def __init__(self, port):
        self._target_port = port
        self._writers = []
        self.silent = False

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _serve(self, reader, writer):
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers += [writer, target_writer]
        await asyncio.gather(self._pass_on(reader, target_writer), self._pass_on(target_reader, writer))

    async def _pass_on(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.silent:
                    writer.write(data)
        writer.close()


def test_a_connection_on_which_nothing_comes_back_any_more_is_hung_up(database, monkeypatch):
    monkeypatch.setattr(ledger_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(ledger_module, "CONNECT_SECONDS", 2)

    async def work():
        async with BlackHole(database.postgres.port) as proxy:
            reached = SimpleNamespace(host="127.0.0.1", port=proxy.port)
            async with ledger_of(SimpleNamespace(postgres=reached, name=database.name)) as ledger:
                proxy.silent = True
                writing = asyncio.ensure_future(ledger.write([row(1)]))
                await until(lambda: not ledger.connected, "the ledger notices")
                proxy.silent = False
                return await asyncio.wait_for(writing, PATIENCE_SECONDS)

    ids = asyncio.run(work())

    assert ids == entries(database)
    assert list(database.rows()) == list(ids.values())


@pytest.fixture
def own_database(session_folder, tmp_path):
    """A database in a cluster of its own, which the test may kill."""
    folder = session_folder / "own"
    folder.mkdir()
    cluster = Postgres(folder, tmp_path)
    with ended_at_last(cluster):
        cluster.start()
        cluster.apply_schema()
        cluster.create_processor("processor", "processor")
        yield Database(cluster, "postgres")


def test_work_waits_while_postgresql_is_down_and_goes_on_when_it_is_back(own_database, caplog):
    caplog.set_level(logging.INFO)

    async def work(ledger):
        sink = Sink(ledger)
        await sink.write(row(0))
        own_database.postgres.kill()
        writing = [asyncio.ensure_future(sink.write(row(offset))) for offset in range(50)]
        looking_up = asyncio.ensure_future(ledger.finished(TOPIC, 0))
        await until(lambda: not ledger.connected, "the ledger notices")
        assert not any(waiting.done() for waiting in (*writing, looking_up))
        own_database.postgres.start_soon()  # from this thread: it would end with another one
        ids = await asyncio.gather(*writing)
        await looking_up
        return ids

    ids = run(own_database, work)

    assert {position(offset): row_id for offset, row_id in enumerate(ids)} == entries(own_database)
    assert sorted(own_database.rows()) == sorted(ids)
    messages = [record.getMessage() for record in caplog.records if record.name == "processor.ledger"]
    assert messages[0] == messages[2] == "PostgreSQL answers"
    assert messages[1].startswith("PostgreSQL cannot be used"), "once an outage"
    assert len(messages) == 3


@pytest.mark.parametrize(
    "data", [f'{{"a":"{CANARY}\\u0000"}}', f"{{{CANARY}", f'["{CANARY}", 1e200000]'], ids=["NUL", "no JSON", "number"]
)
def test_a_refused_row_is_in_no_error_and_no_log_line(database, caplog, data):
    caplog.set_level(logging.DEBUG)

    async def work(ledger):
        with pytest.raises(RowRefused) as refused:
            await Sink(ledger).write(row(1, data))
        return refused.value

    error = run(database, work)

    assert CANARY not in "".join(traceback.format_exception(error))
    assert CANARY not in caplog.text


def test_a_row_that_postgresql_cannot_take_now_is_in_no_log_line(database, caplog):
    caplog.set_level(logging.DEBUG)
    database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now: %%', NEW.data USING DETAIL = NEW.data; END $$"
    )
    database.query("CREATE TRIGGER refuse BEFORE INSERT ON integration_service FOR EACH ROW EXECUTE FUNCTION refuse()")

    async def work(ledger):
        writing = asyncio.ensure_future(ledger.write([row(1, json.dumps(CANARY))]))
        await until(lambda: "cannot be used" in caplog.text, "the log line")
        database.query("DROP TRIGGER refuse ON integration_service")
        await writing

    run(database, work)

    assert [data for data, _ in database.rows().values()] == [CANARY]
    assert CANARY not in caplog.text

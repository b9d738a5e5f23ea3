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

from processor.record import Position
from processor.store import keys as keys_module
from processor.store import postgres as postgres_module
from processor.store import rows as rows_module
from processor.store.group_commit import GroupCommit
from processor.store.keys import CLAIMS_DAYS, Claim, Keys, Owner
from processor.store.postgres import Postgres as Connection
from processor.store.postgres import RowRefused, UnfitDatabase
from processor.store.rows import ROWS_WAITING_MAX, Ledger, Row
from sandbox.postgres import Postgres
from shared.messages import IDEMPOTENCY_KEY_DAYS
from tests.conftest import PATIENCE_SECONDS, Database, ended_at_last
from tests.pooler import running_pooler

TOPIC = "topic-id"
NUL = '{"a":"\\u0000"}'
CANARY = "canary-7d1f"


def position(offset, partition=0, topic_id=TOPIC):
    return Position(topic_id, partition, offset)


def row(offset, data=None, **where):
    return Row(position(offset, **where), json.dumps({"offset": offset}) if data is None else data, "phone")


def connection(database, **other):
    return {
        "host": database.postgres.host,
        "port": str(database.postgres.port),
        "user": "processor",
        "password": "processor",
        "dbname": database.name,
        **other,
    }


class Store(Ledger):
    """A ledger with its connection and its keys, and the deadlines that were lent."""

    def __init__(self, parameters):
        self.postgres = Connection(parameters)
        super().__init__(self.postgres)
        self.lent = []
        self.keys = Keys(self.postgres, self.id_at, lambda *deadline: self.lent.append(deadline))


@contextlib.asynccontextmanager
async def ledger_of(database, **other):
    """Open a ledger as the processor does, and close it afterwards."""
    ledger = Store(connection(database, **other))
    try:
        await asyncio.wait_for(ledger.postgres.connect(), PATIENCE_SECONDS)
        yield ledger
    finally:
        await ledger.postgres.close()


def run(database, work, **other):
    """Run `work(ledger)` with a new ledger and return its result."""

    async def main():
        async with ledger_of(database, **other) as ledger:
            return await asyncio.wait_for(work(ledger), PATIENCE_SECONDS)

    return asyncio.run(main())


async def until(condition, what):
    """Run the event loop until the condition returns something true, and return that."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up_at, f"not in time: {what}"
        await asyncio.sleep(0.02)
    return answer


def entries(database):
    """Return the ledger as position -> id."""
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
    # They may deadlock; PostgreSQL then ends one of the two statements, which is retried.
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
        rows = [row(offset, refused if offset in bad else None) for offset in range(100)]
        return await asyncio.gather(*(ledger.store(row) for row in rows), return_exceptions=True)

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
    for module in (rows_module, keys_module):
        monkeypatch.setattr(module, "PAGE_OFFSETS", 100)
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
    for module in (rows_module, keys_module):
        monkeypatch.setattr(module, "PAGE_OFFSETS", 10)

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
    for module in (rows_module, keys_module):
        monkeypatch.setattr(module, "PAGE_OFFSETS", 64)
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
    """Return the idempotency keys as key -> position."""
    return {
        key: Position(*where)
        for key, *where in database.query('SELECT key, topic_id, partition, "offset" FROM idempotency_keys')
    }


def test_a_key_belongs_to_the_first_that_claims_it_and_gets_the_id_of_its_row(database):
    async def work(ledger):
        first = await ledger.keys.claim([claim("k", 1)])
        others = await ledger.keys.claim([claim("k", 2, b"another"), claim("l", 3), claim("k", 1), claim("l", 4)])
        ids = await ledger.write([row(1)])
        return first, others, ids, await ledger.keys.claim([claim("k", 5)])

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
                one, two = await asyncio.gather(ledger.keys.claim(mine), other.keys.claim(theirs[::-1]))
                assert one == two[::-1]
                assert None not in one

    run(database, work)

    assert len(claims(database)) == 2000


def test_of_many_records_with_a_key_at_two_replicas_one_works_and_the_others_get_its_id(database):
    worked = []

    async def work(ledger):
        async with ledger_of(database) as other:
            replicas = [(replica, replica.keys.wait_for) for replica in (ledger, other)]

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


def test_a_record_that_waits_for_its_key_lends_its_deadline_to_the_record_that_works(database):
    until_then = time.time() + 60

    async def work(ledger):
        async with ledger_of(database) as other:
            assert await other.keys.wait_for(claim("k", 1)._replace(awaited_until=until_then)) is None
            waiting = asyncio.ensure_future(ledger.keys.wait_for(claim("k", 2)._replace(awaited_until=until_then)))
            unawaited = asyncio.ensure_future(other.keys.wait_for(claim("k", 3)))
            await until(lambda: ledger.lent, "the deadline to be lent")
            [row_id] = (await other.write([row(1)])).values()
            assert await waiting == await unawaited == row_id
            assert set(ledger.lent) == {(position(1), until_then)}
            assert other.lent == []

    run(database, work)


def test_a_key_that_is_given_up_is_free_and_one_that_is_anothers_or_has_its_row_stays(database):
    async def work(ledger):
        await ledger.keys.claim([claim("failed", 1), claim("another", 2), claim("done", 3)])
        await ledger.write([row(3)])
        await ledger.keys.release_all([claim("failed", 1), claim("another", 9), claim("done", 3), claim("unknown", 4)])
        left = claims(database)
        return left, await ledger.keys.claim([claim("failed", 5)])

    left, again = run(database, work)

    assert left == {"another": position(2), "done": position(3)}
    assert again == [Owner(claim("failed", 5), None)]


def test_a_position_that_holds_another_key_gets_no_second(database):
    async def work(ledger):
        await ledger.keys.claim([claim("one", 1)])
        return await ledger.keys.claim([claim("two", 1)])

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
    for module in (rows_module, keys_module):
        monkeypatch.setattr(module, "PAGE_OFFSETS", page)

    async def work(ledger):
        await ledger.write([row(offset) for offset in range(10)])
        await ledger.keys.claim([claim("answered", 4), claim("lost", 12), claim("waiting", 20)])
        await ledger.keys.claim([claim("elsewhere", 12, partition=1), claim("of another topic", 12, topic_id="other")])
        await ledger.keys.prune_claims(TOPIC, 0, 15)
        await ledger.prune(TOPIC, 0, 15)

    run(database, work)

    assert entries(database).keys() == {position(4)}
    assert claims(database).keys() == {"answered", "waiting", "elsewhere", "of another topic"}


@pytest.mark.parametrize("page", [1, 1000])
def test_pruning_keys_ends_those_that_are_old_and_claims_that_never_finished(database, monkeypatch, page):
    for module in (rows_module, keys_module):
        monkeypatch.setattr(module, "PAGE_OFFSETS", page)
    days = {"done": 1, "done long ago": IDEMPOTENCY_KEY_DAYS - 1, "done too long ago": IDEMPOTENCY_KEY_DAYS + 1}
    days |= {"new": 1, "waits": CLAIMS_DAYS - 1, "waits too long": CLAIMS_DAYS + 1}

    async def work(ledger):
        await ledger.keys.claim([claim(key, offset) for offset, key in enumerate(days)])
        for key, age in days.items():
            database.query(
                "UPDATE idempotency_keys SET made_at = made_at - make_interval(days => %s) WHERE key = %s", age, key
            )
        await ledger.write([row(offset) for offset in range(3)])
        await ledger.keys.prune()

    run(database, work)

    assert claims(database).keys() == {"done", "done long ago", "new", "waits"}


def test_pruning_ends_entries_of_keys_that_are_pruned(database):
    async def work(ledger):
        await ledger.keys.claim([claim("k", 1)])
        await ledger.write([row(1)])
        await ledger.prune(TOPIC, 0, 10)
        kept = entries(database)
        database.query("UPDATE idempotency_keys SET made_at = made_at - interval '1 year'")
        await ledger.keys.prune()
        await ledger.prune(TOPIC, 0, 10)
        return kept

    assert run(database, work).keys() == {position(1)}
    assert entries(database) == {}


def backends(database, waiting_for_lock=False):
    """Return the process ids of the ledger's PostgreSQL backends."""
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
            await until(lambda: not ledger.postgres.connected, "the ledger notices")
            lock.rollback()
        ids = await writing
        assert ledger.postgres.connected
        return ids

    ids = run(database, work)

    assert ids == entries(database)
    assert list(database.rows()) == list(ids.values())
    assert [record.levelname for record in caplog.records if record.name == "processor.store.postgres"] == [
        "INFO",
        "WARNING",
        "INFO",
    ]


def test_while_many_rows_wait_no_further_answer_is_storable(database):
    async def work(ledger):
        assert ledger.storable
        with psycopg.connect(database.postgres.conninfo(database.name)) as lock:
            lock.execute("LOCK TABLE ledger IN EXCLUSIVE MODE")
            writing = [asyncio.ensure_future(ledger.store(row(offset))) for offset in range(ROWS_WAITING_MAX - 1)]
            await until(lambda: backends(database, waiting_for_lock=True), "the rows wait for the lock")
            assert ledger.storable
            writing.append(asyncio.ensure_future(ledger.store(row(ROWS_WAITING_MAX))))
            await asyncio.sleep(0)
            assert not ledger.storable
            lock.rollback()
        await asyncio.gather(*writing)
        await until(lambda: ledger.storable, "the rows are written")

    run(database, work)


class BlackHole:
    """A proxy to PostgreSQL that accepts everything and, while `silent`, forwards nothing."""

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
    monkeypatch.setattr(postgres_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(postgres_module, "CONNECT_SECONDS", 2)

    async def work():
        async with BlackHole(database.postgres.port) as proxy:
            reached = SimpleNamespace(host="127.0.0.1", port=proxy.port)
            async with ledger_of(SimpleNamespace(postgres=reached, name=database.name)) as ledger:
                proxy.silent = True
                writing = asyncio.ensure_future(ledger.write([row(1)]))
                await until(lambda: not ledger.postgres.connected, "the ledger notices")
                proxy.silent = False
                return await asyncio.wait_for(writing, PATIENCE_SECONDS)

    ids = asyncio.run(work())

    assert ids == entries(database)
    assert list(database.rows()) == list(ids.values())


@pytest.fixture
def own_database(session_folder, tmp_path):
    """A database in its own cluster, which the test may kill."""
    folder = session_folder / tmp_path.name
    folder.mkdir()
    cluster = Postgres(folder, tmp_path)
    with ended_at_last(cluster):
        cluster.start()
        cluster.apply_schema()
        cluster.create_processor("processor", "processor")
        yield Database(cluster, "postgres")


def test_it_connects_again_where_nobody_is_left_who_waits_for_it(own_database, monkeypatch):
    monkeypatch.setattr(postgres_module, "LOOK_SECONDS", 0.01)

    async def work(ledger):
        connecting = asyncio.ensure_future(ledger.postgres.keep_connected())
        own_database.postgres.kill()
        looking_up = asyncio.ensure_future(ledger.finished(TOPIC, 0))
        await until(lambda: not ledger.postgres.connected, "the ledger notices")
        looking_up.cancel()
        own_database.postgres.start_soon()
        await until(lambda: ledger.storable, "a connection")
        connecting.cancel()

    run(own_database, work)


def test_work_waits_while_postgresql_is_down_and_goes_on_when_it_is_back(own_database, caplog):
    caplog.set_level(logging.INFO)

    async def work(ledger):
        await ledger.store(row(0))
        own_database.postgres.kill()
        writing = [asyncio.ensure_future(ledger.store(row(offset))) for offset in range(50)]
        looking_up = asyncio.ensure_future(ledger.finished(TOPIC, 0))
        assert ledger.storable
        await until(lambda: not ledger.postgres.connected, "the ledger notices")
        assert not any(waiting.done() for waiting in (*writing, looking_up))
        assert not ledger.storable
        own_database.postgres.start_soon()  # from this thread: PostgreSQL ends with the thread that starts it
        ids = await asyncio.gather(*writing)
        await looking_up
        assert ledger.storable
        return ids

    ids = run(own_database, work)

    assert {position(offset): row_id for offset, row_id in enumerate(ids)} == entries(own_database)
    assert sorted(own_database.rows()) == sorted(ids)
    messages = [record.getMessage() for record in caplog.records if record.name == "processor.store.postgres"]
    assert messages[0] == messages[-1] == "PostgreSQL answers"
    assert all(message.startswith("PostgreSQL cannot be used") for message in messages[1:-1])
    assert len(messages) == len(set(messages)) + 1 > 2, "each reason once"


@pytest.mark.parametrize(
    "data", [f'{{"a":"{CANARY}\\u0000"}}', f"{{{CANARY}", f'["{CANARY}", 1e200000]'], ids=["NUL", "no JSON", "number"]
)
def test_a_refused_row_is_in_no_error_and_no_log_line(database, caplog, data):
    caplog.set_level(logging.DEBUG)

    async def work(ledger):
        with pytest.raises(RowRefused) as refused:
            await ledger.store(row(1, data))
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


def trigger(database, body, table="integration_service", when="BEFORE INSERT"):
    """Run `body` in a trigger for each row. The trigger belongs to another user and has that user's rights."""
    database.query(
        f"CREATE FUNCTION test_{table}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN coalesce(NEW, OLD); END $$".replace("%", "%%")
    )
    database.query(f"CREATE TRIGGER test {when} ON {table} FOR EACH ROW EXECUTE FUNCTION test_{table}()")


def policy(database):
    """Refuse the bad row with a row-level security policy."""
    database.query("ALTER TABLE integration_service ENABLE ROW LEVEL SECURITY")
    database.query("""CREATE POLICY good ON integration_service USING (true) WITH CHECK (NOT data ? 'bad')""")


BAD = "NEW.data ? 'bad'"
REFUSING_ONE = {
    "RAISE": lambda database: trigger(database, f"IF {BAD} THEN RAISE 'no'; END IF;"),
    "RAISE with ASSERT_FAILURE": lambda database: trigger(
        database, f"IF {BAD} THEN RAISE 'no' USING ERRCODE = 'P0004'; END IF;"
    ),
    "ASSERT": lambda database: trigger(database, f"ASSERT NOT {BAD};"),
    "a policy": policy,
    "a mistake of a trigger": lambda database: trigger(
        database, f"IF {BAD} THEN INSERT INTO nowhere VALUES (1); END IF;"
    ),
    "a right that a trigger lacks": lambda database: trigger(
        database, f"IF {BAD} THEN PERFORM pg_read_file('PG_VERSION'); END IF;"
    ),
    "a trigger on commit": lambda database: (
        trigger(database, "RETURN NEW;", "ledger"),
        database.query(
            "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {BAD} THEN RAISE 'no'; END IF; RETURN NULL; END $$"
        ),
        database.query(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON integration_service DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION late()"
        ),
    ),
    "CHECK": lambda database: database.query("ALTER TABLE integration_service ADD CHECK (NOT data ? 'bad')"),
    "pg_sleep": lambda database: trigger(database, f"IF {BAD} THEN PERFORM pg_sleep(60); END IF;"),
    "pg_sleep in every row": lambda database: trigger(
        database, f"PERFORM pg_sleep(CASE WHEN {BAD} THEN 60 ELSE 0.02 END);"
    ),
}


@pytest.mark.parametrize("refuse", REFUSING_ONE.values(), ids=REFUSING_ONE)
@pytest.mark.parametrize("bad", [0, 77])
def test_one_row_that_postgresql_refuses_whatever_it_calls_that_fails_alone(database, monkeypatch, refuse, bad):
    monkeypatch.setattr(postgres_module, "STATEMENT_SECONDS", 1)
    refuse(database)

    async def work(ledger):
        rows = [row(offset, '{"bad": true}' if offset == bad else None) for offset in range(100)]
        answers = await asyncio.gather(*(ledger.store(row) for row in rows), return_exceptions=True)
        return answers, await ledger.store(row(100))

    answers, after = run(database, work)

    assert [offset for offset, answer in enumerate(answers) if isinstance(answer, Exception)] == [bad]
    assert isinstance(answers[bad], RowRefused)
    written = {position(offset): answer for offset, answer in enumerate([*answers, after]) if offset != bad}
    assert written == entries(database)
    assert sorted(database.rows()) == sorted(written.values()), "nothing is left of a row that was only tried"


@pytest.mark.parametrize("refuse", REFUSING_ONE.values(), ids=REFUSING_ONE)
def test_the_first_row_of_all_may_be_the_one_that_is_refused(database, monkeypatch, refuse):
    monkeypatch.setattr(postgres_module, "STATEMENT_SECONDS", 1)
    refuse(database)

    async def work(ledger):
        with pytest.raises(RowRefused, match="SQLSTATE"):
            await ledger.store(row(1, '{"bad": true}'))

    run(database, work)

    assert entries(database) == database.rows() == {}


def test_a_kind_of_rows_that_is_refused_stops_no_other_kind(database):
    # The user's new rule also refuses the row that was written last, so writing it again does not show
    # whether PostgreSQL accepts other rows.
    async def work(ledger):
        await ledger.store(row(1, '{"bad": true}'))
        trigger(database, f"IF {BAD} THEN RAISE 'no'; END IF;")
        rows = [row(offset, '{"bad": true}' if offset % 2 else None) for offset in range(2, 42)]
        return await asyncio.gather(*(ledger.store(row) for row in rows), return_exceptions=True)

    answers = run(database, work)

    assert [isinstance(answer, RowRefused) for answer in answers] == [False, True] * 20


LOCK = "LOCK TABLE {table} IN {mode} MODE"
REFUSING_ALL = {
    "a right": (
        "REVOKE INSERT ON integration_service FROM integration_service",
        "GRANT INSERT ON integration_service TO integration_service",
    ),
    "the ledger's right": (
        "REVOKE INSERT ON ledger FROM integration_service",
        "GRANT INSERT ON ledger TO integration_service",
    ),
    "a table": (
        "ALTER TABLE integration_service RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO integration_service",
    ),
    "a column": (
        "ALTER TABLE integration_service RENAME data TO elsewhere",
        "ALTER TABLE integration_service RENAME elsewhere TO data",
    ),
    "a policy": (
        "ALTER TABLE integration_service ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE integration_service DISABLE ROW LEVEL SECURITY",
    ),
    "a trigger": (
        "CREATE TRIGGER refuse BEFORE INSERT ON integration_service FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP TRIGGER refuse ON integration_service",
    ),
}


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize(("refuse", "allow"), REFUSING_ALL.values(), ids=REFUSING_ALL)
def test_what_refuses_all_rows_is_waited_for_and_loses_none(database, caplog, refuse, allow, rows):
    database.query("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")

    async def work(ledger):
        await ledger.store(row(0))
        database.query(refuse)
        writing = [asyncio.ensure_future(ledger.store(row(offset))) for offset in range(1, 1 + rows)]
        await until(lambda: "cannot be used" in caplog.text, "the log line")
        assert not ledger.postgres.connected
        await asyncio.sleep(0.5)  # time for several more attempts
        assert not any(waiting.done() for waiting in writing)
        database.query(allow)
        await asyncio.gather(*writing)
        assert ledger.postgres.connected

    run(database, work)

    assert len(database.rows()) == 1 + rows
    assert caplog.text.count("cannot be used") == 1, "once for a reason"


@pytest.mark.parametrize("mode", ["EXCLUSIVE", "ACCESS EXCLUSIVE"])
@pytest.mark.parametrize("rows", [1, 30])
def test_a_lock_on_a_table_is_waited_for_and_loses_no_row(database, monkeypatch, caplog, mode, rows):
    monkeypatch.setattr(postgres_module, "STATEMENT_SECONDS", 0.4)

    async def work(ledger):
        for table in ("ledger", "integration_service"):
            with psycopg.connect(database.postgres.conninfo(database.name)) as other:
                other.execute(LOCK.format(table=table, mode=mode))
                writing = [asyncio.ensure_future(ledger.store(row(n, topic_id=table))) for n in range(rows)]
                caplog.clear()
                await until(lambda: caplog.text.count("cannot be used") >= 1, "the log line")
                await asyncio.sleep(3)  # time for more than one attempt
                assert not any(waiting.done() for waiting in writing)
                other.rollback()
            await asyncio.gather(*writing)

    run(database, work)

    assert len(database.rows()) == 2 * rows


def test_a_key_that_postgresql_refuses_fails_alone(database):
    trigger(database, "IF NEW.key = 'key-13' THEN RAISE 'no'; END IF;", "idempotency_keys")

    async def work(ledger):
        ask = GroupCommit(ledger.keys.claim).submit
        return await asyncio.gather(*(ask(claim(f"key-{n}", n)) for n in range(50)), return_exceptions=True)

    answers = run(database, work)

    assert [number for number, answer in enumerate(answers) if isinstance(answer, RowRefused)] == [13]
    assert len(claims(database)) == 49


def test_what_is_not_to_be_deleted_stops_nothing(database):
    trigger(database, "RAISE 'no';", "ledger", "BEFORE DELETE")

    async def work(ledger):
        await ledger.write([row(1)])
        with pytest.raises(RowRefused):
            await ledger.prune(TOPIC, 0, 10)
        return await ledger.write([row(2)])

    run(database, work)

    assert len(entries(database)) == 2


SETTINGS = {
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
    "synchronous_commit": "off",
    "DateStyle": "German",
    "TimeZone": "Europe/Moscow",
    "transform_null_equals": "on",
    "backslash_quote": "off",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "statement_timeout": "20s",
    "lock_timeout": "20s",
}
OURS = {
    "client_encoding": "UTF8",
    "transaction_isolation": "read committed",
    "row_security": "on",
    "synchronous_commit": "on",
    "statement_timeout": "8s",
    "lock_timeout": "0",
}
ANSWERS = ["Привет", "😀👩‍👩‍👧", "\\", "\\\\n", "'", '"', "$1 %s {NULL}", "\x7f\x01", "é", "漢字"]
KEYS = ["plain", "a\\b", "a'b", 'a"b', "{a,b}", "NULL", "\\x00", "%s", "$1"]


def keeps_every_answer_and_key(database):
    async def work(ledger):
        ask = GroupCommit(ledger.keys.claim).submit
        for repeated in range(2):
            ids = await asyncio.gather(
                *(ledger.store(row(n, json.dumps([a], ensure_ascii=False))) for n, a in enumerate(ANSWERS))
            )
            owners = await asyncio.gather(
                *(ask(claim(key, n, bytes(range(256)), partition=1)) for n, key in enumerate(KEYS))
            )
            assert [owner.claim for owner in owners] == [
                claim(key, n, bytes(range(256)), partition=1) for n, key in enumerate(KEYS)
            ], repeated
        return ids

    ids = run(database, work)

    with psycopg.connect(database.postgres.conninfo(database.name), client_encoding="UTF8") as reader:
        rows = dict(reader.execute("SELECT id, data FROM integration_service").fetchall())
    assert rows == {row_id: [answer] for row_id, answer in zip(ids, ANSWERS, strict=True)}


@pytest.mark.parametrize("scope", ["DATABASE", "ROLE"])
def test_the_settings_are_ours_whatever_the_server_has_set(database, scope):
    name = f"{database.name}_user"
    database.postgres.create_processor(name, "processor")
    whom = f"DATABASE {database.name}" if scope == "DATABASE" else f"ROLE processor IN DATABASE {database.name}"
    for setting, value in SETTINGS.items():
        database.query(f"ALTER {whom} SET {setting} = '{value}'")

    keeps_every_answer_and_key(database)

    async def shown(ledger):
        return {name: await ledger.postgres.execute(f"SHOW {name}") for name in OURS}

    assert run(database, shown) == {name: [(value,)] for name, value in OURS.items()}


def in_encoding(postgres, name, encoding):
    """Return a database with this encoding and the schema."""
    with psycopg.connect(postgres.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    postgres.apply_schema(name)
    return Database(postgres, name)


def test_a_database_in_sql_ascii_keeps_every_answer_and_key(postgres):
    keeps_every_answer_and_key(in_encoding(postgres, "in_sql_ascii", "SQL_ASCII"))


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1251", "EUC_JP"])
def test_a_database_that_cannot_hold_every_answer_is_refused_at_the_start_and_waited_for_later(
    postgres, caplog, encoding
):
    database = in_encoding(postgres, f"in_{encoding.lower()}", encoding)

    async def work():
        ledger = Store(connection(database))
        with pytest.raises(UnfitDatabase, match=f"POSTGRES_DB: .*{encoding}"):
            await ledger.postgres.check()
        writing = asyncio.ensure_future(ledger.write([row(1)]))
        await until(lambda: f"POSTGRES_DB: the database's encoding is {encoding}" in caplog.text, "the log line")
        writing.cancel()
        await ledger.postgres.close()

    asyncio.run(work())

    assert database.rows() == {}


def test_of_several_hosts_the_one_that_takes_writes_is_used_whichever_it_is_by_now(cluster_pair, caplog):
    one, two = cluster_pair

    async def work(ledger):
        first = await ledger.write([row(1)])
        with psycopg.connect(two.conninfo()) as standby:
            await until(
                lambda: standby.execute("SELECT count(*) FROM ledger").fetchone() == (1,), "the standby to have it"
            )
        one.kill()
        writing = asyncio.ensure_future(ledger.write([row(2)]))
        await until(lambda: "session is read-only" in caplog.text, "the log says why the second host is not used")
        two.promote()
        second = await writing
        one.follow(two)
        one.start_soon()
        await until(lambda: one._answers(), "the old primary to be back as a standby")
        with psycopg.connect(two.conninfo(), autocommit=True) as primary:
            primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'processor'")
        return first | second | await ledger.write([row(3)])

    hosts = {"host": f"{one.host},{two.host}", "port": f"{one.port},{two.port}"}
    ids = run(Database(one, "postgres"), work, **hosts)

    assert entries(Database(two, "postgres")) == ids
    assert f"{one.host}:{one.port}: " in caplog.text and f"{two.host}:{two.port}: " in caplog.text


def test_while_a_synchronous_standby_does_not_answer_rows_wait_and_none_is_refused(cluster_pair, caplog):
    primary, standby = cluster_pair
    primary.wait_for_standby()

    async def work(ledger):
        first = await ledger.write([row(offset) for offset in range(10)])
        standby.pause()
        writing = asyncio.gather(*(ledger.store(row(offset)) for offset in range(5, 25)))
        # The first session that was given up still holds the entries of the others.
        await until(
            lambda: "lock not available (SQLSTATE 55P03)" in caplog.text, "a second session to wait for the first"
        )
        assert not writing.done()
        standby.resume()
        return first, await writing

    first, others = run(Database(primary, "postgres"), work)

    assert others[:5] == [first[position(offset)] for offset in range(5, 10)]
    assert entries(Database(primary, "postgres")) == first | {
        position(offset): others[offset - 5] for offset in range(10, 25)
    }


def test_a_standby_behind_a_pooler_is_used_once_it_is_the_primary(cluster_pair, session_folder, tmp_path, caplog):
    primary, standby = cluster_pair

    async def work():
        ledger = Store(connection(Database(standby, "postgres"), port=str(pooler.port)))
        writing = asyncio.ensure_future(ledger.write([row(1)]))
        await until(lambda: "25006); look at POSTGRES_HOST" in caplog.text, "the reason")
        primary.kill()
        standby.promote()
        ids = await asyncio.wait_for(writing, PATIENCE_SECONDS)
        await ledger.postgres.close()
        return ids

    with running_pooler(session_folder, tmp_path, standby, "transaction") as pooler:
        ids = asyncio.run(work())

    assert entries(Database(standby, "postgres")) == ids


def test_a_server_that_stops_taking_writes_is_left_and_the_reason_of_now_is_said(database, caplog):
    async def work(ledger):
        await ledger.write([row(1)])
        database.query(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
        [pid] = backends(database)
        database.query("SELECT pg_terminate_backend(%s, 10000)", pid)
        writing = asyncio.ensure_future(ledger.write([row(2)]))
        await until(lambda: "25006); look at POSTGRES_HOST" in caplog.text, "the reason of now")
        assert not writing.done()
        with psycopg.connect(database.postgres.conninfo(), autocommit=True) as administrator:
            administrator.execute(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
        await writing

    run(database, work)

    assert len(database.rows()) == 2

"""Which positions are done and which row is whose: the ledger in PostgreSQL, and the row beside each entry.

Everything here waits for PostgreSQL as long as it takes: an outage is no reason to give a record up. What it raises is
only about the rows at hand.
"""

import asyncio
import contextlib
import logging
import os
import random
import re
import secrets
import socket
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from processor.record import Position
from shared.messages import TaskType
from shared.settings import WrongSettings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5
"""How long one try to connect may take."""

STATEMENT_SECONDS = 8
"""How long PostgreSQL may work on one statement before it gives up, for instance at a lock."""

ANSWER_SECONDS = 10
"""After which a connection that does not answer a statement is hung up. Where something between us and PostgreSQL, a
proxy or a load balancer, takes what we send and passes nothing on, TCP sees nothing wrong."""

SILENT_SECONDS = 10
"""After which a connection on which nothing is acknowledged counts as dead. psycopg alone would wait for minutes."""

RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 2.0
"""Between two tries to reach PostgreSQL."""

SAMPLE_ROWS = 3
"""Rows of a batch that are tried alone where it is refused, to see whether it is refused for one row or for all."""

PAGE_OFFSETS = 10_000
"""Offsets of a partition that are asked for at once after it was assigned, and entries that are pruned at once."""

KEYS_DAYS = 30
"""How long an idempotency key is remembered. A task with a key that is older is a new task."""

CLAIMS_DAYS = 7
"""How long a record that never finishes keeps its idempotency key. Kafka has deleted it by then, where the service has
made the topic (shared.topics.TASKS_DAYS)."""

ENCODINGS = ("UTF8", "SQL_ASCII")
"""Encodings of a database that can hold every answer. A database in SQL_ASCII stores the bytes that it gets: UTF-8, as
our sessions say so. Every other encoding lacks characters."""

# The beginnings of SQLSTATEs (Appendix A of PostgreSQL's manual) that are about the server, the session or somebody
# else's transaction. The statement waits and is tried again, over a new connection.
_ABOUT_THE_SERVER = (
    "08",  # the connection
    "0A000",  # a prepared statement does not fit a table that was altered
    "2200H",  # the sequence of the ids has come to its end
    "25",  # the state of the transaction; 25006: the server only takes reads
    "26",  # a prepared statement that a pooler's other connection does not know
    "28",  # who we are
    "3D",  # the database is missing
    "40",  # a deadlock, or another transaction came first
    "53",  # disk, memory or connections are used up
    "55P03",  # a lock was not granted in time
    "57P",  # the server is shut down, starts or recovers
    "58",  # its files and disks
    "F0",  # its configuration
    "XX001",  # its files are damaged
    "XX002",  # its indexes are damaged
)

# Those that are about a row, whatever else is the matter: cardinality, data, constraints, limits of the program.
_ABOUT_A_ROW = ("21", "22", "23", "54")

# What is in neither list may be about one row or about all of them: a trigger's RAISE, a policy or a missing right, a
# missing table or a trigger's own mistake, a statement that takes too long. PostgreSQL is then asked whether it takes
# another row: see `Ledger._takes_any`.

# What libpq and PostgreSQL say of a connection -> settings. In another language they say it without this hint.
_LOOK_AT = {
    "host name": "POSTGRES_HOST and whom the server's certificate is for",
    "certificate": "POSTGRES_SSLROOTCERT",
    "not support SSL": "POSTGRES_SSLMODE",
    "no encryption": "POSTGRES_SSLMODE",
    "password": "POSTGRES_USER and POSTGRES_PASSWORD",
    "read-only": "POSTGRES_HOST, which must name the server that takes writes",
    "hot standby": "POSTGRES_HOST, which must name the server that takes writes",
}

# SQLSTATE -> what to do about it.
_TO_DO = {
    "42501": "GRANT integration_service to POSTGRES_USER, and look at policies and triggers",
    "42P01": "run sql/ in POSTGRES_DB",
}

# psycopg's line about one of several hosts, and the words of libpq in it that repeat the host.
_ATTEMPT = re.compile(
    r"- host: '(.*?)', port: '(.*?)', hostaddr: .*?: (?:connection failed: )?(?:connection to server .*? failed: )?(.+)"
)

# What a role or a database may have set otherwise and the statements rely on. A row that is told of must outlive a
# crash of the server, policies refuse rows instead of whole statements, and whoever waits for another's entry sees it
# afterwards. Not in `options`: poolers refuse what they do not know there.
SESSION: LiteralString = """
SELECT
    set_config('row_security', 'on', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
"""

# One statement, one round trip, one transaction for many rows. The ledger draws the id, so that RETURNING answers it
# together with the position; an entry that was there before returns nothing and its row is not written again. DO
# NOTHING instead of DO UPDATE: it needs no UPDATE privilege. %b, as in text psycopg takes 100 us to escape an answer.
_WRITE: LiteralString = """
WITH incoming AS (
    SELECT *
    FROM unnest(%b::text[], %b::integer[], %b::bigint[], %b::text[], %b::text[])
        AS t (topic_id, partition, "offset", data, task_type)
), entered AS (
    INSERT INTO ledger (topic_id, partition, "offset")
    SELECT topic_id, partition, "offset" FROM incoming
    ON CONFLICT DO NOTHING
    RETURNING topic_id, partition, "offset", id
), stored AS (
    INSERT INTO integration_service (id, data, task_type)
    SELECT entered.id, incoming.data::jsonb, incoming.task_type::task_type
    FROM entered JOIN incoming USING (topic_id, partition, "offset")
)
SELECT topic_id, partition, "offset", id FROM entered
"""

_FIND: LiteralString = """
SELECT topic_id, partition, "offset", id
FROM ledger
JOIN unnest(%s::text[], %s::integer[], %s::bigint[]) AS t (topic_id, partition, "offset")
    USING (topic_id, partition, "offset")
"""

_LAST: LiteralString = 'SELECT max("offset") FROM ledger WHERE topic_id = %s AND partition = %s'

_PAGE: LiteralString = """
SELECT "offset", id FROM ledger WHERE topic_id = %s AND partition = %s AND "offset" >= %s AND "offset" < %s
"""

# In the order of keys: two replicas that claim the same ones do not block each other for good. %b, as psycopg writes
# bytes in text differently where the session has standard_conforming_strings off.
_CLAIM: LiteralString = """
INSERT INTO idempotency_keys (key, fingerprint, topic_id, partition, "offset")
SELECT key, fingerprint, topic_id, partition, "offset"
FROM unnest(%s::text[], %b::bytea[], %s::text[], %s::integer[], %s::bigint[])
    AS t (key, fingerprint, topic_id, partition, "offset")
ORDER BY key
ON CONFLICT DO NOTHING
"""

_OWNERS: LiteralString = """
SELECT key, fingerprint, topic_id, partition, "offset", id
FROM idempotency_keys LEFT JOIN ledger USING (topic_id, partition, "offset")
WHERE key = ANY(%s)
"""

_RELEASE: LiteralString = """
DELETE FROM idempotency_keys
USING unnest(%s::text[], %s::text[], %s::integer[], %s::bigint[]) AS t (key, topic_id, partition, "offset")
WHERE (idempotency_keys.key, idempotency_keys.topic_id, idempotency_keys.partition, idempotency_keys."offset")
    = (t.key, t.topic_id, t.partition, t."offset")
    AND NOT EXISTS (
        SELECT FROM ledger
        WHERE (ledger.topic_id, ledger.partition, ledger."offset") = (t.topic_id, t.partition, t."offset")
    )
"""

# What prunes goes page by page, also over what stays: a statement that PostgreSQL cannot end in its time would be tried
# for ever. Each answers where the next page begins after, or NULL at the end.
_PRUNE: LiteralString = """
WITH page AS (
    SELECT topic_id, partition, "offset" FROM ledger
    WHERE topic_id = %s AND partition = %s AND "offset" < %s AND "offset" > %s
    ORDER BY "offset" LIMIT %s
), pruned AS (
    DELETE FROM ledger WHERE (topic_id, partition, "offset") IN (
        SELECT * FROM page EXCEPT SELECT topic_id, partition, "offset" FROM idempotency_keys JOIN page
            USING (topic_id, partition, "offset")
    )
)
SELECT max("offset") FROM page
"""

_PRUNE_CLAIMS: LiteralString = """
WITH page AS (
    SELECT key, "offset", id FROM idempotency_keys LEFT JOIN ledger USING (topic_id, partition, "offset")
    WHERE topic_id = %s AND partition = %s AND "offset" < %s AND "offset" > %s
    ORDER BY "offset" LIMIT %s
), pruned AS (
    DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM page WHERE id IS NULL)
)
SELECT max("offset") FROM page
"""

_PRUNE_KEYS: LiteralString = """
WITH page AS (
    SELECT key, made_at, id FROM idempotency_keys LEFT JOIN ledger USING (topic_id, partition, "offset")
    WHERE key > %s ORDER BY key LIMIT %s
), pruned AS (
    DELETE FROM idempotency_keys WHERE key IN (
        SELECT key FROM page
        WHERE made_at < now() - make_interval(days => CASE WHEN id IS NULL THEN %s ELSE %s END)
    )
)
SELECT max(key) FROM page
"""


class Row(NamedTuple):
    """What is written for a record: `data` is JSON text."""

    position: Position
    data: str
    task_type: TaskType


class Claim(NamedTuple):
    """A record's claim on an idempotency key."""

    key: str
    fingerprint: bytes
    position: Position


class Owner(NamedTuple):
    """The claim that holds, and the id of its record's row, or None while that is not there."""

    claim: Claim
    row_id: int | None


class RowRefused(Exception):
    """PostgreSQL refuses one of the rows for good. The message names the error's code: its text would repeat the row.

    Where it was one row, it is that one.
    """


class RowTooSlow(RowRefused):
    """PostgreSQL takes other rows, and needs more than STATEMENT_SECONDS for these."""


class UnfitDatabase(WrongSettings):
    """The database cannot hold every answer. The message is one line that names the setting."""


def bounded(connection_parameters: dict[str, Any], application_name: str) -> dict[str, Any]:
    """Return libpq's connection parameters with limits to how long PostgreSQL may take or be silent."""
    return {
        **connection_parameters,
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "keepalives_idle": SILENT_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": SILENT_SECONDS // 2,
        "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000}",
        "application_name": application_name,
        "client_encoding": "UTF8",  # where it is not said it is the server's, and answers come back as bytes
        "target_session_attrs": "read-write",  # of several hosts the one that takes writes, whichever it is by now
    }


def check_encoding(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Check that the database can hold every answer.

    Raises:
        UnfitDatabase: it cannot.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise UnfitDatabase(
            f"POSTGRES_DB: the database's encoding is {encoding}, which lacks characters that answers have; name one "
            "that was made with CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', and run sql/ in it"
        )


def reason(error: psycopg.Error | UnfitDatabase) -> str:
    """Return why PostgreSQL cannot be used, in one line.

    A statement's error is told by its code, as DETAIL and CONTEXT repeat rows. A connection that could not be made has
    no code; its text is libpq's, which repeats no password. Where there are several hosts it is told of each.
    """
    if isinstance(error, UnfitDatabase):
        return str(error)
    if error.sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        to_do = _TO_DO.get(error.sqlstate or "")
        return f"{type(error).__name__} {error.sqlstate or ''}".rstrip() + (f"; {to_do}" if to_do else "")
    lines = [" ".join(line.split()) for line in str(error).splitlines()] or [type(error).__name__]
    attempts = [f"{attempt[1]}:{attempt[2]}: {attempt[3]}" for line in lines if (attempt := _ATTEMPT.fullmatch(line))]
    text = "; ".join(attempts) or lines[0]
    return text + next((f"; look at {settings}" for word, settings in _LOOK_AT.items() if word in text), "")


class Ledger:
    """The ledger and the rows, over one connection that is opened again whenever it breaks."""

    def __init__(self, connection_parameters: dict[str, Any]) -> None:
        """Only notes where PostgreSQL is; nothing is opened.

        Args:
            connection_parameters: libpq's host, port, user, password, dbname, sslmode, sslrootcert.
        """
        self._connection_parameters = bounded(connection_parameters, "integration-service processor")
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()
        self._reasons_said: set[str] = set()  # of this outage
        self._retry_seconds = RETRY_SECONDS_MIN
        # Where no record can be: a row that is only tried there is in nobody's way.
        self._nowhere = Position("", -1, random.randrange(-(2**62), -1))  # noqa: S311 - differs by replica
        self._last_written = Row(self._nowhere, "{}", "phone")
        self.connected = False

    async def check(self) -> None:
        """Try once to connect, for CONNECT_SECONDS.

        Raises:
            UnfitDatabase: PostgreSQL answers, and the database cannot hold every answer.
        """
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with self._lock, asyncio.timeout(CONNECT_SECONDS):
                await self._connect()

    async def connect(self) -> None:
        """Wait until PostgreSQL answers and has the tables."""
        await self._execute("SELECT FROM ledger, idempotency_keys, redriven LIMIT 0")

    async def close(self) -> None:
        """Close the connection; what is being written may or may not be."""
        if self._connection is not None:
            await self._connection.close()

    async def write(self, rows: Sequence[Row], *, suspect: bool = False) -> dict[Position, int]:
        """Write rows and enter their positions, all or none. Returns each position's id, new or of its first time.

        Positions must differ. A crash leaves all of it or nothing behind.

        Args:
            rows: what is written.
            suspect: it is one row, of a batch that was refused.

        Raises:
            RowRefused: PostgreSQL refuses one of the rows, and none is written.
        """
        entered = await self._execute_rows(
            _WRITE,
            [(*row.position, row.data, row.task_type) for row in rows],
            likely=[(*self._nowhere, data, of_type) for data, of_type in (("{}", "phone"), self._last_written[1:])],
            suspect=suspect,
        )
        ids = {Position(*position): row_id for *position, row_id in entered}
        if len(ids) < len(rows):
            # Asked after, not in the same statement, whose snapshot may be older than an entry it ran into.
            known = [position for row in rows if (position := row.position) not in ids]
            found = await self._execute(_FIND, _columns(known))
            ids.update({Position(*position): row_id for *position, row_id in found})
        self._last_written = rows[-1]
        return ids

    async def finished(self, topic_id: str, partition: int) -> "FinishedRecords":
        """Return which records of the partition are done already, for the time that it stays assigned."""
        [(last,)] = await self._execute(_LAST, [topic_id, partition])
        return FinishedRecords(self, topic_id, partition, last)

    async def page(self, topic_id: str, partition: int, first: int) -> dict[int, int]:
        """Return offset -> id of the entries from offset `first` on, for PAGE_OFFSETS offsets."""
        return dict(await self._execute(_PAGE, [topic_id, partition, first, first + PAGE_OFFSETS]))

    async def find(self, positions: Sequence[Position]) -> list[int | None]:
        """Return the ids at the positions, in their order; None for those that are not done."""
        found = await self._execute(_FIND, _columns(list(set(positions))))
        ids = {Position(*position): row_id for *position, row_id in found}
        return [ids.get(position) for position in positions]

    async def claim(self, claims: Sequence[Claim]) -> list[Owner | None]:
        """Enter those claims whose keys are free, and return whose each key is then, in the claims' order.

        None for a key that was given up in between, and for one claimed by a position that holds another key already.
        A crash leaves claims behind, which their records find when they come again.

        Raises:
            RowRefused: PostgreSQL refuses one of the claims, and none is entered.
        """
        keys = [claim.key for claim in claims]
        await self._execute_rows(
            _CLAIM,
            [(claim.key, claim.fingerprint, *claim.position) for claim in claims],
            likely=[(secrets.token_hex(16), claims[0].fingerprint, *self._nowhere)],
        )
        # Asked after, not in the same statement, whose snapshot may be older than a claim it ran into.
        owners = {
            key: Owner(Claim(key, fingerprint, Position(*position)), row_id)
            for key, fingerprint, *position, row_id in await self._execute(_OWNERS, [list(set(keys))])
        }
        return [owners.get(key) for key in keys]

    async def release(self, claims: Sequence[Claim]) -> list[None]:
        """Delete the claims and free their keys. A key stays that is another position's or has its row.

        Raises:
            RowRefused: PostgreSQL refuses to delete one of the claims, and none is deleted.
        """
        await self._execute_rows(
            _RELEASE, [(claim.key, *claim.position) for claim in claims], likely=[("", *self._nowhere)]
        )
        return [None] * len(claims)

    async def prune(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete what is about records below `first_offset`, the first that Kafka still has: they cannot come again.

        That is their entries, but for those whose id an idempotency key still answers, and their unfinished claims.

        Raises:
            RowRefused: PostgreSQL refuses to delete some of it.
        """
        for statement in (_PRUNE_CLAIMS, _PRUNE):
            last: int | None = -1
            while last is not None:  # in small steps, so that no batch of rows waits long behind it
                [(last,)] = await self._execute(
                    statement, [topic_id, partition, first_offset, last, PAGE_OFFSETS], refusable=True
                )

    async def prune_keys(self) -> None:
        """Delete idempotency keys that are older than KEYS_DAYS, and unfinished claims older than CLAIMS_DAYS.

        Raises:
            RowRefused: PostgreSQL refuses to delete some of it.
        """
        last: str | None = ""
        while last is not None:
            [(last,)] = await self._execute(_PRUNE_KEYS, [last, PAGE_OFFSETS, CLAIMS_DAYS, KEYS_DAYS], refusable=True)

    async def _execute(
        self, statement: LiteralString, parameters: Sequence[Any] = (), *, refusable: bool = False
    ) -> list[Any]:
        """Return what the statement answers.

        Raises:
            RowRefused: it may be refused, and its failure is not about the server.
        """
        async with self._lock:
            while True:
                try:
                    return await self._ask(statement, parameters)
                except (psycopg.Error, UnfitDatabase) as error:
                    if refusable and _may_be_about_a_row(error):
                        raise _refused(error) from None
                    await self._wait(error)

    async def _execute_rows(
        self,
        statement: LiteralString,
        rows: Sequence[tuple[Any, ...]],
        likely: Sequence[tuple[Any, ...]],
        *,
        suspect: bool = False,
    ) -> list[Any]:
        """Return what a statement over rows answers.

        Args:
            statement: its parameters are the rows' columns.
            rows: at least one.
            likely: rows that PostgreSQL takes while it is well. They are tried, and not kept.
            suspect: it is one row, of a statement that was refused.

        Raises:
            RowRefused: PostgreSQL takes other rows, and refuses one of these.
        """
        async with self._lock:
            while True:
                try:
                    return await (self._ask_alone if suspect else self._ask)(statement, _columns(rows))
                except (psycopg.Error, UnfitDatabase) as error:
                    if _is_about_a_row(error):
                        raise _refused(error) from None
                    others = random.sample(rows, min(SAMPLE_ROWS, len(rows))) if len(rows) > 1 else []
                    if not _may_be_about_a_row(error) or not await self._takes_any(statement, [*likely, *others]):
                        await self._wait(error)
                    elif len(rows) > 1 or suspect:
                        raise _refused(error) from None
                    else:
                        suspect = True  # once more: PostgreSQL may have become well in between

    async def _takes_any(self, statement: LiteralString, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Tell whether PostgreSQL takes one of the rows right now, keeping none."""
        # Not long: a lock on the table makes all of them wait.
        begin = sql.SQL("BEGIN; SET LOCAL statement_timeout = {}").format(STATEMENT_SECONDS * 1000 // 4)
        for row in rows:
            try:
                await self._transact(begin, statement, _columns([row]), "ROLLBACK")
            except (psycopg.Error, UnfitDatabase) as error:
                if not _may_be_about_a_row(error) or isinstance(error, psycopg.errors.QueryCanceled):
                    return False
            else:
                return True
        return False

    async def _ask_alone(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Any]:
        # A lock that is not granted must not look like a row that takes too long.
        begin = sql.SQL("BEGIN; SET LOCAL lock_timeout = {}").format(STATEMENT_SECONDS * 1000 // 2)
        answer = await self._transact(begin, statement, parameters, "COMMIT")
        self._note_success()
        return answer

    async def _transact(
        self, begin: sql.Composed, statement: LiteralString, parameters: Sequence[Any], end: LiteralString
    ) -> list[Any]:
        await self._run(begin)
        try:
            cursor = await self._run(statement, parameters)
            await self._run(end)
        except psycopg.Error:
            if self._connection is not None and not self._connection.closed:
                with contextlib.suppress(psycopg.Error):
                    await self._run("ROLLBACK")
            raise
        return await cursor.fetchall() if cursor.description else []

    async def _ask(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Any]:
        cursor = await self._run(statement, parameters)
        self._note_success()
        return await cursor.fetchall() if cursor.description else []

    async def _run(
        self, statement: LiteralString | sql.Composed, parameters: Sequence[Any] | None = None
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            await self._connect()
        assert self._connection is not None
        hang_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _hang_up, self._connection)
        try:
            # Without parameters there may be several commands in it, which PostgreSQL does not prepare.
            return await self._connection.execute(statement, parameters, prepare=False if parameters is None else None)
        finally:
            hang_up.cancel()

    async def _connect(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(**self._connection_parameters, autocommit=True)
        try:
            check_encoding(self._connection)
            await self._run(SESSION)
        except BaseException:
            await self.close()  # not to be used as it is
            raise

    async def _wait(self, error: psycopg.Error | UnfitDatabase) -> None:
        self.connected = False
        why = reason(error)
        if why not in self._reasons_said:
            self._reasons_said.add(why)
            logger.warning("PostgreSQL cannot be used, work waits for it: %s", why)
        await self.close()  # whatever state it is in, a new one is in a known state
        await asyncio.sleep(self._retry_seconds)
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)

    def _note_success(self) -> None:
        if not self.connected:
            self.connected = True
            self._reasons_said.clear()
            self._retry_seconds = RETRY_SECONDS_MIN
            logger.info("PostgreSQL answers")


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _sqlstate(error: psycopg.Error | UnfitDatabase) -> str:
    """Return the error's code: 22000 (data exception) where psycopg itself could not send a value."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    return code or ("22000" if isinstance(error, psycopg.DataError) else "")


def _may_be_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _sqlstate(error) != "" and not _sqlstate(error).startswith(_ABOUT_THE_SERVER)


def _is_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _may_be_about_a_row(error) and _sqlstate(error).startswith(_ABOUT_A_ROW)


def _refused(error: psycopg.Error | UnfitDatabase) -> RowRefused:
    refused = RowTooSlow if isinstance(error, psycopg.errors.QueryCanceled) else RowRefused
    return refused(f"PostgreSQL refuses the row: SQLSTATE {_sqlstate(error)}")


def _hang_up(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    # Not a cancelled coroutine: psycopg would ask the silent server to cancel the statement, and wait for its answer.
    with (
        contextlib.suppress(psycopg.OperationalError, OSError),  # it is closed already
        socket.socket(fileno=os.dup(connection.fileno())) as connected,
    ):
        connected.shutdown(socket.SHUT_RDWR)


class FinishedRecords:
    """Which records of one partition were done before it was assigned. Asked in rising order, it keeps one page."""

    def __init__(self, ledger: Ledger, topic_id: str, partition: int, last: int | None) -> None:
        self.topic_id = topic_id
        self._ledger = ledger
        self._partition = partition
        self._last = -1 if last is None else last
        self._page_number = -1
        self._page: dict[int, int] = {}
        self._in_order = asyncio.Lock()

    async def find(self, offset: int) -> int | None:
        """Return the id of the record's row, or None where the record is not done."""
        if offset > self._last:
            return None
        async with self._in_order:
            page_number = offset // PAGE_OFFSETS
            if page_number != self._page_number:
                self._page = await self._ledger.page(self.topic_id, self._partition, page_number * PAGE_OFFSETS)
                self._page_number = page_number
            return self._page.get(offset)

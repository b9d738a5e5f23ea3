"""Which positions are done and which row is whose: the ledger in PostgreSQL, and the row beside each entry.

Everything here waits for PostgreSQL as long as it takes: an outage is no reason to give a record up. What it raises is
only about the row at hand.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg

from shared.messages import TaskType

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

RETRY_SECONDS_MAX = 2.0
"""Between two tries to reach PostgreSQL."""

PAGE_OFFSETS = 10_000
"""Offsets of a partition that are asked for at once after it was assigned, and entries that are pruned at once."""

KEYS_DAYS = 30
"""How long an idempotency key is remembered. A task with a key that is older is a new task."""

CLAIMS_DAYS = 7
"""How long a record that never finishes keeps its idempotency key. Kafka has deleted it by then, where the service has
made the topic (shared.settings.TASKS_DAYS)."""

# PostgreSQL's error classes (Appendix A of its manual) that speak about the row, not about the server's state.
_ROW_ERROR_CLASSES = ("21", "22", "23", "54")

# What libpq and PostgreSQL say of a connection -> settings. In another language they say it without this hint.
_LOOK_AT = {
    "host name": "POSTGRES_HOST and whom the server's certificate is for",
    "certificate": "POSTGRES_SSLROOTCERT",
    "not support SSL": "POSTGRES_SSLMODE",
    "no encryption": "POSTGRES_SSLMODE",
    "password": "POSTGRES_USER and POSTGRES_PASSWORD",
}

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

# In the order of keys: two replicas that claim the same ones do not block each other for good.
_CLAIM: LiteralString = """
INSERT INTO idempotency_keys (key, fingerprint, topic_id, partition, "offset")
SELECT key, fingerprint, topic_id, partition, "offset"
FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::integer[], %s::bigint[])
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


class Position(NamedTuple):
    """A record's identity. The topic's id is Kafka's own: a topic made again under the same name is another one."""

    topic_id: str
    partition: int
    offset: int


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
    """PostgreSQL refuses this row for good. The message names the error's code; its text would repeat the row."""


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
    }


def reason(error: psycopg.Error) -> str:
    """Return why PostgreSQL cannot be used, in one line.

    A statement's error is told by its code, as DETAIL and CONTEXT repeat rows. A connection that could not be made has
    no code; its text is libpq's, which repeats no password.
    """
    if error.sqlstate is not None or type(error) is not psycopg.OperationalError:
        return f"{type(error).__name__} {error.sqlstate or ''}".rstrip()
    text = " ".join(str(error).partition("\n")[0].split())
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
        self._outage_noted = False
        self.connected = False

    async def connect(self) -> None:
        """Wait until PostgreSQL answers and has the tables."""
        await self._execute("SELECT FROM ledger, idempotency_keys, redriven LIMIT 0")

    async def close(self) -> None:
        """Close the connection; what is being written may or may not be."""
        if self._connection is not None:
            await self._connection.close()

    async def write(self, rows: Sequence[Row]) -> dict[Position, int]:
        """Write rows and enter their positions, all or none. Returns each position's id, new or of its first time.

        Positions must differ. A crash leaves all of it or nothing behind.

        Raises:
            RowRefused: PostgreSQL refuses one of the rows, and none is written.
        """
        positions = [row.position for row in rows]
        columns = [list(column) for column in zip(*positions, strict=True)]
        entered = await self._execute(
            _WRITE, [*columns, [row.data for row in rows], [row.task_type for row in rows]], refusable=True
        )
        ids = {Position(*position): row_id for *position, row_id in entered}
        if len(ids) < len(rows):
            # Asked after, not in the same statement, whose snapshot may be older than an entry it ran into.
            known = [position for position in positions if position not in ids]
            found = await self._execute(_FIND, [list(column) for column in zip(*known, strict=True)])
            ids.update({Position(*position): row_id for *position, row_id in found})
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
        found = await self._execute(_FIND, [list(column) for column in zip(*set(positions), strict=True)])
        ids = {Position(*position): row_id for *position, row_id in found}
        return [ids.get(position) for position in positions]

    async def claim(self, claims: Sequence[Claim]) -> list[Owner | None]:
        """Enter those claims whose keys are free, and return whose each key is then, in the claims' order.

        None for a key that was given up in between, and for one claimed by a position that holds another key already.
        A crash leaves claims behind, which their records find when they come again.
        """
        positions = [list(column) for column in zip(*(claim.position for claim in claims), strict=True)]
        keys = [claim.key for claim in claims]
        await self._execute_counting(_CLAIM, [keys, [claim.fingerprint for claim in claims], *positions])
        # Asked after, not in the same statement, whose snapshot may be older than a claim it ran into.
        owners = {
            key: Owner(Claim(key, fingerprint, Position(*position)), row_id)
            for key, fingerprint, *position, row_id in await self._execute(_OWNERS, [list(set(keys))])
        }
        return [owners.get(key) for key in keys]

    async def release(self, claims: Sequence[Claim]) -> list[None]:
        """Delete the claims and free their keys. A key stays that is another position's or has its row."""
        positions = [list(column) for column in zip(*(claim.position for claim in claims), strict=True)]
        await self._execute_counting(_RELEASE, [[claim.key for claim in claims], *positions])
        return [None] * len(claims)

    async def prune(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete what is about records below `first_offset`, the first that Kafka still has: they cannot come again.

        That is their entries, but for those whose id an idempotency key still answers, and their unfinished claims.
        """
        for statement in (_PRUNE_CLAIMS, _PRUNE):
            last: int | None = -1
            while last is not None:  # in small steps, so that no batch of rows waits long behind it
                [(last,)] = await self._execute(statement, [topic_id, partition, first_offset, last, PAGE_OFFSETS])

    async def prune_keys(self) -> None:
        """Delete idempotency keys that are older than KEYS_DAYS, and unfinished claims older than CLAIMS_DAYS."""
        last: str | None = ""
        while last is not None:
            [(last,)] = await self._execute(_PRUNE_KEYS, [last, PAGE_OFFSETS, CLAIMS_DAYS, KEYS_DAYS])

    async def _execute(
        self, statement: LiteralString, parameters: Sequence[Any] = (), *, refusable: bool = False
    ) -> list[Any]:
        async with self._lock:
            cursor = await self._until_done(statement, parameters, refusable)
            return await cursor.fetchall()

    async def _execute_counting(self, statement: LiteralString, parameters: Sequence[Any]) -> int:
        async with self._lock:
            return (await self._until_done(statement, parameters, refusable=False)).rowcount

    async def _until_done(
        self, statement: LiteralString, parameters: Sequence[Any], refusable: bool
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        retry_seconds = 0.05
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await psycopg.AsyncConnection.connect(
                        **self._connection_parameters, autocommit=True
                    )
                hang_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _hang_up, self._connection)
                try:
                    cursor = await self._connection.execute(statement, parameters)
                finally:
                    hang_up.cancel()
            except psycopg.Error as error:
                if refusable and error.sqlstate is not None and error.sqlstate[:2] in _ROW_ERROR_CLASSES:
                    raise RowRefused(f"PostgreSQL refuses the row: SQLSTATE {error.sqlstate}") from None
                self._note_failure(error)
                await self.close()  # whatever state it is in, a new one is in a known state
            else:
                if not self.connected:
                    self.connected, self._outage_noted = True, False
                    logger.info("PostgreSQL answers")
                return cursor
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(2 * retry_seconds, RETRY_SECONDS_MAX)

    def _note_failure(self, error: psycopg.Error) -> None:
        self.connected = False
        if not self._outage_noted:  # once an outage
            self._outage_noted = True
            logger.warning("PostgreSQL cannot be used, work waits for it: %s", reason(error))


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

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
from dataclasses import dataclass
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
"""Offsets of a partition that are asked for at once after it was assigned."""

# PostgreSQL's error classes (Appendix A of its manual) that speak about the row, not about the server's state.
_ROW_ERROR_CLASSES = ("21", "22", "23", "54")

# One statement, one round trip, one transaction for many rows. The ledger draws the id, so that RETURNING answers it
# together with the position; an entry that was there before returns nothing and its row is not written again. DO
# NOTHING instead of DO UPDATE: it needs no UPDATE privilege.
_WRITE: LiteralString = """
WITH incoming AS (
    SELECT *
    FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::text[], %s::text[])
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

_PRUNE: LiteralString = """
DELETE FROM ledger WHERE (topic_id, partition, "offset") IN (
    SELECT topic_id, partition, "offset" FROM ledger
    WHERE topic_id = %s AND partition = %s AND "offset" < %s
    ORDER BY "offset" LIMIT %s
)
"""


class Position(NamedTuple):
    """A record's identity. The topic's id is Kafka's own: a topic made again under the same name is another one."""

    topic_id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Row:
    """What is written for a record: `data` is JSON text."""

    position: Position
    data: str
    task_type: TaskType


class RowRefused(Exception):
    """PostgreSQL refuses this row for good. The message names the error's code; its text would repeat the row."""


class Ledger:
    """The ledger and the rows, over one connection that is opened again whenever it breaks."""

    def __init__(self, connection_parameters: dict[str, Any]) -> None:
        """Only notes where PostgreSQL is; nothing is opened.

        Args:
            connection_parameters: libpq's host, port, user, password, dbname, sslmode.
        """
        self._connection_parameters = {
            **connection_parameters,
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": SILENT_SECONDS * 1000,
            "keepalives_idle": SILENT_SECONDS // 2,
            "keepalives_interval": 1,
            "keepalives_count": SILENT_SECONDS // 2,
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000}",
            "application_name": "integration-service processor",
        }
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()
        self._outage_noted = False
        self.connected = False

    async def connect(self) -> None:
        """Wait until PostgreSQL answers and has the tables."""
        await self._execute('SELECT "offset" FROM ledger LIMIT 0')

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

    async def prune(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete the entries below `first_offset`, the first that Kafka still has: they cannot come again."""
        entries = 1
        while entries:  # in small steps, so that no batch of rows waits long behind it
            entries = await self._execute_counting(_PRUNE, [topic_id, partition, first_offset, PAGE_OFFSETS])

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
        if not self._outage_noted:  # once an outage, and not the error's text: DETAIL and CONTEXT repeat rows
            self._outage_noted = True
            logger.warning(
                "PostgreSQL cannot be used, work waits for it: %s %s", type(error).__name__, error.sqlstate or ""
            )


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
        """Return the id of the record's row, or None where the record is not done. Answers in the order it is asked.

        A record that overtook others would be finished beyond a gap, and its result be repeated after a rebalance.
        """
        async with self._in_order:
            if offset > self._last:
                return None
            page_number = offset // PAGE_OFFSETS
            if page_number != self._page_number:
                self._page = await self._ledger.page(self.topic_id, self._partition, page_number * PAGE_OFFSETS)
                self._page_number = page_number
            return self._page.get(offset)

"""The PostgreSQL sink: one row for each task, and one ledger entry with the row's id for each finished position."""

import asyncio
import random
import time
from collections.abc import Awaitable, Sequence
from typing import LiteralString, NamedTuple

from processor.metrics import GROUP_COMMIT_ROWS, GROUP_COMMIT_SECONDS
from processor.record import Position
from processor.store.group_commit import GroupCommit
from processor.store.postgres import Postgres, columns
from shared.messages import TaskType

ROWS_WAITING_MAX = 500
"""Rows without an id at which no further provider is asked: about one batch. A crash repeats their paid calls."""

PAGE_OFFSETS = 10_000
"""Offsets that are fetched together after a partition was assigned, and entries that are pruned together."""

# One statement, one round trip, one transaction for many rows. The ledger generates the id, so that RETURNING gives it
# together with the position; an existing entry returns nothing, and its row is not written again. DO NOTHING and not DO
# UPDATE, which needs the UPDATE privilege. %b, because in text psycopg takes 100 us to escape an answer.
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

# Pruning goes page by page, also over entries that stay: a statement that exceeds STATEMENT_SECONDS would be retried
# for ever. Each statement returns the last key of its page, or NULL at the end.
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


class Row(NamedTuple):
    """A row to write for a record: `data` is JSON text."""

    position: Position
    data: str
    task_type: TaskType


def nowhere() -> Position:
    """Return a position where no record can be, for trial rows that must conflict with no other."""
    return Position("", -1, random.randrange(-(2**62), -1))  # noqa: S311 - differs by replica


class Ledger:
    """The rows and their ledger entries. However often a position is written, its first row stays."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._nowhere = nowhere()
        self._last_written = Row(self._nowhere, "{}", "phone")
        self._rows = GroupCommit(self._store_all, size_of=lambda row: len(row.data))
        self._positions = GroupCommit(self.find)

    def store(self, row: Row) -> Awaitable[int]:
        """Write the row by group commit, and return its id once it is committed.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses this row.
        """
        return self._rows.submit(row)

    @property
    def storable(self) -> bool:
        """Whether an answer that comes now is stored soon: PostgreSQL answers, and few rows wait for it."""
        return self._postgres.connected and self._rows.unanswered < ROWS_WAITING_MAX

    def id_at(self, position: Position) -> Awaitable[int | None]:
        """Return the id of the row at the position by group commit, or None if there is none."""
        return self._positions.submit(position)

    async def _store_all(self, rows: Sequence[Row], *, suspect: bool) -> list[int]:
        began_at = time.monotonic()
        first: dict[Position, Row] = {}  # a record that was delivered twice is one row of the statement
        for row in rows:
            first.setdefault(row.position, row)
        ids = await self.write(list(first.values()), suspect=suspect)
        GROUP_COMMIT_ROWS.observe(len(first))
        GROUP_COMMIT_SECONDS.observe(time.monotonic() - began_at)
        return [ids[row.position] for row in rows]

    async def write(self, rows: Sequence[Row], *, suspect: bool = False) -> dict[Position, int]:
        """Write the rows and their ledger entries, all or none. Return each position's id, new or existing.

        Positions must differ. `suspect`: this is one row, of a batch that was refused.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses one of the rows, and none is written.
        """
        entered = await self._postgres.execute_rows(
            _WRITE,
            [(*row.position, row.data, row.task_type) for row in rows],
            likely=[(*self._nowhere, data, of_type) for data, of_type in (("{}", "phone"), self._last_written[1:])],
            suspect=suspect,
        )
        ids = {Position(*position): row_id for *position, row_id in entered}
        if len(ids) < len(rows):
            # A second statement, because the snapshot of the first may be older than an entry that it conflicted with.
            known = [position for row in rows if (position := row.position) not in ids]
            found = await self._postgres.execute(_FIND, columns(known))
            ids.update({Position(*position): row_id for *position, row_id in found})
        self._last_written = rows[-1]
        return ids

    async def finished(self, topic_id: str, partition: int) -> "FinishedRecords":
        """Return the records of the partition that are done already, for as long as it stays assigned."""
        [(last,)] = await self._postgres.execute(_LAST, [topic_id, partition])
        return FinishedRecords(self, topic_id, partition, last)

    async def page(self, topic_id: str, partition: int, first: int) -> dict[int, int]:
        """Return offset -> id of the entries from offset `first` on, for PAGE_OFFSETS offsets."""
        return dict(await self._postgres.execute(_PAGE, [topic_id, partition, first, first + PAGE_OFFSETS]))

    async def find(self, positions: Sequence[Position], *, suspect: bool = False) -> list[int | None]:
        """Return the ids at the positions, in their order; None if a position is not done."""
        found = await self._postgres.execute(_FIND, columns(list(set(positions))))
        ids = {Position(*position): row_id for *position, row_id in found}
        return [ids.get(position) for position in positions]

    async def prune(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete the entries below `first_offset`, the low watermark: their records cannot be delivered again.

        Entries of idempotency keys stay, because the key still returns their id.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete some of them.
        """
        await self._postgres.prune(_PRUNE, [topic_id, partition, first_offset], -1, [PAGE_OFFSETS])


class FinishedRecords:
    """The records of a partition that were done before it was assigned. Caches one page: call with rising offsets."""

    def __init__(self, ledger: Ledger, topic_id: str, partition: int, last: int | None) -> None:
        self.topic_id = topic_id
        self._ledger = ledger
        self._partition = partition
        self._last = -1 if last is None else last
        self._page_number = -1
        self._page: dict[int, int] = {}
        self._in_order = asyncio.Lock()

    async def find(self, offset: int) -> int | None:
        """Return the id of the record's row, or None if the record is not done."""
        if offset > self._last:
            return None
        async with self._in_order:
            page_number = offset // PAGE_OFFSETS
            if page_number != self._page_number:
                self._page = await self._ledger.page(self.topic_id, self._partition, page_number * PAGE_OFFSETS)
                self._page_number = page_number
            return self._page.get(offset)

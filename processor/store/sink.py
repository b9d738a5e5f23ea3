"""The PostgreSQL step: rows of many records in one statement, by group commit.

What gathers while a batch is being written makes the next batch: no waiting for a batch to fill, no timer.
"""

import asyncio
import time

from processor.metrics import GROUP_COMMIT_ROWS, GROUP_COMMIT_SECONDS
from processor.record import Position
from processor.store.ledger import Ledger, Row, RowTooSlow

BATCH_ROWS_MAX = 1000
"""Rows of one statement."""

BATCH_CHARACTERS_MAX = 8 * 1024 * 1024
"""Characters of answers in one statement; one answer may be larger and then goes alone."""


class Sink:
    """Writes rows and answers their ids. Lives on the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # By position, so that a record that is delivered twice at once is one row of the statement.
        self._waiting: dict[Position, tuple[Row, list[asyncio.Future[int]]]] = {}
        self._writer: asyncio.Task[None] | None = None

    async def write(self, row: Row) -> int:
        """Return the id of the row once it is committed. However often a position comes, its first row stays.

        Raises:
            processor.ledger.RowRefused: PostgreSQL refuses this very row.
        """
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(row.position, (row, []))[1].append(written)
        if self._writer is None:
            self._writer = asyncio.ensure_future(self._write_all())
        return await written

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._next_batch())
        self._writer = None

    def _next_batch(self) -> list[tuple[Row, list[asyncio.Future[int]]]]:
        batch: list[Position] = []
        characters = 0
        for position, (row, _) in self._waiting.items():
            characters += len(row.data)
            if batch and (len(batch) == BATCH_ROWS_MAX or characters > BATCH_CHARACTERS_MAX):
                break
            batch.append(position)
        return [self._waiting.pop(position) for position in batch]

    async def _write(self, batch: list[tuple[Row, list[asyncio.Future[int]]]], *, suspect: bool = False) -> None:
        began_at = time.monotonic()
        try:
            ids = await self._ledger.write([row for row, _ in batch], suspect=suspect)
            written = [(waiters, ids[row.position]) for row, waiters in batch]
        except Exception as error:  # noqa: BLE001 - handed to the record it is about, whose boundary deals with it
            if len(batch) > 1:  # one row must not take the others down with it: halve until it stands alone
                # Each part with a slow row takes all its time again, so there is only one more of those for each.
                size = 1 if isinstance(error, RowTooSlow) else (len(batch) + 1) // 2
                for first in range(0, len(batch), size):
                    part = batch[first : first + size]
                    await self._write(part, suspect=len(part) == 1)
                return
            for waiter in _still_waiting(batch[0][1]):
                waiter.set_exception(error)
        else:
            GROUP_COMMIT_ROWS.observe(len(batch))
            GROUP_COMMIT_SECONDS.observe(time.monotonic() - began_at)
            for waiters, row_id in written:
                for waiter in _still_waiting(waiters):
                    waiter.set_result(row_id)


def _still_waiting(waiters: list[asyncio.Future[int]]) -> list[asyncio.Future[int]]:
    return [waiter for waiter in waiters if not waiter.done()]  # a stopping program cancels what waits

"""Finds the id of a record that was stored already: redelivered, redriven, or with a known idempotency key."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from processor.record import Headers, Position, Record, Turn, last_header
from processor.store.keys import Claim
from processor.store.rows import FinishedRecords
from shared.messages import REDRIVEN_FROM_HEADER

ELSEWHERE_LOOKS_MAX = 120
ELSEWHERE_PAUSE_SECONDS = 0.25
"""How often, and with which pause, a record looks for the row that its partition's previous owner may still write. That
owner may be waiting for its provider, or be dead. A look waits for as long as PostgreSQL is unavailable."""

# librdkafka writes a topic's id in base64, which may contain a slash. A number has one spelling: 7, not 007.
_POSITION = re.compile(rb"([A-Za-z0-9_+/-]{1,64})/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})")
_PARTITION_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1


def first_position(headers: Headers | None) -> Position | None:
    """Return the first position of a redriven record; None for any other record.

    The last header of the name counts. A header that is not a position was not written by redrive, and is ignored.
    """
    text = last_header(headers, REDRIVEN_FROM_HEADER)
    parts = None if text is None else _POSITION.fullmatch(text)
    if parts is None or int(parts[2]) > _PARTITION_MAX or int(parts[3]) > _OFFSET_MAX:
        return None
    return Position(parts[1].decode(), int(parts[2]), int(parts[3]))


def redriven_from(position: Position) -> tuple[str, bytes]:
    """Return the header that `first_position` reads."""
    return REDRIVEN_FROM_HEADER, b"%s/%d/%d" % (position.topic_id.encode(), position.partition, position.offset)


@dataclass(frozen=True, slots=True)
class Known:
    """Looks for a record's id in every place where there may be one."""

    id_at: Callable[[Position], Awaitable[int | None]]
    """Returns the id of the row at a position."""
    wait_for_key: Callable[[Claim], Awaitable[int | None]]
    """Returns the id of the idempotency key's row, or None if the key now belongs to this record."""

    async def id_of(
        self, record: Record, position: Position, claim: Claim | None, finished: FinishedRecords, turn: Turn
    ) -> int | None:
        """Return the id of the record's row, or None if its provider must be called.

        Args:
            record: as Kafka delivered it.
            position: the record's identity: its own position, or the first one of a redriven record.
            claim: its claim on an idempotency key, if it has one.
            finished: records of its partition that were done before the partition was assigned.
            turn: says whether the partition's previous owner was still working on the record.

        Raises:
            processor.store.keys.KeyRefused: its idempotency key belongs to another task, or was not finished in time.
        """
        is_own = position == (finished.topic_id, record.partition, record.offset)
        row_id = await (finished.find(record.offset) if is_own else self.id_at(position))
        if row_id is None and turn.elsewhere:
            row_id = await self._wait_for_previous_owner(position)
        if row_id is None and claim is not None:
            row_id = await self.wait_for_key(claim)
        return row_id

    async def _wait_for_previous_owner(self, position: Position) -> int | None:
        for _ in range(ELSEWHERE_LOOKS_MAX):
            row_id = await self.id_at(position)
            if row_id is not None:
                return row_id
            await asyncio.sleep(ELSEWHERE_PAUSE_SECONDS)
        return None

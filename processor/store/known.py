"""Finds the id that a record has already: it comes again, was put back, or has another record's idempotency key."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from processor.record import Headers, Position, Record, Turn
from processor.store.keys import Claim
from processor.store.rows import FinishedRecords
from shared.messages import REDRIVEN_FROM_HEADER

ELSEWHERE_LOOKS_MAX = 120
ELSEWHERE_PAUSE_SECONDS = 0.25
"""How often and how long a record waits for its row from an earlier owner of its partition. That one may be waiting for
its provider, or be dead by now; while PostgreSQL is away no look ends."""

# librdkafka writes a topic's id in base64, in which a slash may be. Numbers have one way of writing: 7, and not 007.
_POSITION = re.compile(rb"([A-Za-z0-9_+/-]{1,64})/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})")
_PARTITION_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1


def first_position(headers: Headers | None) -> Position | None:
    """Return the position that the record had before it was put back, or None where it was not.

    The last header of the name counts. One that is no position is a foreign header, and none of our business.
    """
    for name, value in reversed(headers or ()):
        if name == REDRIVEN_FROM_HEADER:
            parts = _POSITION.fullmatch(value or b"")
            if parts is None or int(parts[2]) > _PARTITION_MAX or int(parts[3]) > _OFFSET_MAX:
                return None
            return Position(parts[1].decode(), int(parts[2]), int(parts[3]))
    return None


def redriven_from(position: Position) -> tuple[str, bytes]:
    """Return the header that `first_position` reads."""
    return REDRIVEN_FROM_HEADER, b"%s/%d/%d" % (position.topic_id.encode(), position.partition, position.offset)


class Known:
    """Looks for a record's id in every place where one may be."""

    def __init__(
        self,
        id_at: Callable[[Position], Awaitable[int | None]],
        wait_for_key: Callable[[Claim], Awaitable[int | None]],
    ) -> None:
        """Look in these places.

        Args:
            id_at: returns the id of the row at a position.
            wait_for_key: returns the id of the idempotency key's row, or None where the key is now this record's.
        """
        self._id_at = id_at
        self._wait_for_key = wait_for_key

    async def id_of(
        self, record: Record, position: Position, claim: Claim | None, finished: FinishedRecords, turn: Turn
    ) -> int | None:
        """Return the id of the record's row, or None where its provider is to be asked.

        Args:
            record: as Kafka delivered it.
            position: by which it is known: its own, or the first one of a record that was put back.
            claim: on its idempotency key, if it has one.
            finished: what was done in its partition before that was assigned.
            turn: tells whether an earlier owner of the partition was still at work with it.

        Raises:
            processor.store.keys.KeyRefused: its idempotency key is another task's, or was not finished in time.
        """
        is_own = position == (finished.topic_id, record.partition, record.offset)
        row_id = await (finished.find(record.offset) if is_own else self._id_at(position))
        if row_id is None and turn.elsewhere:
            row_id = await self._wait_for_earlier_owner(position)
        if row_id is None and claim is not None:
            row_id = await self._wait_for_key(claim)
        return row_id

    async def _wait_for_earlier_owner(self, position: Position) -> int | None:
        for _ in range(ELSEWHERE_LOOKS_MAX):
            row_id = await self._id_at(position)
            if row_id is not None:
                return row_id
            await asyncio.sleep(ELSEWHERE_PAUSE_SECONDS)
        return None

"""Who works for an idempotency key: one record asks its provider, the others with the key wait for its id.

A claim is by position, not by replica: if the replica dies or hands the record back, the record comes again somewhere
and finds its own claim.
"""

import asyncio
from collections.abc import Awaitable, Callable

from processor.record import Position
from processor.store.ledger import Claim, Owner
from shared.messages import ErrorCode

PAUSE_SECONDS_FIRST = 0.02
PAUSE_SECONDS_MAX = 0.5

LOOKS_MAX = 7200
"""An hour of looks while PostgreSQL answers, then a dead letter. Without a limit, records that wait could fill a
replica's in-flight limit and keep the very record that they wait for from being read."""


class KeyRefused(Exception):
    """A record gets neither its key nor the key's id. The message repeats neither the key nor the task."""

    code: ErrorCode


class OtherTask(KeyRefused):
    """The key belongs to a task of another type or with other data."""

    code = ErrorCode.TASK_REJECTED


class StillClaimed(KeyRefused):
    """The record that the key belongs to was not finished in time."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class Claims:
    """Settles which record a key belongs to. Waiting holds no provider's slot, and may be cancelled at any moment."""

    def __init__(
        self, claim: Callable[[Claim], Awaitable[Owner | None]], find: Callable[[Position], Awaitable[int | None]]
    ) -> None:
        """Note how to claim.

        Args:
            claim: enters the claim where the key is free, and answers whose the key is then, or None where it was given
                up in that very moment, or where the position holds another key.
            find: answers the id of the row at a position.
        """
        self._claim = claim
        self._find = find

    async def __call__(self, claim: Claim) -> int | None:
        """Return the id of the key's row, or None where the key is this record's and its provider is to be asked.

        Raises:
            KeyRefused: neither.
        """
        pause_seconds = PAUSE_SECONDS_FIRST
        for _ in range(LOOKS_MAX):
            owner = await self._claim(claim)
            if owner is not None:
                if owner.claim.fingerprint != claim.fingerprint:
                    raise OtherTask("the idempotency key belongs to a task of another type or with other data")
                if owner.row_id is not None or owner.claim.position == claim.position:
                    return owner.row_id
            elif (row_id := await self._find(claim.position)) is not None:
                return row_id  # of a record that says it is from the same position, with another key
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)
        raise StillClaimed("the first record with the idempotency key is not finished yet")

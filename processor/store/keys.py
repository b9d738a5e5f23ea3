"""Idempotency keys: one record works for a key, and the others with the same key wait for its id.

A claim is by position, not by replica: if the replica dies or hands the record back, the record comes again somewhere
and finds its own claim.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import LiteralString, NamedTuple

from processor.record import Headers, Position
from processor.store.group_commit import GroupCommit
from processor.store.postgres import Postgres
from processor.store.rows import PAGE_OFFSETS, nowhere
from shared.back_off import back_off_seconds
from shared.messages import (
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    IDEMPOTENCY_KEY_DAYS,
    IDEMPOTENCY_KEY_HEADER,
    IDEMPOTENCY_KEY_PATTERN,
    ErrorCode,
    InvalidTask,
    Task,
)

FINGERPRINT_BYTES = 16

_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN.encode())

CLAIMS_DAYS = 7
"""How long a record that never finishes keeps its idempotency key. Kafka has deleted it by then, where the service has
made the topic (shared.topics.TASKS_DAYS)."""

PAUSE_SECONDS_FIRST = 0.02
PAUSE_SECONDS_MAX = 0.5

LOOKS_MAX = 7200
"""An hour of looks while PostgreSQL answers, then a dead letter. Without a limit, records that wait could fill a
replica's in-flight limit and keep the very record that they wait for from being read."""

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


class Claim(NamedTuple):
    """A record's claim on an idempotency key."""

    key: str
    fingerprint: bytes
    position: Position


class Owner(NamedTuple):
    """The claim that holds, and the id of its record's row, or None while that is not there."""

    claim: Claim
    row_id: int | None


class KeyRefused(Exception):
    """A record gets neither its key nor the key's id. The message repeats neither the key nor the task."""

    code: ErrorCode


class OtherTask(KeyRefused):
    """The key belongs to a task of another type or with other data."""

    code = ErrorCode.TASK_REJECTED


class StillClaimed(KeyRefused):
    """The record that the key belongs to was not finished in time."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class Keys:
    """The keys' claims. Waiting for a key holds no slot of a provider, and may be cancelled at any moment."""

    def __init__(self, postgres: Postgres, id_at: Callable[[Position], Awaitable[int | None]]) -> None:
        """Use this connection.

        Args:
            postgres: where the claims are.
            id_at: returns the id of the row at a position.
        """
        self._postgres = postgres
        self._id_at = id_at
        self._nowhere = nowhere()
        self._claims = GroupCommit(self.claim)
        self._releases = GroupCommit(self.release_all)

    async def wait_for(self, claim: Claim) -> int | None:
        """Return the id of the key's row, or None where the key is this record's and its provider is to be asked.

        Raises:
            KeyRefused: neither.
        """
        for attempt in range(1, LOOKS_MAX + 1):
            owner = await self._claims.submit(claim)
            if owner is not None:
                if owner.claim.fingerprint != claim.fingerprint:
                    raise OtherTask("the idempotency key belongs to a task of another type or with other data")
                if owner.row_id is not None or owner.claim.position == claim.position:
                    return owner.row_id
            elif (row_id := await self._id_at(claim.position)) is not None:
                return row_id  # of a record that says it is from the same position, with another key
            await asyncio.sleep(back_off_seconds(attempt, PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX))
        raise StillClaimed("the first record with the idempotency key is not finished yet")

    async def release(self, claim: Claim) -> None:
        """Free the key of a record that has failed, by group commit.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete this very claim.
        """
        await self._releases.submit(claim)

    async def claim(self, claims: Sequence[Claim], *, suspect: bool = False) -> list[Owner | None]:
        """Enter those claims whose keys are free, and return whose each key is then, in the claims' order.

        None for a key that was given up in between, and for one claimed by a position that holds another key already.
        A crash leaves claims behind, which their records find when they come again.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses one of the claims, and none is entered.
        """
        keys = [claim.key for claim in claims]
        await self._postgres.execute_rows(
            _CLAIM,
            [(claim.key, claim.fingerprint, *claim.position) for claim in claims],
            likely=[(secrets.token_hex(16), claims[0].fingerprint, *self._nowhere)],
            suspect=suspect,
        )
        # Asked after, not in the same statement, whose snapshot may be older than a claim it ran into.
        owners = {
            key: Owner(Claim(key, fingerprint, Position(*position)), row_id)
            for key, fingerprint, *position, row_id in await self._postgres.execute(_OWNERS, [list(set(keys))])
        }
        return [owners.get(key) for key in keys]

    async def release_all(self, claims: Sequence[Claim], *, suspect: bool = False) -> list[None]:
        """Delete the claims and free their keys. A key stays that is another position's or has its row.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete one of the claims, and none is deleted.
        """
        await self._postgres.execute_rows(
            _RELEASE, [(claim.key, *claim.position) for claim in claims], likely=[("", *self._nowhere)], suspect=suspect
        )
        return [None] * len(claims)

    async def prune(self) -> None:
        """Delete keys that are older than IDEMPOTENCY_KEY_DAYS, and unfinished claims that are older than CLAIMS_DAYS.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete some of it.
        """
        await self._postgres.prune(_PRUNE_KEYS, [], "", [PAGE_OFFSETS, CLAIMS_DAYS, IDEMPOTENCY_KEY_DAYS])

    async def prune_claims(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete unfinished claims of records below `first_offset`, the first that Kafka still has.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete some of it.
        """
        await self._postgres.prune(_PRUNE_CLAIMS, [topic_id, partition, first_offset], -1, [PAGE_OFFSETS])


def claim_of(headers: Headers | None, task: Task, position: Position) -> Claim | None:
    """Return the record's claim on its idempotency key, or None where it has no key.

    The last header of the name counts, as with Kafka's own `lastHeader`.

    Raises:
        InvalidTask: the header's value is no key.
    """
    for name, value in reversed(headers or ()):
        if name == IDEMPOTENCY_KEY_HEADER:
            if not _KEY.fullmatch(value or b""):
                raise InvalidTask(
                    f"{IDEMPOTENCY_KEY_HEADER}: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters"
                )
            assert value is not None  # or it were no key
            return Claim(value.decode(), fingerprint(value, task), position)
    return None


def fingerprint(key: bytes, task: Task) -> bytes:
    """Return what tells tasks with the same key apart. It is keyed so that one task's are not alike under two keys."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES, key=hashlib.blake2b(key).digest())  # takes 64 bytes at most
    digest.update(task.task_type.encode() + b"\0" + task.data.encode())
    return digest.digest()

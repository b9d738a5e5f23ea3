"""Idempotency keys: one record does the work for a key, and the others with the same key wait for its id.

A claim belongs to a position, not to a replica: if the replica dies or hands the record back, the record is delivered
again to some replica and finds its own claim.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import LiteralString, NamedTuple

from processor.record import Headers, Position, last_header
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
"""How long a record that never finishes keeps its idempotency key. At about that time Kafka deletes the record, if the
service has created the topic (shared.topics.TASKS_DAYS)."""

PAUSE_SECONDS_FIRST = 0.02
PAUSE_SECONDS_MAX = 0.5

LOOKS_MAX = 7200
"""How often a record polls for its key's id before it becomes a dead letter: for an hour while PostgreSQL answers.
Without a limit, waiting records could fill the in-flight limit of a replica, and keep the record that they wait for
from being read."""

LENT_SECONDS_MAX = 3600.0
"""Limit of the time for which a deadline is lent, because records do not wait longer for their keys."""

# Ordered by key, so that two replicas that claim the same keys do not deadlock. %b sends bytes in binary, because their
# text form in psycopg depends on the session's standard_conforming_strings.
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
    awaited_until: float | None = None
    """Until when somebody waits for the record, in seconds since 1970."""


class Owner(NamedTuple):
    """The valid claim on a key, and the id of its record's row; None while the row is not written."""

    claim: Claim
    row_id: int | None


class KeyRefused(Exception):
    """A record gets neither its key nor the id of the key's row. The message never repeats the key or the task."""

    code: ErrorCode


class OtherTask(KeyRefused):
    """The key belongs to a task of another type or with other data."""

    code = ErrorCode.TASK_REJECTED


class StillClaimed(KeyRefused):
    """The key's first record was not finished in time."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class Keys:
    """The claims on keys. Waiting for a key holds no slot of a provider, and may be cancelled at any time."""

    def __init__(
        self,
        postgres: Postgres,
        id_at: Callable[[Position], Awaitable[int | None]],
        lend: Callable[[Position, float], None] = lambda position, awaited_until: None,
    ) -> None:
        """Store the parts.

        Args:
            postgres: the connection.
            id_at: returns the id of the row at a position.
            lend: lets the record at a position be awaited until then.
        """
        self._postgres = postgres
        self._id_at = id_at
        self._lend = lend
        self._nowhere = nowhere()
        self._claims = GroupCommit(self.claim)
        self._releases = GroupCommit(self.release_all)

    async def wait_for(self, claim: Claim) -> int | None:
        """Return the id of the key's row; None if the key belongs to this record, whose provider must then be called.

        If somebody waits for this record, the one that the key belongs to is awaited as long.

        Raises:
            KeyRefused: the key belongs to another task, or its first record is not finished in time.
        """
        lent_until = min(claim.awaited_until or 0.0, time.time() + LENT_SECONDS_MAX)
        for attempt in range(1, LOOKS_MAX + 1):
            owner = await self._claims.submit(claim)
            if owner is not None:
                if owner.claim.fingerprint != claim.fingerprint:
                    raise OtherTask("the idempotency key belongs to a task of another type or with other data")
                if owner.row_id is not None or owner.claim.position == claim.position:
                    return owner.row_id
                if lent_until > time.time():
                    self._lend(owner.claim.position, lent_until)
            elif (row_id := await self._id_at(claim.position)) is not None:
                return row_id  # written for this position by a record with another key
            await asyncio.sleep(back_off_seconds(attempt, PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX))
        raise StillClaimed("the first record with the idempotency key is not finished yet")

    async def release(self, claim: Claim) -> None:
        """Free the key of a record that has failed, by group commit.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete this claim.
        """
        await self._releases.submit(claim)

    async def claim(self, claims: Sequence[Claim], *, suspect: bool = False) -> list[Owner | None]:
        """Claim the keys that are free, and return the owner of each key, in the claims' order.

        An owner is None if the key was released meanwhile, or if the claim's position already owns another key. A crash
        leaves claims behind; their records find them when they are delivered again.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses one of the claims, and stores none.
        """
        keys = [claim.key for claim in claims]
        await self._postgres.execute_rows(
            _CLAIM,
            [(claim.key, claim.fingerprint, *claim.position) for claim in claims],
            likely=[(secrets.token_hex(16), claims[0].fingerprint, *self._nowhere)],
            suspect=suspect,
        )
        # A second statement, because the snapshot of the first may be older than a claim that it conflicted with.
        owners = {
            key: Owner(Claim(key, fingerprint, Position(*position)), row_id)
            for key, fingerprint, *position, row_id in await self._postgres.execute(_OWNERS, [list(set(keys))])
        }
        return [owners.get(key) for key in keys]

    async def release_all(self, claims: Sequence[Claim], *, suspect: bool = False) -> list[None]:
        """Delete the claims and free their keys. A key stays if it belongs to another position or has its row.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete one of the claims, and deletes none.
        """
        await self._postgres.execute_rows(
            _RELEASE, [(claim.key, *claim.position) for claim in claims], likely=[("", *self._nowhere)], suspect=suspect
        )
        return [None] * len(claims)

    async def prune(self) -> None:
        """Delete keys older than IDEMPOTENCY_KEY_DAYS, and unfinished claims older than CLAIMS_DAYS.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete some of them.
        """
        await self._postgres.prune(_PRUNE_KEYS, [], "", [PAGE_OFFSETS, CLAIMS_DAYS, IDEMPOTENCY_KEY_DAYS])

    async def prune_claims(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Delete unfinished claims of records below `first_offset`, the partition's low watermark.

        Raises:
            processor.store.postgres.RowRefused: PostgreSQL refuses to delete some of them.
        """
        await self._postgres.prune(_PRUNE_CLAIMS, [topic_id, partition, first_offset], -1, [PAGE_OFFSETS])


def claim_of(headers: Headers | None, task: Task, position: Position, awaited_until: float | None) -> Claim | None:
    """Return the record's claim on its idempotency key, or None if it has no key.

    Raises:
        InvalidTask: the header's value is not a valid key.
    """
    key = last_header(headers, IDEMPOTENCY_KEY_HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidTask(
            f"{IDEMPOTENCY_KEY_HEADER}: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters"
        )
    return Claim(key.decode(), fingerprint(key, task), position, awaited_until)


def fingerprint(key: bytes, task: Task) -> bytes:
    """Return a hash that tells different tasks with one key apart. With another key, a task has another hash."""
    # The key is hashed first, because blake2b takes a key of 64 bytes at most.
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES, key=hashlib.blake2b(key).digest())
    digest.update(task.task_type.encode() + b"\0" + task.data.encode())
    return digest.digest()

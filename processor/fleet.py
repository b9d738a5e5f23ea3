"""What the replicas of a fleet agree on, in PostgreSQL: leases on the providers' quotas, and circuits.

Each replica renews its leases in short transactions on a connection of its own, one at a time over all replicas. While
PostgreSQL does not answer, the leases end, and no provider is asked.
"""

import asyncio
import contextlib
import logging
import math
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, LiteralString, NamedTuple

import psycopg

from processor.enrich.circuit import Opening, Report, agree
from processor.enrich.gate import Gate
from processor.enrich.quota import Quota
from processor.enrich.shares import Grant, Lease, grant, is_urgent
from processor.record import Position
from processor.store.postgres import BEGIN, bounded, hang_up, reason, settings

logger = logging.getLogger(__name__)

LEASE_SECONDS = 3.0
"""How long a lease is valid without a renewal. After a crash of a replica its slots are unused for this long."""

RENEW_SECONDS = 0.25
"""Between two renewals while this replica or another one wants slots."""

IDLE_SECONDS = 1.25
"""Between two renewals otherwise."""

WAKE_SECONDS = 0.22
"""Least time between two renewals."""

TRANSACTION_SECONDS = 2.0
"""Limit of one renewal. PostgreSQL ends the session of a replica that does not go on with its transaction."""

PROBE_PARTS = 10
"""One new connection in this many is kept for probes, and for the time after an outage."""

RESERVE_SECONDS = 60.0
"""How long after the end of an outage that part may be used for any request."""

LENT_MAX = 1000
"""Most deadlines that one replica lends at a time."""

_BEGIN: LiteralString = f"""
{BEGIN};
{settings(TRANSACTION_SECONDS, TRANSACTION_SECONDS)}
SET LOCAL idle_in_transaction_session_timeout = {int(TRANSACTION_SECONDS * 1000)};
"""

_READ: LiteralString = (
    _BEGIN
    + """
SELECT pg_advisory_xact_lock(hashtext('integration_service leases'));
SELECT quota, replica, slots, awaited, backlog, extract(epoch FROM unserved_from)::float8, rejections,
    extract(epoch FROM answered_at)::float8, held_seconds, extract(epoch FROM valid_until)::float8 FROM leases;
SELECT provider, state, why, extract(epoch FROM since)::float8, probes, extract(epoch FROM probe_at)::float8, prober,
    found_by FROM circuits;
SELECT topic_id, partition, "offset", extract(epoch FROM awaited_until)::float8 FROM lent_deadlines;
SELECT extract(epoch FROM clock_timestamp())::float8;
"""
)

_WRITE_LEASES: LiteralString = """
INSERT INTO leases
SELECT quota, %s, slots, awaited, backlog, to_timestamp(unserved_from), rejections, to_timestamp(answered_at),
    held_seconds, clock_timestamp() + make_interval(secs => %s)
FROM unnest(%s::text[], %s::integer[], %s::integer[], %s::integer[], %s::float8[], %s::integer[], %s::float8[],
    %s::float8[]) AS t (quota, slots, awaited, backlog, unserved_from, rejections, answered_at, held_seconds)
ON CONFLICT (quota, replica) DO UPDATE SET (slots, awaited, backlog, unserved_from, rejections, answered_at,
    held_seconds, valid_until) = (excluded.slots, excluded.awaited, excluded.backlog, excluded.unserved_from,
    excluded.rejections, excluded.answered_at, excluded.held_seconds, excluded.valid_until);
"""

_DELETE_LEASES: LiteralString = """
DELETE FROM leases USING unnest(%s::text[], %s::text[]) AS t (quota, replica)
WHERE (leases.quota, leases.replica) = (t.quota, t.replica);
"""

_OPEN: LiteralString = """
INSERT INTO circuits VALUES (%s, %s, %s, to_timestamp(%s), %s, to_timestamp(%s), %s, %s)
ON CONFLICT (provider) DO UPDATE SET (state, why, since, probes, probe_at, prober, found_by) = (excluded.state,
    excluded.why, excluded.since, excluded.probes, excluded.probe_at, excluded.prober, excluded.found_by);
"""

_CLOSE: LiteralString = """
DELETE FROM circuits WHERE provider = %s;
"""

_LEND: LiteralString = """
INSERT INTO lent_deadlines SELECT topic_id, partition, "offset", to_timestamp(awaited_until)
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::float8[]) AS t (topic_id, partition, "offset", awaited_until)
ON CONFLICT (topic_id, partition, "offset") DO UPDATE
    SET awaited_until = greatest(lent_deadlines.awaited_until, excluded.awaited_until);
"""

_FORGET_LENT: LiteralString = """
DELETE FROM lent_deadlines WHERE awaited_until < clock_timestamp();
"""

_END_LEASES: LiteralString = (
    _BEGIN
    + """
UPDATE leases SET slots = t.held, valid_until = least(valid_until, clock_timestamp())
FROM unnest(%s::text[], %s::integer[]) AS t (quota, held) WHERE leases.quota = t.quota AND replica = %s;
COMMIT
"""
)


class _Row(NamedTuple):
    """A row of the table of leases. Times are PostgreSQL's, in seconds."""

    quota: str
    replica: str
    slots: int
    awaited: int
    backlog: int
    unserved_from: float | None
    rejections: int
    answered_at: float | None
    held_seconds: float
    valid_until: float

    def is_valid(self, now: float) -> bool:
        """Return whether the replica may begin requests."""
        return self.valid_until >= now

    def is_free(self, now: float) -> bool:
        """Return whether the replica's last request has ended."""
        return self.valid_until + self.held_seconds < now

    def lease(self, now: float) -> Lease:
        unserved_seconds = 0.0 if self.unserved_from is None else now - self.unserved_from
        return Lease(self.slots, self.awaited, self.backlog, unserved_seconds)


class _Renewal:
    """One renewal: what the fleet's tables say, what to write there, and what to do once it is committed."""

    def __init__(self, me: str, asked_at: float, answer: list[list[Any]]) -> None:
        *_, leases, circuits, lent, [(self.now,)] = answer
        self._me = me
        self._asked_at = asked_at
        self._ahead = self.now - time.monotonic()
        rows = [_Row(*row) for row in leases]
        free = [(row.quota, row.replica) for row in rows if row.is_free(self.now)]
        rows = [row for row in rows if not row.is_free(self.now)]
        self._others = [row for row in rows if row.replica != me]
        self._live = [row for row in self._others if row.is_valid(self.now)]
        self._before = {row.quota: row for row in rows if row.replica == me}
        self._openings = {provider: Opening(*opening) for provider, *opening in circuits}
        self.lent = {Position(*position): until for *position, until in lent if until >= self.now}
        self.leases: list[_Row] = []
        self.then: list[Callable[[], None]] = []
        """What to do once it is committed."""
        self._text: list[LiteralString] = []
        self._parameters: list[Any] = []
        if free:
            self.write(_DELETE_LEASES, *_columns(free))
        if len(self.lent) < len(lent):
            self.write(_FORGET_LENT)

    @property
    def is_first(self) -> bool:
        """Whether no other replica has a lower name."""
        return all(self._me < row.replica for row in self._live)

    def write(self, statement: LiteralString, *parameters: Any) -> None:
        """Add a statement."""
        self._text.append(statement)
        self._parameters += parameters

    def statements(self) -> tuple[LiteralString, list[Any]]:
        """Return all statements and their parameters."""
        quotas, _, *values, _ = _columns(self.leases)
        self.write(_WRITE_LEASES, self._me, LEASE_SECONDS, quotas, *values)
        return "".join([*self._text, "COMMIT"]), self._parameters

    def agree(self, gate: Gate) -> Opening:
        """Report the gate's circuit, and return what the fleet agrees on."""
        circuit = gate.circuit
        others = [row for row in self._others if row.quota == gate.name]
        answered_at = max((row.answered_at or -math.inf for row in others), default=-math.inf)
        rejections = sum(row.rejections for row in others)
        gate.count_rejections(answered_at - self._ahead, rejections, self.now - self._ahead)
        report = circuit.report(self._ahead, wants_probe=gate.is_wanted)
        known = self._openings.get(gate.name, Opening())
        agreed = agree(known, report, self._me, answered_at, self.now, gate.longest_seconds)
        is_alone = report.state != "closed" and not report.follows and answered_at > report.since
        if is_alone and not gate.alone_logged:
            self.then.append(partial(_log_alone, gate, report))
        self.then.append(partial(setattr, gate, "alone_logged", is_alone))
        if agreed != known:
            self.write(*((_CLOSE, gate.name) if agreed.state == "closed" else (_OPEN, gate.name, *agreed)))
        if agreed.state != known.state:
            self.then.append(partial(_log_state, gate, agreed))
        self.then.append(partial(gate.follow, agreed, report, self._me, self._ahead, self._asked_at))
        return agreed

    def lease(self, gate: Gate, name: str, quota: Quota | None, slots: int, awaited: int, wanted: int) -> None:
        """Renew the lease on a quota.

        Args:
            gate: the provider's.
            name: the quota's.
            quota: this replica's part of it; None if there is no quota.
            slots: its slots at present.
            awaited: slots wanted for awaited tasks.
            wanted: slots wanted for others.
        """
        before = self._before.get(name)
        answered_at = gate.circuit.answered_at
        granted = Grant(0, 0)
        unserved_from = None
        if quota is not None:
            wanted += quota.used(time.monotonic())
            unserved_from = None if before is None else before.unserved_from
            leases = {row.replica: row.lease(self.now) for row in self._live if row.quota == name}
            # Replicas that have ended want nothing any more, but their last requests hold slots for a while.
            ended = sum(row.slots for row in self._others if row.quota == name and not row.is_valid(self.now))
            slots = max(0, slots - ended)
            unserved_seconds = 0.0 if unserved_from is None else self.now - unserved_from
            leases[self._me] = Lease(0 if before is None else before.slots, awaited, wanted, unserved_seconds)
            held = partial(quota.lower, now=time.monotonic())
            granted = grant(slots, leases, self._me, held)
            unserved_from = (unserved_from or self.now) if awaited + wanted and not granted.slots else None
            self.then.append(partial(setattr, quota, "limit", granted.limit))
        self.leases.append(
            _Row(
                name,
                self._me,
                granted.slots,
                awaited,
                wanted,
                unserved_from,
                gate.circuit.rejections,
                None if answered_at == -math.inf else answered_at + self._ahead,
                0.0 if quota is None else quota.held_seconds(time.monotonic()),
                0.0,
            )
        )

    @property
    def is_urgent(self) -> bool:
        """Whether a lease must be renewed soon."""
        return any(
            is_urgent(row.lease(self.now), (other.lease(self.now) for other in self._live if other.quota == row.quota))
            for row in self.leases
        )


class Fleet:
    """This replica's part in the fleet. Lives on the event loop."""

    def __init__(
        self,
        connection_parameters: dict[str, Any],
        gates: Iterable[Gate],
        *,
        connected: Callable[[], bool] = lambda: True,
    ) -> None:
        """Open nothing.

        Args:
            connection_parameters: libpq's.
            gates: one for each provider account.
            connected: whether rows can be written; if not, that is logged elsewhere, with its reason.
        """
        self._connection_parameters = {
            **bounded(connection_parameters, "integration-service leases"),
            "cursor_factory": psycopg.AsyncClientCursor,  # binds parameters itself: a transaction is two round trips
        }
        self._gates = tuple(gates)
        self._connected = connected
        self._me = uuid.uuid4().hex[:12]
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._woken = asyncio.Event()
        self._lending: dict[Position, float] = {}
        self._lent: dict[Position, float] = {}
        self._is_urgent = True
        self.is_first = False
        """Whether this replica is the one of the fleet that does what one is enough for."""
        self._reasons_logged: set[str] = set()  # of this outage
        for gate in self._gates:
            gate.changed = self._woken.set

    async def run(self) -> None:
        """Renew the leases until cancelled."""
        while True:
            began_at = time.monotonic()
            self._woken.clear()
            try:
                await self._renew()
            except psycopg.Error as error:
                await self._disconnect()
                if self._connected() and (why := reason(error)) not in self._reasons_logged:
                    self._reasons_logged.add(why)
                    logger.warning("leases cannot be renewed, no provider is asked: %s", why)
            seconds = (RENEW_SECONDS if self._is_urgent else IDLE_SECONDS) * random.uniform(0.95, 1.05)  # noqa: S311
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began_at + seconds - time.monotonic())):
                    await self._woken.wait()
            await asyncio.sleep(max(0.0, began_at + WAKE_SECONDS - time.monotonic()))

    def stop(self) -> dict[str, int]:
        """Let no request begin any more, and return quota -> slots that requests hold.

        Call it before tasks are cancelled: the provider may go on with their requests.
        """
        now = time.monotonic()
        quotas = {gate.name: gate.quota for gate in self._gates}
        quotas |= {_connections_of(gate): gate.connections for gate in self._gates}
        return {name: 0 if quota is None else quota.lower(0, now) for name, quota in quotas.items()}

    async def close(self, held: Mapping[str, int]) -> None:
        """End the leases. Others may have the slots, but those that `stop` returned only when their requests ended."""
        await self._disconnect()  # a renewal may have been cut off in its transaction
        with contextlib.suppress(psycopg.Error):
            await self._ask(_END_LEASES, [list(held), list(held.values()), self._me])
        await self._disconnect()

    def lend(self, position: Position, awaited_until: float) -> None:
        """Let the record at the position be awaited until then, because another one waits for its answer."""
        if self._lent.get(position, 0.0) < awaited_until and len(self._lending) < LENT_MAX:
            self._lending[position] = awaited_until
            self._woken.set()

    async def _renew(self) -> None:
        asked_at = time.monotonic()
        renewal = _Renewal(self._me, asked_at, await self._ask(_READ))
        for gate in self._gates:
            opening = renewal.agree(gate)
            awaited, backlog = gate.waiting()
            slots = 0 if gate.quota is None else gate.quota.slots
            renewal.lease(gate, gate.name, gate.quota, slots, awaited, backlog)
            if gate.connections is not None:
                slots = gate.connections.slots
                if opening.state == "closed" and asked_at > gate.circuit.closed_at + RESERVE_SECONDS:
                    slots -= slots // PROBE_PARTS
                wanted = gate.connections_wanted()
                awaited = min(awaited, wanted)
                renewal.lease(gate, _connections_of(gate), gate.connections, slots, awaited, wanted - awaited)
        lending, self._lending = self._lending, {}
        if lending:
            renewal.write(_LEND, *_columns([(*position, until) for position, until in lending.items()]))
        await self._ask(*renewal.statements())
        for step in renewal.then:
            step()
        self._reasons_logged.clear()
        self._lent = renewal.lent | lending
        self.is_first = renewal.is_first
        self._is_urgent = renewal.is_urgent or any(gate.is_suspicious for gate in self._gates)
        for gate in self._gates:
            gate.renew(asked_at + LEASE_SECONDS)
            gate.lend(self._lent)
            gate.serve()

    async def _ask(self, statements: LiteralString, parameters: Sequence[Any] | None = None) -> list[list[Any]]:
        """Return the rows of each statement that returns rows."""
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(**self._connection_parameters, autocommit=True)
        connection = self._connection
        assert connection is not None
        hanging_up = asyncio.get_running_loop().call_later(TRANSACTION_SECONDS, hang_up, connection)
        try:
            cursor = await connection.execute(statements, parameters)
            answer = []
            while True:
                if cursor.description is not None:
                    answer.append(await cursor.fetchall())
                if not cursor.nextset():
                    return answer
        finally:
            hanging_up.cancel()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def _connections_of(gate: Gate) -> str:
    """Return the name of the gate's quota of new connections."""
    return f"{gate.name} connections"


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _log_alone(gate: Gate, report: Report) -> None:
    logger.warning(
        "%s answers other replicas and not this one, which only sends probes; look at its settings and its network: %s",
        gate.name,
        report.why,
    )


def _log_state(gate: Gate, opening: Opening) -> None:
    match opening.state:
        case "closed":
            logger.info("%s answers again", gate.name)
        case "unavailable":
            logger.warning("%s has failed too often, only probes are sent until it answers: %s", gate.name, opening.why)
        case "refused":
            logger.error(
                "%s refuses our account, its tasks are dead-lettered until it accepts it: %s", gate.name, opening.why
            )
        case "misconfigured":
            logger.error(
                "%s rejects every task, so the service is misconfigured and its tasks wait; look at %s: %s",
                gate.name,
                gate.look_at,
                opening.why,
            )

"""The gate to a provider: admits requests as leases, circuit and connections permit, those of awaited records first."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from processor.enrich.circuit import REJECTIONS_MAX, SETTLE_SECONDS, SURE_REJECTIONS, Circuit, Opening, Report
from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    Misconfigured,
    NotNow,
    ProviderError,
    ProviderUnavailable,
    TaskRejected,
    UnusableAnswer,
)
from processor.enrich.providers.wire import Connection, Idle
from processor.enrich.quota import Quota, Request
from processor.enrich.waiting import Place, Waiting
from processor.metrics import (
    AWAITED_WAITING,
    CIRCUIT,
    NEW_CONNECTIONS,
    NEW_CONNECTIONS_LEFT,
    QUOTA_SLOTS,
    QUOTA_USED_SLOTS,
    WAITING_FOR_SLOT,
)
from processor.record import Position

logger = logging.getLogger(__name__)

TIMER_SECONDS_MIN = 0.001

STORE_LOOK_SECONDS = 0.02
"""Between two checks whether answers can be stored again."""

VERDICT_SECONDS = SETTLE_SECONDS + 1.0
"""How long a rejected task waits until it is known whether the provider rejects everything."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A task that asks for permits, one for each attempt."""

    awaited_until: float | None = None
    """Until when somebody waits for it, in seconds since 1970."""
    position: Position | None = None
    """Its record's, if records with the same idempotency key may wait for it."""
    number: int | None = None
    """Its place in the order of arrival; None until it has come to the gate."""
    rejected_at: float | None = None
    """When the provider last rejected the task; None if it has not."""


@dataclass(slots=True, eq=False)
class Pass:
    """A permit for one request to the provider. It is the request's `Line`, too."""

    gate: "Gate"
    ticket: Ticket
    begun: float
    probe: int
    """Its number if it is a probe, else 0."""
    request: Request | None
    opening: Request | None
    """The slot of the connection to be opened."""
    connection: Connection | None

    def sent(self) -> None:
        """Record that the connection is open and the request is sent now. Part of Line.

        Raises:
            NotNow: the lease has ended while the connection was opened.
        """
        self.gate.sent(self)


_Waiter = tuple[asyncio.Future[Pass], Ticket]


class Gate:
    """One provider's queue; work that waits here does not delay another provider's. Lives on the event loop."""

    def __init__(
        self,
        name: str,
        *,
        quota: Quota | None,
        requests_max: int,
        connections: Quota | None = None,
        longest_seconds: float = math.inf,
        look_at: str = "",
        storable: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start without leases.

        Args:
            name: name of the provider, in logs, metrics and leases.
            quota: the fleet's quota of requests; None for no quota.
            requests_max: this replica's concurrent requests.
            connections: the fleet's quota of new connections; None for no quota.
            longest_seconds: longest duration of a request.
            look_at: the settings to look at if the provider rejects everything.
            storable: returns whether the answer of a request that begins now could be stored.
        """
        self.name = name
        self.quota = quota
        self.connections = connections
        self.longest_seconds = longest_seconds
        self.look_at = look_at
        self.circuit = Circuit()
        self.storable = storable
        self.valid_until = -math.inf
        """Until when this replica's leases are valid. Nothing begins later."""
        self.alone_logged = False
        """Whether it is logged that the provider answers other replicas, and has no good answer to this one."""
        self._valid_from = -math.inf  # since when they have been valid without a gap
        self.changed: Callable[[], None] = lambda: None
        """Called when the fleet should know of a change soon."""
        self._requests_max = requests_max
        self._requests = 0
        self._idle = Idle()
        self._waiting: Waiting[_Waiter] = Waiting()
        self._places: dict[Position, Place[_Waiter]] = {}
        self._lent: dict[Position, float] = {}
        self._put_back: set[Place[_Waiter]] = set()  # behind the others until the circuit closes, awaited or not
        self._probes_last = False
        self._rejection = ""
        self._refused = (0.0, 0)  # when the account was refused, and after how many probes
        self._verdicts: set[asyncio.Future[bool]] = set()
        self._timer: asyncio.TimerHandle | None = None
        CIRCUIT.labels(name).state(self.circuit.state)
        WAITING_FOR_SLOT.labels(name).set_function(lambda: len(self._waiting))
        AWAITED_WAITING.labels(name).set_function(lambda: self._waiting.awaited)
        if quota is not None:
            QUOTA_SLOTS.labels(name).set_function(lambda: quota.limit)
            QUOTA_USED_SLOTS.labels(name).set_function(lambda: quota.used(time.monotonic()))
        if connections is not None:
            NEW_CONNECTIONS.labels(name).set_function(lambda: connections.used(time.monotonic()))
            NEW_CONNECTIONS_LEFT.labels(name).set_function(
                lambda: max(0, connections.limit - connections.used(time.monotonic()))
            )

    @property
    def state(self) -> str:
        """The circuit breaker's state. May be read from any thread."""
        return self.circuit.state

    async def enter(self, ticket: Ticket) -> Pass:
        """Wait for a permit for one request. The caller must end it by `leave` or `cancel`.

        Raises:
            AccountRefused: the provider refuses the account.
        """
        now = time.monotonic()
        put_back = ticket.number is not None and self.circuit.state != "closed"
        if ticket.number is None or put_back:  # else the probes would use up one task's attempts
            ticket.number = self._waiting.number()
        if not len(self._waiting) and not self._wait_seconds(now):
            return self._begin(now, ticket)
        waiter: asyncio.Future[Pass] = asyncio.get_running_loop().create_future()
        place = self._enqueue(waiter, ticket, ticket.number, put_back=put_back)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiting.leave(place)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.cancel(waiter.result())
            raise
        finally:
            self._put_back.discard(place)
            if ticket.position is not None:
                self._places.pop(ticket.position, None)

    def _enqueue(self, waiter: asyncio.Future[Pass], ticket: Ticket, number: int, *, put_back: bool) -> Place[_Waiter]:
        was_empty = not len(self._waiting)
        place = self._waiting.enter((waiter, ticket), number, None if put_back else self._awaited_until(ticket))
        if put_back:
            self._put_back.add(place)
        if ticket.position is not None:
            self._places[ticket.position] = place
        if was_empty:
            self.changed()
        self.serve()
        return place

    def _awaited_until(self, ticket: Ticket) -> float | None:
        lent = 0.0 if ticket.position is None else self._lent.get(ticket.position, 0.0)
        return max(ticket.awaited_until or 0.0, lent) or None

    def cancel(self, permit: Pass) -> None:
        """Return the permit: its request was not sent."""
        self._requests -= 1
        self.circuit.cancel(permit.probe)
        if self.quota is not None and permit.request is not None:
            self.quota.cancel(permit.request)
        if self.connections is not None and permit.opening is not None and permit.connection is None:
            self.connections.cancel(permit.opening)
        self._idle.put(permit.connection)
        self.serve()

    def sent(self, permit: Pass) -> None:
        """Record that the request is sent now, over its connection.

        Raises:
            NotNow: the lease has ended while the connection was opened.
        """
        now = time.monotonic()
        if permit.opening is not None:
            assert self.connections is not None
            self.connections.sent(permit.opening, now)
            permit.opening = None
        if now >= self.valid_until or permit.begun < self._valid_from:
            raise NotNow
        if self.quota is not None and permit.request is not None:
            self.quota.sent(permit.request, now)
            if len(self._waiting) and self._timer is None:
                self.serve()

    def leave(self, permit: Pass, error: BaseException | None) -> None:
        """Record the end of the request: the provider answered, or `error` was raised."""
        now = time.monotonic()
        circuit, state = self.circuit, self.circuit.state
        self._requests -= 1
        if self.quota is not None and permit.request is not None:
            self.quota.end(permit.request, now, answered=error is None)
        if permit.opening is not None:
            assert self.connections is not None
            self.connections.sent(permit.opening, now)  # it could not be opened, and counts all the same
        self._idle.put(permit.connection)
        match error:
            case ProviderUnavailable() | UnusableAnswer():  # a provider that answers only nonsense must not be paid
                circuit.failed(permit.probe, permit.begun, now, str(error))
            case AccountRefused():
                circuit.open("refused", permit.probe, permit.begun, now, str(error))
                if circuit.state == "refused" and (permit.probe or state == "closed"):
                    self._refuse_waiting(str(error))
            case Misconfigured() if not self._is_own(permit.ticket):
                circuit.open("misconfigured", permit.probe, permit.begun, now, str(error))
            case TaskRejected() | Misconfigured() if not isinstance(error, InputRejected):
                circuit.rejected(permit.probe, permit.begun, now)
            case None | ProviderError():
                circuit.answered(permit.begun, now)
            case _:  # cancelled, or a bug: it says nothing about the provider
                circuit.cancel(permit.probe)
        if error is None and not circuit.rejections:
            self._judge(stands=True)
        if circuit.state != state or permit.probe:
            self._state_changed()
            self.changed()
        self.serve()

    def _is_own(self, ticket: Ticket) -> bool:
        """Return whether the provider takes other tasks, and has taken one that came after it rejected this one."""
        circuit = self.circuit
        return circuit.state == "closed" and circuit.answered_at > (ticket.rejected_at or math.inf)

    async def stands(self, ticket: Ticket, error: TaskRejected | Misconfigured) -> bool:
        """Return whether the provider rejects this very task; False if it rejects everything, so that the task waits.

        The first rejections in a row are believed at once. Others wait until the provider has taken another task, or
        for some renewals of the leases, while the fleet counts how many were rejected.
        """
        circuit = self.circuit
        if isinstance(error, InputRejected) or self._is_own(ticket):
            return True
        ticket.rejected_at = now = time.monotonic()
        if isinstance(error, Misconfigured) or circuit.state == "misconfigured":
            return False
        self._rejection = str(error)
        if circuit.count_rejection(now) <= SURE_REJECTIONS:
            return True
        self.changed()
        verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._verdicts.add(verdict)
        try:
            async with asyncio.timeout(VERDICT_SECONDS):
                return await verdict
        except TimeoutError:
            return True
        finally:
            self._verdicts.discard(verdict)

    def count_rejections(self, others_answered_at: float, others_rejections: int, now: float) -> None:
        """Decide whether the provider rejects every task, or only those that it has rejected here.

        Args:
            others_answered_at: when another replica's last request began that the provider has answered.
            others_rejections: tasks that it has rejected in a row at other replicas.
            now: by the same clock.
        """
        circuit = self.circuit
        if others_answered_at > circuit.rejected_since:
            circuit.forget_rejections()
            self._judge(stands=True)
        elif (
            circuit.state == "closed"
            and circuit.rejections
            and circuit.rejections + others_rejections >= REJECTIONS_MAX
            and (others_answered_at == -math.inf or now >= circuit.rejected_since + SETTLE_SECONDS)
        ):
            circuit.open("misconfigured", 0, now, now, self._rejection)
            self._state_changed()
            self.changed()

    def follow(self, opening: Opening, report: Report, me: str, ahead: float, asked_at: float) -> None:
        """Let the circuit follow what the fleet has agreed on: see Circuit.follow."""
        circuit, state = self.circuit, self.circuit.state
        circuit.follow(opening, report, me, ahead, asked_at)
        if circuit.state != state:
            self._state_changed()
        if circuit.state == "refused" and not opening.found_by and (opening.since, opening.probes) != self._refused:
            self._refused = (opening.since, opening.probes)
            if not (report.probe_failed or (report.state == "refused" and not report.follows)):
                self._refuse_waiting(circuit.why)  # else it was refused here, and who waits now has come since

    def _state_changed(self) -> None:
        CIRCUIT.labels(self.name).state(self.circuit.state)
        if self.circuit.state == "misconfigured":
            self._judge(stands=False)
        elif self.circuit.state == "closed":
            for place in self._put_back:
                if until := self._awaited_until(place.waiter[1]):
                    self._waiting.lend(place, until)
            self._put_back.clear()

    def renew(self, valid_until: float) -> None:
        """Record that the leases are valid until then.

        What began before a gap is not sent any more, because another replica may have its slot.
        """
        now = time.monotonic()
        if now >= self.valid_until:
            self._valid_from = now
        self.valid_until = valid_until

    def lend(self, lent: Mapping[Position, float]) -> None:
        """Let records be awaited that others with the same idempotency key wait for. `lent`: position -> until when."""
        self._lent = dict(lent)
        for position, until in lent.items():
            place = self._places.get(position)
            if place is not None and place not in self._put_back:
                self._waiting.lend(place, until)

    def waiting(self) -> tuple[int, int]:
        """Return how many awaited and how many other tasks wait."""
        self._waiting.expire(time.time())
        return self._waiting.awaited, self._waiting.backlog

    @property
    def is_wanted(self) -> bool:
        """Whether a task waits."""
        return len(self._waiting) > 0

    @property
    def is_suspicious(self) -> bool:
        """Whether rejected tasks wait for a verdict."""
        return bool(self._verdicts)

    def connections_wanted(self) -> int:
        """Return how many connections would be opened now if there were slots for them."""
        requests = min(len(self._waiting), self._requests_max - self._requests)
        if self.quota is not None:
            requests = min(requests, self.quota.limit)
        return max(0, requests - len(self._idle))

    def serve(self) -> None:
        """Admit the waiters that may start now. Call it after every change."""
        while len(self._waiting):
            now = time.monotonic()
            wait_seconds = self._wait_seconds(now)
            if wait_seconds:
                if wait_seconds != math.inf:
                    self._serve_in(max(wait_seconds, TIMER_SECONDS_MIN))
                return
            next_one = self._next()
            if next_one is not None and not next_one[0].done():
                next_one[0].set_result(self._begin(now, next_one[1]))

    def _serve_in(self, seconds: float) -> None:
        """Serve then, or earlier: a timer that comes too soon does no harm, and a new one for each change is costly."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._serve_now)

    def _serve_now(self) -> None:
        self._timer = None
        self.serve()

    def _next(self) -> _Waiter | None:
        if self.circuit.state == "misconfigured":
            # Every second probe is the task that came last: those before it may be rejected for their own sake.
            self._probes_last = not self._probes_last
            place = self._waiting.last(self._put_back) if self._probes_last else None
            if place is not None:
                self._waiting.leave(place)
                return place.waiter
        return self._waiting.next(time.time())

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    def _wait_seconds(self, now: float) -> float:
        if self._requests >= self._requests_max or now >= self.valid_until:
            return math.inf
        wait_seconds = self.circuit.wait_seconds(now)
        if self.quota is not None:
            wait_seconds = max(wait_seconds, self.quota.wait_seconds(now))
        if self.connections is not None and not self._idle.ready():
            wait_seconds = max(wait_seconds, self.connections.wait_seconds(now))
        return wait_seconds if self.storable() else max(wait_seconds, STORE_LOOK_SECONDS)

    def _begin(self, now: float, ticket: Ticket) -> Pass:
        self._requests += 1
        connection = self._idle.take()
        opening = None if self.connections is None or connection is not None else self.connections.begin(now)
        request = None if self.quota is None else self.quota.begin(now)
        return Pass(self, ticket, now, self.circuit.begin(), request, opening, connection)

    def _refuse_waiting(self, why: str) -> None:
        while len(self._waiting):
            next_one = self._waiting.next(0.0)
            if next_one is not None and not next_one[0].done():
                next_one[0].set_exception(AccountRefused(why))

    def _judge(self, *, stands: bool) -> None:
        for verdict in self._verdicts:
            if not verdict.done():
                verdict.set_result(stands)

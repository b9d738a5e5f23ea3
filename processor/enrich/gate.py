"""The gate to a provider: admits requests in order, within the quota, and if the circuit breaker permits."""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from processor.enrich.circuit import Circuit
from processor.enrich.errors import AccountRefused, ProviderError, ProviderUnavailable, UnusableAnswer
from processor.enrich.quota import Quota, Request
from processor.metrics import CIRCUIT, QUOTA_SLOTS, QUOTA_USED_SLOTS, WAITING_FOR_SLOT
from processor.record import Partition

logger = logging.getLogger(__name__)

# Makes seconds since 1970 of the monotonic clock: replicas compare them, and no second may be longer than another.
_EPOCH = time.time() - time.monotonic()

TIMER_SECONDS_MIN = 0.001


@dataclass(slots=True, eq=False)
class Pass:
    """A permit for one request to the provider."""

    probe: bool
    request: Request | None


class Gate:
    """One provider's queue; work that waits here does not delay another provider's. Lives on the event loop."""

    def __init__(self, name: str, *, quota: Quota | None, requests_max: int) -> None:
        """Start empty.

        Args:
            name: name of the provider, in logs and metrics.
            quota: this replica's share of the fleet's quota; None for no quota.
            requests_max: this replica's concurrent requests.
        """
        self.name = name
        self.quota = quota
        self._circuit = Circuit()
        self._requests_max = requests_max
        self._requests = 0
        # Not a queue: a cancelled waiter is removed from the middle, and a retry goes first.
        self._waiting: OrderedDict[asyncio.Future[Pass], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        CIRCUIT.labels(name).state(self._circuit.state)
        WAITING_FOR_SLOT.labels(name).set_function(lambda: len(self._waiting))
        if quota is not None:
            QUOTA_SLOTS.labels(name).set_function(lambda: quota.slots(_now()))
            QUOTA_USED_SLOTS.labels(name).set_function(lambda: quota.used(_now()))

    @property
    def state(self) -> str:
        """The circuit breaker's state. May be read from any thread."""
        return self._circuit.state

    async def enter(self, *, again: bool) -> Pass:
        """Wait for a permit for one request. The caller must end it by `leave` or `cancel`.

        Args:
            again: whether this is a retry, which goes first because its record is older.

        Raises:
            AccountRefused: the provider refused the account during the wait.
        """
        now = _now()
        if not self._waiting and not self._wait_seconds(now):
            return self._begin(now)
        waiter: asyncio.Future[Pass] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        if again and self._circuit.state == "closed":  # else the probes would use up the attempts of task after task
            self._waiting.move_to_end(waiter, last=False)
        self.serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiting.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.cancel(waiter.result())
            raise

    def cancel(self, permit: Pass) -> None:
        """Return the permit unused."""
        self._requests -= 1
        self._circuit.cancel(permit.probe)
        if self.quota is not None and permit.request is not None:
            self.quota.cancel(permit.request)
        self.serve()

    def leave(self, permit: Pass, error: BaseException | None) -> None:
        """Record the end of the request: the provider answered, or `error` was raised."""
        now = _now()
        state = self._circuit.state
        self._requests -= 1
        if self.quota is not None and permit.request is not None:
            self.quota.end(permit.request, now)
        match error:
            case ProviderUnavailable() | UnusableAnswer():  # a provider that answers only nonsense must not be paid
                self._circuit.failed(permit.probe, now)
            case AccountRefused():
                self._circuit.refused(now)
                self._refuse_waiting(error)
            case None | ProviderError():
                self._circuit.answered()
            case _:  # cancelled, or a bug: it says nothing about the provider
                self._circuit.cancel(permit.probe)
        if self._circuit.state != state:
            self._log_state(error)
        self.serve()

    def serve(self) -> None:
        """Admit the waiters that may start now. Call it after every change."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            now = _now()
            wait_seconds = self._wait_seconds(now)
            if wait_seconds:
                if wait_seconds != math.inf:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(max(wait_seconds, TIMER_SECONDS_MIN), self.serve)
                return
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                waiter.set_result(self._begin(now))

    def _wait_seconds(self, now: float) -> float:
        if self._requests >= self._requests_max:
            return math.inf
        wait_seconds = self._circuit.wait_seconds(now)
        return wait_seconds if self.quota is None else max(wait_seconds, self.quota.wait_seconds(now))

    def _begin(self, now: float) -> Pass:
        self._requests += 1
        return Pass(self._circuit.begin(), None if self.quota is None else self.quota.begin(now))

    def _refuse_waiting(self, error: AccountRefused) -> None:
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(AccountRefused(str(error)))

    def _log_state(self, error: BaseException | None) -> None:
        state = self._circuit.state
        CIRCUIT.labels(self.name).state(state)
        if state == "closed":
            logger.info("%s answers again", self.name)
        elif state == "unavailable":
            logger.warning("%s has failed too often, only probes are sent until it answers: %s", self.name, error)
        else:
            logger.error(
                "%s refuses our account, its tasks are dead-lettered until it accepts it: %s", self.name, error
            )


class Gates:
    """Divides the providers' quotas by the partitions that this replica owns: an `apply_async.Ownership`."""

    def __init__(
        self, gates: Iterable[Gate], loop: asyncio.AbstractEventLoop, partitions_of: Callable[[str], int]
    ) -> None:
        """Store the gates.

        Args:
            gates: one for each provider account.
            loop: the gates' event loop.
            partitions_of: returns the number of a topic's partitions; may block.
        """
        self._gates = tuple(gates)
        self._loop = loop
        self._partitions_of = partitions_of
        self._owned: set[int] = set()

    def changed(self, partitions: Mapping[Partition, Mapping[str, float]]) -> None:
        """Divide the quotas again. Called on Quix's thread."""
        count = max((self._partitions_of(topic) for topic in {topic for topic, _ in partitions}), default=0)
        notes = {partition: note for (_, partition), note in partitions.items()}
        self._loop.call_soon_threadsafe(self._divide, max(count, max(notes, default=0) + 1), notes)

    def note(self) -> Mapping[str, float]:
        """Return provider -> until when this replica's requests count against its quota. Called on Quix's thread."""
        now = _now()
        busy = {gate.name: gate.quota.busy_until(now) for gate in self._gates if gate.quota is not None}
        return {name: round(until, 3) for name, until in busy.items() if until is not None}

    def _divide(self, partitions: int, notes: Mapping[int, Mapping[str, float]]) -> None:
        now = _now()
        new = {partition for partition, note in notes.items() if partition not in self._owned or note}
        if notes:  # empty between two assignments: partitions that return without a note had no other owner
            self._owned = set(notes)
        for gate in self._gates:
            if gate.quota is not None:
                until = max((note.get(gate.name, 0.0) for note in notes.values()), default=0.0)
                # A replica with a wrong clock must not stop others for longer than the longest request.
                until = min(until, now + gate.quota.longest_seconds)
                taken_over = new if until > now else ()
                gate.quota.assign(notes.keys(), partitions, taken_over=taken_over, free_from=until)
            gate.serve()


def _now() -> float:
    return time.monotonic() + _EPOCH

"""Matches replies to waiting requests, and remembers the replies that nobody waits for any more."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.correlation import FUTURE_SECONDS_MAX, made_at

REMEMBERED_SECONDS = 3600.0
"""How long a reply can be asked for by `GET /tasks/ID`."""

REMEMBERED_MAX = 100_000
"""How many replies at most."""

Waiter = TypeVar("Waiter")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a request: a result as it stands on the result topic, or why there is none."""

    value: bytes | None
    error_code: str | None = None
    reason: str | None = None


class TooManyWaiting(Exception):
    """As many requests wait for their reply as may."""


class Replies(Generic[Waiter]):
    """Correlation id -> who waits for it, and the replies of the last while for those who ask later.

    Pure: no input or output, no clock, one owner; `now` is in seconds since 1970.

    Invariant: at most `waiting_max` wait and at most `remembered_max` replies are kept. Every waiter is answered or
    removed once.
    """

    def __init__(
        self, *, waiting_max: int, remembered_max: int, remembered_seconds: float, on_late: Callable[[], None]
    ) -> None:
        """Start with nobody waiting and nothing remembered.

        Args:
            waiting_max: requests that may wait at once.
            remembered_max: replies that are kept.
            remembered_seconds: how long they are kept, counted from when their request was made.
            on_late: called for each reply whose request was given up before.
        """
        self._on_late = on_late
        self._waiting_max = waiting_max
        self._remembered_max = remembered_max
        self._remembered_seconds = remembered_seconds
        self._waiting: dict[str, Waiter] = {}
        self._remembered: OrderedDict[str, tuple[float, Reply]] = OrderedDict()  # with when its request was made
        self._given_up: OrderedDict[str, None] = OrderedDict()
        self._forgotten_until = 0.0

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    def expect(self, correlation_id: str, waiter: Waiter) -> None:
        """Let a request wait for its reply. Call it before the task is sent.

        Raises:
            TooManyWaiting: the limit is reached.
        """
        if len(self._waiting) >= self._waiting_max:
            raise TooManyWaiting
        self._waiting[correlation_id] = waiter

    def remove(self, correlation_id: str) -> None:
        """Let the request wait no longer. Call it on every way out; it does nothing where the reply came."""
        self._waiting.pop(correlation_id, None)

    def give_up(self, correlation_id: str) -> None:
        """Let the request wait no longer although its caller wanted the reply: one that still comes is late."""
        if self._waiting.pop(correlation_id, None) is not None:
            self._given_up[correlation_id] = None
            if len(self._given_up) > self._remembered_max:
                self._given_up.popitem(last=False)

    def waiters(self) -> list[Waiter]:
        """Return everyone who waits."""
        return list(self._waiting.values())

    def settle(self, correlation_id: str, reply: Reply, now: float) -> Waiter | None:
        """Store a reply and return its waiter; None if nobody waits for it, or not here, or not any more.

        Replies to ids that no gateway can have made are dropped: they are some Kafka producer's own.
        """
        made = made_at(correlation_id)
        if made is None or not now - self._remembered_seconds < made <= now + FUTURE_SECONDS_MAX:
            return None
        known = self.find(correlation_id)
        # A dead letter that is put back ends as a result, which is the last word: the topics have no common order.
        if known is None or known.value is None:
            self._remembered[correlation_id] = made, reply
        while len(self._remembered) > self._remembered_max or self._oldest_is_over(now):
            _, (forgotten, _) = self._remembered.popitem(last=False)
            self.forget_until(forgotten)
        if correlation_id in self._given_up:
            del self._given_up[correlation_id]
            self._on_late()
        return self._waiting.pop(correlation_id, None)

    def forget_until(self, until: float) -> None:
        """Claim nothing any more about requests that were made up to then."""
        self._forgotten_until = max(self._forgotten_until, until)

    def find(self, correlation_id: str) -> Reply | None:
        """Return the reply, or None where it is not known."""
        _, reply = self._remembered.get(correlation_id, (0.0, None))
        return reply

    def may_come(self, correlation_id: str, now: float) -> bool:
        """Return whether a reply to this id would be known here if it had come."""
        made = made_at(correlation_id)
        horizon = max(self._forgotten_until, now - self._remembered_seconds)
        return made is not None and horizon < made <= now + FUTURE_SECONDS_MAX

    def _oldest_is_over(self, now: float) -> bool:
        if not self._remembered:
            return False
        oldest, _ = next(iter(self._remembered.values()))
        return oldest < now - self._remembered_seconds

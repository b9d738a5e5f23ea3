"""Matches replies to waiting requests, and remembers replies for requests that no longer wait."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.correlation import FUTURE_SECONDS_MAX, made_at

REMEMBERED_SECONDS = 3600.0
"""How long a reply is available by `GET /tasks/ID`."""

REMEMBERED_MAX = 100_000
"""Limit of replies that are available."""

Waiter = TypeVar("Waiter")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a request: the value from the result topic, or the reason why there is none."""

    value: bytes | None
    error_code: str | None = None
    reason: str | None = None
    has_key: bool = False
    """Whether the task of a dead letter has an idempotency key."""


class TooManyWaiting(Exception):
    """The limit of requests that wait for their reply is reached."""


class Replies(Generic[Waiter]):
    """Correlation id -> the waiter for its reply, and recent replies for later requests.

    Pure: no I/O, no clock, one owner; `now` is in seconds since 1970.

    Invariant: at most `waiting_max` requests wait, and at most `remembered_max` replies are kept. Every waiter is
    answered or removed once.
    """

    def __init__(
        self, *, waiting_max: int, remembered_max: int, remembered_seconds: float, on_late: Callable[[], None]
    ) -> None:
        """Start empty.

        Args:
            waiting_max: limit of waiting requests.
            remembered_max: limit of kept replies.
            remembered_seconds: how long a reply is kept, counted from its request.
            on_late: called for each reply whose request was given up before.
        """
        self._on_late = on_late
        self._waiting_max = waiting_max
        self._remembered_max = remembered_max
        self._remembered_seconds = remembered_seconds
        self._waiting: dict[str, Waiter] = {}
        self._remembered: OrderedDict[str, tuple[float, Reply]] = OrderedDict()  # with the time of its request
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
        """Stop waiting for the reply. Every request calls this at its end; if the reply came, it does nothing."""
        self._waiting.pop(correlation_id, None)

    def give_up(self, correlation_id: str) -> None:
        """Stop waiting for the reply although the caller wants it. If the reply comes after that, it is late."""
        if self._waiting.pop(correlation_id, None) is not None:
            self._given_up[correlation_id] = None
            if len(self._given_up) > self._remembered_max:
                self._given_up.popitem(last=False)

    def waiters(self) -> list[Waiter]:
        """Return all waiters."""
        return list(self._waiting.values())

    def settle(self, correlation_id: str, reply: Reply, now: float) -> Waiter | None:
        """Store a reply and return its waiter; None if no request waits for it here.

        Replies to ids that no gateway can have made are dropped: they belong to other Kafka producers.
        """
        made = made_at(correlation_id)
        if made is None or not now - self._remembered_seconds < made <= now + FUTURE_SECONDS_MAX:
            return None
        known = self.find(correlation_id)
        # A redriven dead letter becomes a result, which is final: the two topics have no common order.
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
        """Make no further claim about requests made until then."""
        self._forgotten_until = max(self._forgotten_until, until)

    def find(self, correlation_id: str) -> Reply | None:
        """Return the reply, or None if it is not known."""
        _, reply = self._remembered.get(correlation_id, (0.0, None))
        return reply

    def may_come(self, correlation_id: str, now: float) -> bool:
        """Return whether a reply to this id may still come: if it had come, it would be known here."""
        made = made_at(correlation_id)
        horizon = max(self._forgotten_until, now - self._remembered_seconds)
        return made is not None and horizon < made <= now + FUTURE_SECONDS_MAX

    def _oldest_is_over(self, now: float) -> bool:
        if not self._remembered:
            return False
        oldest, _ = next(iter(self._remembered.values()))
        return oldest < now - self._remembered_seconds

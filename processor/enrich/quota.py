"""This replica's part of the fleet's quota: the slots of its lease, and the requests that hold them. Pure."""

import math
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from itertools import islice

SECOND = 1.0
MARGIN_SECONDS = 0.015

MINUTE = 60.0
MINUTE_MARGIN_SECONDS = 1.0

LATE_SECONDS_MAX = 0.2
"""Limit of the time added to the margin for a request that took so long that it may have arrived late."""

REMEMBERING = 0.98
"""Smoothing factor of the request times: the weight that earlier requests keep."""

BURST_PARTS = 9
"""A second's requests are spread over this many parts of it, so that the provider does not see one burst a second."""


@dataclass(slots=True, eq=False)
class Request:
    """A request that holds a slot."""

    begun: float
    sent: float | None = None
    """None while its connection is being opened."""
    lasted: float | None = None
    """None until it has ended."""


class Quota(ABC):
    """A quota of the fleet, as far as this replica may use it. `now` is in seconds of a monotonic clock.

    Invariant: no more requests hold a slot than the limit, unless it has just gone down.
    """

    def __init__(self, slots: int) -> None:
        """Start without a lease. `slots`: the slots of the whole fleet."""
        self.slots = slots
        self.limit = 0
        """How many slots this replica's requests may hold."""

    def lower(self, limit: int, now: float) -> int:
        """Lower the limit, and return the number of slots that are held then."""
        self.limit = min(self.limit, limit)
        return self.used(now)

    @abstractmethod
    def held_seconds(self, now: float) -> float:
        """Return how long after its start a request can still hold its slot, as far as is known."""

    @abstractmethod
    def used(self, now: float) -> int:
        """Return the number of slots that are held. May be called from any thread."""

    @abstractmethod
    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else how long until one may; infinity if something has to change first."""

    @abstractmethod
    def begin(self, now: float) -> Request:
        """Give a slot to a request. The caller checks `wait_seconds` first."""

    @abstractmethod
    def sent(self, request: Request, now: float) -> None:
        """Record that the request is on its way."""

    @abstractmethod
    def end(self, request: Request, now: float, *, answered: bool = True) -> None:
        """Record that the request has ended. `answered`: with a good answer."""

    @abstractmethod
    def cancel(self, request: Request) -> None:
        """Record that the request was not made."""


class Rate(Quota):
    """Requests, or new connections, in any second or minute.

    Each holds its slot for that long from its arrival at the provider, which is estimated.
    """

    def __init__(
        self,
        slots: int,
        seconds: float = SECOND,
        margin_seconds: float = MARGIN_SECONDS,
        opening_seconds: float = 0.0,
    ) -> None:
        """Start without a lease.

        Args:
            slots: requests of the whole fleet in `seconds`.
            seconds: the window of the rate: any one of this length, whenever it begins.
            margin_seconds: further time for which a slot is held, because requests take different times to arrive.
            opening_seconds: longest time from the start of a request until it is sent.
        """
        super().__init__(slots)
        self._seconds = seconds
        self._margin_seconds = margin_seconds
        self._opening_seconds = opening_seconds
        self._unsent: set[Request] = set()
        self._sent: deque[Request] = deque()  # in the order of sending
        self._fastest = math.inf
        self._usually_slower = 0.0

    def held_seconds(self, now: float) -> float:
        """Return how long after its start a request can still hold its slot."""
        return self._opening_seconds + self._seconds + self._margin_seconds + LATE_SECONDS_MAX

    def lower(self, limit: int, now: float) -> int:
        """Lower the limit, and return the number of slots that are held then."""
        self._release(now)
        return super().lower(limit, now)

    def used(self, now: float) -> int:
        """Return the number of slots that are held. May be called from any thread."""
        sent = tuple(self._sent)
        released = next((n for n, request in enumerate(sent) if self._held_until(request, now) > now), len(sent))
        return len(self._unsent) + len(sent) - released

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else how long until one may; infinity if something has to change first."""
        self._release(now)
        free = self.limit - len(self._unsent)
        if free <= 0:
            return math.inf
        held = len(self._sent)
        if held >= free:
            return max(self._held_until(request, now) for request in islice(self._sent, held - free + 1)) - now
        if self._seconds != SECOND:
            return 0.0
        # A connection that takes longer than a part of the second to open does not count: nothing says that it will.
        opened = [request.begun + SECOND / BURST_PARTS for request in self._unsent]
        soon = [until for until in opened if until > now]
        part = math.ceil(self.limit / (BURST_PARTS - 1)) - len(soon)
        if part <= 0:
            return min(soon) - now
        if held < part:
            return 0.0
        sent = self._sent[held - part].sent
        assert sent is not None
        return max(0.0, sent + SECOND / BURST_PARTS - now)

    def begin(self, now: float) -> Request:
        """Give a slot to a request. The caller checks `wait_seconds` first."""
        request = Request(now)
        self._unsent.add(request)
        return request

    def sent(self, request: Request, now: float) -> None:
        """Record that the request is on its way."""
        self._unsent.discard(request)
        request.sent = now
        self._sent.append(request)

    def end(self, request: Request, now: float, *, answered: bool = True) -> None:
        """Record that the request has ended. `answered`: with a good answer."""
        self._unsent.discard(request)  # no connection was opened for it
        if request.sent is None:
            return
        request.lasted = lasted = now - request.sent
        self._fastest = min(lasted, self._fastest + 0.001)
        self._usually_slower += (lasted - self._fastest - self._usually_slower) * (1 - REMEMBERING)

    def cancel(self, request: Request) -> None:
        """Record that the request was not made."""
        self._unsent.discard(request)

    def _release(self, now: float) -> None:
        # In the order of sending, and for good: what is released cannot be held again when the usual time changes, so
        # that more slots are held only after a request has begun.
        while self._sent and self._held_until(self._sent[0], now) <= now:
            self._sent.popleft()

    def _held_until(self, request: Request, now: float) -> float:
        # The provider counts arrivals, and a request that takes longer than usual may have arrived late. Computed here
        # and not once at the request's end, because the usual time becomes known only after some requests.
        assert request.sent is not None
        lasted = now - request.sent if request.lasted is None else request.lasted
        late = lasted - self._fastest - self._usually_slower
        return request.sent + min(max(0.0, late), LATE_SECONDS_MAX) + self._seconds + self._margin_seconds


class AtOnce(Quota):
    """Requests in flight at the same time."""

    def __init__(self, slots: int, longest_seconds: float) -> None:
        """Start without a lease.

        Args:
            slots: concurrent requests of the whole fleet.
            longest_seconds: longest duration of a request.
        """
        super().__init__(slots)
        self._longest_seconds = longest_seconds
        self._slowest = math.inf  # of recent answers
        self._requests: set[Request] = set()

    def held_seconds(self, now: float) -> float:
        """Return how long after its start a request can still hold its slot: twice as long as the slowest recent one.

        The provider may still work on a request after the replica that has made it has died.
        """
        oldest = max((now - request.begun for request in self._requests), default=0.0)
        return min(2 * max(self._slowest, oldest), self._longest_seconds)

    def used(self, now: float) -> int:
        """Return the number of slots that are held. May be called from any thread."""
        return len(self._requests)

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else infinity."""
        return 0.0 if len(self._requests) < self.limit else math.inf

    def begin(self, now: float) -> Request:
        """Give a slot to a request. The caller checks `wait_seconds` first."""
        request = Request(now)
        self._requests.add(request)
        return request

    def sent(self, request: Request, now: float) -> None:
        """Record that the request is on its way."""

    def end(self, request: Request, now: float, *, answered: bool = True) -> None:
        """Record that the request has ended. `answered`: with a good answer."""
        self._requests.discard(request)
        if not answered:  # how soon it failed says nothing about how long the next one takes
            return
        lasted = now - request.begun
        self._slowest = lasted if self._slowest == math.inf else max(lasted, self._slowest * REMEMBERING)

    def cancel(self, request: Request) -> None:
        """Record that the request was not made."""
        self._requests.discard(request)

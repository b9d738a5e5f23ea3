"""This replica's share of the fleet's quota: slots, divided by the partitions that it owns."""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

RATE_SECONDS = 1.0
"""The window of a quota per second: any second, whenever it begins."""

RATE_MARGIN_SECONDS = 0.015
"""Further time for which a slot is held, because some requests take longer to arrive than others."""

LATE_SECONDS_MAX = 0.2
"""Limit of the time added to that for a request that took so long that it may have arrived late."""

TURN_LENGTHS = 4
"""Length of a time slice at a shared slot, in longest requests. No request begins within the last one of them."""

REMEMBERING = 0.98
"""Smoothing factor of the request times: the weight that earlier requests keep."""

BURST_PARTS = 9
"""A second's requests are spread over this many parts of it, so that the provider does not see one burst a second."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of some partitions: slots of their own, and time slices at shared slots."""

    own: int
    turns: tuple[tuple[int, int], ...]
    """(the partition's place among those that share the slot, their number), for each time slice."""


def share(slots: int, partitions: int, owned: Collection[int]) -> Share:
    """Divide slots among partitions, so that all shares together are exactly the slots.

    If there are at least as many slots as partitions, each partition has slots of its own. If there are fewer, adjacent
    partitions share one. A replica that owns all of them has the whole slot (Quix's range assignor gives a replica
    adjacent partitions); otherwise their owners use it alternately, by the clock.
    """
    if slots >= partitions:
        return Share(sum((p + 1) * slots // partitions - p * slots // partitions for p in owned), ())
    own = 0
    turns: list[tuple[int, int]] = []
    neighbours: dict[int, list[int]] = {}
    for partition in range(partitions):
        neighbours.setdefault(partition * slots // partitions, []).append(partition)
    for slot in sorted({partition * slots // partitions for partition in owned if partition < partitions}):
        mine = [place for place, partition in enumerate(neighbours[slot]) if partition in owned]
        if len(mine) == len(neighbours[slot]):
            own += 1
        else:
            turns += [(place, len(neighbours[slot])) for place in mine]
    return Share(own, tuple(turns))


@dataclass(slots=True, eq=False)
class Request:
    """A request that holds a slot."""

    begun: float
    lasted: float = 0.0


class Quota:
    """The slots of this replica, and the requests that hold them.

    A quota is a number of slots. In a quota per second, a request holds its slot for a second from its arrival at the
    provider, which is estimated; in a quota of concurrent requests, until it ends. Pure: no I/O, no clock, one owner;
    `now` is in seconds since 1970 by a monotonic clock, because replicas agree on time slices by it.

    Invariant: no more requests hold a slot than this replica has slots, unless it has just lost some.
    """

    def __init__(self, slots: int, *, longest_seconds: float | None = None) -> None:
        """Start without a share.

        Args:
            slots: the slots of the whole fleet.
            longest_seconds: longest duration of a request, for a quota of concurrent requests; None for a rate.
        """
        self._slots = slots
        self._longest_seconds = longest_seconds
        self._held_seconds = RATE_SECONDS + RATE_MARGIN_SECONDS
        self._all = self._at_once = Share(0, ())
        self._all_from = 0.0
        self._requests: deque[Request] = deque()
        self._in_flight: set[Request] = set()
        self._last_begun = -math.inf
        self._fastest = math.inf
        self._usually_slower = 0.0
        self._slowest = math.inf  # of recent requests

    def assign(self, owned: Collection[int], partitions: int, *, taken_over: Collection[int], free_from: float) -> None:
        """Set this replica's share.

        Args:
            owned: numbers of this replica's partitions.
            partitions: number of all partitions.
            taken_over: owned partitions that had another owner before; they give no slots until `free_from`.
            free_from: when the earlier owners' last requests have ended.
        """
        self._all = share(self._slots, partitions, owned)
        self._at_once = share(self._slots, partitions, set(owned) - set(taken_over)) if taken_over else self._all
        self._all_from = free_from

    def slots(self, now: float) -> int:
        """Return the number of slots that this replica has now. May be called from any thread."""
        mine = self._all if now >= self._all_from else self._at_once
        return mine.own + sum(self._has_turn(turn, now) for turn in mine.turns)

    def used(self, now: float) -> int:
        """Return the number of slots that are held now. May be called from any thread."""
        if self._longest_seconds is not None:
            return len(self._in_flight)
        return sum(self._held_until(request) > now for request in tuple(self._requests))

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else how long until one may; infinity if another has to end first."""
        slots = self.slots(now)
        if self._longest_seconds is not None:
            if len(self._in_flight) < slots:
                return 0.0
            most_slots = self._all.own + len(self._all.turns)
            return math.inf if slots == most_slots else self._next_change_seconds(now)
        while self._requests and self._held_until(self._requests[0]) <= now:
            self._requests.popleft()
        if slots == 0:
            return self._next_change_seconds(now)
        held = len(self._requests)
        if held >= slots:
            return self._held_until(self._requests[held - slots]) - now
        part = math.ceil(slots / (BURST_PARTS - 1))
        if held >= part:
            return max(0.0, self._requests[held - part].begun + RATE_SECONDS / BURST_PARTS - now)
        return 0.0

    def begin(self, now: float) -> Request:
        """Give a slot to a request. The caller checks `wait_seconds` first."""
        request = Request(now)
        self._in_flight.add(request)
        if self._longest_seconds is None:
            self._requests.append(request)
        self._last_begun = now
        return request

    def end(self, request: Request, now: float) -> None:
        """Record that the request has ended, successfully or not."""
        self._in_flight.discard(request)
        request.lasted = lasted = now - request.begun
        self._slowest = lasted if self._slowest == math.inf else max(lasted, self._slowest * REMEMBERING)
        self._fastest = min(lasted, self._fastest + 0.001)
        self._usually_slower += (lasted - self._fastest - self._usually_slower) * (1 - REMEMBERING)

    def cancel(self, request: Request) -> None:
        """Record that the request was not made."""
        self._in_flight.discard(request)
        if self._longest_seconds is None:
            self._requests.remove(request)

    def busy_until(self, now: float) -> float | None:
        """Return the time until which this replica's requests may hold slots; None if none does. For any thread.

        The next owner of the partitions needs it if this replica dies now. With a quota of concurrent requests, the
        provider may still work on a request then; it is assumed to last at most twice as long as the slowest recent
        one.
        """
        if self._longest_seconds is None:
            until = self._last_begun + self._held_seconds + LATE_SECONDS_MAX
            return until if until > now else None
        if not self._in_flight:
            return None
        return self._last_begun + min(2 * self._slowest, self._longest_seconds)

    def _held_until(self, request: Request) -> float:
        # The provider counts arrivals, and a request that took longer than usual may have arrived late. Computed here
        # and not once at the request's end, because the usual time becomes known only after some requests.
        late = request.lasted - self._fastest - self._usually_slower
        return request.begun + min(max(0.0, late), LATE_SECONDS_MAX) + self._held_seconds

    def _has_turn(self, turn: tuple[int, int], now: float) -> bool:
        who, how_many = turn
        turns, into = divmod(now, self._turn_seconds())
        return turns % how_many == who and into < self._turn_seconds() * (TURN_LENGTHS - 1) / TURN_LENGTHS

    @property
    def longest_seconds(self) -> float:
        """Longest time for which a request can hold its slot."""
        return self._held_seconds if self._longest_seconds is None else self._longest_seconds

    def _turn_seconds(self) -> float:
        return TURN_LENGTHS * self.longest_seconds

    def _next_change_seconds(self, now: float) -> float:
        """Return how long it is until this replica may have more slots than now."""
        changes = [self._all_from - now] if now < self._all_from else []
        if self._all.turns:
            changes.append(self._turn_seconds() - now % self._turn_seconds())
        return min(changes, default=math.inf)

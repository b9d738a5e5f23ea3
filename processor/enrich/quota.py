"""This replica's share of the fleet's quota: slots, divided by the partitions that it owns."""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

RATE_SECONDS = 1.0
"""What a quota per second counts over: any second, wherever it begins."""

RATE_MARGIN_SECONDS = 0.015
"""What a slot is held longer, as requests do not all travel equally fast."""

LATE_SECONDS_MAX = 0.2
"""How much longer at most where it took so long that the request may have arrived late."""

TURN_LENGTHS = 4
"""A turn at a slot that several replicas share, in lengths of the longest request; in the last one none begins."""

REMEMBERING = 0.98
"""How much of what is known of earlier requests' times each request leaves."""

BURST_PARTS = 9
"""A rate is spread over that many parts of its second, or the provider sees it as one burst a second."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of some partitions: slots of their own, and turns at shared slots.

    A turn is (who of how many, how many): number `who` of `how many` partitions that take turns.
    """

    own: int
    turns: tuple[tuple[int, int], ...]


def share(slots: int, partitions: int, owned: Collection[int]) -> Share:
    """Divide slots among partitions, so that all shares together are exactly the slots.

    With fewer partitions than slots each partition has slots of its own. With more, neighbours share one; who owns all
    of them has it whole (Quix's range assignor gives a replica neighbours), else they take turns by the clock.
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
    """One that holds a slot."""

    begun: float
    lasted: float = 0.0


class Quota:
    """The slots of this replica and who holds them.

    A quota is a number of slots. For a rate, a request holds its slot for a second from when it reaches the provider;
    for a number of requests at once, until it ends. Pure: no input or output, no clock, one owner; `now` is in seconds
    since 1970 by a clock that never goes back, as replicas take turns by it.

    Invariant: at no time do more requests hold a slot than this replica has slots, unless it has just lost some.
    """

    def __init__(self, slots: int, *, longest_seconds: float | None = None) -> None:
        """Start without a share.

        Args:
            slots: the whole fleet's.
            longest_seconds: how long a request can last that holds its slot until it ends; None is a rate.
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
        self._slowest = math.inf  # of late

    def assign(self, owned: Collection[int], partitions: int, *, taken_over: Collection[int], free_from: float) -> None:
        """Take note of the partitions owned.

        Args:
            owned: numbers of this replica's partitions.
            partitions: how many there are in all.
            taken_over: those of them that were another's before and count for nothing until `free_from`.
            free_from: when the requests have ended that those others have left.
        """
        self._all = share(self._slots, partitions, owned)
        self._at_once = share(self._slots, partitions, set(owned) - set(taken_over)) if taken_over else self._all
        self._all_from = free_from

    def slots(self, now: float) -> int:
        """Return how many slots this replica has now. May be called from any thread."""
        mine = self._all if now >= self._all_from else self._at_once
        return mine.own + sum(self._has_turn(turn, now) for turn in mine.turns)

    def used(self, now: float) -> int:
        """Return how many slots are held now. May be called from any thread."""
        if self._longest_seconds is not None:
            return len(self._in_flight)
        return sum(self._held_until(request) > now for request in tuple(self._requests))

    def wait_seconds(self, now: float) -> float:
        """Return 0 where a request may begin, else when to ask again; infinity where a request has to end first."""
        slots = self.slots(now)
        if self._longest_seconds is not None:
            if len(self._in_flight) < slots:
                return 0.0
            return math.inf if slots == self._most_slots() else self._next_change_seconds(now)
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
        """Let a request take a slot; ask `wait_seconds` before."""
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
        """Record that the request was not made after all."""
        self._in_flight.discard(request)
        if self._longest_seconds is None:
            self._requests.remove(request)

    def busy_until(self, now: float) -> float | None:
        """Return until when requests of this replica may count; None where none does. May be called from any thread.

        That is for the next owner of the partitions, should this replica die now. A request that holds its slot until
        it ends may go on at the provider then; it is expected to last at most twice as long as any of late.
        """
        if self._longest_seconds is None:
            until = self._last_begun + self._held_seconds + LATE_SECONDS_MAX
            return until if until > now else None
        if not self._in_flight:
            return None
        return self._last_begun + min(2 * self._slowest, self._longest_seconds)

    def _held_until(self, request: Request) -> float:
        # What it took longer than usual it may have taken on its way to the provider, which counts arrivals. That is
        # reckoned when it matters: of the first requests nobody knows what is usual.
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

    def _most_slots(self) -> int:
        return self._all.own + len(self._all.turns)

    def _next_change_seconds(self, now: float) -> float:
        """Return how long it is until this replica may have more slots than now."""
        changes = [self._all_from - now] if now < self._all_from else []
        if self._all.turns:
            changes.append(self._turn_seconds() - now % self._turn_seconds())
        return min(changes, default=math.inf)

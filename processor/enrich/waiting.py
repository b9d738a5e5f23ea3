"""The queue of a provider: awaited records by deadline, the others in order. Pure."""

import heapq
from collections.abc import Container
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import Generic, TypeVar

BACKLOG_TURNS = 10
"""One start in this many is the backlog's, while awaited records wait as well."""

Waiter = TypeVar("Waiter")


@dataclass(slots=True, eq=False)
class Place(Generic[Waiter]):
    """A waiter's place in the queue."""

    waiter: Waiter
    number: int
    """Its place among the others: the lower goes first."""
    awaited_until: float | None = None
    """Seconds since 1970; None if it counts as backlog."""
    left: bool = False


class Waiting(Generic[Waiter]):
    """Who waits, and who is next. A waiter may leave from any place.

    Invariant: while the backlog waits, at least one start in BACKLOG_TURNS is the backlog's.
    """

    def __init__(self) -> None:
        """Start empty."""
        # A place that has left, or has changed its queue, stays in the heap until it comes to the top.
        self._awaited_heap: list[tuple[float, int, int, Place[Waiter]]] = []
        self._backlog_heap: list[tuple[int, int, Place[Waiter]]] = []
        self._numbers = count()
        self._entries = count()  # no two entries of a heap are equal
        self._turns = 0
        self.awaited = 0
        """Number of awaited waiters, as of the last `next` or `expire`."""
        self.backlog = 0
        """Number of the others."""

    def __len__(self) -> int:
        return self.awaited + self.backlog

    def number(self) -> int:
        """Return a number that comes after all earlier ones."""
        return next(self._numbers)

    def enter(self, waiter: Waiter, number: int, awaited_until: float | None) -> Place[Waiter]:
        """Add a waiter, and return its place."""
        place = Place(waiter, number, awaited_until)
        self._push(place)
        return place

    def leave(self, place: Place[Waiter]) -> None:
        """Remove a waiter, unless it was removed."""
        if not place.left:
            place.left = True
            self._uncount(place)
            if not len(self):
                self._awaited_heap.clear()
                self._backlog_heap.clear()

    def lend(self, place: Place[Waiter], awaited_until: float) -> None:
        """Let the waiter be awaited at least until then."""
        if not place.left and (place.awaited_until is None or place.awaited_until < awaited_until):
            self._uncount(place)
            place.awaited_until = awaited_until
            self._push(place)

    def next(self, now: float) -> Waiter | None:
        """Remove and return the waiter that may start; None if nobody waits. `now` is in seconds since 1970."""
        self.expire(now)
        if not len(self):
            return None
        self._turns += 1
        if self.awaited and not (self.backlog and self._turns % BACKLOG_TURNS == 0):
            place = heapq.heappop(self._awaited_heap)[-1]  # `expire` has left one that stands
        else:
            place = heapq.heappop(self._backlog_heap)[-1]
            while not self._is_backlog(place):
                place = heapq.heappop(self._backlog_heap)[-1]
        self.leave(place)
        return place.waiter

    def last(self, passed_over: Container[Place[Waiter]]) -> Place[Waiter] | None:
        """Return the place of the waiter who came last, of all but these; None if nobody is left. Takes O(n)."""
        places = [entry[-1] for entry in self._awaited_heap] + [entry[-1] for entry in self._backlog_heap]
        theirs = (place for place in places if not place.left and place not in passed_over)
        return max(theirs, key=attrgetter("number"), default=None)

    def expire(self, now: float) -> None:
        """Count those as backlog whose time is over."""
        while self._awaited_heap:
            until, _, _, place = self._awaited_heap[0]
            stands = not place.left and place.awaited_until == until
            if stands and until > now:
                return
            heapq.heappop(self._awaited_heap)
            if stands:
                self._uncount(place)
                place.awaited_until = None
                self._push(place)

    def _push(self, place: Place[Waiter]) -> None:
        if place.awaited_until is None:
            self.backlog += 1
            heapq.heappush(self._backlog_heap, (place.number, next(self._entries), place))
        else:
            self.awaited += 1
            heapq.heappush(self._awaited_heap, (place.awaited_until, place.number, next(self._entries), place))

    def _uncount(self, place: Place[Waiter]) -> None:
        if place.awaited_until is None:
            self.backlog -= 1
        else:
            self.awaited -= 1

    @staticmethod
    def _is_backlog(place: Place[Waiter]) -> bool:
        return not place.left and place.awaited_until is None

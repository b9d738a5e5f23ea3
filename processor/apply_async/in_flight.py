"""Decides which offset may be committed while records finish out of order."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, takewhile


class InFlight:
    """The unfinished records of one partition, for as long as the partition is assigned.

    Pure: no input or output, no clock, one owner.

    Invariant: `committable` is never above an offset that is not finished, and never goes down.
    """

    def __init__(self, finished_below: int = 0, unfinished: Iterable[int] = ()) -> None:
        """Start with the progress of an earlier owner of the partition.

        Args:
            finished_below: every record below it is finished,
            unfinished: except these, in rising order.
        """
        # Offsets are taken in rising order and a dict keeps it: the first key is the lowest unfinished one.
        self._unfinished: dict[int, None] = {}
        self._next = -1
        self._finished_below = finished_below
        self._to_come = deque(unfinished)

    def __len__(self) -> int:
        return len(self._unfinished)

    def expects(self, offset: int) -> bool:
        """Return whether the offset lies above all taken ones. If not, the partition is being read again."""
        return offset >= self._next

    def take(self, offset: int) -> bool:
        """Take the record, and return whether it must be processed: False if an earlier owner finished it.

        Offsets rise but need not be dense: compaction, transactions and retention leave gaps.

        Raises:
            ValueError: the offset is not above all that were taken.
        """
        if not self.expects(offset):
            raise ValueError(f"offset {offset} was taken already; the next is {self._next} or above")
        self._next = offset + 1
        while self._to_come and self._to_come[0] < offset:
            self._to_come.popleft()  # Kafka no longer has it
        if self._to_come and self._to_come[0] == offset:
            self._to_come.popleft()
        elif offset < self._finished_below:
            return False
        self._unfinished[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """Mark the record as finished: its outcome was delivered.

        Raises:
            KeyError: the offset was never taken, or is finished already.
        """
        del self._unfinished[offset]
        self._finished_below = max(self._finished_below, offset + 1)

    def reach(self, offset: int) -> None:
        """Continue at the offset: every record below it was taken. Transactions end in such offsets."""
        self._next = max(self._next, offset)
        self._finished_below = max(self._finished_below, offset)
        while self._to_come and self._to_come[0] < offset:
            self._to_come.popleft()

    @property
    def committable(self) -> int | None:
        """The lowest unfinished offset, or the one after the last; None while nothing was taken."""
        if self._next < 0:
            return None
        return next(chain(self._unfinished, self._to_come), self._finished_below)

    @property
    def finished_below(self) -> int:
        """The offset below which every record is finished except `unfinished()`; above it none is."""
        return max(self._finished_below, self.committable or 0)

    @property
    def finished_beyond(self) -> int:
        """Number of finished offsets above `committable`, which cannot be committed before it."""
        top = max(self._next, self._finished_below)
        return top - (self.committable or 0) - len(self._unfinished) - len(self._to_come) if self._next >= 0 else 0

    def unfinished(self) -> Iterator[int]:
        """Return the unfinished offsets below `finished_below`, in rising order."""
        return takewhile(lambda offset: offset < self._finished_below, chain(self._unfinished, self._to_come))

"""Which offsets may be committed while records are finished out of order."""


class InFlight:
    """The records of one partition that were taken and are not finished, for as long as the partition is assigned.

    Pure: no input or output, no clock, one owner.

    Invariant: `committable` is never above an offset that was taken and is not finished, and never goes down.
    """

    def __init__(self) -> None:
        # A dict keeps the order in which offsets were taken, which rises: the first key is the lowest unfinished one.
        self._unfinished: dict[int, None] = {}
        self._next = -1

    def __len__(self) -> int:
        return len(self._unfinished)

    def expects(self, offset: int) -> bool:
        """Tell whether the offset lies above all that were taken. If not, the partition has been read from again."""
        return offset >= self._next

    def take(self, offset: int) -> None:
        """Note that the record was taken. Offsets rise but need not be dense: compaction and transactions leave gaps.

        Raises:
            ValueError: the offset is not above all that were taken.
        """
        if not self.expects(offset):
            raise ValueError(f"offset {offset} was taken already; the next is {self._next} or above")
        self._unfinished[offset] = None
        self._next = offset + 1

    def finish(self, offset: int) -> None:
        """Note that the record is finished: its outcome was handed on.

        Raises:
            KeyError: the offset was never taken, or is finished already.
        """
        del self._unfinished[offset]

    @property
    def committable(self) -> int | None:
        """The lowest unfinished offset, or the one after the last; None while nothing was taken."""
        if self._next < 0:
            return None
        return next(iter(self._unfinished), self._next)

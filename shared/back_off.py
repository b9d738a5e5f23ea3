"""Back-off: the growing pause between two attempts. Pure."""


def back_off_seconds(attempt: int, first: float, longest: float) -> float:
    """Return the pause after this attempt, of which the first is 1: doubled each time, up to the longest."""
    return min(first * 2.0 ** min(attempt - 1, 60), longest)


class BackOff:
    """The pauses of one who tries again until it works."""

    def __init__(self, first: float, longest: float) -> None:
        """Begin with a pause of `first` seconds."""
        self._first = first
        self._longest = longest
        self._attempts = 0

    def next_seconds(self) -> float:
        """Return the pause after one more attempt that has failed."""
        self._attempts += 1
        return back_off_seconds(self._attempts, self._first, self._longest)

    def reset(self) -> None:
        """Begin again with the first pause: an attempt has worked."""
        self._attempts = 0

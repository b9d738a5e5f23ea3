"""Back-off: the growing pause between two attempts. Pure."""


def back_off_seconds(attempt: int, first: float, longest: float) -> float:
    """Return the pause after this attempt; the first is 1. Each pause is twice the last one, up to the longest."""
    return min(first * 2.0 ** min(attempt - 1, 60), longest)


class BackOff:
    """The pauses between attempts that go on until one succeeds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._attempts = 0

    def next_seconds(self) -> float:
        """Return the pause after another failed attempt."""
        self._attempts += 1
        return back_off_seconds(self._attempts, self._first, self._longest)

    def reset(self) -> None:
        """Begin again with the first pause, after a successful attempt."""
        self._attempts = 0

"""Backpressure: decides from the operator's fullness whether to go on reading."""

from enum import Enum, auto

PAUSE_AFTER_SECONDS = 1.0
"""How long it stands still at the limit before it pauses the partitions. Pausing discards fetched records, so short
bursts do not pause."""

RESUME_AT_FULLNESS = 0.5
"""Share of the limit at which paused partitions are resumed, so that they are not paused again at once."""


class Reading(Enum):
    """Whether the run loop reads new records."""

    ON = auto()
    """It does."""
    STANDING_STILL = auto()
    """At the limit: it does not poll."""
    PAUSED = auto()
    """At the limit for a while: the partitions are paused, and it polls for rebalances."""


class ReadingLimit:
    """Decides whether to read on. Pure: no clock, no consumer.

    Invariant: below the limit it never stands still, and it pauses only after PAUSE_AFTER_SECONDS of standing still.
    """

    def __init__(self) -> None:
        """Start by reading."""
        self.reading = Reading.ON
        self._full_since = 0.0

    def update(self, fullness: float, now: float) -> Reading:
        """Return the new state.

        Args:
            fullness: used share of the limit; 1 and above is full.
            now: seconds of a clock that never goes back.
        """
        if fullness >= 1:
            if self.reading is Reading.ON:
                self.reading, self._full_since = Reading.STANDING_STILL, now
            elif now - self._full_since >= PAUSE_AFTER_SECONDS:
                self.reading = Reading.PAUSED
        elif self.reading is Reading.STANDING_STILL or fullness <= RESUME_AT_FULLNESS:
            self.reading = Reading.ON
        return self.reading

"""Backpressure: decides from the operator's fullness whether to go on reading."""

from enum import Enum, auto

PAUSE_AFTER_SECONDS = 1.0
"""After this long at the limit the partitions are paused, and polling resumes. Pausing discards what was fetched, so
short bursts do not pause."""

RESUME_AT_FULLNESS = 0.5
"""Paused partitions are resumed at this share of the limit, so that they are not paused again at once."""


class Reading(Enum):
    """The run loop's attitude to new records."""

    ON = auto()
    """It takes what arrives."""
    STANDING_STILL = auto()
    """At the limit: it takes nothing and does not poll."""
    PAUSED = auto()
    """At the limit for a while: the partitions are paused, and it polls for everything else."""


class ReadingLimit:
    """Decides whether to read on. Pure: no clock, no consumer.

    Invariant: below the limit it never stands still, and it pauses only after PAUSE_AFTER_SECONDS of standing still.
    """

    def __init__(self) -> None:
        """Start by reading."""
        self.reading = Reading.ON
        self._full_since = 0.0

    def update(self, fullness: float, now: float) -> Reading:
        """Return what to do from now on.

        Args:
            fullness: share of the limit that is used; 1 and above is full.
            now: in seconds, by a clock that never goes back.
        """
        if fullness >= 1:
            if self.reading is Reading.ON:
                self.reading, self._full_since = Reading.STANDING_STILL, now
            elif now - self._full_since >= PAUSE_AFTER_SECONDS:
                self.reading = Reading.PAUSED
        elif self.reading is Reading.STANDING_STILL or fullness <= RESUME_AT_FULLNESS:
            self.reading = Reading.ON
        return self.reading

    def reassign(self) -> None:
        """Take note that no partition is paused any more, as they were assigned anew."""
        if self.reading is Reading.PAUSED:
            self.reading = Reading.STANDING_STILL

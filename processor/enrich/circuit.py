"""Circuit breaker: after several failures in a row, only occasional probes reach the provider."""

import math
from typing import Literal

from shared.back_off import BackOff

FAILURES_MAX = 10
"""After this many failures in a row, of any tasks, the provider counts as unavailable."""

PROBE_SECONDS_FIRST = 0.5
PROBE_SECONDS_MAX = 1.0
"""Between two probes: the longest time until a recovery is noticed. Each probe uses up one attempt of a task."""

State = Literal["closed", "unavailable", "refused"]


class Circuit:
    """Closed while the provider answers; open after it was unavailable too often or refused the account.

    While open, it lets one request at a time through, as a probe. Pure: no I/O, no clock, one owner; `now` is in
    seconds of a monotonic clock.

    Invariant: while it is open, at most one probe is in flight.
    """

    def __init__(self) -> None:
        self.state: State = "closed"
        self._failures = 0
        self._probing = False
        self._probe_at = 0.0
        self._back_off = BackOff(PROBE_SECONDS_FIRST, PROBE_SECONDS_MAX)

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else the time until the next probe; infinity while a probe is in flight."""
        if self.state == "closed":
            return 0.0
        return math.inf if self._probing else max(0.0, self._probe_at - now)

    def begin(self) -> bool:
        """Record that a request starts, and return whether it is a probe."""
        self._probing = self.state != "closed"
        return self._probing

    def cancel(self, probe: bool) -> None:
        """Record that the request was not made."""
        self._probing = self._probing and not probe

    def answered(self) -> None:
        """Record that the provider answered, even if it rejected the task."""
        self.state = "closed"
        self._failures = 0
        self._probing = False

    def failed(self, probe: bool, now: float) -> None:
        """Record that the provider was unavailable."""
        self._failures += 1
        if probe or (self.state == "closed" and self._failures >= FAILURES_MAX):
            self._open("unavailable", now)

    def refused(self, now: float) -> None:
        """Record that the provider refused the account: every task fails until the account is corrected."""
        self._open("refused", now)

    def _open(self, state: State, now: float) -> None:
        self._probing = False
        if self.state == "closed":
            self._back_off.reset()
        self.state = state
        self._probe_at = now + self._back_off.next_seconds()

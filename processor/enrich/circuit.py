"""The circuit breaker of a provider's account, one for the whole fleet. Pure.

Each replica has a `Circuit`, which stops its requests at once. What the fleet knows is an `Opening`, a row in
PostgreSQL: `agree` merges the two. While a circuit is open, one replica at a time may send one request, as a probe.
"""

import math
from typing import Literal, NamedTuple

from shared.back_off import BackOff, back_off_seconds

FAILURES_MAX = 10
"""After this many failures in a row, of any tasks, the provider counts as unavailable."""

REJECTIONS_MAX = 20
"""After this many tasks were rejected in a row, in the whole fleet, the service counts as misconfigured."""

SURE_REJECTIONS = 3
"""This many rejections in a row are believed at once. Further ones wait, until it is known what they mean."""

PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 1.0, 30.0
"""Between two probes; doubled with each one that fails. Each probe may cost a new connection."""

ANSWERED_PAUSE_SECONDS_MAX = 5.0
"""The same while the provider answers, if only to refuse: such a probe costs neither money nor a connection."""

PROBE_START_SECONDS = 2.0
"""A replica that may send a probe must send it within this time."""

SETTLE_SECONDS = 2.0
"""A replica's failures concern only itself for this long, in which the others' answers become known."""

OTHERS_FIRST_SECONDS = 1.5
"""If only one replica has found what is wrong, the others may send the probe for this long before it may. Longer than
the time between two renewals of a replica with little work."""

State = Literal["closed", "unavailable", "refused", "misconfigured"]
"""closed: requests are made. unavailable: the provider has no good answer to anything. refused: it refuses the account.
misconfigured: it rejects every task, or the request itself."""


class Opening(NamedTuple):
    """What the fleet knows of a circuit. Times are PostgreSQL's, in seconds."""

    state: State = "closed"
    why: str = ""
    since: float = 0.0
    """When the failures began."""
    probes: int = 0
    """Probes that have failed."""
    probe_at: float = 0.0
    """When a probe may start; while there is a `prober`, when its probe has ended or is given up."""
    prober: str = ""
    """The replica that may send the probe; empty if none may yet."""
    found_by: str = ""
    """The only replica that has found it; empty once a probe of another one has found the same."""


class Report(NamedTuple):
    """What a replica has seen since its last report. Times are PostgreSQL's, in seconds."""

    state: State
    """Its own circuit."""
    follows: bool
    """Whether it is open only because the fleet's is."""
    why: str
    since: float
    """When its failures began."""
    answered_at: float
    """When the last request began that the provider has answered."""
    heard_at: float
    """When the last request began that the provider has answered, or whose task it has rejected."""
    probing: bool
    """Whether a probe of its own is in flight."""
    probe_failed: bool
    wants_probe: bool
    granted: float
    """The fleet's `probe_at` of the last probe that it knows to be granted to it."""


def agree(
    opening: Opening, report: Report, me: str, others_answered_at: float, now: float, probe_seconds: float
) -> Opening:
    """Return what the fleet knows after a replica's report.

    Invariants: while a probe may be in flight, no other replica gets one; an answer to a request that began after the
    failures closes the circuit; a replica that alone gets no answers does not stop the others.

    Args:
        opening: what the fleet knew.
        report: what this replica has seen.
        me: this replica.
        others_answered_at: when another replica's last request began that the provider has answered.
        now: PostgreSQL's time.
        probe_seconds: longest duration of a request.
    """
    others_were_answered = others_answered_at > -math.inf
    if opening.state == "closed":
        if report.state == "closed" or report.follows or others_answered_at > report.since:
            return opening
        if others_were_answered and now < report.since + SETTLE_SECONDS:
            return opening
        since = round(report.since, 6)  # PostgreSQL stores microseconds
        prober, probe_at = (me, round(now + probe_seconds, 6)) if report.probing else ("", now + PAUSE_SECONDS_FIRST)
        return Opening(report.state, report.why, since, 0, probe_at, prober, found_by=me)
    answered_at = report.answered_at if opening.state == "misconfigured" else report.heard_at
    if answered_at > opening.since and report.state == "closed":
        return Opening()
    if opening.prober == me and report.probe_failed:
        pause_seconds = back_off_seconds(opening.probes + 2, PAUSE_SECONDS_FIRST, _longest_pause(report.state))
        found_by = me if opening.found_by == me or report.state != opening.state else ""
        return Opening(report.state, report.why, opening.since, opening.probes + 1, now + pause_seconds, "", found_by)
    if opening.prober == me and not report.probing:
        start_until = opening.probe_at - probe_seconds
        if opening.probe_at != report.granted or now >= start_until:  # it does not know of the probe, or is too late
            return opening._replace(prober="", probe_at=now - OTHERS_FIRST_SECONDS)  # any replica's turn
    others_first = OTHERS_FIRST_SECONDS if opening.found_by == me and others_were_answered else 0.0
    if now >= opening.probe_at + others_first and report.wants_probe:
        probe_at = round(now + PROBE_START_SECONDS + probe_seconds, 6)
        return opening._replace(prober=me, probe_at=probe_at)
    return opening


def _longest_pause(state: State) -> float:
    return PAUSE_SECONDS_MAX if state == "unavailable" else ANSWERED_PAUSE_SECONDS_MAX


class Circuit:
    """A replica's circuit. `now` is in seconds of a monotonic clock.

    Invariant: while it is open, at most one request is in flight that began after it opened: a probe. How a request
    ends that began earlier says nothing, also after the circuit has closed.
    """

    def __init__(self) -> None:
        """Start closed."""
        self.state: State = "closed"
        self.why = ""
        self.rejections = 0
        """Tasks that were rejected in a row."""
        self.rejected_since = math.inf
        """When the first of them was rejected."""
        self.answered_at = -math.inf
        """When the last request began that the provider has answered."""
        self.closed_at = -math.inf
        self.alone = False
        """Whether it is open here, and not in the fleet."""
        self._opened_at = -math.inf  # the last time
        self._heard_at = -math.inf  # when the last request began that was answered, or whose task was rejected
        self._failures = 0
        self._since = math.inf  # when the failures began after which the provider has answered nothing here
        self._following = False  # whether the fleet's circuit is open
        self._probes = 0
        self._probing = 0  # number of the probe in flight; 0 if there is none
        self._probe_failed = False
        self._probe_from, self._probe_until = math.inf, math.inf
        self._granted = 0.0  # the fleet's `probe_at` of the last probe
        self._back_off = BackOff(PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX)  # while it is alone

    def wait_seconds(self, now: float) -> float:
        """Return 0 if a request may start, else the time until a probe may; infinity if something has to change."""
        if self.state == "closed":
            return 0.0
        if self._probing or now >= self._probe_until:
            return math.inf
        return max(0.0, self._probe_from - now)

    def begin(self) -> int:
        """Record that a request starts, and return its number if it is a probe, else 0."""
        if self.state == "closed":
            return 0
        self._probes += 1
        self._probing = self._probes
        return self._probing

    def cancel(self, probe: int) -> None:
        """Record that the request was not made, or that its end says nothing about the provider."""
        if probe == self._probing:
            self._probing = 0

    def answered(self, begun: float, now: float) -> None:
        """Record an answer to a request that began at `begun`."""
        self.answered_at = max(self.answered_at, begun)
        if begun > self.rejected_since:
            self.forget_rejections()
        self._hear(begun, now)

    def rejected(self, probe: int, begun: float, now: float) -> None:
        """Record that the provider rejects the task of a request. `count_rejection` counts it."""
        if self.state == "misconfigured":
            self._end_probe(probe, "misconfigured", self.why, now)
        else:
            self._hear(begun, now)

    def count_rejection(self, now: float) -> int:
        """Count a rejected task, and return how many were rejected in a row here."""
        self.rejected_since = min(self.rejected_since, now)
        self.rejections += 1
        return self.rejections

    def forget_rejections(self) -> None:
        """Count rejections from 0 again: the provider has taken a task since."""
        self.rejections = 0
        self.rejected_since = math.inf

    def failed(self, probe: int, begun: float, now: float, why: str) -> None:
        """Record that the provider had no good answer to a request that began at `begun`."""
        if begun < self._opened_at:
            return
        self._since = min(self._since, now)
        self._failures += 1
        if self.state != "closed":
            self._end_probe(probe, "unavailable", why, now)
        elif self._failures >= FAILURES_MAX:
            self._open("unavailable", why, now)

    def open(self, state: State, probe: int, begun: float, now: float, why: str) -> None:
        """Record that no request can succeed, whatever its task: `refused` or `misconfigured`."""
        if begun < self._opened_at:
            return
        self._since = min(self._since, now, self.rejected_since if state == "misconfigured" else math.inf)
        if self.state != "closed":
            self._end_probe(probe, state, why, now)
        else:
            self._open(state, why, now)

    def report(self, ahead: float, *, wants_probe: bool) -> Report:
        """Return what the fleet must know. `ahead`: how far PostgreSQL's clock is ahead of the monotonic one."""
        return Report(
            self.state,
            self._following,
            self.why,
            self._since + ahead,
            self.answered_at + ahead,
            self._heard_at + ahead,
            bool(self._probing),
            self._probe_failed,
            wants_probe and not self._probing,
            self._granted,
        )

    def follow(self, opening: Opening, report: Report, me: str, ahead: float, asked_at: float) -> None:
        """Follow what the fleet has agreed on.

        Args:
            opening: the agreement.
            report: what this replica has reported for it.
            me: this replica.
            ahead: how far PostgreSQL's clock is ahead of the monotonic one.
            asked_at: when the report was sent.
        """
        if report.probe_failed:
            self._probe_failed = False
        if opening.state != "closed":
            if self._heard_at + ahead != report.heard_at:
                return  # the provider has answered meanwhile: the next report says so
            if self.state == "closed":
                self._opened_at = asked_at
            self.state, self.why = opening.state, opening.why
            self._following, self.alone = True, False
            if opening.prober != me:
                self._probe_from = self._probe_until = math.inf
            elif opening.probe_at != self._granted:
                self._granted = opening.probe_at
                self._probe_from, self._probe_until = asked_at, asked_at + PROBE_START_SECONDS
        elif self._following:
            self._close(asked_at)
        elif report.state != "closed" and self.state != "closed" and not self.alone:
            self.alone = True
            self._back_off.reset()
            self._wait_alone(asked_at)

    def _open(self, state: State, why: str, now: float) -> None:
        self.state, self.why = state, why
        self._opened_at = now
        self._probing = 0
        self._probe_from = self._probe_until = math.inf

    def _end_probe(self, probe: int, state: State, why: str, now: float) -> None:
        if not probe or probe != self._probing:
            return
        if self.state != "misconfigured":  # else only an answer shows that it takes tasks again
            self.state = state
        self.why = why
        self._probing = 0
        self._probe_from = self._probe_until = math.inf
        if self.alone:
            self._wait_alone(now)
        else:
            self._probe_failed = True

    def _wait_alone(self, now: float) -> None:
        self._probe_from = now + min(self._back_off.next_seconds(), _longest_pause(self.state))

    def _hear(self, begun: float, now: float) -> None:
        self._heard_at = max(self._heard_at, begun)
        if self.state == "closed" or begun >= self._opened_at:
            self._since = math.inf
            self._close(now)

    def _close(self, now: float) -> None:
        # `_since` stays if only another replica was answered: should the next request fail here, this replica is alone.
        if self.state == "misconfigured":
            self.forget_rejections()  # the provider has taken a task, of this replica or of another one
        self._failures = self._probing = 0
        self._probe_failed = self._following = self.alone = False
        if self.state != "closed":
            self.closed_at = now
            self.state, self.why = "closed", ""

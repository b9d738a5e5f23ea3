"""The circuit breaker, which is one for the fleet: when requests go to a provider, and when they are held back."""

import itertools
import math
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.enrich.circuit import (
    FAILURES_MAX,
    PAUSE_SECONDS_FIRST,
    PAUSE_SECONDS_MAX,
    PROBE_START_SECONDS,
    REJECTIONS_MAX,
    SETTLE_SECONDS,
    Circuit,
    Opening,
    agree,
)

PROBE_SECONDS = 5.1
RENEW_SECONDS = 0.25
LEASE_SECONDS = 3.0


@dataclass(eq=False)
class Request:
    """A request in flight, and the opening that its replica knew when it began."""

    probe: int
    opening: int
    begun: float
    """By its replica's clock."""
    ends_by: float


@dataclass(eq=False)
class Replica:
    """A replica of the fleet. Its monotonic clock has an offset of its own."""

    name: str
    offset: float
    circuit: Circuit = field(default_factory=Circuit)
    requests: list[Request] = field(default_factory=list)
    wants_probe: bool = True
    lease_until: float = -math.inf
    opening: int = 0
    renewal: tuple | None = None  # committed, and its answer is on its way


class Fleet:
    """The replicas, the table that they share, and the time: PostgreSQL's, with its microseconds."""

    def __init__(self, replicas):
        self.now = 1_700_000_000.123457
        self.opening = Opening()
        self.openings = 0
        self.answered_at = {}
        self.changes = []
        self.started = 0
        self.replicas = []
        self.dead = []
        for _ in range(replicas):
            self.start()

    def start(self):
        self.started += 1
        self.replicas.append(Replica(f"replica {self.started}", offset=-1e9 * self.started))
        self.renew(self.replicas[-1])

    def die(self, replica):
        self.replicas.remove(replica)
        self.dead.append(replica)
        self.answered_at.pop(replica.name, None)

    def clock(self, replica):
        return self.now + replica.offset

    def ask(self, replica, late=0.0):
        """Make the first half of a renewal: what is committed. `late`: time from PostgreSQL's answer to its arrival."""
        ahead = -replica.offset - late
        others = max((at for name, at in self.answered_at.items() if name != replica.name), default=-math.inf)
        report = replica.circuit.report(ahead, wants_probe=replica.wants_probe)
        opening = agree(self.opening, report, replica.name, others, self.now, PROBE_SECONDS)
        if opening.state != self.opening.state:
            self.changes.append((replica.name, opening.state))
            self.openings += self.opening.state == "closed"
        self.opening = opening._replace(since=round(opening.since, 6), probe_at=round(opening.probe_at, 6))
        self.answered_at[replica.name] = replica.circuit.answered_at + ahead
        replica.renewal = (opening, report, replica.name, ahead, self.clock(replica)), self.openings, self.now

    def hear(self, replica):
        """Make the second half: what the replica does once it knows that the renewal is committed."""
        if replica.renewal is not None:
            arguments, openings, asked_at = replica.renewal
            replica.renewal = None
            replica.circuit.follow(*arguments)
            replica.opening = openings if arguments[0].state != "closed" else 0
            replica.lease_until = asked_at + LEASE_SECONDS

    def renew(self, *replicas):
        for replica in replicas or self.replicas:
            self.ask(replica)
            self.hear(replica)

    def may_begin(self, replica):
        return self.now < replica.lease_until and replica.circuit.wait_seconds(self.clock(replica)) == 0

    def begin(self, replica):
        assert self.may_begin(replica)
        ends_by = self.now + PROBE_SECONDS
        request = Request(replica.circuit.begin(), replica.opening, self.clock(replica), ends_by)
        replica.requests.append(request)
        return request

    def end(self, replica, request, how):
        replica.requests.remove(request)
        circuit, now = replica.circuit, self.clock(replica)
        match how:
            case "answer":
                circuit.answered(request.begun, now)
            case "rejection":
                circuit.rejected(request.probe, request.begun, now)
            case "failure":
                circuit.failed(request.probe, request.begun, now, "503")
            case "refused" | "misconfigured":
                circuit.open(how, request.probe, request.begun, now, "403")
            case "cancel":
                circuit.cancel(request.probe)

    def fail(self, replica):
        """Let all that a closed circuit permits fail, until it opens."""
        for _ in range(FAILURES_MAX):
            if self.may_begin(replica):
                self.end(replica, self.begin(replica), "failure")

    def wait(self, seconds):
        self.now += seconds
        for replica in (*self.replicas, *self.dead):
            for request in [request for request in replica.requests if request.ends_by <= self.now]:
                self.end(replica, request, "failure")

    def probes(self):
        """Return the requests in flight that began after their replica knew that the fleet's circuit is open."""
        if self.opening.state == "closed":
            return []
        requests = itertools.chain.from_iterable(replica.requests for replica in (*self.replicas, *self.dead))
        return [request for request in requests if request.probe and request.opening == self.openings]

    def is_closed(self):
        return self.opening == Opening() and all(replica.circuit.state == "closed" for replica in self.replicas)

    def until_begun(self, replicas, seconds=100.0):
        """Renew all until one of these may begin a request, and return it."""
        until = self.now + seconds
        while True:
            self.renew()
            for replica in replicas:
                if self.may_begin(replica):
                    return replica
            assert self.now < until, "nobody may ever begin a request again"
            self.wait(RENEW_SECONDS)


STEPS = [
    *("ask", "late", "hear", "renew", "renew", "lost"),
    *("begin", "begin", "answer", "rejection", "failure", "failure", "refused", "misconfigured", "cancel"),
    *("fail", "wait", "wait", "long", "due", "due", "due", "idle", "busy", "die", "start"),
]


def take(fleet, step, number):
    match step:
        case "wait":
            fleet.wait(0.4)
        case "long":
            fleet.wait(2.1)
        case "due":
            fleet.wait(max(0.0, fleet.opening.probe_at - fleet.now))
        case "start" if len(fleet.replicas) < 4:
            fleet.start()
    if not fleet.replicas:
        return
    replica = fleet.replicas[number % len(fleet.replicas)]
    match step:
        case "ask":
            fleet.ask(replica)
        case "late":
            fleet.ask(replica, late=0.05)
        case "hear":
            fleet.hear(replica)
        case "renew" | "due":
            fleet.renew(replica)
        case "lost":
            replica.renewal = None
        case "begin" if fleet.may_begin(replica):
            fleet.begin(replica)
        case "fail":
            fleet.fail(replica)
        case "idle" | "busy":
            replica.wants_probe = step == "busy"
        case "die":
            fleet.die(replica)
        case "answer" | "rejection" | "failure" | "refused" | "misconfigured" | "cancel" if replica.requests:
            fleet.end(replica, replica.requests[number // 4 % len(replica.requests)], step)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=40, max_size=100))
def test_whatever_happens_one_probe_at_most_is_in_flight_and_answers_close_the_circuit_for_all(steps):
    fleet = Fleet(3)
    fleet.fail(fleet.replicas[0])
    for step in steps:
        take(fleet, *step)
        assert len(fleet.probes()) <= 1

    fleet.start()
    for replica in fleet.replicas:
        replica.wants_probe = True
        fleet.hear(replica)
    until = fleet.now + 2 * (PAUSE_SECONDS_MAX + PROBE_START_SECONDS + PROBE_SECONDS)
    while not fleet.is_closed():
        assert fleet.now < until
        for replica in fleet.replicas:
            if fleet.may_begin(replica):
                fleet.end(replica, fleet.begin(replica), "answer")
        fleet.wait(RENEW_SECONDS)
        fleet.renew()


def opened(replicas=3):
    """Return a fleet whose first replica has opened the circuit, and its replicas."""
    fleet = Fleet(replicas)
    fleet.fail(fleet.replicas[0])
    fleet.renew()
    return fleet, fleet.replicas


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not():
    circuit = Circuit()
    for how in (circuit.answered, partial(circuit.rejected, 0)):
        for _ in range(FAILURES_MAX - 1):
            circuit.failed(circuit.begin(), 0.0, 0.0, "503")
        how(0.0, 0.0)
    circuit.failed(circuit.begin(), 0.0, 0.0, "503")
    assert circuit.wait_seconds(0.0) == 0

    for _ in range(FAILURES_MAX - 1):
        circuit.failed(circuit.begin(), 0.0, 0.0, "503")
    assert (circuit.state, circuit.why) == ("unavailable", "503")
    assert circuit.wait_seconds(0.0) == math.inf


@pytest.mark.parametrize("state", ["refused", "misconfigured"])
def test_what_concerns_every_task_opens_it_at_once(state):
    fleet = Fleet(2)
    first, second = fleet.replicas
    fleet.end(first, fleet.begin(first), state)
    assert not fleet.may_begin(first)

    fleet.renew()
    assert second.circuit.state == state


def test_one_replicas_failures_stop_all_at_their_next_renewals_and_who_starts_later_at_its_first():
    fleet = Fleet(2)
    failing, other = fleet.replicas
    fleet.fail(failing)
    assert not fleet.may_begin(failing)
    assert fleet.may_begin(other)

    fleet.renew()
    assert not fleet.may_begin(other)
    fleet.start()
    assert fleet.replicas[-1].circuit.state == "unavailable"
    assert not fleet.may_begin(fleet.replicas[-1])


@pytest.mark.parametrize("how", ["answer", "rejection"])
@pytest.mark.parametrize("when", ["before its renewal", "during its renewal"])
@pytest.mark.parametrize("what", ["a probe", "a request that began after the failures"])
def test_any_answer_closes_it_for_all_within_their_next_renewals(what, when, how):
    fleet = Fleet(3)
    first, second, third = fleet.replicas
    fleet.fail(first)
    fleet.wait(0.1)
    early = fleet.begin(second)
    fleet.renew()
    replica, request = second, early
    if what == "a probe":
        replica = fleet.until_begun(fleet.replicas)
        request = fleet.begin(replica)
    fleet.wait(0.1)
    if when == "during its renewal":
        fleet.ask(replica)
    fleet.wait(0.1)
    fleet.end(replica, request, how)
    fleet.hear(replica)

    fleet.renew(replica)
    fleet.renew(first, second, third)
    assert fleet.is_closed()
    assert all(fleet.may_begin(replica) for replica in fleet.replicas)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("failure", (1, 2, 4, 8, 16, 30, 30, 30, 30)), ("refused", (1, 2, 4, 5, 5, 5, 5, 5, 5))],
)
def test_the_pauses_between_probes_grow_up_to_a_limit_whichever_replica_sends_them(how, expected):
    fleet, replicas = opened()
    pauses, probers, ended_at = [], set(), fleet.now
    for _ in expected:
        replica = fleet.until_begun(replicas)
        pauses.append(fleet.now - ended_at)
        probers.add(replica.name)
        fleet.end(replica, fleet.begin(replica), how)
        replica.wants_probe = False  # its task goes to the end of the queue
        fleet.renew()
        replica.wants_probe = True
        ended_at = fleet.now

    assert pauses == [pytest.approx(pause, abs=RENEW_SECONDS) for pause in expected]


def test_a_prober_sends_one_probe_at_a_time_and_none_after_the_time_to_start_it():
    fleet, [replica] = opened(1)
    fleet.until_begun([replica])
    circuit, began_at = replica.circuit, fleet.clock(replica)
    probe = circuit.begin()
    assert circuit.wait_seconds(began_at) == math.inf

    circuit.cancel(probe)
    assert circuit.wait_seconds(began_at) == 0
    assert circuit.wait_seconds(began_at + PROBE_START_SECONDS) == math.inf


def test_times_that_a_replica_compares_are_agreed_on_in_the_microseconds_that_postgresql_stores():
    for part in range(100):
        fleet = Fleet(1)
        fleet.wait(part / 300)
        [replica] = fleet.replicas
        fleet.fail(replica)
        fleet.ask(replica)
        [(opening, *_), *_] = replica.renewal
        assert opening.since == fleet.opening.since


def test_a_probe_that_is_granted_stays_so_over_renewals():
    fleet, [replica] = opened(1)
    for number in range(30):
        fleet.until_begun([replica])
        fleet.renew()
        assert fleet.may_begin(replica)
        fleet.end(replica, fleet.begin(replica), "failure" if number % 2 else "cancel")
        fleet.wait(PROBE_START_SECONDS)


def test_the_end_of_an_earlier_outages_probe_says_nothing_about_this_ones():
    fleet = Fleet(1)
    [replica] = fleet.replicas
    early, probes = fleet.begin(replica), []
    for _ in range(2):
        fleet.fail(replica)
        fleet.until_begun([replica])
        probes.append(fleet.begin(replica))
        if early in replica.requests:
            fleet.end(replica, early, "answer")

    for how in ("failure", "cancel"):
        fleet.end(replica, probes[0], how)
        replica.requests.append(probes[0])
        fleet.renew()
        assert fleet.opening.prober == replica.name
        assert not fleet.may_begin(replica)


def test_a_rejection_before_the_failures_began_does_not_close_it():
    fleet = Fleet(2)
    failing, other = fleet.replicas
    for replica in fleet.replicas:
        fleet.end(replica, fleet.begin(replica), "rejection")
        replica.circuit.count_rejection(fleet.clock(replica))
        fleet.wait(0.1)
    fleet.fail(failing)
    fleet.renew()

    assert fleet.opening.state == other.circuit.state == "unavailable"


def test_a_probe_is_granted_only_to_a_replica_with_a_task_that_waits():
    fleet, (first, second, third) = opened()
    first.wants_probe = third.wants_probe = False

    assert fleet.until_begun(fleet.replicas) is second


@pytest.mark.parametrize("started_after", [0.0, PROBE_START_SECONDS - 0.01])
def test_a_prober_that_dies_is_replaced_once_its_probe_must_have_ended(started_after):
    fleet, replicas = opened()
    prober = fleet.until_begun(replicas)
    fleet.wait(started_after)
    probe = fleet.begin(prober)
    fleet.die(prober)

    fleet.until_begun(replicas)
    assert probe.ends_by <= fleet.now < probe.ends_by + PROBE_START_SECONDS + 2 * RENEW_SECONDS


def test_a_prober_is_not_replaced_while_its_probe_is_in_flight():
    fleet, replicas = opened()
    prober = fleet.until_begun(replicas)
    probe = fleet.begin(prober)
    while fleet.now < probe.ends_by - 2 * RENEW_SECONDS:
        fleet.wait(RENEW_SECONDS)
        fleet.renew()
        assert fleet.opening.prober == prober.name


def test_a_prober_whose_task_has_gone_is_replaced_soon():
    fleet, replicas = opened()
    prober = fleet.until_begun(replicas)
    fleet.end(prober, fleet.begin(prober), "cancel")
    cancelled_at = fleet.now

    assert fleet.may_begin(prober), "another task of its may be the probe"
    others = [replica for replica in replicas if replica is not prober]
    fleet.until_begun(others)
    assert fleet.now - cancelled_at < PROBE_START_SECONDS + 2 * RENEW_SECONDS


def test_a_prober_that_does_not_hear_of_it_is_replaced_soon():
    fleet, (deaf, other) = opened(2)
    fleet.wait(PAUSE_SECONDS_FIRST)
    fleet.ask(deaf)
    deaf.renewal = None
    assert fleet.opening.prober == deaf.name

    fleet.wait(PROBE_START_SECONDS - 0.1)
    fleet.renew(deaf)
    assert not fleet.may_begin(deaf), "its probe would end too late"
    fleet.renew(other)
    assert fleet.may_begin(other)


def alone(fleet=None):
    """Return a fleet of two, a replica that alone gets no answers, and the other one."""
    fleet = fleet or Fleet(2)
    failing, other = fleet.replicas
    fleet.end(failing, fleet.begin(failing), "failure")
    fleet.wait(RENEW_SECONDS)
    fleet.end(other, fleet.begin(other), "answer")
    fleet.renew(other)
    fleet.fail(failing)
    fleet.renew(failing)
    return fleet, failing, other


@pytest.mark.parametrize(("how", "expected"), [("failure", (1, 2, 4, 8, 16, 30, 30)), ("refused", (1, 2, 4, 5, 5))])
def test_a_replica_that_alone_gets_no_answers_stops_no_other_and_probes_by_itself(how, expected):
    fleet, failing, other = alone()

    def paused():
        failed_at = fleet.now
        while not fleet.may_begin(failing):
            fleet.wait(RENEW_SECONDS)
            fleet.end(other, fleet.begin(other), "answer")
            fleet.renew()
        return fleet.now - failed_at

    pauses = []
    for _ in expected:
        pauses.append(paused())
        fleet.end(failing, fleet.begin(failing), how)
    assert pauses == [pytest.approx(pause, abs=RENEW_SECONDS) for pause in expected]

    paused()
    fleet.end(failing, fleet.begin(failing), "answer")
    assert fleet.is_closed()
    assert fleet.changes == []
    alone(fleet)
    assert paused() == pytest.approx(PAUSE_SECONDS_FIRST, abs=RENEW_SECONDS)


def test_a_replica_that_was_alone_probes_in_its_turn_once_the_others_get_no_answers_either():
    fleet, failing, other = alone()
    fleet.fail(other)
    fleet.renew(other, failing)

    fleet.wait(PAUSE_SECONDS_FIRST)
    assert not fleet.may_begin(failing)
    fleet.renew(other)
    assert fleet.may_begin(other)
    assert not fleet.may_begin(failing)


def test_while_its_own_probe_is_in_flight_a_replica_gets_none_of_the_fleets():
    fleet, failing, other = alone()
    fleet.wait(PAUSE_SECONDS_FIRST)
    fleet.begin(failing)
    fleet.fail(other)
    fleet.renew(other, failing)

    fleet.wait(PAUSE_SECONDS_FIRST)
    fleet.renew(failing, other)
    assert fleet.may_begin(other)


def test_an_answer_before_a_replicas_own_failures_does_not_close_it():
    fleet = Fleet(2)
    first, second = fleet.replicas
    fleet.fail(first)
    fleet.wait(0.1)
    fleet.end(second, fleet.begin(second), "answer")
    fleet.fail(second)
    fleet.renew()

    assert fleet.opening.state == first.circuit.state == second.circuit.state == "unavailable"


@pytest.mark.parametrize("how", ["answer", "rejection"])
@pytest.mark.parametrize("what", ["failure", "refused", "misconfigured"])
def test_how_a_request_ends_that_began_before_the_failures_closes_nothing(what, how):
    fleet = Fleet(2)
    first, other = fleet.replicas
    early = [fleet.begin(replica) for replica in fleet.replicas]
    fleet.wait(0.1)
    fleet.fail(first) if what == "failure" else fleet.end(first, fleet.begin(first), what)
    fleet.renew()
    opening = fleet.opening
    assert opening.state != "closed"

    fleet.wait(0.1)
    for replica, request in zip(fleet.replicas, early, strict=True):
        fleet.end(replica, request, how)
    fleet.renew()
    assert fleet.opening == opening
    assert not any(fleet.may_begin(replica) for replica in (first, other))


def answered(fleet, *replicas):
    for replica in replicas:
        fleet.end(replica, fleet.begin(replica), "answer")
    fleet.renew(*replicas)


@pytest.mark.parametrize("how", ["refused", "misconfigured"])
def test_a_replica_that_alone_is_refused_stops_no_other(how):
    fleet = Fleet(3)
    wrong, *others = fleet.replicas
    answered(fleet, *others)
    for _ in range(100):
        fleet.wait(RENEW_SECONDS)
        answered(fleet, *others)
        if fleet.may_begin(wrong):
            fleet.end(wrong, fleet.begin(wrong), how)
        fleet.renew(wrong)
        assert wrong.circuit.alone

    assert fleet.changes == []


@pytest.mark.parametrize("how", ["refused", "misconfigured"])
def test_a_replica_that_alone_is_refused_while_the_others_answers_take_long_stops_them_once(how):
    fleet = Fleet(3)
    wrong, *others = fleet.replicas
    answered(fleet, *others)
    fleet.wait(1.0)
    fleet.end(wrong, fleet.begin(wrong), how)
    fleet.renew()
    assert fleet.opening.state == "closed", "the others may have been answered since"
    fleet.wait(SETTLE_SECONDS)
    fleet.renew()
    assert fleet.opening.state == how

    began_at = fleet.now
    prober = fleet.until_begun(fleet.replicas)
    assert prober in others
    assert fleet.now < began_at + PAUSE_SECONDS_FIRST + 2 * RENEW_SECONDS
    fleet.end(prober, fleet.begin(prober), "answer")
    fleet.renew()
    fleet.renew()
    assert fleet.is_closed()

    for _ in range(100):  # it is asked again, and refused again
        fleet.wait(RENEW_SECONDS)
        if fleet.may_begin(wrong):
            fleet.end(wrong, fleet.begin(wrong), how)
        fleet.renew()
    assert [state for _, state in fleet.changes] == [how, "closed"]


def test_who_has_found_it_is_known_until_a_probe_of_another_replica_fails_as_well():
    fleet, (first, second, third) = opened()
    assert fleet.opening.found_by == first.name
    second.wants_probe = third.wants_probe = False
    fleet.until_begun([first])
    fleet.end(first, fleet.begin(first), "failure")
    fleet.renew()
    assert (fleet.opening.probes, fleet.opening.found_by) == (1, first.name)

    second.wants_probe = third.wants_probe = True
    prober = fleet.until_begun([second, third])
    fleet.end(prober, fleet.begin(prober), "failure")
    fleet.renew()
    assert (fleet.opening.probes, fleet.opening.found_by) == (2, "")


def test_who_finds_something_else_in_an_outage_has_found_it_alone():
    fleet, replicas = opened(3)
    for how in ("failure", "refused"):
        prober = fleet.until_begun(replicas)
        fleet.end(prober, fleet.begin(prober), how)
        fleet.renew()
        if how == "failure":
            prober.wants_probe = False
    assert (fleet.opening.state, fleet.opening.found_by) == ("refused", prober.name)


def test_a_replica_that_wants_a_probe_and_cannot_send_it_does_not_keep_the_others_from_it():
    fleet, (first, stuck) = opened(2)
    stuck.circuit.answered_at = fleet.clock(stuck) - 100
    began_at = fleet.now
    while not fleet.may_begin(first):  # the other one never begins
        fleet.wait(RENEW_SECONDS)
        fleet.renew()
        assert fleet.now < began_at + 10
    assert fleet.opening.prober == first.name


def test_a_probe_that_is_in_flight_when_a_replica_opens_it_for_all_is_the_fleets():
    fleet = Fleet(2)
    wrong, other = fleet.replicas
    answered(fleet, other)
    fleet.wait(1.0)
    fleet.end(wrong, fleet.begin(wrong), "refused")
    fleet.renew()
    while not fleet.may_begin(wrong):
        fleet.wait(RENEW_SECONDS)
        fleet.renew()
    probe = fleet.begin(wrong)
    fleet.wait(SETTLE_SECONDS)
    fleet.renew()
    assert (fleet.opening.state, fleet.opening.prober) == ("refused", wrong.name)
    while probe in wrong.requests:
        assert not fleet.may_begin(other)
        fleet.wait(RENEW_SECONDS)
        fleet.renew()
    fleet.until_begun([other], seconds=10)


@pytest.mark.parametrize("how", ["failure", "refused", "misconfigured"])
def test_how_a_request_fails_that_began_before_an_outage_does_not_open_it_again_afterwards(how):
    fleet = Fleet(1)
    [replica] = fleet.replicas
    early = [fleet.begin(replica) for _ in range(FAILURES_MAX)]
    fleet.wait(0.1)
    fleet.fail(replica)
    prober = fleet.until_begun([replica])
    fleet.end(prober, fleet.begin(prober), "answer")
    for request in early:
        fleet.end(replica, request, how)
    fleet.renew()
    assert fleet.is_closed()


def test_a_replica_that_was_refused_alone_opens_it_for_all_once_nobody_else_is_there():
    fleet = Fleet(2)
    wrong, other = fleet.replicas
    fleet.end(wrong, fleet.begin(wrong), "refused")
    fleet.wait(0.1)
    answered(fleet, other)
    fleet.renew()
    assert wrong.circuit.alone

    fleet.die(other)
    fleet.renew()
    assert fleet.opening.state == "refused"


def test_each_change_of_state_is_seen_in_one_renewal_by_one_replica():
    fleet = Fleet(3)
    for replica in fleet.replicas:
        fleet.fail(replica)
    fleet.renew()
    prober = fleet.until_begun(fleet.replicas)
    fleet.end(prober, fleet.begin(prober), "refused")
    fleet.renew()
    fleet.renew()
    answered = fleet.until_begun(fleet.replicas)
    fleet.end(answered, fleet.begin(answered), "answer")
    fleet.renew()
    fleet.renew()

    assert fleet.changes == [
        ("replica 1", "unavailable"),
        (prober.name, "refused"),
        (answered.name, "closed"),
    ]


def test_what_began_before_it_opened_and_fails_afterwards_changes_nothing():
    fleet = Fleet(2)
    first, second = fleet.replicas
    early = [fleet.begin(first), fleet.begin(second), fleet.begin(second)]
    fleet.fail(first)
    fleet.renew()
    opening = fleet.opening

    fleet.end(first, early[0], "failure")
    fleet.end(second, early[1], "refused")
    fleet.end(second, early[2], "cancel")
    fleet.renew()
    assert fleet.opening == opening


def test_rejections_that_are_forgotten_are_not_when_a_failure_began():
    circuit = Circuit()
    circuit.count_rejection(1.0)
    circuit.forget_rejections()
    assert (circuit.rejections, circuit.rejected_since) == (0, math.inf)

    circuit.open("refused", circuit.begin(), 5.0, 5.0, "403")
    assert circuit.report(0.0, wants_probe=False).since == 5.0


def test_an_answer_to_a_request_that_began_before_the_rejections_does_not_end_them():
    circuit = Circuit()
    circuit.count_rejection(1.0)
    circuit.answered(0.5, 2.0)
    assert circuit.count_rejection(3.0) == 2

    circuit.answered(1.5, 4.0)
    assert circuit.count_rejection(5.0) == 1


@pytest.mark.parametrize("how", ["failure", "rejection", "misconfigured", "refused"])
def test_while_every_task_is_rejected_a_probe_that_fails_in_another_way_does_not_show_that_one_is_taken(how):
    fleet = Fleet(2)
    first = fleet.replicas[0]
    fleet.end(first, fleet.begin(first), "misconfigured")
    fleet.renew()
    for _ in range(3):
        for step in (how, "rejection"):
            prober = fleet.until_begun(fleet.replicas)
            fleet.end(prober, fleet.begin(prober), step)
            fleet.renew()
            assert fleet.opening.state == "misconfigured"


def test_while_every_task_is_rejected_a_rejection_is_no_answer():
    fleet = Fleet(2)
    first, other = fleet.replicas
    for number in range(1, REJECTIONS_MAX + 1):
        assert first.circuit.count_rejection(fleet.clock(first)) == number
    first.circuit.open("misconfigured", 0, *2 * [fleet.clock(first)], "400")
    fleet.wait(0.1)
    early = [fleet.begin(other), fleet.begin(other)]
    fleet.end(other, early.pop(), "rejection")
    fleet.renew()
    fleet.renew()
    assert fleet.opening.state == "misconfigured"
    fleet.end(other, early.pop(), "rejection")
    prober = fleet.until_begun(fleet.replicas)
    fleet.end(prober, fleet.begin(prober), "rejection")
    fleet.renew()
    assert fleet.opening.state == "misconfigured"

    first.wants_probe = False
    fleet.until_begun([other])
    fleet.end(other, fleet.begin(other), "answer")
    fleet.renew()
    fleet.renew()
    assert fleet.is_closed()
    assert first.circuit.rejections == 0, "another replica's answer counts for all"

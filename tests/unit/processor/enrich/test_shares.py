"""The division of a quota over the fleet: by need, never beyond the quota, and nobody is passed over for good."""

import copy
import heapq
import itertools
import math
import random
from bisect import bisect_right
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.enrich.quota import MARGIN_SECONDS, AtOnce, Rate
from processor.enrich.shares import BACKLOG_PARTS, PATIENCE_SECONDS, Grant, Lease, grant, is_urgent, share
from processor.enrich.waiting import Waiting
from processor.fleet import IDLE_SECONDS, LEASE_SECONDS, RENEW_SECONDS, WAKE_SECONDS

SLOTS = st.integers(0, 30)
LEASES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(Lease, SLOTS, SLOTS, SLOTS, st.sampled_from([0.0, 0.0, 5.0, 10.0, 20.0])),
    min_size=1,
)


def leases_of(*wants, unserved_seconds=0.0):
    return {name: Lease(0, *each, unserved_seconds) for name, each in zip("abcdefgh", wants, strict=False)}


@given(st.integers(0, 60), LEASES)
def test_the_shares_add_up_to_the_quota_and_nobodys_is_negative(quota, leases):
    shares = share(quota, leases)

    assert shares.keys() == leases.keys()
    assert sum(shares.values()) == quota
    assert min(shares.values()) >= 0


@given(st.integers(1, 60), LEASES)
def test_awaited_records_get_all_slots_but_the_reserved_ones(quota, leases):
    leases = {name: lease._replace(unserved_seconds=0.0) for name, lease in leases.items()}
    awaited = sum(lease.awaited for lease in leases.values())

    shares = share(quota, leases)

    served = sum(min(shares[name], lease.awaited) for name, lease in leases.items())
    assert served >= min(awaited, quota - quota // BACKLOG_PARTS)


@given(st.integers(1, 60), st.lists(SLOTS, min_size=1, max_size=4), st.lists(SLOTS, min_size=1, max_size=4))
def test_the_backlog_keeps_its_reserved_part(quota, awaited, backlog):
    leases = leases_of(*((each, 0) for each in awaited), *((0, each) for each in backlog))

    shares = share(quota, leases)

    served = sum(shares[name] for name, lease in leases.items() if not lease.awaited)
    assert served >= min(quota // BACKLOG_PARTS, sum(backlog))


def test_the_reserved_part_goes_to_those_who_have_least():
    flooded = Lease(6, 1000, 6, 0.0)  # its backlog: its requests

    assert share(20, {"a": flooded, "b": flooded, "c": flooded, "d": Lease(0, 0, 1000, 0.0)})["d"] == 2


@given(st.integers(1, 60), LEASES)
def test_nobody_gets_less_than_another_who_does_not_need_more(quota, leases):
    leases = {name: lease._replace(awaited=0, unserved_seconds=0.0) for name, lease in leases.items()}

    shares = share(quota, leases)

    for name, lease in leases.items():
        assert shares[name] >= min(lease.backlog, max(shares.values()) - 1)


@given(st.integers(1, 8), LEASES)
def test_those_who_were_passed_over_for_too_long_go_first(quota, leases):
    late = {name for name, lease in leases.items() if lease.unserved_seconds >= PATIENCE_SECONDS}
    latest = {name for name in late if leases[name].unserved_seconds == 20.0}

    shares = share(quota, leases)

    for first in (latest, late):
        assert sum(shares[name] > 0 for name in first) >= min(quota, len(first))


def test_what_nobody_needs_is_divided():
    assert share(20, leases_of((0, 0), (0, 0), (1, 0), (0, 0))) == dict.fromkeys("abcd", 5)


def test_if_others_need_slots_the_limit_goes_down_at_once_and_the_row_follows_as_requests_end():
    leases = {"a": Lease(20, 0, 100, 0.0), "b": Lease(0, 100, 0, 0.0)}
    lowered = []

    def in_use(limit):
        lowered.append(limit)
        return 17

    assert grant(20, leases, "a", in_use) == Grant(2, 17)
    assert lowered == [2], "what is held is counted under the lowered limit, or more could begin after that"


def test_slots_are_granted_only_when_the_others_rows_no_longer_have_them():
    leases = {"a": Lease(17, 0, 100, 0.0), "b": Lease(0, 100, 0, 0.0)}

    assert grant(20, leases, "b", lambda limit: 0) == Grant(3, 3)


def renew(quota, leases, me, in_use):
    """Renew the lease of a replica whose requests hold up to `in_use` of its slots."""
    in_use = min(in_use, leases[me].slots)
    granted = grant(quota, leases, me, lambda limit: in_use)
    leases[me] = leases[me]._replace(slots=granted.slots)


@given(st.lists(st.tuples(SLOTS, SLOTS, SLOTS), min_size=1, max_size=6), st.integers())
def test_what_one_wants_and_nobody_else_needs_one_gets_within_two_renewals_of_everybody(replicas, seed):
    drawn = random.Random(seed)
    quota = max(sum(slots for slots, _, _ in replicas), sum(awaited + backlog for _, awaited, backlog in replicas))
    leases = {name: Lease(*each, 0.0) for name, each in zip("abcdefgh", replicas, strict=False)}

    for me in [*drawn.sample(sorted(leases), len(leases)), *drawn.sample(sorted(leases), len(leases))]:
        renew(quota, leases, me, in_use=leases[me].backlog)

    assert all(lease.slots >= lease.awaited + lease.backlog for lease in leases.values())


@settings(max_examples=20)
@given(st.integers(1, 6), st.lists(st.tuples(SLOTS, SLOTS), min_size=1, max_size=6), st.integers())
def test_nobody_who_wants_slots_is_passed_over_for_good(quota, wants, seed):
    drawn, leases = random.Random(seed), leases_of(*wants)
    served_at = {name: 0 for name, lease in leases.items() if lease.awaited + lease.backlog}
    for now in range(100):
        for me in drawn.sample(sorted(leases), len(leases)):
            leases[me] = leases[me]._replace(unserved_seconds=now - served_at.get(me, now))
            renew(quota, leases, me, in_use=drawn.choice([0, quota]))
            if me in served_at and leases[me].slots:
                served_at[me] = now

        assert all(now - at < 6 * PATIENCE_SECONDS for at in served_at.values())


QUOTA = 2
HELD_SECONDS = 5.0
"""No request of the model lasts longer."""


class Replica:
    """A replica as in processor/fleet.py and processor/enrich/gate.py. Its clock differs from the database's."""

    def __init__(self, model):
        self.name, self.quota = next(model.names), AtOnce(QUOTA, HELD_SECONDS)
        self.requests = []
        self.renewal, self.valid_until, self.ahead = (_ for _ in ()), -math.inf, 1000.0 * self.name

    def renew(self, model, wanted):
        """Renew the lease; whatever happens meanwhile happens where it yields. It ends there if it is closed."""
        asked_at = model.now + self.ahead
        yield "asked"
        while model.is_locked:
            yield "waits for the lock"
        model.is_locked = True
        try:
            model.rows = {name: row for name, row in model.rows.items() if row[1] + HELD_SECONDS >= model.now}
            leases = {name: lease for name, (lease, _) in model.rows.items()}
            slots = leases[self.name].slots if self.name in leases else 0
            leases[self.name] = Lease(slots, wanted // 2, wanted // 2 + self.quota.used(model.now), 0.0)
            limit, slots = grant(QUOTA, leases, self.name, lambda limit: self.quota.lower(limit, model.now))
            yield "has measured what is held"
            model.rows[self.name] = (leases[self.name]._replace(slots=slots), model.now + LEASE_SECONDS)
        finally:
            model.is_locked = False
        yield "is committed"
        self.quota.limit, self.valid_until = limit, asked_at + LEASE_SECONDS


class Model:
    """Two replicas, the table of leases and a provider."""

    def __init__(self):
        self.now, self.rows, self.is_locked, self.names = 0.0, {}, False, itertools.count()
        self.replicas, self.died = [Replica(self), Replica(self)], []

    def renew(self, replica, wanted):
        """Let its renewal go on to its end, or else a whole new one."""
        if not self.is_locked:
            deque(itertools.chain(replica.renewal, replica.renew(self, wanted)), maxlen=0)

    def go_on(self, replica, wanted):
        if next(replica.renewal, None) is None:
            replica.renewal = replica.renew(self, wanted)
            next(replica.renewal)

    def lose_connection(self, replica):
        replica.renewal.close()

    def begin(self):
        """Begin all requests that may begin."""
        for replica in self.replicas:
            while self.now + replica.ahead < replica.valid_until and not replica.quota.wait_seconds(self.now):
                replica.requests.append(replica.quota.begin(self.now))

    def end(self, replica):
        while replica.requests:
            replica.quota.end(replica.requests.pop(), self.now)

    def die(self, replica):
        replica.renewal.close()
        self.died.append(replica)
        self.replicas[self.replicas.index(replica)] = Replica(self)

    def wait(self, _, seconds):
        self.now += seconds
        for replica in [*self.replicas, *self.died]:
            for request in [request for request in replica.requests if request.begun + HELD_SECONDS <= self.now]:
                replica.requests.remove(request)
                replica.quota.end(request, self.now)


STEPS = [
    *itertools.product(["renew", "go_on", "go_on", "go_on"], range(2), [0, 2 * QUOTA]),
    *itertools.product(["end", "lose_connection"], range(2)),
    ("die", 0),
    *itertools.product(["wait"], [0], [0.5, 2.9, 9.0]),
]


@given(st.lists(st.sampled_from(list(itertools.product(STEPS, [False, True]))), min_size=60, max_size=100))
def test_in_any_order_of_events_rows_and_requests_in_flight_stay_within_the_quota(steps):
    model = Model()
    for (step, number, *argument), is_busy in steps:
        getattr(model, step)(model.replicas[number], *argument)
        if is_busy:
            model.begin()

        assert sum(lease.slots for lease, _ in model.rows.values()) <= QUOTA
        assert sum(len(replica.requests) for replica in [*model.replicas, *model.died]) <= QUOTA


class Simulation:
    """A fleet in virtual time, which renews its leases as processor/fleet.py does, and a provider that is strict."""

    def __init__(self, quota, backlogs, latency=(0.1, 0.1)):
        self.now, self.events, self.order, self.drawn = 0.0, [], itertools.count(), random.Random(1)
        self.slots, self.latency, self.is_rate = quota.slots, latency, isinstance(quota, Rate)
        self.rows, self.unlocked_at = {}, 0.0
        self.arrivals, self.in_flight, self.busy_seconds, self.refused = [], 0, 0.0, 0
        self.replicas = [SimulatedReplica(self, f"{name}", copy.deepcopy(quota)) for name in range(len(backlogs))]
        for replica, records in zip(self.replicas, backlogs, strict=True):
            self.at(self.drawn.uniform(0, RENEW_SECONDS), replica.renew, 0)
            self.at(0.5, replica.receive, records)

    def at(self, time, do, *arguments):
        heapq.heappush(self.events, (time, next(self.order), do, arguments))

    def soon(self, shortest, longest, do, *arguments):
        self.at(self.now + self.drawn.uniform(shortest, longest), do, *arguments)

    def run(self, until):
        while self.events[0][0] < until:
            time, _, do, arguments = heapq.heappop(self.events)
            self.busy_seconds += self.in_flight * (time - self.now)
            self.now = time
            do(*arguments)

    def arrive(self, replica, request):
        in_last_second = len(self.arrivals) - bisect_right(self.arrivals, self.now - 1)
        self.refused += (in_last_second if self.is_rate else self.in_flight) >= self.slots
        self.arrivals.append(self.now)
        self.in_flight += 1
        self.soon(*self.latency, self.answer, replica, request)

    def answer(self, replica, request):
        self.in_flight -= 1
        replica.quota.end(request, self.now)
        replica.serve()


class SimulatedReplica:
    def __init__(self, fleet, name, quota):
        self.fleet, self.name, self.quota, self.waiting = fleet, name, quota, Waiting()
        self.renewals, self.renewed_at, self.valid_until, self.serves_at = 0, 0.0, 0.0, None
        self.waited = []

    def receive(self, records, awaited_until=None):
        if not len(self.waiting):
            self.fleet.at(max(self.fleet.now, self.renewed_at + WAKE_SECONDS), self.renew, self.renewals)
        for _ in range(records):
            self.waiting.enter(self.fleet.now, self.waiting.number(), awaited_until)
        self.serve()

    def renew(self, number):
        if number == self.renewals:  # else it has been woken
            self.renewals, self.renewed_at = number + 1, self.fleet.now
            self.fleet.soon(0.001, 0.004, self.read)

    def read(self):
        fleet, now = self.fleet, self.fleet.now
        if now < fleet.unlocked_at:
            fleet.at(fleet.unlocked_at, self.read)
            return
        fleet.unlocked_at = now + fleet.drawn.uniform(0.001, 0.004)
        self.waiting.expire(now)
        fleet.rows = {name: row for name, row in fleet.rows.items() if row[2] >= now}
        mine, unserved_from, _ = fleet.rows.get(self.name, (Lease(0, 0, 0, 0.0), None, None))
        mine = mine._replace(awaited=self.waiting.awaited, backlog=self.waiting.backlog + self.quota.used(now))
        fleet.rows[self.name] = (mine, unserved_from, 0.0)
        leases = {
            name: lease._replace(unserved_seconds=0.0 if since is None else now - since)
            for name, (lease, since, _) in fleet.rows.items()
        }
        limit, slots = grant(fleet.slots, leases, self.name, lambda limit: self.quota.lower(limit, now))
        unserved_from = None if slots or not mine.awaited + mine.backlog else unserved_from or now
        free_at = fleet.unlocked_at + LEASE_SECONDS + self.quota.held_seconds(fleet.now)
        fleet.rows[self.name] = (mine._replace(slots=slots), unserved_from, free_at)
        assert sum(lease.slots for lease, _, _ in fleet.rows.values()) <= fleet.slots
        others = [lease for name, lease in leases.items() if name != self.name]
        urgent = is_urgent(mine._replace(slots=slots), others)
        fleet.at(fleet.unlocked_at + fleet.drawn.uniform(0.001, 0.004), self.learn, limit, urgent)

    def learn(self, limit, urgent):
        self.quota.limit, self.valid_until = limit, self.renewed_at + LEASE_SECONDS
        seconds = (RENEW_SECONDS if urgent else IDLE_SECONDS) * self.fleet.drawn.uniform(0.95, 1.05)
        self.fleet.at(self.renewed_at + seconds, self.renew, self.renewals)
        self.serve()

    def serve(self, due_at=None):
        fleet, now = self.fleet, self.fleet.now
        if due_at is not None and due_at != self.serves_at:
            return
        self.serves_at = None
        while len(self.waiting) and now < self.valid_until:
            if wait_seconds := self.quota.wait_seconds(now):
                if wait_seconds < math.inf:
                    self.serves_at = now + max(wait_seconds, 0.001)
                    fleet.at(self.serves_at, self.serve, self.serves_at)
                return
            self.waited.append(now - self.waiting.next(now))
            request = self.quota.begin(now)
            self.quota.sent(request, now)
            fleet.soon(0.0, MARGIN_SECONDS, fleet.arrive, self, request)

    def die(self):
        self.valid_until = 0.0
        self.fleet.events = [event for event in self.fleet.events if event[2].__self__ is not self]
        heapq.heapify(self.fleet.events)


def simulate(quota, backlogs, *, seconds, latency=(0.1, 0.1)):
    """Return a fleet after a simulation, and how many requests a second arrived after the first 5 s."""
    fleet = Simulation(quota, backlogs, latency)
    fleet.run(5)
    before = len(fleet.arrivals)
    fleet.run(seconds)
    return fleet, (len(fleet.arrivals) - before) / (seconds - 5)


@pytest.mark.parametrize("backlogs", [[1000], [1000, 0, 0, 0], [250] * 4, [1000, *[0] * 11], [400, 400, 400, *[0] * 9]])
def test_however_the_work_lies_a_fleet_uses_its_rate_and_a_strict_provider_refuses_nothing(backlogs):
    fleet, requests_a_second = simulate(Rate(20), backlogs, seconds=45)

    assert requests_a_second >= 19.6
    assert fleet.refused == 0


def test_the_slots_of_replicas_whose_work_ends_are_soon_used_by_another_one():
    fleet = Simulation(Rate(20), [60, 60, 60, 60, 1000])
    fleet.run(7)
    before = len(fleet.arrivals)
    fleet.run(19)

    assert [len(replica.waiting) > 0 for replica in fleet.replicas] == [False] * 4 + [True]
    assert (len(fleet.arrivals) - before) / 12 >= 18.7  # of 19.7
    assert fleet.refused == 0


def test_a_lone_awaited_record_does_not_wait_for_another_replicas_backlog():
    fleet = Simulation(Rate(20), [1000, *[0] * 11])
    for time in range(6, 30, 2):
        fleet.at(time, fleet.replicas[5].receive, 1, time + 30)
    fleet.run(30)

    waited = fleet.replicas[5].waited
    assert len(waited) == 12
    assert max(waited) < 1.5
    assert fleet.refused == 0


def test_a_flood_of_awaited_records_leaves_a_tenth_of_the_rate_to_another_replicas_backlog():
    fleet = Simulation(Rate(20), [0, 0, 0, 100])
    for replica in fleet.replicas[:3]:
        fleet.at(0.5, replica.receive, 300, 1000.0)
    fleet.run(25)

    assert len(fleet.replicas[3].waited) / 24.5 >= 0.9 * 20 / BACKLOG_PARTS
    assert fleet.refused == 0


def test_the_slots_of_a_replica_that_dies_are_used_again_once_its_last_request_has_ended():
    fleet = Simulation(Rate(20), [400] * 3)
    fleet.at(10, fleet.replicas[0].die)
    fleet.run(15)
    before = len(fleet.arrivals)
    fleet.run(35)

    assert (len(fleet.arrivals) - before) / 20 >= 19.4
    assert fleet.refused == 0


@pytest.mark.parametrize("backlogs", [[200, 0, 0, 0], [50] * 4, [20] * 12])
def test_ten_at_once_are_kept_busy_and_never_exceeded(backlogs):
    fleet, _ = simulate(AtOnce(10, 60), backlogs, seconds=50, latency=(2, 8))

    assert fleet.busy_seconds / (50 - 0.5) >= 0.95 * 10
    assert fleet.refused == 0


@pytest.mark.parametrize("replicas", [4, 12])
def test_with_fewer_slots_than_replicas_all_are_served(replicas):
    fleet, _ = simulate(AtOnce(3, 60), [50] * replicas, seconds=60, latency=(2, 8))

    assert fleet.busy_seconds / (60 - 0.5) >= 0.95 * 3
    assert min(len(replica.waited) for replica in fleet.replicas) >= 2
    assert fleet.refused == 0

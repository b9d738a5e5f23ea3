"""The division of a quota over the fleet: it is never exceeded, and nearly all of it is used."""

import heapq
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.enrich.quota import LATE_SECONDS_MAX, RATE_MARGIN_SECONDS, TURN_LENGTHS, Quota, Share, share

HELD_SECONDS = 1 + RATE_MARGIN_SECONDS


def ranges(partitions, replicas):
    """Divide partitions in the way of Kafka's range assignor."""
    each, more = divmod(partitions, replicas)
    starts = [number * each + min(number, more) for number in range(replicas + 1)]
    return [range(start, end) for start, end in itertools.pairwise(starts)]


def owning(slots, owned, partitions, *, longest_seconds=None, now=0.0):
    quota = Quota(slots, longest_seconds=longest_seconds)
    quota.assign(owned, partitions, taken_over=(), free_from=now)
    return quota


@given(st.integers(1, 200), st.integers(1, 64), st.data())
def test_the_shares_of_all_replicas_are_the_whole_quota_at_every_moment(slots, partitions, data):
    owners = [data.draw(st.integers(0, 5)) for _ in range(partitions)]
    replicas = [{p for p, owner in enumerate(owners) if owner == replica} for replica in range(6)]
    shares = [share(slots, partitions, owned) for owned in replicas]

    own = sum(each.own for each in shares)
    for moment in range(60):
        at_turn = sum(moment % how_many == who for each in shares for who, how_many in each.turns)
        assert own + at_turn == slots


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("slots", [10, 20])
def test_with_twelve_partitions_the_usual_fleets_divide_the_whole_quota_into_slots_of_their_own(slots, replicas):
    shares = [share(slots, 12, owned) for owned in ranges(12, replicas)]

    assert sum(each.own for each in shares) == slots
    assert all(each.own > 0 and not each.turns for each in shares)


def test_replicas_that_own_less_than_a_slot_take_turns_at_it_by_the_clock():
    assert share(10, 12, {0}) == Share(0, ((0, 2),))
    assert share(10, 12, {1}) == Share(0, ((1, 2),))
    first, second = (owning(10, {p}, 12, longest_seconds=5) for p in (0, 1))
    turn_seconds = TURN_LENGTHS * 5

    may_begin = [[quota.wait_seconds(t) == 0 for t in range(2 * turn_seconds)] for quota in (first, second)]

    assert may_begin[0] == [True] * 15 + [False] * 25
    assert may_begin[1] == [False] * 20 + [True] * 15 + [False] * 5


def test_who_waits_for_its_turn_is_told_when_to_look_again():
    quota = owning(10, {1}, 12, longest_seconds=5)

    assert quota.wait_seconds(3.0) == 17.0


def test_a_request_at_once_holds_its_slot_until_it_ends():
    quota = owning(2, {0}, 1, longest_seconds=60)
    first, second = quota.begin(0.0), quota.begin(0.0)
    assert quota.wait_seconds(50.0) == math.inf

    quota.end(first, 50.0)
    assert quota.wait_seconds(50.0) == 0
    quota.cancel(second)
    quota.begin(50.0)
    assert quota.wait_seconds(50.0) == 0


def run(quota, seconds, *, latency=0.1, now=0.0, step=0.001):
    """Begin a request whenever the quota allows one, and return each request's start time."""
    begun, under_way, end = [], [], now + seconds
    while now < end:
        while under_way and under_way[0].begun + latency <= now:
            request = under_way.pop(0)
            quota.end(request, request.begun + latency)
        while quota.wait_seconds(now) == 0:
            under_way.append(quota.begin(now))
            begun.append(now)
        now += step
    return begun


def most_in_a_second(begun):
    return max(sum(start <= time < start + 1 for time in begun) for start in begun)


@pytest.mark.parametrize(("partitions", "replicas"), [(1, 1), (4, 3), (12, 7), (48, 12)])
def test_a_rate_is_never_exceeded_in_any_second_and_nearly_used(partitions, replicas):
    begun = sorted(
        time
        for replica, owned in enumerate(ranges(partitions, replicas))
        for time in run(owning(20, owned, partitions), 30, now=1e9 + replica * 0.013)
    )

    assert most_in_a_second(begun) <= 20
    shared = any(share(20, partitions, owned).turns for owned in ranges(partitions, replicas))
    assert len(begun) / 30 >= (16 if shared else 19.6)


def test_a_rate_is_spread_over_its_second():
    begun = run(owning(20, {0}, 1), 1)

    assert sum(time < 0.2 for time in begun) <= 6
    assert sum(time < 0.9 for time in begun) == 20


def test_a_request_that_may_have_arrived_late_is_counted_from_later():
    quota = owning(1, {0}, 1)
    quota.end(quota.begin(0.0), 0.1)
    quota.end(quota.begin(2.0), 2.12)

    assert quota.wait_seconds(2.5) == pytest.approx(HELD_SECONDS + 0.019 - 0.5, abs=0.001)
    quota.end(quota.begin(4.0), 9.0)
    assert quota.wait_seconds(4.5) == pytest.approx(HELD_SECONDS + LATE_SECONDS_MAX - 0.5, abs=0.001)


def test_a_provider_that_takes_now_long_now_short_is_asked_nearly_as_often():
    quota, clock, latencies = owning(20, {0}, 1), 0.0, random.Random(7)
    under_way, begun = [], 0
    while clock < 60:
        while under_way and under_way[0][0] <= clock:
            end, _, request = heapq.heappop(under_way)
            quota.end(request, end)
        while quota.wait_seconds(clock) == 0:
            heapq.heappush(under_way, (clock + latencies.uniform(0.05, 0.2), begun, quota.begin(clock)))
            begun += 1
        clock += 0.001

    assert begun / 60 >= 19


def test_without_partitions_nothing_begins():
    quota = owning(20, set(), 12)

    assert quota.wait_seconds(0.0) == math.inf


def test_partitions_taken_over_count_once_their_earlier_owners_requests_have_ended():
    quota = Quota(20)
    quota.assign(range(12), 12, taken_over=range(6, 12), free_from=5.0)

    assert [quota.slots(now) for now in (4.9, 5.0)] == [10, 20]


def test_what_its_requests_keep_busy_is_told_for_the_next_owner():
    rate = owning(20, {0}, 1)
    assert rate.busy_until(0.0) is None
    rate.begin(1.0)
    assert rate.busy_until(1.5) == pytest.approx(1 + HELD_SECONDS + LATE_SECONDS_MAX)
    assert rate.busy_until(3.0) is None

    at_once = owning(10, {0}, 1, longest_seconds=120)
    first = at_once.begin(10.0)
    assert at_once.busy_until(11.0) == 130.0, "nothing is known of how long a request lasts"
    at_once.end(first, 15.0)
    assert at_once.busy_until(16.0) is None
    at_once.begin(20.0)
    assert at_once.busy_until(21.0) == pytest.approx(30.0), "twice as long as any of late"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 11)), min_size=2, max_size=6))
def test_however_partitions_change_hands_two_replicas_together_keep_the_rate(divisions):
    replicas = [Quota(20), Quota(20)]
    begun, now, owned_before = [], 1000.0, [set(), set()]
    for division in divisions:
        owned = [division, set(range(12)) - division]
        until = [replica.busy_until(now) or 0.0 for replica in replicas]
        for number, replica in enumerate(replicas):
            new = owned[number] - owned_before[number]
            replica.assign(owned[number], 12, taken_over=new, free_from=until[1 - number])
        owned_before = owned
        for _ in range(1300):
            for replica in replicas:
                while replica.wait_seconds(now) == 0:
                    replica.begin(now)
                    begun.append(now)
            now += 0.001

    assert most_in_a_second(begun) <= 20


def test_what_is_used_of_a_rate_is_used_for_a_second():
    quota = owning(20, range(12), 12)
    assert (quota.slots(0), quota.used(0)) == (20, 0)

    requests = [quota.begin(0.0), quota.begin(0.5)]
    for request in requests:
        quota.end(request, request.begun + 0.1)

    assert [quota.used(now) for now in (0.6, 1.1, 1.6)] == [2, 1, 0]


def test_what_is_used_of_a_number_at_once_is_used_until_it_ends():
    quota = owning(10, range(6), 12, longest_seconds=5)
    request = quota.begin(0.0)
    assert (quota.slots(0), quota.used(100)) == (5, 1)

    quota.end(request, 200.0)

    assert quota.used(200) == 0

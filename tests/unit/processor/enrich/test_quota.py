"""A replica's part of a quota: it is never exceeded, and nearly all of it is used."""

import heapq
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.enrich.quota import (
    LATE_SECONDS_MAX,
    MARGIN_SECONDS,
    MINUTE,
    MINUTE_MARGIN_SECONDS,
    AtOnce,
    Rate,
)
from processor.enrich.shares import Lease, grant

HELD_SECONDS = 1 + MARGIN_SECONDS


def leased(quota, limit=None):
    """Return the quota with a lease on `limit` slots, or on all of them."""
    quota.limit = quota.slots if limit is None else limit
    return quota


def rate(limit):
    return leased(Rate(20), limit)


def connections():
    return leased(Rate(50, MINUTE, MINUTE_MARGIN_SECONDS))


def send(quota, now):
    request = quota.begin(now)
    quota.sent(request, now)
    return request


def run(quota, seconds, *, latencies=itertools.repeat(0.1), now=0.0, step=0.001):
    """Send a request whenever the quota permits one, and return each request's time."""
    times, under_way, end = [], [], now + seconds
    while now < end:
        while under_way and under_way[0][0] <= now:
            ended_at, _, request = heapq.heappop(under_way)
            quota.end(request, ended_at)
        while quota.wait_seconds(now) == 0:
            heapq.heappush(under_way, (now + next(latencies), len(times), send(quota, now)))
            times.append(now)
        now += step
    return times


def most_within(seconds, times):
    times = sorted(times)
    return max(sum(start <= time < start + seconds for time in times[n : n + 100]) for n, start in enumerate(times))


@pytest.mark.parametrize("quota", [Rate(20), Rate(50, MINUTE), AtOnce(10, 60)])
def test_without_a_lease_nothing_begins(quota):
    assert quota.limit == 0
    assert quota.wait_seconds(1e9) == math.inf


@pytest.mark.parametrize("limits", [[20], [7, 7, 6], [17, 2, 1], [1] * 20])
def test_a_rate_is_never_exceeded_in_any_second_and_nearly_used(limits):
    times = [
        time
        for number, limit in enumerate(limits)
        for time in run(rate(limit), 20, now=1e9 + number * 0.013, step=0.002)
    ]

    assert most_within(1, times) <= 20
    assert len(times) / 20 >= 19.6


def test_a_rate_is_spread_over_its_second():
    times = run(rate(20), 1)

    assert sum(time < 0.2 for time in times) <= 6
    assert sum(time < 0.9 for time in times) == 20


def test_a_request_that_may_have_arrived_late_is_counted_from_later():
    quota = rate(1)
    quota.end(send(quota, 0.0), 0.1)
    quota.wait_seconds(2.0)
    quota.end(send(quota, 2.0), 2.12)
    assert quota.wait_seconds(2.5) == pytest.approx(HELD_SECONDS + 0.019 - 0.5, abs=0.001)

    quota.wait_seconds(4.0)
    send(quota, 4.0)
    assert quota.wait_seconds(5.1) == pytest.approx(HELD_SECONDS + LATE_SECONDS_MAX - 1.1), "no answer after 1.1 s"


def test_a_slot_is_held_until_all_requests_before_its_own_have_left_theirs():
    quota = leased(Rate(2))
    quota.end(send(quota, 0.0), 0.05)
    quota.wait_seconds(2.0)
    late, prompt = send(quota, 2.0), send(quota, 2.01)
    quota.end(prompt, 2.06)
    quota.end(late, 2.25)

    assert quota.lower(1, 3.05) == 2
    assert quota.wait_seconds(3.05) == pytest.approx(HELD_SECONDS + 0.2 - 1.05, abs=0.005)


def test_a_slot_that_was_left_is_not_held_again_when_requests_become_faster():
    quota = leased(Rate(2))
    quota.end(send(quota, 0.0), 0.2)
    fast = send(quota, 1.0)
    assert quota.lower(1, 1.02) == 1

    quota.end(fast, 1.05)
    assert quota.used(1.05) == 1


def test_a_provider_with_varying_latency_is_asked_nearly_as_often():
    drawn = random.Random(7)

    times = run(rate(20), 60, latencies=iter(lambda: drawn.uniform(0.05, 0.2), None))

    assert len(times) / 60 >= 19


def test_a_rates_slot_is_held_for_a_second_from_when_the_request_is_sent():
    quota = rate(2)
    first, second = quota.begin(0.0), quota.begin(0.0)
    assert quota.wait_seconds(5.0) == math.inf, "their connections are still being opened"

    quota.sent(first, 5.0)
    quota.cancel(second)
    third = quota.begin(5.2)
    quota.end(third, 5.2)  # its connection could not be opened
    assert [quota.used(now) for now in (5.2, 5 + HELD_SECONDS - 0.001, 5 + HELD_SECONDS)] == [1, 1, 0]


def test_connections_are_counted_over_any_minute_and_may_be_opened_in_one_burst():
    quota = connections()

    times = run(quota, 130, step=0.05)

    assert times[:50] == [0.0] * 50
    assert len(times) == 150
    assert most_within(MINUTE, times) == 50


def test_a_request_at_once_holds_its_slot_until_it_ends():
    quota = leased(AtOnce(2, 60))
    first, second = send(quota, 0.0), quota.begin(0.0)
    assert (quota.used(50.0), quota.wait_seconds(50.0)) == (2, math.inf)

    quota.end(first, 50.0)
    assert (quota.used(50.0), quota.wait_seconds(50.0)) == (1, 0)
    quota.cancel(second)
    assert quota.used(50.0) == 0


@pytest.mark.parametrize("quota", [rate(20), connections(), leased(AtOnce(20, 60))])
def test_a_limit_that_goes_down_holds_at_once_and_its_slots_follow_as_requests_end(quota):
    requests = [send(quota, now) for now in (0.0, 0.1, 0.2)]
    assert quota.lower(2, 0.2) == 3
    assert quota.limit == 2
    assert quota.wait_seconds(0.3) > 0

    for request in requests:
        quota.end(request, 0.4)
    assert quota.lower(10, 100.0) == 0
    assert quota.limit == 2, "only a renewal that is committed raises it"
    assert quota.wait_seconds(100.0) == 0


def test_after_a_replicas_death_its_slots_are_kept_for_as_long_as_its_last_request_may_hold_one():
    assert rate(20).held_seconds(0.0) == HELD_SECONDS + LATE_SECONDS_MAX
    opened = Rate(50, MINUTE, MINUTE_MARGIN_SECONDS, opening_seconds=5.0)
    assert opened.held_seconds(0.0) == 5 + MINUTE + MINUTE_MARGIN_SECONDS + LATE_SECONDS_MAX

    at_once = leased(AtOnce(10, 120))
    assert at_once.held_seconds(0.0) == 120, "nothing is known of how long a request lasts"
    at_once.end(send(at_once, 0.0), 5.0)
    assert at_once.held_seconds(5.0) == 10, "twice as long as the slowest of the recent answers"
    at_once.end(send(at_once, 10.0), 11.0)
    assert 9 < at_once.held_seconds(11.0) < 10
    under_way = [send(at_once, 20.0), send(at_once, 30.0)]
    assert at_once.held_seconds(40.0) == 40, "one that takes longer may take as long again"
    at_once.end(under_way.pop(), 109.0)
    assert at_once.held_seconds(110.0) == 120


def test_how_long_failures_last_says_nothing_about_how_long_a_slot_is_held():
    at_once = leased(AtOnce(10, 120))
    at_once.end(send(at_once, 0.0), 0.01, answered=False)
    assert at_once.held_seconds(1.0) == 120
    at_once.end(send(at_once, 1.0), 6.0)
    for _ in range(500):
        at_once.end(send(at_once, 6.0), 6.01, answered=False)
    assert at_once.held_seconds(6.0) == 10


@pytest.mark.parametrize("limit", [40, 200])
def test_requests_whose_connections_are_being_opened_are_spread_over_the_second_too(limit):
    quota, begun = leased(Rate(limit)), []
    for millisecond in range(1000):
        while quota.wait_seconds(millisecond / 1000) == 0:
            quota.begin(millisecond / 1000)
            begun.append(millisecond / 1000)

    assert len(begun) == limit
    assert most_within(0.11, begun) <= limit / 8 + 1


def test_a_connection_that_hangs_holds_up_no_request_for_which_another_one_is_free():
    quota = rate(5)
    quota.begin(0.0)  # its connection hangs
    times = run(quota, 3.0)

    assert len(times) >= 11, "the other four slots are used"
    assert most_within(1, times) <= 4


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "send", "send", "end", "cancel", "renew"]), st.integers(0, 3))),
    st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.9]), min_size=1),
    st.sampled_from(["rate", "connections", "at once"]),
)
def test_whatever_comes_only_a_request_that_begins_within_the_limit_holds_another_slot(events, pauses, kind):
    quota = {"rate": Rate(3), "connections": Rate(3, MINUTE, 0.01), "at once": AtOnce(3, 60)}[kind]
    unsent, under_way, row, now = [], [], 0, 0.0
    for (event, number), pause in zip(events, itertools.cycle(pauses), strict=False):
        now += pause * (60 if kind == "connections" else 1)
        match event:
            case "begin" | "send" if quota.wait_seconds(now) == 0:
                request = quota.begin(now)
                unsent.append(request)
                if event == "send":
                    quota.sent(request, now)
                    under_way.append(unsent.pop())
            case "send" if unsent:
                under_way.append(unsent.pop(number % len(unsent)))
                quota.sent(under_way[-1], now)
            case "end" if under_way:
                quota.end(under_way.pop(number % len(under_way)), now)
            case "cancel" if unsent:
                quota.cancel(unsent.pop(number % len(unsent)))
            case "renew":
                row = max(number, quota.lower(number, now))
                quota.limit = number
        assert quota.used(now) <= row


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 5, 100]), st.sampled_from([0, 1, 5, 100])), min_size=2, max_size=6))
def test_however_slots_change_hands_two_replicas_together_keep_the_rate(wants):
    replicas = {"a": Rate(20), "b": Rate(20)}
    rows, times, now = dict.fromkeys(replicas, 0), [], 1000.0
    for step in range(300 * len(wants)):
        now += 0.005
        if step % 50 in (0, 25):
            me = "a" if step % 50 else "b"
            leases = {name: Lease(rows[name], 0, wants[step // 300]["ab".index(name)], 0.0) for name in replicas}
            replicas[me].limit, rows[me] = grant(20, leases, me, lambda limit: replicas[me].lower(limit, now))  # noqa: B023
        for quota in replicas.values():
            while quota.wait_seconds(now) == 0:
                send(quota, now)
                times.append(now)

    assert most_within(1, times) <= 20

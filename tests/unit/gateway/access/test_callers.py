"""Rate limits per caller, and which requests count as one caller's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import callers
from gateway.access.callers import CallerLimit, caller_at


def test_each_caller_has_requests_of_its_own():
    limit = CallerLimit(2)

    taken = [limit.take(caller, 1000.0) for caller in ("alice", "alice", "bob", "alice")]

    assert [(allowance.granted, allowance.remaining) for allowance in taken] == [
        (True, 1),
        (True, 0),
        (True, 1),
        (False, 0),
    ]
    assert all(1 <= allowance.reset_seconds <= callers.WINDOW_SECONDS for allowance in taken)


def test_a_caller_has_all_requests_again_when_its_minute_is_over():
    limit = CallerLimit(1)
    limit.take("early", 0)
    limit.take("late", callers.WINDOW_SECONDS - 1)

    assert limit.take("early", callers.WINDOW_SECONDS - 0.5) == (False, 0, 1)
    assert limit.take("early", callers.WINDOW_SECONDS) == (True, 0, callers.WINDOW_SECONDS)
    assert not limit.take("late", callers.WINDOW_SECONDS).granted


@given(
    requests_per_minute=st.integers(1, 5),
    requests=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 90)), max_size=60),
)
def test_whatever_the_order_no_caller_exceeds_its_limit_and_nobody_is_kept_beyond_its_minute(
    requests_per_minute, requests
):
    limit = CallerLimit(requests_per_minute)
    windows = {}
    now = 0.0
    for caller, seconds in requests:
        now += seconds
        reset_at, count = windows.get(caller, (0.0, 0))
        if reset_at <= now:
            reset_at, count = now + callers.WINDOW_SECONDS, 0
        granted = count < requests_per_minute
        windows[caller] = reset_at, count + granted

        assert limit.take(caller, now)[:2] == (granted, requests_per_minute - count - granted)
        assert set(limit._counts) == {caller for caller, (reset_at, _) in windows.items() if reset_at > now}


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_caller_without_a_token_is_an_address_or_a_network(address, caller):
    assert caller_at(address) == caller

"""Rate limits per caller, and which requests count as one caller's."""

import threading
import time

import pytest

from gateway.access import callers
from gateway.access.callers import CallerLimit, caller_at


def test_each_caller_has_requests_of_its_own():
    limit = CallerLimit(2)

    taken = [limit.take(caller) for caller in ("alice", "alice", "bob", "alice")]

    assert [(allowance.granted, allowance.remaining) for allowance in taken] == [
        (True, 1),
        (True, 0),
        (True, 1),
        (False, 0),
    ]
    assert all(1 <= allowance.reset_seconds <= callers.WINDOW_SECONDS for allowance in taken)


def test_callers_whose_minute_is_over_are_forgotten_by_those_who_come_and_by_no_thread(monkeypatch):
    threads = []
    monkeypatch.setattr(threading.Timer, "start", lambda thread: threads.append(thread))
    limit = CallerLimit(1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for number in range(100):
        limit.take(str(number))
    now += callers.WINDOW_SECONDS - 1
    limit.take("late")
    assert not limit.take("0").granted
    now += 1

    granted = [limit.take(f"new {number}").granted for number in range(60)]

    assert all(granted)
    assert len(threads) == 1, "besides the one that the library starts at once"
    kept = {"late"} | {f"new {number}" for number in range(60)}
    for counted in (limit._storage.storage, limit._storage.expirations, limit._storage.locks):
        assert len(counted) == len(kept)
    assert not limit.take("late").granted


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

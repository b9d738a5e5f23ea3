"""The circuit breaker: when requests go to a provider, and when they are held back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.enrich.circuit import FAILURES_MAX, PROBE_SECONDS_FIRST, PROBE_SECONDS_MAX, Circuit


def opened(now=0.0):
    circuit = Circuit()
    for _ in range(FAILURES_MAX):
        circuit.failed(circuit.begin(), now)
    return circuit


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not():
    circuit = Circuit()
    for _ in range(FAILURES_MAX - 1):
        circuit.failed(circuit.begin(), now=0)
    circuit.answered()
    circuit.failed(circuit.begin(), now=0)
    assert circuit.state == "closed"
    assert circuit.wait_seconds(now=0) == 0

    assert opened().state == "unavailable"
    assert opened().wait_seconds(now=0) == PROBE_SECONDS_FIRST


def test_while_it_is_open_one_probe_at_a_time_goes_through():
    circuit = opened()

    assert circuit.wait_seconds(PROBE_SECONDS_FIRST) == 0
    assert circuit.begin()
    assert circuit.wait_seconds(100) == math.inf


def test_probes_that_fail_become_rarer_up_to_a_limit():
    circuit, now, pauses = opened(), 0.0, []
    for _ in range(8):
        pauses.append(circuit.wait_seconds(now))
        now += pauses[-1]
        circuit.failed(circuit.begin(), now)

    assert pauses == sorted(pauses)
    assert pauses[0] == PROBE_SECONDS_FIRST
    assert pauses[-1] == PROBE_SECONDS_MAX


def test_a_probe_that_is_answered_closes_it():
    circuit = opened()
    circuit.begin()
    circuit.answered()

    assert circuit.state == "closed"
    assert circuit.wait_seconds(now=0) == 0


def test_a_probe_that_was_not_made_leaves_its_place_to_another():
    circuit = opened()
    circuit.cancel(circuit.begin())

    assert circuit.wait_seconds(PROBE_SECONDS_FIRST) == 0


def test_what_began_before_it_opened_and_fails_after_changes_nothing():
    circuit = Circuit()
    early = circuit.begin()
    for _ in range(FAILURES_MAX):
        circuit.failed(circuit.begin(), now=0)
    circuit.failed(early, now=0.3)

    assert circuit.wait_seconds(now=0.3) == pytest.approx(PROBE_SECONDS_FIRST - 0.3)


def test_a_refused_account_opens_it_at_once_and_an_answer_closes_it():
    circuit = Circuit()
    circuit.refused(now=0)
    assert circuit.state == "refused"
    assert circuit.wait_seconds(now=0) == PROBE_SECONDS_FIRST

    circuit.begin()
    circuit.answered()
    assert circuit.state == "closed"


@given(st.lists(st.sampled_from(["begin", "answer", "fail", "refuse", "cancel", "wait"]), max_size=80))
def test_whatever_happens_there_is_one_probe_at_most_and_always_a_next(steps):
    circuit, now, under_way, probes = Circuit(), 0.0, [], 0
    for step in steps:
        if step == "begin" and circuit.wait_seconds(now) == 0:
            under_way.append(circuit.begin())
        elif step == "wait":
            now += 0.7
        elif under_way and step != "begin":
            probe = under_way.pop(0)
            match step:
                case "answer":
                    circuit.answered()
                case "fail":
                    circuit.failed(probe, now)
                case "refuse":
                    circuit.refused(now)
                case "cancel":
                    circuit.cancel(probe)
        if circuit.state != "closed":
            probes = sum(under_way)
            assert probes <= 1 or circuit.wait_seconds(now) == math.inf
            if not probes:
                assert circuit.wait_seconds(now) <= PROBE_SECONDS_MAX, "nobody would ever ask again"

"""Which offsets may be committed while records are finished out of order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.in_flight import InFlight


def test_nothing_is_committable_before_a_record_was_taken():
    assert InFlight().committable is None


def test_the_offset_after_the_last_is_committable_when_all_is_finished():
    in_flight = InFlight()
    in_flight.take(7)
    in_flight.finish(7)

    assert in_flight.committable == 8
    assert len(in_flight) == 0


def test_a_record_finished_beyond_a_gap_waits_for_the_gap():
    in_flight = InFlight()
    for offset in (3, 4, 5):
        in_flight.take(offset)

    in_flight.finish(5)
    in_flight.finish(4)

    assert in_flight.committable == 3


def test_an_offset_that_was_taken_is_not_taken_again():
    in_flight = InFlight()
    in_flight.take(4)

    assert not in_flight.expects(4)
    with pytest.raises(ValueError, match="offset 3 was taken already"):
        in_flight.take(3)


def test_a_record_is_finished_once():
    in_flight = InFlight()
    in_flight.take(1)
    in_flight.finish(1)

    with pytest.raises(KeyError):
        in_flight.finish(1)


@given(st.data())
def test_whatever_the_order_of_finish_no_commit_passes_an_unfinished_record_or_goes_back(data):
    offsets = sorted(data.draw(st.sets(st.integers(0, 1000), min_size=1, max_size=30)))
    in_flight = InFlight()
    waiting, unfinished, committed = list(offsets), set(), -1

    while waiting or unfinished:
        if waiting and (not unfinished or data.draw(st.booleans())):
            offset = waiting.pop(0)
            in_flight.take(offset)
            unfinished.add(offset)
        else:
            offset = data.draw(st.sampled_from(sorted(unfinished)))
            in_flight.finish(offset)
            unfinished.remove(offset)

        assert in_flight.committable is not None
        assert in_flight.committable <= min(unfinished, default=1001)
        assert in_flight.committable >= committed
        committed = in_flight.committable

    assert committed == offsets[-1] + 1

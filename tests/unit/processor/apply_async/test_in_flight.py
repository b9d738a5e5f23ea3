"""The committable offset while records are finished out of order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.apply_async.commit_metadata import decode, encode
from processor.apply_async.in_flight import InFlight


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


def test_what_is_finished_beyond_a_gap_is_counted():
    in_flight = InFlight(finished_below=8, unfinished=[3, 6])
    assert in_flight.finished_beyond == 0

    in_flight.take(3)
    assert in_flight.finished_beyond == 3  # an earlier owner finished 4, 5 and 7; 6 has not been taken yet

    in_flight.take(9)
    in_flight.finish(9)
    assert (in_flight.committable, in_flight.finished_beyond) == (3, 6)

    in_flight.finish(3)
    assert (in_flight.committable, in_flight.finished_beyond) == (10, 0)


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
        top = max(in_flight.committable, *(offset + 1 for offset in offsets if offset not in waiting))
        assert in_flight.committable + len(in_flight) + in_flight.finished_beyond == top
        committed = in_flight.committable

    assert committed == offsets[-1] + 1


def test_what_an_earlier_owner_finished_is_not_to_be_done_again():
    in_flight = InFlight(finished_below=8, unfinished=[3, 6])

    assert [offset for offset in range(3, 10) if in_flight.take(offset)] == [3, 6, 8, 9]
    in_flight.finish(3)
    assert in_flight.committable == 6
    assert len(in_flight) == 3


def test_what_an_earlier_owner_left_unfinished_is_not_passed_before_it_came():
    in_flight = InFlight(finished_below=8, unfinished=[3, 6])
    in_flight.take(3)
    in_flight.finish(3)

    assert in_flight.committable == 6


def test_what_was_unfinished_and_comes_no_more_is_not_waited_for():
    in_flight = InFlight(finished_below=8, unfinished=[3, 6])
    in_flight.take(7)

    assert in_flight.committable == 8


@given(st.data())
def test_however_often_a_partition_changes_hands_each_record_is_finished_once(data):
    offsets = sorted(data.draw(st.sets(st.integers(0, 300), min_size=1, max_size=40)))
    finished = []
    committed, metadata = offsets[0], None

    for last_owner in (False, False, False, True):
        in_flight = InFlight(metadata.finished_below, metadata.unfinished) if metadata else InFlight()
        to_come = [offset for offset in offsets if offset >= committed]
        if not last_owner:
            to_come = to_come[: data.draw(st.integers(0, len(to_come)))]
        taken = [offset for offset in to_come if in_flight.take(offset)]
        done = taken if last_owner else data.draw(st.lists(st.sampled_from(taken), unique=True)) if taken else []
        for offset in done:
            in_flight.finish(offset)
            finished.append(offset)
        if in_flight.committable is not None:
            committed = in_flight.committable
            written = encode(
                committed,
                finished_below=in_flight.finished_below,
                unfinished=in_flight.unfinished(),
                in_hand=(),
                topic=("", ""),
            )
            metadata = decode(written, committed)

    assert sorted(finished) == offsets
    assert committed == offsets[-1] + 1


@given(st.data())
def test_however_far_a_partitions_end_is_nothing_unfinished_is_passed(data):
    gaps = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=40))
    offsets = [sum(gaps[:number]) for number in range(1, len(gaps) + 1)]
    left = data.draw(st.lists(st.sampled_from(offsets), unique=True)) if data.draw(st.booleans()) else []
    in_flight = InFlight(offsets[-1] + 1, sorted(left)) if left else InFlight()
    unfinished, end = set(left), 0

    for offset, following in zip(offsets, [*offsets[1:], offsets[-1] + 9], strict=True):
        if in_flight.take(offset):
            unfinished.add(offset)
        if data.draw(st.booleans()):
            end = data.draw(st.integers(offset + 1, following))
            in_flight.reach(end)
        for done in data.draw(st.sets(st.sampled_from(offsets))) & {each for each in unfinished if each <= offset}:
            in_flight.finish(done)
            unfinished.remove(done)
        assert in_flight.committable <= min(unfinished, default=10**6)
        assert set(in_flight.unfinished()) >= {each for each in unfinished if each < in_flight.finished_below}

    for done in sorted(unfinished):
        in_flight.finish(done)
    in_flight.reach(offsets[-1] + 9)
    assert in_flight.committable == offsets[-1] + 9

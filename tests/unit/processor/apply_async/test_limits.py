"""The reading limit: when reading stops, when partitions are paused, and when reading goes on."""

from hypothesis import given
from hypothesis import strategies as st

from processor.apply_async.limits import PAUSE_AFTER_SECONDS, RESUME_AT_FULLNESS, Reading, ReadingLimit


def test_a_burst_that_is_done_soon_pauses_nothing():
    limit = ReadingLimit()

    assert limit.update(1.0, 0.0) is Reading.STANDING_STILL
    assert limit.update(1.5, PAUSE_AFTER_SECONDS - 0.01) is Reading.STANDING_STILL
    assert limit.update(0.99, PAUSE_AFTER_SECONDS) is Reading.ON


def test_what_is_paused_is_resumed_at_a_share_of_the_limit():
    limit = ReadingLimit()
    limit.update(1.0, 0.0)

    assert limit.update(1.0, PAUSE_AFTER_SECONDS) is Reading.PAUSED
    assert limit.update(RESUME_AT_FULLNESS + 0.01, 5.0) is Reading.PAUSED
    assert limit.update(RESUME_AT_FULLNESS, 6.0) is Reading.ON


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.5, 0.7, 1.0, 2.0]), st.floats(0, 2))))
def test_whatever_comes_it_reads_below_the_limit_and_pauses_only_after_a_while_at_it(steps):
    limit, now, full_since = ReadingLimit(), 0.0, None
    for fullness, seconds in steps:
        now += seconds
        before, reading = limit.reading, limit.update(fullness, now)
        full_since = (now if full_since is None else full_since) if fullness >= 1 else None
        assert reading is Reading.ON or fullness > RESUME_AT_FULLNESS
        assert reading is not Reading.ON or fullness < 1
        if reading is Reading.PAUSED and before is not Reading.PAUSED:
            assert now - full_since >= PAUSE_AFTER_SECONDS or before is Reading.STANDING_STILL
        if reading is Reading.STANDING_STILL:
            assert fullness >= 1

"""Back-off: the pauses between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from shared.back_off import BackOff, back_off_seconds


def test_pauses_double_up_to_the_longest_and_begin_again_after_a_reset():
    back_off = BackOff(0.5, 3)
    assert [back_off.next_seconds() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    back_off.reset()
    assert back_off.next_seconds() == 0.5


@given(st.integers(1, 10**9), st.floats(0.001, 10), st.floats(10, 1000))
def test_no_attempt_is_too_late_to_have_a_pause(attempt, first, longest):
    assert first <= back_off_seconds(attempt, first, longest) <= longest

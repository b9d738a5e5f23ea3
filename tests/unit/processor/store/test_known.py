"""The first position of a record that was put back, read from its header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.record import Position
from processor.store.known import first_position, redriven_from


@given(
    st.builds(
        Position,
        st.from_regex(r"[A-Za-z0-9_+/-]{22}", fullmatch=True),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**63 - 1),
    )
)
def test_a_position_is_read_as_it_was_written(position):
    assert first_position([("other", b"x"), redriven_from(position)]) == position


@pytest.mark.parametrize("headers", [None, [], [("redriven-from", b"t/0/0")]])
def test_a_record_without_the_header_was_not_put_back(headers):
    assert first_position(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"t",
        b"t/0",
        b"t/0/0 ",
        b"t/0/-1",
        b"t/0/+1",
        b"t/00/0",
        b"t/0/01",
        b"/0/0",
        b"t\x00/0/0",
        b"t/%d/0" % 2**31,
        b"t/0/%d" % 2**63,
        b"x" * 65 + b"/0/0",
        "t/٣/0".encode(),
    ],
)
def test_what_is_no_position_is_ignored(value):
    assert first_position([("redriven_from", value)]) is None
    assert first_position([("redriven_from", b"t/0/0"), ("redriven_from", value)]) is None, "the last counts"

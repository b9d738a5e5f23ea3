"""Parsing of the Prefer header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prefer import preferred_wait_seconds


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], None),
        ([""], None),
        (["return=minimal"], None),
        (["respond-async"], 0),
        (["Respond-Async"], 0),
        (["wait=10"], 10),
        (["wait=0"], 0),
        (['wait="10"'], 10),
        ([" respond-async ,  wait = 10 "], 10),
        (["wait=10, respond-async"], 10),
        (["respond-async", "wait=10"], 10),
        (["respond-async; foo=bar"], 0),
        (["wait=10; foo=bar, return=minimal"], 10),
        (["wait=10, wait=20"], 10),
        (['foo="a, wait=5", respond-async'], 0),
        (['foo="a\\", wait=5"'], None),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=ten, respond-async"], 0),
        (["wait=²"], None),
        (["wait=" + "9" * 5000], 999_999_999),
    ],
)
def test_a_caller_says_how_long_to_wait(lines, seconds):
    assert preferred_wait_seconds(lines) == seconds


@given(st.lists(st.text(alphabet='respond-async,wait=;" \\019²é', max_size=40), max_size=3))
def test_whatever_the_header_says_it_is_a_wait_or_ignored(lines):
    seconds = preferred_wait_seconds(lines)

    assert seconds is None or 0 <= seconds < 1e9

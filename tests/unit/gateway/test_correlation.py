"""The correlation id of a request, which contains the time at which it was made."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.correlation import made_at, new_correlation_id


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid_of_version_7_that_tells_when_it_was_made(milliseconds):
    correlation_id = new_correlation_id(milliseconds / 1000)

    parsed = uuid.UUID(correlation_id)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert made_at(correlation_id) == pytest.approx(milliseconds / 1000, abs=0.0011)


def test_no_two_ids_of_one_moment_are_the_same():
    assert len({new_correlation_id(1_800_000_000.0) for _ in range(10_000)}) == 10_000


@given(st.text(max_size=60))
def test_what_is_no_id_of_a_gateway_was_never_made(text):
    assert made_at(text) is None


@pytest.mark.parametrize("change", [str.upper, lambda text: text.replace("-", ""), lambda text: f"urn:uuid:{text}"])
def test_an_id_has_one_spelling(change):
    assert made_at(change("0190163d-8694-739b-aea5-966c26f8ad91")) is None
    assert made_at("0190163d-8694-739b-aea5-966c26f8ad91") is not None

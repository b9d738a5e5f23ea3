"""A dead letter's headers, written and read again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.apply_async import Record
from processor.outcome import Original, Outcome, dead_letter, original
from shared.messages import ErrorCode

HEADERS = [("mine", b"\xff"), ("none", None), ("error_code", b"invalid_task")]


def headers_of_a_dead_letter(headers=HEADERS, code=ErrorCode.TASK_REJECTED):
    return dead_letter(Record("import", 3, 42, b"value", b"key", 1_700_000_000_000, headers), code, "why").headers


@pytest.mark.parametrize("code", ErrorCode)
def test_a_dead_letters_headers_tell_what_its_record_was(code):
    assert original(headers_of_a_dead_letter(code=code)) == Original(HEADERS, "import", 3, 42, 1_700_000_000_000, code)
    assert original(headers_of_a_dead_letter(None, code)) == Original([], "import", 3, 42, 1_700_000_000_000, code)


def test_of_a_dead_letter_of_a_dead_letter_only_the_last_life_is_taken_off():
    once = headers_of_a_dead_letter()

    assert original(headers_of_a_dead_letter(once)).headers == once


@pytest.mark.parametrize(
    "headers",
    [
        [],
        HEADERS,
        headers_of_a_dead_letter()[:-1],
        headers_of_a_dead_letter()[1:][:-1],
        [*headers_of_a_dead_letter(), ("one more", b"")],
        [*headers_of_a_dead_letter()[:-1], ("error_code", b"of another service")],
        [*headers_of_a_dead_letter()[:-1], ("error_code", None)],
        [*HEADERS, *((name, b"\xff") for name, _ in headers_of_a_dead_letter([]))],
        list(reversed(headers_of_a_dead_letter([]))),
    ],
)
def test_other_headers_are_not_this_services(headers):
    assert original(headers) is None


def varint(number):
    """Encode a length as Kafka does: zigzag, then seven bits a byte."""
    number, encoded = (number << 1) ^ (number >> 63), b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def batch_bytes(key, value, headers):
    """Return how many bytes Kafka's protocol guide gives a batch of this one record."""

    def part(content):
        return varint(-1) if content is None else varint(len(content)) + content

    body = b"\0\0\0" + part(key) + part(value) + varint(len(headers))
    body += b"".join(part(name.encode()) + part(content) for name, content in headers)
    return 61 + len(varint(len(body))) + len(body)


PARTS = st.none() | st.sampled_from([0, 1, 63, 64, 8191, 8192]).map(bytes)


@settings(deadline=None)
@given(PARTS, PARTS, st.lists(st.tuples(st.text(max_size=3), PARTS), max_size=5), st.sampled_from([1, 100]))
def test_a_records_size_is_what_kafka_counts_and_hardly_more_with_however_many_headers(key, value, headers, times):
    outcome = Outcome(value, headers * times, is_result=True)

    assert 0 <= outcome.size_bytes(key) - batch_bytes(key, value, outcome.headers) <= 4

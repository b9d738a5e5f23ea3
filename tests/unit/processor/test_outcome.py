"""Writing and reading a dead letter's headers."""

import pytest

from processor.outcome import Original, dead_letter, original
from processor.record import Record
from shared.messages import ErrorCode

HEADERS = [("mine", b"\xff"), ("none", None), ("error_code", b"invalid_task")]


def headers_of_a_dead_letter(headers=HEADERS, code=ErrorCode.TASK_REJECTED):
    record = Record("import", 3, 42, b"value", b"key", 1_700_000_000_000, headers)
    return dead_letter(record, "topic-id", code, "why").headers


@pytest.mark.parametrize("code", ErrorCode)
def test_a_dead_letters_headers_tell_what_its_record_was(code):
    was = ("import", 3, 42, 1_700_000_000_000, "topic-id", code)

    assert original(headers_of_a_dead_letter(code=code)) == Original(HEADERS, *was)
    assert original(headers_of_a_dead_letter(None, code)) == Original([], *was)


def test_a_dead_letter_that_was_written_without_its_topics_id_is_one_all_the_same():
    headers = [(name, value) for name, value in headers_of_a_dead_letter() if not name.endswith("topic-id")]

    was = original(headers)

    assert (was.headers, was.topic_id, was.offset, was.code) == (HEADERS, None, 42, ErrorCode.TASK_REJECTED)


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

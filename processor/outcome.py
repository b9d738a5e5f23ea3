"""Outcomes of a record: a result, or a dead letter: the record byte for byte, with the reason in its headers."""

from dataclasses import dataclass
from typing import NamedTuple

from processor.record import Headers, Record
from shared.messages import DEAD_LETTER_HEADER_PREFIX, ERROR_CODE_HEADER, ErrorCode, Result

_WHY = (
    f"{DEAD_LETTER_HEADER_PREFIX}original-topic",
    f"{DEAD_LETTER_HEADER_PREFIX}original-partition",
    f"{DEAD_LETTER_HEADER_PREFIX}original-offset",
    f"{DEAD_LETTER_HEADER_PREFIX}original-timestamp",
    f"{DEAD_LETTER_HEADER_PREFIX}original-topic-id",
    f"{DEAD_LETTER_HEADER_PREFIX}exception-message",
    ERROR_CODE_HEADER,
)
"""The headers that a dead letter has after those of its record, in this order."""

_WHY_WITHOUT_ID = tuple(name for name in _WHY if not name.endswith("topic-id"))
"""The same for old dead letters, which lack their topic's id."""


class Outcome(NamedTuple):
    """The message to produce for a record, with the record's key."""

    value: bytes | None
    headers: Headers
    is_result: bool


def result(record: Record, task_id: int, row_id: int) -> Outcome:
    """Return the result, with the record's headers."""
    return Outcome(Result(task_id=task_id, id=row_id).to_bytes(), list(record.headers or ()), is_result=True)


def dead_letter(record: Record, topic_id: str, code: ErrorCode, reason: str) -> Outcome:
    """Return the record with headers that name its position and the reason. Its own headers stay, before the new ones.

    Args:
        record: as it was consumed.
        topic_id: Kafka's id of the record's topic.
        code: the value of the header `error_code`.
        reason: explanation for people; must not repeat the task or the answer.
    """
    numbers = (str(record.partition), str(record.offset), str(record.timestamp))
    why = (record.topic, *numbers, topic_id, reason, code.value)
    headers = [*(record.headers or ()), *((name, text.encode()) for name, text in zip(_WHY, why, strict=True))]
    return Outcome(record.value, headers, is_result=False)


@dataclass(frozen=True, slots=True)
class Original:
    """The original record of a dead letter: its headers, its position, and why it failed."""

    headers: Headers
    topic: str
    partition: int
    offset: int
    timestamp: int
    topic_id: str | None
    """None for an old dead letter, which lacks it."""
    code: ErrorCode


def original(headers: Headers) -> Original | None:
    """Undo `dead_letter` once; None if the headers do not end with those of a dead letter."""
    names = tuple(name for name, _ in headers)
    count = next((len(why) for why in (_WHY, _WHY_WITHOUT_ID) if names[-len(why) :] == why), 0)
    if not count:
        return None
    try:
        topic, partition, offset, timestamp, *topic_id, _, code = (
            (value or b"").decode() for _, value in headers[-count:]
        )
        return Original(
            headers[:-count],
            topic,
            int(partition),
            int(offset),
            int(timestamp),
            topic_id=topic_id[0] if topic_id else None,
            code=ErrorCode(code),
        )
    except ValueError:  # invalid UTF-8, not a number, or an unknown code
        return None

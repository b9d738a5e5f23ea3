"""What becomes of a record: a result, or a dead letter that is the record again, byte for byte, with the reason."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.messages import DEAD_LETTER_HEADER_PREFIX, ERROR_CODE_HEADER, ErrorCode, Result

if TYPE_CHECKING:  # it imports Quix, which redrive does not wait for
    from processor.apply_async import Record

# The head of a batch of one record, the record's own length, and one byte each for its attributes and two deltas.
_RECORD_FRAMING_BYTES = 61 + 5 + 3

HeaderList = list[tuple[str, bytes | None]]

_WHY = (
    f"{DEAD_LETTER_HEADER_PREFIX}original-topic",
    f"{DEAD_LETTER_HEADER_PREFIX}original-partition",
    f"{DEAD_LETTER_HEADER_PREFIX}original-offset",
    f"{DEAD_LETTER_HEADER_PREFIX}original-timestamp",
    f"{DEAD_LETTER_HEADER_PREFIX}exception-message",
    ERROR_CODE_HEADER,
)
"""The headers of a dead letter after those of its record, in this order."""


class Outcome(NamedTuple):
    """What is produced for a record: always with the record's own key."""

    value: bytes | None
    headers: HeaderList
    is_result: bool

    def size_bytes(self, key: bytes | None) -> int:
        """Return what the broker counts against a topic's max.message.bytes, or a few bytes more.

        Many small headers are mostly framing: what is counted too much of each would hold records that fit.
        """
        headers = sum(_size_bytes(name.encode()) + _size_bytes(value) for name, value in self.headers)
        count = _varint_bytes(len(self.headers))
        return _RECORD_FRAMING_BYTES + _size_bytes(key) + _size_bytes(self.value) + count + headers


def _size_bytes(part: bytes | None) -> int:
    """Return what a part of a record takes with its length before it (Kafka's protocol guide, "Record")."""
    return 1 if part is None else _varint_bytes(len(part)) + len(part)


def _varint_bytes(number: int) -> int:
    return max(1, ((2 * number).bit_length() + 6) // 7)  # seven bits a byte, doubled as it has a sign


def result(record: "Record", task_id: int, row_id: int) -> Outcome:
    """Return the result, with the record's headers."""
    return Outcome(Result(task_id=task_id, id=row_id).to_bytes(), list(record.headers or ()), is_result=True)


def dead_letter(record: "Record", code: ErrorCode, reason: str) -> Outcome:
    """Return the record with the headers that say where it came from and why it failed.

    Args:
        record: goes on as it is. Headers that an earlier dead letter left in it stay, the new ones come after them.
        code: goes into `error_code`.
        reason: for a person; must not repeat the task or the answer.
    """
    why = (record.topic, str(record.partition), str(record.offset), str(record.timestamp), reason, code.value)
    headers = [*(record.headers or ()), *((name, text.encode()) for name, text in zip(_WHY, why, strict=True))]
    return Outcome(record.value, headers, is_result=False)


@dataclass(frozen=True, slots=True)
class Original:
    """What a dead letter's headers tell of the record that it was: its own headers, where it was, and why it failed."""

    headers: HeaderList
    topic: str
    partition: int
    offset: int
    timestamp: int
    code: ErrorCode


def original(headers: HeaderList) -> Original | None:
    """Undo what `dead_letter` did to the headers, once; None where they do not end as its own do."""
    if tuple(name for name, _ in headers[-len(_WHY) :]) != _WHY:
        return None
    try:
        topic, partition, offset, timestamp, _, code = ((value or b"").decode() for _, value in headers[-len(_WHY) :])
        return Original(headers[: -len(_WHY)], topic, int(partition), int(offset), int(timestamp), code=ErrorCode(code))
    except ValueError:  # no UTF-8, no number, no code of ours
        return None

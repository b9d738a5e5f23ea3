"""What makes two records the same task: a position, which a record that was put back keeps, and an idempotency key."""

import hashlib
import re

from processor.record import Headers, Position
from processor.store.ledger import Claim
from shared.messages import IDEMPOTENCY_KEY_HEADER, REDRIVEN_FROM_HEADER, InvalidTask, Task

IDEMPOTENCY_KEY_BYTES_MAX = 255

FINGERPRINT_BYTES = 16

_KEY = re.compile(rb"[!-~]{1,%d}" % IDEMPOTENCY_KEY_BYTES_MAX)

# librdkafka writes a topic's id in base64, in which a slash may be. Numbers have one way of writing: 7, and not 007.
_POSITION = re.compile(rb"([A-Za-z0-9_+/-]{1,64})/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})")
_PARTITION_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1


def first_position(headers: Headers | None) -> Position | None:
    """Return the position that the record had before it was put back, or None where it was not.

    The last header of the name counts. One that is no position is a foreign header, and none of our business.
    """
    for name, value in reversed(headers or ()):
        if name == REDRIVEN_FROM_HEADER:
            parts = _POSITION.fullmatch(value or b"")
            if parts is None or int(parts[2]) > _PARTITION_MAX or int(parts[3]) > _OFFSET_MAX:
                return None
            return Position(parts[1].decode(), int(parts[2]), int(parts[3]))
    return None


def redriven_from(position: Position) -> tuple[str, bytes]:
    """Return the header that `first_position` reads."""
    return REDRIVEN_FROM_HEADER, b"%s/%d/%d" % (position.topic_id.encode(), position.partition, position.offset)


def claim_of(headers: Headers | None, task: Task, position: Position) -> Claim | None:
    """Return the record's claim on its idempotency key, or None where it has no key.

    The last header of the name counts, as with Kafka's own `lastHeader`.

    Raises:
        InvalidTask: the header's value is no key.
    """
    for name, value in reversed(headers or ()):
        if name == IDEMPOTENCY_KEY_HEADER:
            if not _KEY.fullmatch(value or b""):
                raise InvalidTask(
                    f"{IDEMPOTENCY_KEY_HEADER}: must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
                )
            assert value is not None  # or it were no key
            return Claim(value.decode(), fingerprint(value, task), position)
    return None


def fingerprint(key: bytes, task: Task) -> bytes:
    """Return what tells tasks with the same key apart. It is keyed so that one task's are not alike under two keys."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES, key=hashlib.blake2b(key).digest())  # takes 64 bytes at most
    digest.update(task.task_type.encode() + b"\0" + task.data.encode())
    return digest.digest()

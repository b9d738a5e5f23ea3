"""Types that all parts of the processor use: a record, its position, and its turn."""

from typing import NamedTuple, Protocol

Partition = tuple[str, int]
"""A topic's name and the partition's number."""

Headers = list[tuple[str, bytes | None]]
"""A record's headers in their order. Names may repeat."""


def last_header(headers: Headers | None, name: str) -> bytes | None:
    """Return the last header of this name, as Kafka's own `lastHeader` does; None if there is none."""
    for other, value in reversed(headers or ()):
        if other == name:
            return value or b""
    return None


class Position(NamedTuple):
    """A record's identity. The topic's id is Kafka's: a topic that is deleted and created again gets another id."""

    topic_id: str
    partition: int
    offset: int


class Record(NamedTuple):
    """A record as Kafka stores it."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Headers | None

    @property
    def size_bytes(self) -> int:
        """Size of key, value and headers, without Kafka's overhead."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers or ())
        return len(self.value or b"") + len(self.key or b"") + headers


class Turn(Protocol):
    """A record's permission to do costly work, such as a paid call. Once begun, a rebalance waits for it."""

    elsewhere: bool
    """Whether the partition's previous owner was still working on the record when it lost the partition."""
    begins: int
    """How often the turn has begun."""

    def begin(self) -> None:
        """Begin. From now on a rebalance and a stop wait for the record, for a bounded time.

        Raises:
            asyncio.CancelledError: the record is handed back. Do not catch it.
        """

    def end(self) -> None:
        """End without a result: until the next `begin` the record may be handed back."""

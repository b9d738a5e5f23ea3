"""Types that all parts of the processor use: a record, its position, and permission to work for it."""

from typing import NamedTuple, Protocol

Partition = tuple[str, int]
"""A topic's name and the partition's number."""

Headers = list[tuple[str, bytes | None]]
"""A record's headers in their order. Names may repeat."""


class Position(NamedTuple):
    """A record's identity. The topic's id is Kafka's own: a topic made again under the same name is another one."""

    topic_id: str
    partition: int
    offset: int


class Record(NamedTuple):
    """A record as it stands in Kafka: bytes, and the position (topic, partition, offset)."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Headers | None

    @property
    def size_bytes(self) -> int:
        """Size of key, value and headers; Kafka's own overhead is not counted."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers or ())
        return len(self.value or b"") + len(self.key or b"") + headers


class Turn(Protocol):
    """A record's leave to do what is not to be repeated without need, such as a paid call."""

    elsewhere: bool
    """Whether the partition's earlier owner was still at work with the record when it gave the partition up."""
    begins: int
    """How often it has begun."""

    def begin(self) -> None:
        """Begin. From here on a rebalance and a stop wait for the record, for a bounded time.

        Raises:
            asyncio.CancelledError: the record is handed back; let it through.
        """

    def end(self) -> None:
        """End without a result, so that until the next `begin` the record may be handed back."""

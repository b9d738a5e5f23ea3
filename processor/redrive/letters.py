"""The dead-letter topic from its start to its end.

Reads without a consumer group: it takes no partition from a processor and commits nothing.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.outcome import Original, original
from processor.record import Position
from processor.store.known import first_position
from shared.kafka_trouble import (
    REASONS,
    UnreadableHeaders,
    explained,
    headers_of,
    named,
)
from shared.topics import describe

ASK_SECONDS = 10.0
"""How long one question may take."""

SILENT_SECONDS = 30.0
"""After which a Kafka from which nothing comes counts as silent."""

POLL_SECONDS = 0.5
"""How long a look for the next record may take, and so a wish to stop."""

QUEUED_KILOBYTES = 16 * 1024
"""What a consumer may have read ahead."""


class KafkaSilent(Exception):
    """Kafka does not answer in time, has no such topic or denies a right. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class TopicNow:
    """A topic as it is now: partition -> first offset and the one after the last."""

    name: str
    id: str
    bounds: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter of this service's, and the record that it was."""

    position: Position
    key: bytes | None
    value: bytes | None
    original: Original

    @property
    def identity(self) -> Position:
        """The position by which the record is known, now and after any number of dead letters: its first one.

        The dead letter's own, where it was written before dead letters carried their topic's id.
        """
        what = self.original
        if (first := first_position(what.headers)) is not None:
            return first
        return self.position if what.topic_id is None else Position(what.topic_id, what.partition, what.offset)


def dead_letter_of(message: Message, topic: TopicNow) -> DeadLetter | None:
    """Return the record of the dead-letter topic as a dead letter, or None where it is none of this service's."""
    try:
        what = original(headers_of(message))
    except UnreadableHeaders:
        return None
    if what is None:
        return None
    return DeadLetter(Position(topic.id, message.partition(), message.offset()), message.key(), message.value(), what)


class DeadLetters:
    """Kafka, as far as dead letters need it. Blocks, for a bounded time each call.

    Raises:
        KafkaSilent: by every method.
    """

    def __init__(self, connection: dict[str, str], group: str) -> None:
        """Store how to reach Kafka.

        Args:
            connection: librdkafka's connection properties.
            group: a name that librdkafka asks for; nothing joins it.
        """
        self._connection = connection
        self._group = group
        self._logger = logging.getLogger("librdkafka")
        self._reason: KafkaError | None = None
        self._admin = AdminClient({**connection, "error_cb": self._note_reason}, logger=self._logger)

    def topic(self, name: str, *rights: str) -> TopicNow:
        """Return the topic as it is now, where these rights on it are granted."""
        try:
            described = describe(self._admin, {name: rights})
            if missing := [f"the topic {name}" for name in described.absent] + list(described.denied):
                raise KafkaSilent(f"Kafka: missing: {', '.join(missing)}")
            topic = described.found[name]
            with self._consumer() as consumer:
                bounds = {partition.id: consumer.bounds(name, partition.id) for partition in topic.partitions}
        except KafkaException as error:
            raise self._silent(error, f" about the topic {name}") from None
        return TopicNow(name, str(topic.topic_id), bounds)

    def topic_ids(self) -> set[str]:
        """Return the ids of all topics that Kafka has."""
        try:
            names = list(self._admin.list_topics(timeout=ASK_SECONDS).topics)
            described = self._admin.describe_topics(TopicCollection(names), request_timeout=ASK_SECONDS)
            return {str(answer.result().topic_id) for answer in described.values()}
        except KafkaException as error:
            raise self._silent(error) from None

    def read(self, topic: TopicNow) -> Iterator[Message | None]:
        """Yield the topic's records up to the end that it had, and None now and then while nothing comes."""
        open_until = {number: end for number, (first, end) in topic.bounds.items() if first < end}
        with self._consumer() as consumer:
            consumer.assign(topic.name, {number: topic.bounds[number][0] for number in open_until})
            while open_until:
                number, message = consumer.next()
                if number is None:
                    yield None
                    continue
                end = open_until.get(number, 0)
                if message is not None and message.offset() < end:
                    yield message
                if message is None or message.offset() + 1 >= end:
                    open_until.pop(number, None)

    def _note_reason(self, error: KafkaError) -> None:
        if self._reason is None or named(error.name(), error.str()) in REASONS:
            self._reason = error

    def _silent(self, error: KafkaException, about: str = "") -> KafkaSilent:
        self._admin.poll(0)  # now librdkafka tells the reason, where it has one
        reason = self._reason or error.args[0]
        return KafkaSilent(f"Kafka does not answer{about}: {explained(reason.name(), reason.str())}")

    def _consumer(self) -> "_Consumer":
        configuration = {
            **self._connection,
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # where Kafka has deleted records meanwhile
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": QUEUED_KILOBYTES,
        }
        return _Consumer(Consumer(configuration, logger=self._logger))


class _Consumer:
    """A consumer that tells the end of a partition from silence."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._silent_seconds = 0.0
        self._error = ""

    def __enter__(self) -> "_Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self, topic: str, number: int) -> tuple[int, int]:
        first, end = self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ASK_SECONDS)
        return first, end

    def assign(self, topic: str, offsets: dict[int, int]) -> None:
        self._consumer.assign([TopicPartition(topic, number, offset) for number, offset in offsets.items()])

    def next(self) -> tuple[int | None, Message | None]:
        """Return a partition and its next record, or None at its end; no partition where nothing came yet."""
        asked_at = time.monotonic()
        message = self._consumer.poll(POLL_SECONDS)
        error = None if message is None else message.error()
        if message is not None and (error is None or error.code() == KafkaError._PARTITION_EOF):
            self._silent_seconds = 0.0
            return message.partition(), None if error else message
        if error is not None:
            self._error = f": {error.str()}"
        self._silent_seconds += time.monotonic() - asked_at
        if self._silent_seconds > SILENT_SECONDS:
            raise KafkaSilent(f"Kafka sends nothing for {SILENT_SECONDS:g} seconds{self._error}")
        return None, None

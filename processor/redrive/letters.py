"""Reads the dead-letter topic from its start to its end.

It joins no consumer group, so it takes no partition from a processor and commits nothing.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.outcome import Original, original
from processor.record import Position
from processor.store.known import first_position
from shared.kafka_trouble import Reason, UnreadableHeaders, headers_of
from shared.topics import ADMIN_REQUEST_SECONDS, describe

SILENT_SECONDS = 30.0
"""How long Kafka may deliver nothing before the command gives up."""

POLL_SECONDS = 0.5
"""How long one poll may take, and so how late a stop may be noticed."""

QUEUED_KILOBYTES = 16 * 1024
"""How much a consumer may read ahead."""


class KafkaSilent(Exception):
    """Kafka does not answer in time, has no such topic or denies a right. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class TopicNow:
    """A topic at one moment. `bounds`: partition -> first offset and the one after the last."""

    name: str
    id: str
    bounds: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter that this service has written, and its original record."""

    position: Position
    key: bytes | None
    value: bytes | None
    original: Original

    @property
    def identity(self) -> Position:
        """The record's first position, however often it became a dead letter.

        The dead letter's own position, if it was written before dead letters carried their topic's id.
        """
        what = self.original
        if (first := first_position(what.headers)) is not None:
            return first
        return self.position if what.topic_id is None else Position(what.topic_id, what.partition, what.offset)


def dead_letter_of(message: Message, topic: TopicNow) -> DeadLetter | None:
    """Return the message as a dead letter, or None where this service has not written it."""
    try:
        what = original(headers_of(message))
    except UnreadableHeaders:
        return None
    if what is None:
        return None
    return DeadLetter(Position(topic.id, message.partition(), message.offset()), message.key(), message.value(), what)


class DeadLetters:
    """The part of Kafka that redrive needs. Every method blocks for a bounded time and may raise KafkaSilent."""

    def __init__(self, connection: dict[str, str], group: str) -> None:
        """Store how to reach Kafka.

        Args:
            connection: librdkafka's connection properties.
            group: a name that librdkafka requires; the group is never joined.
        """
        self._connection = connection
        self._group = group
        self._logger = logging.getLogger("librdkafka")
        self._reason = Reason()
        self._admin = AdminClient({**connection, "error_cb": self._reason.note}, logger=self._logger)

    def topic(self, name: str, *rights: str) -> TopicNow:
        """Return the topic as it is now, provided that these rights on it are granted."""
        try:
            described = describe(self._admin, {name: rights})
            if described.missing:
                raise KafkaSilent(f"Kafka: missing: {', '.join(described.missing)}")
            topic = described.found[name]
            with contextlib.closing(self._new_consumer()) as consumer:
                bounds = {
                    partition.id: consumer.get_watermark_offsets(
                        TopicPartition(name, partition.id), timeout=ADMIN_REQUEST_SECONDS
                    )
                    for partition in topic.partitions
                }
        except KafkaException as error:
            raise self._silent(error, f" about the topic {name}") from None
        return TopicNow(name, str(topic.topic_id), bounds)

    def topic_ids(self) -> set[str]:
        """Return the ids of all topics of the cluster."""
        try:
            names = list(self._admin.list_topics(timeout=ADMIN_REQUEST_SECONDS).topics)
            described = self._admin.describe_topics(TopicCollection(names), request_timeout=ADMIN_REQUEST_SECONDS)
            return {str(answer.result().topic_id) for answer in described.values()}
        except KafkaException as error:
            raise self._silent(error) from None

    def read(self, topic: TopicNow) -> Iterator[Message | None]:
        """Yield the topic's records up to its end as of `topic`, and None while nothing arrives."""
        open_until = {number: end for number, (first, end) in topic.bounds.items() if first < end}
        silent_seconds, reason = 0.0, ""
        with contextlib.closing(self._new_consumer()) as consumer:
            consumer.assign([TopicPartition(topic.name, number, topic.bounds[number][0]) for number in open_until])
            while open_until:
                polled_at = time.monotonic()
                message = consumer.poll(POLL_SECONDS)
                error = None if message is None else message.error()
                at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
                if message is None or (error is not None and not at_end):
                    reason = f": {error.str()}" if error is not None else reason
                    silent_seconds += time.monotonic() - polled_at
                    if silent_seconds > SILENT_SECONDS:
                        raise KafkaSilent(f"Kafka sends nothing for {SILENT_SECONDS:g} seconds{reason}")
                    yield None
                    continue
                silent_seconds = 0.0
                end = open_until.get(message.partition(), 0)
                if not at_end and message.offset() < end:
                    yield message
                if at_end or message.offset() + 1 >= end:
                    open_until.pop(message.partition(), None)

    def _silent(self, error: KafkaException, about: str = "") -> KafkaSilent:
        self._admin.poll(0)  # calls error_cb with the reason, if librdkafka has one
        return KafkaSilent(f"Kafka does not answer{about}: {self._reason.explained(error.args[0])}")

    def _new_consumer(self) -> Consumer:
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
        return Consumer(configuration, logger=self._logger)

"""Replies in: the consumer of the result topic and the dead-letter topic.

It joins no consumer group: every gateway reads all partitions of both topics and picks its own replies, so any number
of gateways can run side by side without rebalances.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from gateway.kafka.client import POLL_SECONDS, RETRY_SECONDS, client_properties
from gateway.kafka.topics import Partition, Topics
from gateway.replies import REMEMBERED_MAX, REMEMBERED_SECONDS, Reply
from shared.brokers import Brokers
from shared.kafka_trouble import UnreadableHeaders, headers_of
from shared.messages import (
    CORRELATION_ID_HEADER,
    DEAD_LETTER_HEADER_PREFIX,
    ERROR_CODE_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    ErrorCode,
)
from shared.topics import ADMIN_REQUEST_SECONDS

logger = logging.getLogger("gateway.kafka")

BATCH_MAX = 500
"""Replies handed to the event loop at once."""

RESULT_BYTES_MAX = 128
"""A longer value is not a result, which is two numbers in JSON."""

REASON_CHARACTERS_MAX = 500
"""Longest reason of a dead letter that is passed on; a longer one is cut off."""

Replied = Callable[[list[tuple[str, Reply]]], None]
"""Called with a batch of (correlation id, reply), on the event loop."""


class RepliesIn:
    """Reads replies in one thread, and hands them to the event loop in batches."""

    def __init__(self, connection: dict[str, str], dead_letter_topic: str, topics: Topics) -> None:
        """Store the parameters; nothing is opened.

        Args:
            connection: librdkafka's connection properties.
            dead_letter_topic: the topic of failed tasks.
            topics: knows the partitions of both topics.
        """
        self.positioned = False
        """Whether it has caught up once with the replies that were there at the start."""
        self._properties = client_properties(connection, topics.note_error)
        self._dead_letter_topic = dead_letter_topic
        self._topics = topics
        self._assigned: dict[Partition, str] = {}
        self._next_offsets: dict[Partition, int] = {}
        self._behind: set[Partition] = set()

    def start(self, loop: asyncio.AbstractEventLoop, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Open the consumer; the callbacks are called on this loop."""
        self._loop = loop
        self._replied = replied
        self._forget_until = forget_until
        self._consumer = self._new_consumer()

    def close(self) -> None:
        """Close the consumer. Its thread must have ended."""
        self._consumer.close()

    def poll(self, closing: threading.Event) -> None:
        """Read replies, in a thread of its own."""
        while not closing.is_set():
            try:
                if self._brokers.forgotten:
                    self._replace_consumer()
                if self._topics.wanted != self._assigned:
                    self._assign(self._topics.wanted)
                first = self._consumer.poll(POLL_SECONDS)
                if first is None:
                    continue
                # consume() alone would wait for a full batch.
                batch = [first, *self._consumer.consume(BATCH_MAX - 1, 0)]
            except KafkaException as error:
                self._topics.log(error.args[0])
                closing.wait(RETRY_SECONDS)
                continue
            replies = [reply for message in batch if (reply := self.read(message)) is not None]
            if replies:
                self._loop.call_soon_threadsafe(self._replied, replies)

    def _new_consumer(self) -> Consumer:
        self._brokers = Brokers()
        return Consumer(
            {
                **self._properties,
                **self._brokers.properties,
                "group.id": f"integration-service-gateway-{uuid.uuid4()}",  # required, but never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )

    def _replace_consumer(self) -> None:
        logger.warning("the consumer of replies has failed and is replaced")
        self._consumer.close()
        self._consumer = self._new_consumer()
        self._read_on(self._next_offsets)

    def _read_on(self, next_offsets: dict[Partition, int]) -> None:
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in next_offsets.items()])

    def _assign(self, wanted: dict[Partition, str]) -> None:
        """Read new partitions, too: those known at the start from REMEMBERED_SECONDS ago, others from their beginning.

        Raises:
            KafkaException: Kafka does not return the offsets.
        """
        kept = {partition for partition, topic_id in wanted.items() if self._assigned.get(partition) == topic_id}
        new = wanted.keys() - kept
        starts = dict.fromkeys(new, OFFSET_BEGINNING) if self.positioned else self._starts(new)
        next_offsets = {**starts, **{partition: self._next_offsets[partition] for partition in kept}}
        self._read_on(next_offsets)
        self._next_offsets = next_offsets
        self._assigned = wanted
        self._behind = (self._behind & kept) | new
        logger.info("reading replies from %d partitions", len(wanted))

    def _starts(self, partitions: set[Partition]) -> dict[Partition, int]:
        since_ms = int((time.time() - REMEMBERED_SECONDS) * 1000)
        asked = [TopicPartition(*partition, since_ms) for partition in partitions]
        share = REMEMBERED_MAX // max(1, len(partitions))
        starts = {}
        for found in self._consumer.offsets_for_times(asked, timeout=ADMIN_REQUEST_SECONDS):
            if found.error:
                raise KafkaException(found.error)
            _, end = self._consumer.get_watermark_offsets(found, timeout=ADMIN_REQUEST_SECONDS)
            start = found.offset if found.offset >= 0 else end
            starts[found.topic, found.partition] = max(start, end - share)
            if start < end - share:  # too many: replies to requests made before now may be missing here
                self._loop.call_soon_threadsafe(self._forget_until, time.time())
        return starts

    def read(self, message: Message) -> tuple[str, Reply] | None:
        """Return (correlation id, reply), or None if the message is neither a result nor a dead letter."""
        partition = (message.topic(), message.partition())
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(partition)
                self.positioned = self.positioned or not self._behind
            elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # about the group, which is never joined
                self._topics.log(error)
            return None
        self._next_offsets[partition] = message.offset() + 1
        try:
            headers = dict(headers_of(message))  # the last one of a name counts
        except UnreadableHeaders:  # the task was not sent by a gateway, whose headers are readable
            return None
        correlation_id = _text(headers.get(CORRELATION_ID_HEADER))
        if message.topic() == self._dead_letter_topic:
            reason = _text(headers.get(f"{DEAD_LETTER_HEADER_PREFIX}exception-message"))[:REASON_CHARACTERS_MAX]
            code = _text(headers.get(ERROR_CODE_HEADER)) or ErrorCode.INTERNAL_ERROR
            return correlation_id, Reply(None, code, reason, IDEMPOTENCY_KEY_HEADER in headers)
        value = message.value()
        if value is None or len(value) > RESULT_BYTES_MAX:
            return None
        return correlation_id, Reply(value)


def _text(header: bytes | None) -> str:
    # Other producers may have written anything there.
    return (header or b"").decode(errors="replace")

"""Kafka's side of the gateway: tasks out, replies in. The only file here that knows confluent_kafka.

librdkafka's calls run in threads of their own; what they find is handed to the event loop in batches.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.replies import Reply
from shared.messages import CORRELATION_ID_HEADER, DEAD_LETTER_HEADER_PREFIX, ERROR_CODE_HEADER, ErrorCode

logger = logging.getLogger(__name__)

SEND_SECONDS_MAX = 10.0
"""How long Kafka may take to acknowledge a task. After that the caller is told that it was not taken. In rare cases it
was: when the broker wrote it and every acknowledgement got lost. The task is then done all the same, as after a 504."""

LOOK_SECONDS = 5.0
"""Between two looks at the topics: for new partitions, and for whether Kafka is there."""

LOOK_AGAIN_SECONDS = 0.5
"""The same, while something is missing."""

ASK_SECONDS = 5.0
"""How long one question to Kafka may take."""

BATCH_MAX = 500
"""Replies handed to the event loop at once."""

Replied = Callable[[list[tuple[str, Reply]]], None]
"""Gets (correlation id, reply) of a batch of replies, on the event loop."""

_Partition = tuple[str, int]


class NotTaken(Exception):
    """Kafka has not taken the task. The message says why, and that it may be sent again."""


class Kafka:
    """Sends tasks to the import topic and hears all replies on the result and the dead-letter topic.

    There is no consumer group: every gateway reads all partitions of both topics and picks its own replies, so any
    number of gateways runs side by side and none ever waits for a rebalance.
    """

    def __init__(
        self,
        connection: dict[str, str],
        *,
        import_topic: str,
        dead_letter_topic: str,
        topics: dict[str, dict[str, str]],
        partitions: int,
        remembered_seconds: float,
        remembered_max: int,
    ) -> None:
        """Note how to reach Kafka; nothing is opened.

        Args:
            connection: librdkafka's connection properties.
            import_topic: where tasks go.
            dead_letter_topic: where those go that fail.
            topics: every topic's name -> configuration, should it have to be made.
            partitions: of a topic that has to be made.
            remembered_seconds: how far back replies are read at the start.
            remembered_max: how many of them at most.
        """
        self._connection = {**connection, "client.id": "integration-service-gateway"}
        self._import_topic = import_topic
        self._dead_letter_topic = dead_letter_topic
        self._topics = topics
        self._reply_topics = [name for name in topics if name != import_topic]
        self._new_topic_partitions = partitions
        self._remembered_seconds = remembered_seconds
        self._remembered_max = remembered_max

        self._closing = threading.Event()
        self._reachable = False
        self._wanted: frozenset[_Partition] = frozenset()
        self._positions: dict[_Partition, int] = {}
        self._behind: set[_Partition] = set()
        self._positioned = False
        self._delivered: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._threads: list[threading.Thread] = []

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Start the threads. Call it on the event loop that `replied` and `forget_until` are to be called on."""
        self._loop = asyncio.get_running_loop()
        self._replied = replied
        self._forget_until = forget_until
        self._producer = Producer(
            {
                **self._connection,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": int(SEND_SECONDS_MAX * 1000),
                "message.max.bytes": 2 * 1024 * 1024,
                "error_cb": self._note_error,
            },
            logger=logger,
        )
        self._consumer = Consumer(
            {
                **self._connection,
                "group.id": f"integration-service-gateway-{uuid.uuid4()}",  # asked for, and never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "error_cb": self._note_error,
            },
            logger=logger,
        )
        for work in (self._poll_deliveries, self._poll_replies, self._look_at_topics):
            thread = threading.Thread(target=_loudly, args=(work,), name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Send what is still to be sent, and end the threads. Blocks for a few seconds at most."""
        self._producer.flush(2)
        self._closing.set()
        for thread in self._threads:
            thread.join(2)
        self._consumer.close()

    def dead(self) -> list[str]:
        """Return what has ended that must not end: nothing, while all is well."""
        return [f"the thread {thread.name}" for thread in self._threads if not thread.is_alive()]

    def missing(self) -> list[str]:
        """Return what is missing before a task may be sent: nothing, while all is well."""
        if not self._reachable:
            return ["Kafka"]
        return [] if self._positioned else ["the reply consumer's position"]

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Send a task, and return a future that is done when Kafka has it and fails with NotTaken where it has not.

        Raises:
            NotTaken: the producer's queue is full.
        """
        sent: asyncio.Future[None] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            self._delivered.append((sent, error))
            if len(self._delivered) == 1:  # one wake-up for a burst
                self._loop.call_soon_threadsafe(self._settle_deliveries)

        try:
            self._producer.produce(self._import_topic, value, headers=headers, on_delivery=on_delivery)
        except BufferError:
            raise NotTaken("too many tasks wait for Kafka") from None
        except KafkaException as error:
            raise NotTaken(f"Kafka does not take the task: {error.args[0].name()}") from None
        return sent

    # On the event loop -----------------------------------------------------------------------------------------------

    def _settle_deliveries(self) -> None:
        while self._delivered:
            sent, error = self._delivered.popleft()
            if sent.done():  # its request was given up
                continue
            if error is None:
                sent.set_result(None)
            else:
                sent.set_exception(NotTaken(f"Kafka has not taken the task: {error.name()}"))

    # In threads ------------------------------------------------------------------------------------------------------

    def _note_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._reachable:
            self._reachable = False
            logger.warning("Kafka cannot be reached")

    def _poll_deliveries(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)

    def _poll_replies(self) -> None:
        while not self._closing.is_set():
            if self._wanted != self._positions.keys():
                self._take_up(self._wanted)
            first = self._consumer.poll(0.1)
            if first is None:
                continue
            # consume() alone would wait for a full batch; so it only takes what is there already.
            batch = [first, *self._consumer.consume(BATCH_MAX - 1, 0)]
            replies = [reply for message in batch if (reply := self._read(message)) is not None]
            if replies:
                self._loop.call_soon_threadsafe(self._replied, replies)

    def _read(self, message: Message) -> tuple[str, Reply] | None:
        partition = (message.topic(), message.partition())
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._caught_up(partition)
            elif not error.retriable():
                logger.warning("reading replies: %s", error.name())
            return None
        self._positions[partition] = message.offset() + 1
        try:
            headers = dict(message.headers() or ())  # of two with one name the last one counts
        except UnicodeDecodeError:  # no gateway has made them
            return None
        correlation_id = headers.get(CORRELATION_ID_HEADER)
        if correlation_id is None:
            return None
        if message.topic() == self._dead_letter_topic:
            reply = Reply(
                None,
                _text(headers.get(ERROR_CODE_HEADER)) or ErrorCode.INTERNAL_ERROR,
                _text(headers.get(f"{DEAD_LETTER_HEADER_PREFIX}exception-message")),
            )
        else:
            reply = Reply(message.value())
        return _text(correlation_id), reply

    def _caught_up(self, partition: _Partition) -> None:
        if partition in self._behind:
            self._behind.discard(partition)
            if not self._behind:
                self._positioned = True
                logger.info("hearing replies on %d partitions", len(self._positions))

    def _take_up(self, wanted: frozenset[_Partition]) -> None:
        """Read from new partitions too: at the start from some time back, later from their first record."""
        new = wanted - self._positions.keys()
        try:
            starts = dict.fromkeys(new, OFFSET_BEGINNING) if self._positioned else self._starts(new)
        except KafkaException as error:
            logger.warning("the replies' positions are not known yet: %s", error.args[0].name())
            self._closing.wait(LOOK_AGAIN_SECONDS)
            return
        self._behind = {partition for partition in self._behind | new if partition in wanted}
        self._positions = {partition: self._positions.get(partition, starts.get(partition, 0)) for partition in wanted}
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._positions.items()])

    def _starts(self, partitions: frozenset[_Partition]) -> dict[_Partition, int]:
        since = time.time() - self._remembered_seconds
        asked = [TopicPartition(*partition, int(since * 1000)) for partition in partitions]
        by_time = {
            (found.topic, found.partition): found.offset
            for found in self._consumer.offsets_for_times(asked, timeout=ASK_SECONDS)
        }
        share = self._remembered_max // len(partitions)
        starts = {}
        for partition in partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=ASK_SECONDS)
            start = by_time[partition] if by_time[partition] >= 0 else high
            starts[partition] = max(low, start, high - share)
            if starts[partition] > max(low, start):  # too many: what was made before the first of them is not known
                self._loop.call_soon_threadsafe(self._forget_until, time.time())
        return starts

    def _look_at_topics(self) -> None:
        admin = AdminClient(self._connection, logger=logger)
        told = None
        while not self._closing.is_set():
            trouble = self._look(admin)
            if trouble != told:
                if trouble:
                    logger.warning("waiting for Kafka: %s", trouble)
                told = trouble
            self._closing.wait(LOOK_AGAIN_SECONDS if self.missing() else LOOK_SECONDS)

    def _look(self, admin: AdminClient) -> str | None:
        """Make missing topics and note the partitions; return what is in the way."""
        try:
            known = admin.list_topics(timeout=ASK_SECONDS).topics
            missing = [name for name in self._topics if name not in known]
            if missing:
                new = [NewTopic(name, self._new_topic_partitions, config=self._topics[name]) for name in missing]
                for name, made in admin.create_topics(new, operation_timeout=ASK_SECONDS).items():
                    made.result(ASK_SECONDS)
                    logger.info("made the topic %s with %d partitions", name, self._new_topic_partitions)
                known = admin.list_topics(timeout=ASK_SECONDS).topics
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another program was faster
                return None
            self._reachable = False
            return str(error.args[0].name())
        if all(name in known for name in self._topics):
            self._wanted = frozenset(
                (name, partition) for name in self._reply_topics for partition in known[name].partitions
            )
            self._reachable = True
        return None


def _loudly(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("a thread has ended that must not: the gateway is not live any more")
        raise


def _text(header: bytes | None) -> str:
    # A producer of its own may have put anything there.
    return (header or b"").decode(errors="replace")

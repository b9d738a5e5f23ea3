"""Kafka's side of the gateway: tasks out, replies in. The only file here that knows confluent_kafka, so it is long.

librdkafka's calls that may block run in threads of their own; what they find is handed to the event loop in batches.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from gateway.metrics import TASKS_NOT_TAKEN, TASKS_TAKEN
from gateway.replies import Reply
from shared.brokers import Brokers
from shared.kafka_trouble import KafkaTrouble, UnreadableHeaders, headers_of
from shared.messages import (
    CORRELATION_ID_HEADER,
    DEAD_LETTER_HEADER_PREFIX,
    ERROR_CODE_HEADER,
    ErrorCode,
)
from shared.topics import describe, make

logger = logging.getLogger(__name__)

UNHEARD = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""What librdkafka logs comes to error_cb, too, or out of poll where a client has failed for good, and is told there."""

SEND_SECONDS_MAX = 10.0
"""How long Kafka may take to acknowledge a task. After that it is not sent any more, and the caller gets a 503.

In rare cases Kafka has it: it was written, and every acknowledgement was lost. It is then done all the same. The answer
is still 503, as 504 would promise that it is done; who tries again may get a second row, as after any lost answer.
"""

SEND_BYTES_MAX = 128 * 1024 * 1024
"""Of tasks that Kafka has not acknowledged yet. Beyond it a task is not taken."""

LOOK_SECONDS = 5.0
"""Between two looks at the topics: for new partitions, topics made again, and whether Kafka is there."""

LOOK_AGAIN_SECONDS = 0.5
"""The same, while something is missing."""

ASK_SECONDS = 5.0
"""How long one question to Kafka may take."""

POLL_SECONDS = 0.1
"""How long a thread that waits for Kafka does not notice a stop."""

BATCH_MAX = 500
"""Replies handed to the event loop at once."""

RESULT_BYTES_MAX = 128
"""Nothing longer is a result: two numbers in JSON."""

REASON_CHARACTERS_MAX = 500
"""Of a dead letter's exception message; the rest is cut off."""

Replied = Callable[[list[tuple[str, Reply]]], None]
"""Gets (correlation id, reply) of a batch of replies, on the event loop."""

_Partition = tuple[str, int]

DENIALS = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
"""What Kafka answers for want of a right. Without WRITE on a topic a producer may not be idempotent in its cluster."""

NEW_SECONDS = 10.0
"""How long the brokers may take to know partitions that are new, and to give each a leader, before it is logged."""

NOT_KNOWN_YET = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
)
"""Errors about a partition that is new to the broker, or to librdkafka, that was asked."""


class NotTaken(Exception):
    """Kafka has not taken the task. The message says why."""


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
        self._connection = {
            **connection,
            "client.id": "integration-service-gateway",
            "logger": UNHEARD,
            "socket.nagle.disable": True,
            "socket.timeout.ms": 10_000,  # a connection that went silent is given up after that
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 10_000,
            "error_cb": self._note_error,
        }
        self._import_topic = import_topic
        self._dead_letter_topic = dead_letter_topic
        self._topics = topics
        self._new_topic_partitions = partitions
        self._remembered_seconds = remembered_seconds
        self._remembered_max = remembered_max

        self._closing = threading.Event()
        self._look_now = threading.Event()
        self._absent = ["Kafka"]
        self._trouble = KafkaTrouble(logger, "Kafka")
        self._denied: KafkaError | None = None
        self._delivered: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._producer_is_broken = False
        self._threads: list[threading.Thread] = []
        # Partition -> its topic's id: as the topics are now, and as the consumer reads them.
        self._wanted: dict[_Partition, str] = {}
        self._new_since = 0.0
        self._assigned: dict[_Partition, str] = {}
        self._next_offsets: dict[_Partition, int] = {}
        self._behind: set[_Partition] = set()
        self._positioned = False

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Start the threads. Call it on the event loop that `replied` and `forget_until` are to be called on."""
        self._loop = asyncio.get_running_loop()
        self._replied = replied
        self._forget_until = forget_until
        self._producer = self._new_producer()
        self._consumer = self._new_consumer()
        for name, work in (
            ("deliveries", self._poll_deliveries),
            ("replies", self._poll_replies),
            ("topics", self._watch_topics),
        ):
            thread = threading.Thread(target=_loudly, args=(work,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Send what is still to be sent, and end the threads. Blocks for a few seconds at most."""
        self._producer.flush(2)
        self._closing.set()
        self._look_now.set()
        for thread in self._threads:
            thread.join(2)
        self._consumer.close()

    def dead(self) -> list[str]:
        """Return what has ended that must not end: nothing, while all is well."""
        return [f"the thread of {thread.name}" for thread in self._threads if not thread.is_alive()]

    def missing(self) -> list[str]:
        """Return what is missing before a task may be sent: nothing, while all is well."""
        return self._absent or ([] if self._positioned else ["the reply consumer's position"])

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Send a task, and return a future that is done when Kafka has it and fails with NotTaken where it has not.

        Raises:
            NotTaken: the producer's queue is full, or it is broken and about to be replaced.
        """
        sent: asyncio.Future[None] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            self._delivered.append((sent, error))
            if len(self._delivered) == 1:  # one wake-up for a burst
                self._loop.call_soon_threadsafe(self._settle_deliveries)

        try:
            self._producer.produce(self._import_topic, value, headers=headers, on_delivery=on_delivery)
        except BufferError:
            TASKS_NOT_TAKEN.inc()
            raise NotTaken("too many tasks wait for Kafka") from None
        except KafkaException as error:
            TASKS_NOT_TAKEN.inc()
            raise NotTaken(f"Kafka does not take the task: {error.args[0].name()}") from None
        return sent

    # On the event loop -----------------------------------------------------------------------------------------------

    def _settle_deliveries(self) -> None:
        while self._delivered:
            sent, error = self._delivered.popleft()
            (TASKS_NOT_TAKEN if error else TASKS_TAKEN).inc()
            if sent.done():  # its request has ended
                continue
            if error is None:
                sent.set_result(None)
            else:
                sent.set_exception(NotTaken(f"Kafka has not confirmed the task: {error.name()}"))

    # In the thread of deliveries -------------------------------------------------------------------------------------

    def _poll_deliveries(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(POLL_SECONDS)
            except KafkaException as error:  # in the place of error_cb, where the producer has failed for good
                self._note_error(error.args[0])
            if self._producer_brokers.forgotten:
                self._producer_is_broken = True
            # Without a right a new one would fail as well, at once and again and again.
            if self._producer_is_broken and not self._absent:
                logger.warning("the producer does not work any more, and is replaced")
                broken, self._producer = self._producer, self._new_producer()
                self._producer_is_broken = False
                broken.purge()
                broken.flush(1)

    def _new_producer(self) -> Producer:
        self._producer_brokers = Brokers()
        return Producer(
            {
                **self._connection,
                **self._producer_brokers.properties,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": int(SEND_SECONDS_MAX * 1000),
                "queue.buffering.max.kbytes": SEND_BYTES_MAX // 1024,
            }
        )

    # In the thread of replies ----------------------------------------------------------------------------------------

    def _poll_replies(self) -> None:
        while not self._closing.is_set():
            try:
                if self._consumer_brokers.forgotten:
                    self._replace_consumer()
                if self._wanted != self._assigned:
                    self._assign(self._wanted)
                first = self._consumer.poll(POLL_SECONDS)
                if first is None:
                    continue
                # consume() alone would wait for a full batch; so it only takes what is there already.
                batch = [first, *self._consumer.consume(BATCH_MAX - 1, 0)]
            except KafkaException as error:
                self._tell(error.args[0])
                self._closing.wait(LOOK_AGAIN_SECONDS)
                continue
            replies = [reply for message in batch if (reply := self._read(message)) is not None]
            if replies:
                self._loop.call_soon_threadsafe(self._replied, replies)

    def _new_consumer(self) -> Consumer:
        self._consumer_brokers = Brokers()
        return Consumer(
            {
                **self._connection,
                **self._consumer_brokers.properties,
                "group.id": f"integration-service-gateway-{uuid.uuid4()}",  # asked for, and never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )

    def _replace_consumer(self) -> None:
        logger.warning("the consumer of replies does not work any more, and is replaced")
        self._consumer.close()
        self._consumer = self._new_consumer()
        self._read_on(self._next_offsets)

    def _read_on(self, next_offsets: dict[_Partition, int]) -> None:
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in next_offsets.items()])

    def _assign(self, wanted: dict[_Partition, str]) -> None:
        """Read from new partitions too: at the start from some time back, later from their first record.

        Raises:
            KafkaException: Kafka does not tell the offsets.
        """
        kept = {partition for partition, topic_id in wanted.items() if self._assigned.get(partition) == topic_id}
        new = wanted.keys() - kept
        starts = dict.fromkeys(new, OFFSET_BEGINNING) if self._positioned else self._starts(new)
        next_offsets = {**starts, **{partition: self._next_offsets[partition] for partition in kept}}
        self._read_on(next_offsets)
        self._next_offsets = next_offsets
        self._assigned = wanted
        self._behind = (self._behind & kept) | new
        logger.info("hearing replies on %d partitions", len(wanted))

    def _starts(self, partitions: set[_Partition]) -> dict[_Partition, int]:
        since_ms = int((time.time() - self._remembered_seconds) * 1000)
        asked = [TopicPartition(*partition, since_ms) for partition in partitions]
        share = self._remembered_max // max(1, len(partitions))
        starts = {}
        for found in self._consumer.offsets_for_times(asked, timeout=ASK_SECONDS):
            if found.error:
                raise KafkaException(found.error)
            _, end = self._consumer.get_watermark_offsets(found, timeout=ASK_SECONDS)
            start = found.offset if found.offset >= 0 else end
            starts[found.topic, found.partition] = max(start, end - share)
            if start < end - share:  # too many: what was asked before now is not known for sure
                self._loop.call_soon_threadsafe(self._forget_until, time.time())
        return starts

    def _read(self, message: Message) -> tuple[str, Reply] | None:
        partition = (message.topic(), message.partition())
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(partition)
                self._positioned = self._positioned or not self._behind
            elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # on the group that is never joined
                self._tell(error)
            return None
        self._next_offsets[partition] = message.offset() + 1
        try:
            headers = dict(headers_of(message))  # of two with one name the last one counts
        except UnreadableHeaders:  # no gateway has made them
            return None
        correlation_id = _text(headers.get(CORRELATION_ID_HEADER))
        if message.topic() == self._dead_letter_topic:
            reason = _text(headers.get(f"{DEAD_LETTER_HEADER_PREFIX}exception-message"))[:REASON_CHARACTERS_MAX]
            code = _text(headers.get(ERROR_CODE_HEADER)) or ErrorCode.INTERNAL_ERROR
            return correlation_id, Reply(None, code, reason)
        value = message.value()
        if value is None or len(value) > RESULT_BYTES_MAX:
            return None
        return correlation_id, Reply(value)

    # In the thread of topics -----------------------------------------------------------------------------------------

    def _watch_topics(self) -> None:
        brokers = Brokers()
        admin = AdminClient({**self._connection, **brokers.properties})
        while not self._closing.is_set():
            if brokers.forgotten:
                brokers = Brokers()
                admin = AdminClient({**self._connection, **brokers.properties})
            try:
                self._look(admin)
            except KafkaException as error:
                self._absent = ["Kafka"]
                self._tell(error.args[0])
            admin.poll(0)
            self._look_now.wait(LOOK_AGAIN_SECONDS if self.missing() else LOOK_SECONDS)
            self._look_now.clear()

    def _look(self, admin: AdminClient) -> None:
        """Note which partitions there are, and make the topics that are missing.

        Raises:
            KafkaException: Kafka does not answer.
        """
        rights = {name: ("WRITE",) if name == self._import_topic else ("READ",) for name in self._topics}
        described = describe(admin, rights)
        if described.absent:
            self._absent = [f"the topic {name}" for name in described.absent]
            new = {name: self._topics[name] for name in described.absent}
            not_made = make(admin, new, self._new_topic_partitions)
            self._new_since = time.monotonic()
            if not_made:
                self._trouble.tell_missing(not_made)
            return
        self._absent = list(described.denied)
        denied, self._denied = self._denied, None
        if self._absent:
            self._trouble.tell_missing(self._absent)
            return
        wanted = {
            (name, partition.id): str(topic.topic_id)
            for name, topic in described.found.items()
            if name != self._import_topic
            for partition in topic.partitions
        }
        if wanted != self._wanted:
            self._wanted, self._new_since = wanted, time.monotonic()
        if denied is not None:  # and not for want of one of these rights
            self._trouble.tell(denied.name(), denied.str())
        elif self._trouble.end():
            logger.info("Kafka answers")

    # In any thread ---------------------------------------------------------------------------------------------------

    def _note_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._producer_is_broken = True  # of the three clients only an idempotent producer has fatal errors
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._absent:
            self._absent = ["Kafka"]
            self._look_now.set()
        self._tell(error)

    def _tell(self, error: KafkaError) -> None:
        if error.code() in DENIALS:  # the next look says which right is missing
            self._denied = error
            self._look_now.set()
            return
        if error.code() in NOT_KNOWN_YET and time.monotonic() - self._new_since < NEW_SECONDS:
            return
        self._trouble.tell(error.name(), error.str())


def _loudly(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        logger.exception("a thread has ended that must not: the gateway is not live any more")


def _text(header: bytes | None) -> str:
    # A producer of its own may have put anything there.
    return (header or b"").decode(errors="replace")

"""Tasks out: the producer of the import topic."""

import asyncio
import logging
import threading
import time
from collections import deque

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gateway.kafka.client import POLL_SECONDS, client_properties
from gateway.kafka.topics import Topics
from gateway.metrics import TASKS_NOT_TAKEN, TASKS_TAKEN
from shared.brokers import Brokers
from shared.kafka_trouble import ABOUT_THE_RECORD

logger = logging.getLogger("gateway.kafka")

SEND_SECONDS_MAX = 15.0
"""How long Kafka may take to acknowledge a task. After that it is not sent any more, and the caller gets a 503.

Kafka itself needs 9 seconds until it goes on without a broker that was killed.

In rare cases Kafka has the task, because it was written and every acknowledgement was lost. It is then processed. The
answer is 503 all the same, because 504 would promise that Kafka has the task.
"""

REFUSED = {**ABOUT_THE_RECORD, "TOPIC_AUTHORIZATION_FAILED": "the gateway may not write to the topic"}
"""Names of the errors after which Kafka certainly does not have the task, in words."""

FINISH_SECONDS = 1.0
"""How long a producer that is replaced may wait for the acknowledgements of the tasks that it has sent."""

SEND_BYTES_MAX = 128 * 1024 * 1024
"""Size of the tasks that Kafka has not acknowledged yet. Beyond it tasks are refused."""


class NotTaken(Exception):
    """Kafka does not have the task. The message says why."""


class NotConfirmed(NotTaken):
    """Kafka has not acknowledged the task, and may have it all the same."""


class TasksOut:
    """Sends tasks. One thread polls the producer; futures are completed on the event loop."""

    def __init__(self, connection: dict[str, str], import_topic: str, topics: Topics) -> None:
        """Store the parameters; nothing is opened.

        Args:
            connection: librdkafka's connection properties.
            import_topic: the topic of tasks.
            topics: knows whether Kafka answers.
        """
        self._properties = client_properties(connection, self.note_error)
        self._import_topic = import_topic
        self._topics = topics
        self._delivered: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._unacknowledged: deque[tuple[asyncio.Future[None], float]] = deque()
        """The producer's tasks and when they were sent, from the oldest that is not acknowledged on."""
        self._is_broken = False
        self._replacing = threading.Lock()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the producer; futures belong to this loop."""
        self._loop = loop
        self.producer = self._new_producer()

    def close(self) -> None:
        """Send the tasks that are still queued, for two seconds at most."""
        self.producer.flush(2)

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Send a task, and return a future that is done when Kafka has it, and fails with NotTaken if it has not,
        or perhaps has not.

        Raises:
            NotTaken: the producer's queue is full, or the producer has failed and is about to be replaced.
        """
        sent: asyncio.Future[None] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            self._delivered.append((sent, error))
            if len(self._delivered) == 1:  # wakes the loop once for a burst
                self._loop.call_soon_threadsafe(self._settle_deliveries)

        try:
            with self._replacing:
                self.producer.produce(self._import_topic, value, headers=headers, on_delivery=on_delivery)
                self._unacknowledged.append((sent, time.monotonic()))
        except BufferError:
            TASKS_NOT_TAKEN.inc()
            raise NotTaken("it was not sent, because too many tasks wait for Kafka") from None
        except KafkaException:
            TASKS_NOT_TAKEN.inc()
            raise NotTaken("it was not sent, because the producer has failed and is about to be replaced") from None
        return sent

    def _settle_deliveries(self) -> None:
        while self._delivered:
            sent, error = self._delivered.popleft()
            (TASKS_NOT_TAKEN if error else TASKS_TAKEN).inc()
            if sent.done():  # the request has ended
                continue
            if error is None:
                sent.set_result(None)
            elif error.name() in REFUSED:
                sent.set_exception(NotTaken(f"it is refused: {REFUSED[error.name()]}"))
            else:
                sent.set_exception(NotConfirmed)

    def poll(self, closing: threading.Event) -> None:
        """Serve delivery reports, in a thread of its own, and replace a producer that has failed."""
        while not closing.is_set():
            try:
                self.producer.poll(POLL_SECONDS)
            except KafkaException as error:  # instead of error_cb, if the producer has failed for good
                self.note_error(error.args[0])
            if self._brokers.forgotten:
                self._is_broken = True
            # If a permission is missing, a new one would fail as well.
            if self._is_broken and not self._topics.absent:
                logger.warning("the producer has failed and is replaced")
                self._replace_producer()
            elif self._is_overdue():
                self._replace_producer()

    def _is_overdue(self) -> bool:
        """Return whether a task is not acknowledged in time.

        librdkafka's own limit would not do: when a task's time is over, it gives all others new sequence numbers, and
        Kafka stores those a second time whose acknowledgements were lost.
        """
        while self._unacknowledged and self._unacknowledged[0][0].done():
            self._unacknowledged.popleft()
        return bool(self._unacknowledged) and time.monotonic() - self._unacknowledged[0][1] > SEND_SECONDS_MAX

    def _replace_producer(self) -> None:
        """Switch to a new producer. The old one sends nothing more, and all its tasks are settled."""
        new = self._new_producer()
        with self._replacing:
            old, self.producer = self.producer, new
            self._unacknowledged.clear()
        self._is_broken = False
        old.purge(in_flight=False)
        old.flush(FINISH_SECONDS)
        old.purge()
        old.flush(FINISH_SECONDS)

    def note_error(self, error: KafkaError) -> None:
        """Log an error of the producer. A fatal one means that it has to be replaced."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._is_broken = True
        self._topics.note_error(error)

    def _new_producer(self) -> Producer:
        self._brokers = Brokers()
        return Producer(
            {
                **self._properties,
                **self._brokers.properties,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "max.in.flight": 1,  # tasks that come while a request is under way go together in the next one
                "sticky.partitioning.linger.ms": 10,  # or each would choose its own partition, and so its own request
                "queue.buffering.max.kbytes": SEND_BYTES_MAX // 1024,
            }
        )

"""Observation of a run under faults: the answers on the topics, their rows and the committed offsets."""

import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from shared.brokers import Brokers
from tests.chaos.fleet import PARTITIONS, Fleet
from tests.chaos.judge import Answer, History

BETWEEN_OFFSETS_SECONDS = 0.25
KAFKA_SECONDS = 2.0
RECONNECT_SECONDS = 0.05
CONNECT_SECONDS = 2


class Watch:
    """Four threads that write to one history, each to its own part of it. They bypass the proxies."""

    def __init__(self, fleet: Fleet, history: History) -> None:
        """Store what to watch; nothing is started."""
        self.history = history
        self.answered: set[int] = set()
        """task_ids with a result or a dead letter."""
        self.lag_at: tuple[float, int | None] = (0.0, None)
        """When the lag was last requested, and its value."""
        self._fleet = fleet
        self._to_look_up: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(4)
        self._running: list[Future[None]] = []

    def start(self) -> None:
        """Start watching, from the beginning of the topics."""
        targets: list[Callable[[], None]] = [
            self._read_answers,
            self._look_up_rows,
            self._read_offsets,
            self._read_tasks,
        ]
        self._running = [self._threads.submit(target) for target in targets]

    def check(self) -> None:
        """Raise the error that has ended a thread, if any."""
        for running in self._running:
            if running.done():
                running.result()

    def close(self) -> None:
        """Stop watching. Ids that were read but not looked up yet are looked up first if PostgreSQL is available."""
        self._stopping.set()
        self._threads.shutdown()

    def replied(self, task_id: int, row_id: int) -> None:
        """Record the id that a REST caller got. May be called from any thread."""
        self.history.replies.append((task_id, row_id))
        self._to_look_up.put([row_id])

    def _read_answers(self) -> None:
        topics = (self._fleet.results, self._fleet.dead_letters)
        next_offsets = {(topic, number): 0 for topic in topics for number in range(PARTITIONS)}
        brokers, consumer = self._consumer(f"{self._fleet.name}-watch", next_offsets)
        try:
            while not self._stopping.is_set():
                if brokers.forgotten:
                    consumer.close()
                    brokers, consumer = self._consumer(f"{self._fleet.name}-watch", next_offsets)
                answers = []
                for message in consumer.consume(2000, 0.05):
                    error = message.error()
                    if error is not None and error.fatal():
                        raise KafkaException(error)
                    if error is None:  # other errors are outages, after which reading goes on
                        answers.append(_answer(message, self._fleet.results, time.time()))
                        next_offsets[message.topic(), message.partition()] = message.offset() + 1
                if ids := [answer.id for answer in answers if answer.id is not None]:
                    self._to_look_up.put(ids)
                self.history.answers += answers
                self.answered.update(answer.task_id for answer in answers)
        finally:
            consumer.close()

    def _look_up_rows(self) -> None:
        """Look up each batch of ids in PostgreSQL at once; while it is unavailable, the batch waits."""
        connection: psycopg.Connection | None = None
        ids: list[int] = []
        try:
            while ids or not (self._stopping.is_set() and self._to_look_up.empty()):
                try:
                    ids = ids or self._to_look_up.get(timeout=0.1)
                    if connection is None or connection.closed:
                        connection = psycopg.connect(
                            self._fleet.conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS
                        )
                    rows = connection.execute("SELECT id FROM integration_service WHERE id = ANY(%s)", [ids])
                    found = {row_id for (row_id,) in rows}
                except queue.Empty:
                    continue
                except psycopg.OperationalError:  # the run makes PostgreSQL unavailable on purpose
                    if self._stopping.wait(RECONNECT_SECONDS):
                        return  # the judge reports ids that were not looked up
                    continue
                self.history.ids_looked_up += len(ids)
                self.history.ids_without_row += [row_id for row_id in ids if row_id not in found]
                ids = []
        finally:
            if connection is not None:
                connection.close()

    def _read_tasks(self) -> None:
        """Read the tasks as the only member of a group, as a program does that only reads."""
        group = f"{self._fleet.name}-bare"
        brokers, consumer = self._consumer(group, {}, subscribe=True)
        try:
            while not self._stopping.is_set():
                if brokers.forgotten:
                    consumer.close()
                    brokers, consumer = self._consumer(group, {}, subscribe=True)
                read = consumer.consume(2000, 0.05)
                self.history.read_by_a_bare_consumer_at += [time.time() for message in read if message.error() is None]
        finally:
            consumer.close()

    def _read_offsets(self) -> None:
        brokers, consumer = self._consumer(self._fleet.group, {})
        partitions = [TopicPartition(self._fleet.imports, number) for number in range(PARTITIONS)]
        try:
            while not self._stopping.wait(BETWEEN_OFFSETS_SECONDS):
                consumer.poll(0)  # processes its statistics
                if brokers.forgotten:
                    consumer.close()
                    brokers, consumer = self._consumer(self._fleet.group, {})
                asked_at = time.time()
                try:
                    committed = consumer.committed(partitions, timeout=KAFKA_SECONDS)
                    answered_at = time.time()
                    ends = [
                        consumer.get_watermark_offsets(partition, timeout=KAFKA_SECONDS)[1] for partition in partitions
                    ]
                    if error := next((partition.error for partition in committed if partition.error), None):
                        raise KafkaException(error)
                except KafkaException:  # the run makes Kafka unavailable on purpose
                    consumer.close()  # without a subscription, a client may go on asking a broker that has gone
                    brokers, consumer = self._consumer(self._fleet.group, {})
                    continue
                known = {partition.partition: partition.offset for partition in committed if partition.offset >= 0}
                self.history.committed.append((answered_at, known))
                self.lag_at = (asked_at, sum(end - known.get(number, 0) for number, end in enumerate(ends)))
        finally:
            consumer.close()

    def _consumer(
        self, group: str, next_offsets: dict[tuple[str, int], int], *, subscribe: bool = False
    ) -> tuple[Brokers, Consumer]:
        brokers = Brokers()
        consumer = Consumer(
            {
                "bootstrap.servers": self._fleet.services.kafka.bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "latest" if subscribe else "error",
                "session.timeout.ms": 10_000,
                "log_level": 0,
                **brokers.properties,
            }
        )
        if subscribe:
            consumer.subscribe([self._fleet.imports])
        else:
            consumer.assign([TopicPartition(*partition, offset) for partition, offset in next_offsets.items()])
        return brokers, consumer


def _answer(message: Message, results: str, read_at: float) -> Answer:
    value = json.loads(message.value())
    is_result = message.topic() == results
    position = (message.topic(), message.partition(), message.offset())
    written_at = message.timestamp()[1] / 1000
    return Answer(value["task_id"], value["id"] if is_result else None, position, written_at, read_at)

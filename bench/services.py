"""The services that measured programs use: Kafka, PostgreSQL, providers, and backlogs of tasks."""

import json
import shutil
import time

import psycopg
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.rival import GRANT
from sandbox.child import Child
from sandbox.services import ROOT, Services, new_folder
from shared.topics import METADATA_REFRESH_MS

LOGS = ROOT / ".sandbox" / "bench"

PARTITIONS = 12
"""Default partitions of a topic, the same number that the service itself creates."""

PATIENCE_SECONDS = 120.0
"""Longest time to wait for anything before it counts as failed."""

DATABASE_USER = DATABASE_PASSWORD = "bench"


class BenchServices(Services):
    """Services that run while the context lasts. Everything listens on 127.0.0.1 only."""

    def __init__(self) -> None:
        super().__init__(new_folder("bench"), LOGS)
        self._providers: dict[str, tuple[Child, str]] = {}
        self._backlogs: dict[tuple[int, int], str] = {}
        self._names = 0

    def __enter__(self) -> "BenchServices":
        shutil.rmtree(LOGS, ignore_errors=True)
        try:
            self.start_servers("template_tasks", DATABASE_USER, DATABASE_PASSWORD)
            self.postgres.psql("template_tasks", "-q", "-c", GRANT.format(DATABASE_USER))
        except BaseException:
            self.__exit__()
            raise
        # See shared.topics.Administrator. A broker that answers its controller too slowly gets new epochs as well.
        refresh = {"metadata.max.age.ms": METADATA_REFRESH_MS}
        self._admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0, **refresh})
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def new_name(self) -> str:
        """Return an unused name."""
        self._names += 1
        return f"bench-{self._names}"

    def new_topic(self, partitions: int = PARTITIONS) -> str:
        """Create a topic and return its name."""
        name = self.new_name()
        # Use the broker's time, because a program may keep the timestamp of the input record.
        new = NewTopic(name, partitions, config={"message.timestamp.type": "LogAppendTime"})
        made = self._admin.create_topics([new])
        made[name].result(PATIENCE_SECONDS)
        return name

    def new_database(self) -> dict[str, str]:
        """Create a database with the schema, and return the environment variables to connect to it."""
        name = self.new_name()
        self.postgres.create_database(name, template="template_tasks")
        return {
            "POSTGRES_HOST": self.postgres.host,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_USER": DATABASE_USER,
            "POSTGRES_PASSWORD": DATABASE_PASSWORD,
            "POSTGRES_DB": name,
        }

    def forget(self, topic: str, database: str) -> None:
        """Delete a run's topic and database, so that the next run starts from the same state."""
        self._admin.delete_topics([topic])[topic].result(PATIENCE_SECONDS)
        with psycopg.connect(self.postgres.conninfo(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
            connection.execute("CHECKPOINT")

    def provider(self, latency_ms: float) -> tuple[Child, str]:
        """Return a provider that uses little CPU, with this latency, and its URL."""
        return self._provider("bench.provider", "/figures", "--latency-ms", str(latency_ms))

    def strict_provider(self) -> tuple[Child, str]:
        """Return the simulators of the tests, which enforce quotas, and their URL."""
        return self._provider("sandbox.simulators", "/health")

    def _provider(self, module: str, path: str, *options: str) -> tuple[Child, str]:
        name = " ".join([module, *options])
        if name not in self._providers:
            self._providers[name] = self.start_provider(module, path, *options)
        return self._providers[name]

    def backlog(self, tasks: int, partitions: int = PARTITIONS) -> str:
        """Return a topic with this many phone tasks. Programs with different consumer groups share it."""
        if (tasks, partitions) not in self._backlogs:
            self._backlogs[tasks, partitions] = topic = self.new_topic(partitions)
            self.send(topic, tasks, partitions)
        return self._backlogs[tasks, partitions]

    def send(self, topic: str, tasks: int, partitions: int = PARTITIONS) -> None:
        """Send this many phone tasks."""
        options = {"linger.ms": 20, "queue.buffering.max.messages": 2_000_000, "log_level": 0}
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, **options})
        for number in range(tasks):
            value = b'{"task_id":%d,"task_type":"phone","data":"8 916 8%06d"}' % (number, number % 1_000_000)
            # Spread evenly, so that all partitions finish at about the same time.
            producer.produce(topic, value, key=b"%d" % number, partition=number % partitions)
        unsent = producer.flush(PATIENCE_SECONDS)
        assert not unsent, f"{unsent} tasks were not delivered to Kafka"

    def shares_partitions(self, group: str, members: int, partitions: int) -> bool:
        """Return whether the group has this many members, and all partitions are shared out evenly among them."""
        try:
            described = self._admin.describe_consumer_groups([group])[group].result(PATIENCE_SECONDS)
        except KafkaException:  # there may be no coordinator yet; the caller's wait is bounded
            return False
        shares = [len(member.assignment.topic_partitions) for member in described.members if member.assignment]
        return (
            described.state == ConsumerGroupState.STABLE
            and len(shares) == members
            and sum(shares) == partitions
            and max(shares) - min(shares) <= 1
        )

    def records(self, topic: str, partitions: int = PARTITIONS) -> int:
        """Return how many records the topic holds."""
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return sum(found.result(PATIENCE_SECONDS).offset for found in self._admin.list_offsets(asked).values())
            except KafkaException:  # a new topic may have no leader yet
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.05)

    def results(self, topic: str, partitions: int = PARTITIONS) -> tuple[list[int], list[int]]:
        """Return the task_id and the time in milliseconds of each of the topic's records."""
        expected = self.records(topic, partitions)
        consumer = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": "bench", "enable.auto.commit": False}
        )
        task_ids: list[int] = []
        times_ms: list[int] = []
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
            while len(task_ids) < expected and time.monotonic() < give_up_at:
                for message in consumer.consume(10_000, 0.2):
                    assert message.error() is None, message.error().str()
                    task_ids.append(json.loads(message.value())["task_id"])
                    times_ms.append(message.timestamp()[1])
        finally:
            consumer.close()
        assert len(task_ids) == expected, f"there are {expected} results, but only {len(task_ids)} could be read"
        return task_ids, times_ms

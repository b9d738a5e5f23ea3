"""The topics: creates missing ones, watches for new partitions, and knows whether Kafka answers."""

import logging
import threading
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from gateway.kafka.client import RETRY_SECONDS, client_properties
from shared.kafka_trouble import KafkaTrouble
from shared.topics import Administrator, NewTopics, create_missing, describe

logger = logging.getLogger("gateway.kafka")

DESCRIBE_SECONDS = 5.0
"""Between two descriptions of the topics."""

DENIALS = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
"""Kafka's errors for a missing permission. Without WRITE on any topic a producer may not be idempotent."""

NEW_SECONDS = 10.0
"""How long the brokers may take to elect leaders for new partitions before errors about them are logged."""

NOT_KNOWN_YET = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
)
"""Errors about a partition that the broker, or librdkafka, does not know yet."""

Partition = tuple[str, int]


class Topics:
    """The topics as Kafka describes them. Its state may be read from any thread."""

    def __init__(self, connection: dict[str, str], new_topics: NewTopics, import_topic: str) -> None:
        """Store the parameters; nothing is opened.

        Args:
            connection: librdkafka's connection properties.
            new_topics: every topic, and how to create it if it is missing.
            import_topic: the one that is written to. The others are read.
        """
        self.absent = ["Kafka"]
        """What is missing before a task may be sent, in words."""
        self.wanted: dict[Partition, str] = {}
        """Partition to read -> its topic's id."""
        self._properties = client_properties(connection, self.note_error)
        self._new_topics = new_topics
        self._import_topic = import_topic
        self._describe_now = threading.Event()
        self._trouble = KafkaTrouble(logger, "Kafka")
        self._denied: KafkaError | None = None
        self._new_since = 0.0

    def watch(self, closing: threading.Event) -> None:
        """Describe the topics periodically, in a thread of its own."""
        administrator = Administrator(self._properties)
        while not closing.is_set():
            admin = administrator.client
            try:
                self._describe(admin)
            except KafkaException as error:
                self.absent = ["Kafka"]
                self.log(error.args[0])
            admin.poll(0)
            self._describe_now.wait(RETRY_SECONDS if self.absent or not self.wanted else DESCRIBE_SECONDS)
            self._describe_now.clear()

    def describe_now(self) -> None:
        """Describe the topics without waiting for the next time."""
        self._describe_now.set()

    def note_error(self, error: KafkaError) -> None:
        """Log an error of any client. "All brokers down" means that Kafka is away."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self.absent:
            self.absent = ["Kafka"]
            self.describe_now()
        self.log(error)

    def log(self, error: KafkaError) -> None:
        """Log an error once. The next description logs which permission is missing."""
        if error.code() in DENIALS:
            self._denied = error
            self.describe_now()
            return
        if error.code() in NOT_KNOWN_YET and time.monotonic() - self._new_since < NEW_SECONDS:
            return
        self._trouble.tell(error.name(), error.str())

    def _describe(self, admin: AdminClient) -> None:
        """Find the partitions, and create missing topics.

        Raises:
            KafkaException: Kafka does not answer.
        """
        rights = {
            name: ("WRITE",) if name == self._import_topic else ("READ",) for name in self._new_topics.configurations
        }
        described = describe(admin, rights)
        self.absent = described.missing
        if self.absent:
            create_missing(admin, described, self._new_topics, self._trouble)
        if described.absent:
            self._new_since = time.monotonic()
            return
        denied, self._denied = self._denied, None
        if self.absent:
            return
        wanted = {
            (name, partition.id): str(topic.topic_id)
            for name, topic in described.found.items()
            if name != self._import_topic
            for partition in topic.partitions
        }
        if wanted != self.wanted:
            self._new_since = time.monotonic()  # before another thread asks for their offsets
            self.wanted = wanted
        if denied is not None:  # about another permission than these
            self._trouble.tell(denied.name(), denied.str())
        elif self._trouble.end():
            logger.info("Kafka answers")

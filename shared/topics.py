"""Topic administration: describes the topics and the permissions on them, and creates missing ones."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from shared.brokers import Brokers
from shared.kafka_trouble import KafkaTrouble
from shared.settings import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, Settings

logger = logging.getLogger(__name__)

ADMIN_REQUEST_SECONDS = 5.0
"""How long one request may take. librdkafka enforces it and raises a KafkaException, as for every other error."""

METADATA_REFRESH_MS = 5000

DEAD_LETTER_BYTES_MAX = 2 * 1024 * 1024
"""max.message.bytes of a dead-letter topic that the service creates: a dead letter is larger than its record by its
headers, and a record may be as large as Kafka's default of 1 MiB."""

DAY_MS = 24 * 60 * 60 * 1000

TASKS_DAYS = 7
"""How long Kafka keeps tasks and results in topics that the service creates: so long may a record wait for a processor,
and a reader of results be away."""

DEAD_LETTERS_DAYS = 30
"""The same for dead letters, which wait for a person: as long as idempotency keys are remembered."""

Rights = Mapping[str, Collection[str]]
"""Topic -> names of Kafka's operations that the program needs on it."""


@dataclass(frozen=True)
class NewTopics:
    """How missing topics are created."""

    configurations: Mapping[str, Mapping[str, str]]
    """Name -> configuration of each topic that the service needs."""
    partitions: int
    replication_factor: int | None = None
    """None: by the number of brokers."""
    min_insync_replicas: int | None = None
    """None: by the replication factor."""

    def replicas(self, brokers: int) -> tuple[int, int]:
        """Return the replication factor and min.insync.replicas of a topic in a cluster with so many brokers.

        A replication factor that is set is not lowered: Kafka refuses it until it has as many brokers.
        """
        replicas = self.replication_factor or min(REPLICATION_FACTOR, brokers)
        in_sync = self.min_insync_replicas or (MIN_INSYNC_REPLICAS if replicas >= REPLICATION_FACTOR else 1)
        return replicas, min(replicas, in_sync)


@dataclass(frozen=True)
class Described:
    """The topics as Kafka describes them."""

    found: Mapping[str, Any]
    """Name -> confluent_kafka's TopicDescription of the topics that exist and may be described."""
    absent: Sequence[str]
    """Names of the topics that do not exist."""
    denied: Sequence[str]
    """The missing permissions, in words."""

    @property
    def missing(self) -> list[str]:
        """What keeps the program from using the topics, in words: absent topics, or else permissions."""
        return [f"the topic {name}" for name in self.absent] or list(self.denied)


class Administrator:
    """An AdminClient that is replaced if it has forgotten all brokers."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        """Open the client with these properties of librdkafka and confluent_kafka."""
        self._properties = properties
        self._new_client()

    @property
    def client(self) -> AdminClient:
        """The client to use now, after its callbacks (statistics and errors) were served."""
        self._client.poll(0)
        if self._brokers.forgotten:
            self._new_client()
        return self._client

    def _new_client(self) -> None:
        self._brokers = Brokers()
        refresh = {
            # A client that was started while Kafka said that it has no brokers asks again only at this interval.
            "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
            # A leader that has restarted refuses to list offsets (FENCED_LEADER_EPOCH) until its partitions' metadata
            # are asked for again, which librdkafka does for this error only when they are as old as this.
            "metadata.max.age.ms": METADATA_REFRESH_MS,
        }
        self._client = AdminClient({**refresh, **self._properties, **self._brokers.properties})


def new_topics(settings: Settings) -> NewTopics:
    """Return the topics that the service needs, and how to create them."""
    configurations = {
        settings.kafka_import_topic: _kept_for(TASKS_DAYS),
        settings.kafka_result_topic: _kept_for(TASKS_DAYS),
        settings.kafka_dead_letter_topic: {
            **_kept_for(DEAD_LETTERS_DAYS),
            "max.message.bytes": str(DEAD_LETTER_BYTES_MAX),
        },
    }
    return NewTopics(
        configurations,
        settings.kafka_topic_partitions,
        settings.kafka_topic_replication_factor,
        settings.kafka_topic_min_insync_replicas,
    )


def _kept_for(days: int) -> dict[str, str]:
    # Kafka deletes whole segments once their last record is old enough. Without one a day, records of a quiet topic
    # would stay for a week longer.
    return {"retention.ms": str(days * DAY_MS), "segment.ms": str(DAY_MS)}


def describe(admin: AdminClient, rights: Rights) -> Described:
    """Return Kafka's description of the topics, and the missing permissions. Blocks.

    Raises:
        KafkaException: Kafka does not answer.
    """
    asked = admin.describe_topics(
        TopicCollection(list(rights)), request_timeout=ADMIN_REQUEST_SECONDS, include_authorized_operations=True
    )
    found, absent, denied = {}, [], []
    for name, answer in asked.items():
        granted: Collection[str] | None = ()
        try:
            found[name] = answer.result()
            operations = found[name].authorized_operations
            granted = None if operations is None else [operation.name for operation in operations]  # None: not known
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                absent.append(name)
                continue
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
        if granted is not None:
            denied += [f"the right {right} on the topic {name}" for right in rights[name] if right not in granted]
    return Described(found, absent, denied)


def _create(admin: AdminClient, names: Sequence[str], new_topics: NewTopics) -> list[str]:
    """Create topics, and return those that cannot be created with the reason, in words. Blocks.

    Raises:
        KafkaException: Kafka does not answer.
    """
    brokers = len(admin.describe_cluster(request_timeout=ADMIN_REQUEST_SECONDS).result().nodes)
    replicas, in_sync = new_topics.replicas(brokers)
    new = [
        NewTopic(
            name,
            new_topics.partitions,
            replicas,
            config={**new_topics.configurations[name], "min.insync.replicas": str(in_sync)},
        )
        for name in names
    ]
    asked = admin.create_topics(new, operation_timeout=ADMIN_REQUEST_SECONDS, request_timeout=2 * ADMIN_REQUEST_SECONDS)
    not_created = []
    for name, created in asked.items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another program was faster
                not_created.append(f"the topic {name}, which cannot be created: {error.args[0].str()}")
        else:
            logger.info(
                "created the topic %s with %d partitions, %d replicas, %d of them in sync",
                *(name, new_topics.partitions, replicas, in_sync),
            )
    return not_created


def create_missing(admin: AdminClient, described: Described, new_topics: NewTopics, trouble: KafkaTrouble) -> None:
    """Create the absent topics, and log what still keeps the program from using them. Blocks.

    Args:
        admin: Kafka's client.
        described: the topics as they are now.
        new_topics: how to create them.
        trouble: logs it.

    Raises:
        KafkaException: Kafka does not answer.
    """
    missing = list(described.denied)
    if described.absent:
        missing = _create(admin, described.absent, new_topics)
    if missing:
        trouble.tell_missing(missing)

"""Topic administration: describes the topics with the rights on them, and creates missing ones."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from shared.brokers import Brokers
from shared.settings import Settings

logger = logging.getLogger(__name__)

ADMIN_REQUEST_SECONDS = 5.0
"""How long one request may take. librdkafka keeps to it: its answer is then a KafkaException, as any other error, while
the time-out of a future's `result` would be another exception."""

DEAD_LETTER_BYTES_MAX = 2 * 1024 * 1024
"""What a dead-letter topic takes that the service makes itself: a dead letter is larger than its record by its headers,
and a record may be as large as Kafka's default of 1 MiB."""

DAY_MS = 24 * 60 * 60 * 1000

TASKS_DAYS = 7
"""How long Kafka keeps tasks and results in topics that the service makes itself: the longest that a record may wait
for a processor, and somebody who reads results may be away."""

DEAD_LETTERS_DAYS = 30
"""The same of dead letters, which wait for a person: as long as idempotency keys are remembered."""

Rights = Mapping[str, Collection[str]]
"""Topic -> names of Kafka's operations on it that the program needs."""


@dataclass(frozen=True)
class Described:
    """The topics as Kafka describes them."""

    found: Mapping[str, Any]
    """Name -> confluent_kafka's TopicDescription of the topics that exist and may be described."""
    absent: Sequence[str]
    """Names of the topics that do not exist."""
    denied: Sequence[str]
    """The rights that are missing, in words."""


class Administrator:
    """An AdminClient, which is replaced where it has forgotten all brokers."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        """Open the client with these properties of librdkafka's, and of confluent_kafka's."""
        self._properties = properties
        self._new_client()

    @property
    def client(self) -> AdminClient:
        """The client to use now. It serves what the last one has to tell: its statistics, and its errors."""
        self._client.poll(0)
        if self._brokers.forgotten:
            self._new_client()
        return self._client

    def _new_client(self) -> None:
        self._brokers = Brokers()
        self._client = AdminClient({**self._properties, **self._brokers.properties})


def topic_configurations(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the topics that the service needs: name -> configuration, for those that it makes itself."""
    return {
        settings.kafka_import_topic: _kept_for(TASKS_DAYS),
        settings.kafka_result_topic: _kept_for(TASKS_DAYS),
        settings.kafka_dead_letter_topic: {
            **_kept_for(DEAD_LETTERS_DAYS),
            "max.message.bytes": str(DEAD_LETTER_BYTES_MAX),
        },
    }


def _kept_for(days: int) -> dict[str, str]:
    # Kafka deletes whole files, once the last record of one is old enough: a file a day, or records of a quiet topic
    # would stay for a week longer.
    return {"retention.ms": str(days * DAY_MS), "segment.ms": str(DAY_MS)}


def describe(admin: AdminClient, rights: Rights) -> Described:
    """Return what Kafka says of the topics, and which of the rights on them are missing. Blocks.

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
            granted = None if operations is None else [operation.name for operation in operations]  # None: not told
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                absent.append(name)
                continue
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
        if granted is not None:
            denied += [f"the right {right} on the topic {name}" for right in rights[name] if right not in granted]
    return Described(found, absent, denied)


def make(admin: AdminClient, topics: Mapping[str, Mapping[str, str]], partitions: int) -> list[str]:
    """Make topics, and return what keeps Kafka from making some of them, in words. Blocks.

    Args:
        admin: who makes them.
        topics: name -> configuration.
        partitions: of each.
    """
    new = [NewTopic(name, partitions, config=dict(configuration)) for name, configuration in topics.items()]
    asked = admin.create_topics(new, operation_timeout=ADMIN_REQUEST_SECONDS, request_timeout=2 * ADMIN_REQUEST_SECONDS)
    not_made = []
    for name, made in asked.items():
        try:
            made.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another program was faster
                not_made.append(f"the topic {name}, which cannot be made: {error.args[0].str()}")
        else:
            logger.info("made the topic %s with %d partitions", name, partitions)
    return not_made

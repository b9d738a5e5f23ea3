"""The processor's topics: created if missing, and identified by Kafka's id."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.apply_async.topic_ids import ids_of
from processor.record import Partition
from shared.kafka_trouble import KafkaTrouble
from shared.topics import ADMIN_REQUEST_SECONDS, Administrator, NewTopics, Rights, create_missing, describe

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.1

RECORD_BYTES_MAX = 100_000_000
"""Largest record that is produced, before compression: librdkafka's default limit for consumers. The broker counts
compressed bytes, and decides."""


class Topics:
    """Kafka's topics. Waits for Kafka as long as it takes."""

    def __init__(self, connection: dict[str, str]) -> None:
        """Reach Kafka with these connection properties of librdkafka."""
        self._trouble = KafkaTrouble(logger, "waiting for Kafka")
        self._kafka = Administrator(
            {
                **connection,
                "log_level": 2,  # librdkafka's errors below critical come to error_cb as well
                "error_cb": lambda error: self._trouble.tell(error.name(), error.str()),
                "logger": logging.getLogger("librdkafka"),
            }
        )
        self.missing = ["Kafka"]
        """What `ensure` waits for, in words."""
        self.cluster_id = ""
        """Kafka's id of the cluster, once `ensure` has returned."""
        self.partitions: Mapping[str, int] = {}
        """Topic -> number of its partitions, when `ensure` returned."""

    def ensure(self, new_topics: NewTopics, rights: Rights) -> None:
        """Wait until all topics exist, creating missing ones, and until all permissions on them are granted.

        Blocks; a signal handler may raise out of it. The permission to join the consumer group is not checked: if the
        group's coordinator does not answer, librdkafka aborts the process that requests it as an administrator.

        Args:
            new_topics: how to create those that are missing.
            rights: the permissions that are needed on each of them.
        """
        while True:
            try:
                described = describe(self._kafka.client, rights)
                self.missing = described.missing
                if self.missing:
                    create_missing(self._kafka.client, described, new_topics, self._trouble)
                else:
                    self.partitions = {name: len(topic.partitions) for name, topic in described.found.items()}
                    self.cluster_id = self._kafka.client.list_topics(
                        next(iter(rights)), timeout=ADMIN_REQUEST_SECONDS
                    ).cluster_id
                    return
            except KafkaException as error:
                self.missing = ["Kafka"]
                self._kafka.client.poll(0)  # calls error_cb with the reason, if librdkafka has one, before this error
                self._trouble.tell(error.args[0].name(), error.args[0].str())
            time.sleep(RETRY_SECONDS)

    @property
    def admin(self) -> AdminClient:
        """Kafka's client, for one request."""
        return self._kafka.client

    async def ids(self, names: Collection[str]) -> dict[str, str]:
        """Return name -> Kafka's own id of the topics that exist.

        Raises:
            KafkaException: Kafka does not answer.
        """
        return await ids_of(self._kafka.client, names)

    async def first_offsets(self, name: str) -> dict[int, int]:
        """Return partition -> first offset that Kafka still has.

        Raises:
            KafkaException: Kafka does not answer.
        """
        described = self._kafka.client.describe_topics(TopicCollection([name]), request_timeout=ADMIN_REQUEST_SECONDS)
        partitions = [partition.id for partition in (await asyncio.wrap_future(described[name])).partitions]
        first = await self._offsets([(name, partition) for partition in partitions], OffsetSpec.earliest())
        return {partition: offset for (_, partition), offset in first.items()}

    async def bounds(self, partitions: Collection[Partition]) -> dict[Partition, tuple[int, int]]:
        """Return partition -> first offset that Kafka still has, and the one after the last.

        Raises:
            KafkaException: Kafka does not answer.
        """
        first = await self._offsets(partitions, OffsetSpec.earliest())
        end = await self._offsets(partitions, OffsetSpec.latest())
        return {partition: (first[partition], end[partition]) for partition in partitions}

    async def _offsets(self, partitions: Collection[Partition], which: OffsetSpec) -> dict[Partition, int]:
        asked = self._kafka.client.list_offsets(
            {TopicPartition(*partition): which for partition in partitions}, request_timeout=ADMIN_REQUEST_SECONDS
        )
        return {
            (where.topic, where.partition): (await asyncio.wrap_future(answer)).offset
            for where, answer in asked.items()
        }

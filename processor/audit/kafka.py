"""Asks Kafka for the facts."""

import asyncio
from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from processor.audit.findings import Topic
from shared.topics import ADMIN_REQUEST_SECONDS

ABSENT = KafkaError.UNKNOWN_TOPIC_OR_PART
DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED


async def topics(admin: AdminClient, names: Collection[str]) -> dict[str, Topic | None]:
    """Return name -> what is known about the topic, of those that exist. None: it may not be described.

    Raises:
        KafkaException: Kafka does not answer.
    """
    described = admin.describe_topics(TopicCollection(list(names)), request_timeout=ADMIN_REQUEST_SECONDS)
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
    configured = admin.describe_configs(list(resources.values()), request_timeout=ADMIN_REQUEST_SECONDS)
    found: dict[str, Topic | None] = {}
    for name in names:
        configuration = None
        try:
            entries = await asyncio.wrap_future(configured[resources[name]])
            configuration = {key: entry.value for key, entry in entries.items() if entry.value is not None}
        except KafkaException as error:
            if error.args[0].code() not in (ABSENT, DENIED):
                raise
        try:
            partitions = (await asyncio.wrap_future(described[name])).partitions
            replicas = min((len(partition.replicas) for partition in partitions), default=0)
            found[name] = Topic(len(partitions), replicas, configuration)
        except KafkaException as error:
            if error.args[0].code() not in (ABSENT, DENIED):
                raise
            if error.args[0].code() == DENIED:
                found[name] = None
    return found

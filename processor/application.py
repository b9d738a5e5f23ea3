"""The Quix application and the configuration of its Kafka clients."""

import logging
import warnings
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Producer

# authlib, which Quix imports for its schema registry client, warns about httpx on every start.
with warnings.catch_warnings(record=True):
    from quixstreams.kafka.configuration import ConnectionConfig
    from quixstreams.kafka.exceptions import KafkaConsumerException as KafkaConsumerException
    from quixstreams.models.topics import TopicAdmin, TopicConfig, TopicManager

from processor.apply_async.quix import NEVER_SECONDS, DrainingApplication
from processor.apply_async.topic_ids import FETCH_BACK_OFF_SECONDS
from processor.settings import ProcessorSettings
from processor.topics import RECORD_BYTES_MAX
from shared.kafka_trouble import explained

logger = logging.getLogger("processor")

POLL_SECONDS = 0.1
"""How long the run loop waits for a record before it checks whether to commit or to stop."""

KAFKA_PATIENCE = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 5000,
}
"""A silent connection is closed after 10 seconds instead of 60, Kafka's return is noticed within a second, and added
partitions within 5 seconds instead of 5 minutes."""

KEPT_OUT = {
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the right READ on the group {group}",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "a group {group} without replicas of another version: stop them first",
}
"""Error that keeps a consumer out of its group -> what is missing."""

PRODUCER: dict[str, str | int] = {
    **KAFKA_PATIENCE,
    "request.timeout.ms": 10_000,
    "linger.ms": 0,
    "max.in.flight": 1,  # outcomes that come while a request is under way go together in the next one
    "partitioner": "murmur2_random",  # Quix's default puts all outcomes without a key on one partition
    "message.timeout.ms": 0,  # results wait for Kafka as long as it takes
    "queue.buffering.max.messages": 0,  # the operator bounds the records in flight
    "log_level": 3,  # above it librdkafka warns that a new cluster has no coordinator for producers yet
}


def application(settings: ProcessorSettings) -> DrainingApplication:
    """Return the Quix application. It leaves committing to the operator and never gives up on Kafka."""
    group = settings.consumer_group()
    connection = settings.kafka_connection()
    broker_address = ConnectionConfig.from_librdkafka_dict(connection, ignore_extras=True)
    others = {name: connection[name] for name in connection.keys() - broker_address.as_librdkafka_dict().keys()}
    app: DrainingApplication = DrainingApplication(
        broker_address=broker_address,
        consumer_group=group,
        topic_manager=TopicManager(_KnownTopics(""), group),
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        commit_interval=NEVER_SECONDS,
        consumer_poll_timeout=POLL_SECONDS,
        broker_availability_timeout=0,
        loglevel=None,
        on_consumer_error=lambda error, message, _: goes_on(app, error, message),
        consumer_extra_config={
            **others,
            **KAFKA_PATIENCE,
            "session.timeout.ms": 10_000,  # so long are the partitions of a killed replica not processed
            "heartbeat.interval.ms": 1000,  # how late a replica notices a rebalance
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.error.backoff.ms": int(FETCH_BACK_OFF_SECONDS * 1000),
            "log_level": 3,  # above it librdkafka warns of offsets that it resets, and the operator logs which are lost
            "enable.partition.eof": True,  # the operator commits past transaction markers at a partition's end
            **({"group.instance.id": settings.kafka_group_instance_id} if settings.kafka_group_instance_id else {}),
        },
        producer_extra_config={**others, **PRODUCER},
    )
    return app


def lone_producer(settings: ProcessorSettings, properties: Mapping[str, Any]) -> Producer:
    """Return the producer of outcomes that Kafka has refused: each in a batch of its own, compressed.

    Brokers count the compressed bytes of a batch: the producer of a task may have compressed a record that is too large
    uncompressed for the topic of its outcome.
    """
    return Producer(
        {
            **settings.kafka_connection(),
            **PRODUCER,
            **properties,
            "batch.num.messages": 1,
            "compression.type": "zstd",
            "message.max.bytes": RECORD_BYTES_MAX,
        },
        logger=logging.getLogger("librdkafka"),
    )


class _KnownTopics(TopicAdmin):
    """Quix's topic administration without requests, because `Topics` has checked the topics: nothing can fail."""

    def inspect_topics(self, topic_names: list[str], timeout: float = 0) -> dict[str, TopicConfig | None]:
        """Return that the topics exist. A pipeline without state needs none of the other values."""
        return {name: TopicConfig(num_partitions=1, replication_factor=1, extra_config={}) for name in topic_names}


def goes_on(app: DrainingApplication, error: Exception, message: Any) -> bool:
    """Log an error of the consumer, and return whether the application goes on."""
    if message is not None:  # the record could not be read: going on would lose it
        logger.error("a record cannot be read", exc_info=error)
        return False
    kafka_error = error.error if isinstance(error, KafkaConsumerException) else None
    # For example, another replica has the same KAFKA_GROUP_INSTANCE_ID.
    if kafka_error is not None and kafka_error.code() == KafkaError._FATAL:
        logger.error("this replica cannot go on: %s", kafka_error.str())
        return False
    missing = None if kafka_error is None else KEPT_OUT.get(kafka_error.code())
    if missing is not None and app.operator is not None:
        # The consumer tries to join again and again, with an error each time, until partitions are assigned.
        if not app.operator.missing:
            app.operator.missing = [missing.format(group=app.config.consumer_group)]
            logger.warning("waiting for Kafka: missing: %s", *app.operator.missing)
        return True
    if kafka_error is None:
        logger.warning("reading from Kafka fails", exc_info=error)
    else:
        logger.warning("reading from Kafka: %s", explained(kafka_error.name(), kafka_error.str()))
    return True

"""Reading the dead-letter topic, in a real Kafka."""

import pytest
from confluent_kafka import TopicPartition

from processor.redrive.letters import DeadLetters, KafkaSilent


@pytest.fixture
def kafka_now(topics):
    return DeadLetters({"bootstrap.servers": topics.kafka.bootstrap_servers}, "group")


def fill(topics, count):
    """Put `count` records into each of the import topic's partitions except the last."""
    for number in range(topics.partitions - 1):
        for offset in range(count):
            topics.producer.produce(topics.name, b"%d/%d" % (number, offset), partition=number)
            topics.producer.poll(0)
    assert topics.producer.flush(30) == 0


def test_every_record_up_to_the_end_is_read_once_and_none_that_comes_later(topics, kafka_now):
    fill(topics, 300)
    now = kafka_now.topic(topics.name)
    fill(topics, 10)

    read = [message.value() for message in kafka_now.read(now) if message is not None]

    assert now.bounds == {0: (0, 300), 1: (0, 300), 2: (0, 300), 3: (0, 0)}
    assert sorted(read) == sorted(b"%d/%d" % (number, offset) for number in range(3) for offset in range(300))


def test_records_that_kafka_has_deleted_meanwhile_are_not_waited_for(topics, kafka_now):
    fill(topics, 1000)
    now = kafka_now.topic(topics.name)
    topics.admin.delete_records([TopicPartition(topics.name, 0, 1000)])[TopicPartition(topics.name, 0)].result(30)
    topics.admin.delete_records([TopicPartition(topics.name, 1, 500)])[TopicPartition(topics.name, 1)].result(30)

    read = [message for message in kafka_now.read(now) if message is not None]

    assert len(read) == 1500


def test_a_topic_that_is_not_there_is_told(kafka_now):
    with pytest.raises(KafkaSilent, match="missing: the topic nowhere"):
        kafka_now.topic("nowhere")

"""An import topic that is deleted and recreated under its name is a new topic: all its records are new tasks."""

import time

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.conftest import until

BEFORE = 100  # records per partition


@pytest.fixture
def made_again(topics, database, simulators):
    """Return a function that recreates the topic with so many records, and one that asserts that all are done."""

    def make(records, gone_seconds=0.0):
        before = topics.id()
        topics.make_again(gone_seconds)
        first = BEFORE * topics.partitions
        topics.send_tasks(range(first, first + records * topics.partitions))
        return before

    def all_done(before, records):
        expected = {before: BEFORE * topics.partitions, topics.id(): records * topics.partitions}
        total = sum(expected.values())
        until(lambda: len(topics.read_results()) == total, "every task's result")
        until(lambda: topics.lag() == 0, "no lag")
        entries = database.query("SELECT topic_id, count(*) FROM ledger GROUP BY topic_id")
        assert dict(entries) == expected
        assert len(database.rows()) == total
        assert simulators.calls("phone") == total

    return make, all_done


@pytest.mark.parametrize(
    ("replicas", "records", "gone_seconds"),
    [(1, 400, 0), (1, 50, 0), (2, 400, 7)],
)
def test_all_records_of_a_topic_made_again_are_new_tasks(
    topics, start_processor, made_again, replicas, records, gone_seconds
):
    make, all_done = made_again
    processors = [start_processor() for _ in range(replicas)]
    topics.send_tasks(range(BEFORE * topics.partitions))
    until(lambda: len(topics.read_results()) == BEFORE * topics.partitions, "the first topic's results")
    until(lambda: topics.lag() == 0, "no lag")

    before = make(records, gone_seconds)

    all_done(before, records)
    for processor in processors:
        assert processor.answers("/health/ready")
        processor.stop()
    start_processor()
    all_done(before, records)


def test_a_late_commit_of_the_topic_before_counts_for_nothing(topics, start_processor, made_again):
    make, all_done = made_again
    processor = start_processor()
    topics.send_tasks(range(BEFORE * topics.partitions))
    until(lambda: len(topics.read_results()) == BEFORE * topics.partitions, "the first topic's results")
    until(lambda: topics.lag() == 0, "no lag")
    processor.stop()
    group = {**topics.kafka.connection, "group.id": f"{topics.name}-group"}
    consumer = Consumer(group)
    committed = consumer.committed([TopicPartition(topics.name, n) for n in range(topics.partitions)], timeout=30)
    assert [each.offset for each in committed] == [BEFORE] * topics.partitions

    def commits_late():
        try:
            return consumer.commit(offsets=committed, asynchronous=False)
        except KafkaException:  # the coordinator may not know the new topic yet
            return False

    before = make(400)
    until(commits_late, "the late commit")
    consumer.close()
    start_processor()

    all_done(before, 400)


def test_a_topic_that_is_gone_is_waited_for_and_said_once(topics, start_processor):
    processor = start_processor()
    topics.send_tasks(range(40))
    until(lambda: len(topics.read_results()) == 40, "the results")

    topics.admin.delete_topics([topics.name])[topics.name].result(30)

    missing = f"the topic {topics.name}"
    until(
        lambda: processor.answers("/health/ready", 503) and missing in processor.client.get("/health/ready").text,
        "ready to name the topic",
    )
    time.sleep(6)  # time for a refresh of librdkafka's metadata and several requests for topic ids
    told = [line for line in processor.log_text().splitlines() if "WARNING" in line]
    assert [line for line in told if missing in line] == told[:1], told
    topics.make_again()
    until(lambda: processor.answers("/health/ready"), "ready again")
    topics.send_tasks(range(40, 80))
    until(lambda: len(topics.read_results()) == 80, "the results of the topic made again")


def test_results_come_whatever_the_number_of_partitions_of_a_result_topic_made_again(topics, start_processor, database):
    start_processor()
    topics.send_tasks(range(40))
    until(lambda: len(topics.read_results()) == 40, "the results")

    topics.make_again(topic=topics.results, partitions=1)
    topics.send_tasks(range(40, 80))

    until(lambda: topics.lag() == 0, "no lag")
    assert _records_in(topics, TopicPartition(topics.results, 0)) == 40
    assert len(database.rows()) == 80


def test_results_go_to_all_partitions_of_a_result_topic_that_has_more_than_the_topic_of_tasks(topics, start_processor):
    topics.make_again(topic=topics.results, partitions=3 * topics.partitions)
    start_processor()

    topics.send_tasks(range(80))

    until(lambda: topics.lag() == 0, "no lag")
    counts = [_records_in(topics, TopicPartition(topics.results, n)) for n in range(3 * topics.partitions)]
    assert sum(counts) == 80
    assert sum(counts[topics.partitions :]) > 0


def _records_in(topics, partition):
    # A new client: the one that reads the results may still know the topic as it was.
    consumer = Consumer({**topics.kafka.connection, "group.id": "none"})
    try:
        return consumer.get_watermark_offsets(partition, timeout=30)[1]
    finally:
        consumer.close()

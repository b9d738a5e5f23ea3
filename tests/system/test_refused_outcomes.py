"""Kafka refuses results and dead letters permanently: no program ends, no other record waits, nothing is lost."""

import json
import os
import re

import pytest
from confluent_kafka import Producer

from tests.conftest import until


def task(number):
    return json.dumps({"task_id": number, "task_type": "phone", "data": f"8 916 {number}"}).encode()


def held(processor):
    return processor.client.get("/health/ready").json()["held"]


def held_metric(processor):
    return float(re.search(r"^integration_held_records (\S+)$", processor.client.get("/metrics").text, re.M)[1])


def send_large(topics, values, **settings):
    producer = Producer({**topics.kafka.connection, "message.max.bytes": 100_000_000, "linger.ms": 0, **settings})
    for value in values:
        producer.produce(topics.name, value)
        assert producer.flush(30) == 0


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_large_records_that_their_producer_compressed_become_dead_letters_and_stop_no_other(
    start_processor, topics, compression
):
    count, blanks = 40, b" " * (7 * 1024 * 1024)
    send_large(topics, [b"%d" % number + blanks for number in range(count)], **{"compression.type": compression})
    topics.send_tasks(range(60))

    processor = start_processor()

    until(lambda: len(topics.read_results()) == 60, "the results of the others")
    until(lambda: len(topics.read_dead_letters()) == count, "the dead letters")
    assert {letter.value for letter in topics.read_dead_letters()} == {b"%d" % n + blanks for n in range(count)}
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    assert held(processor) == 0


def test_results_that_a_compacted_topic_refuses_become_dead_letters_and_stop_no_other(
    start_processor, simulators, topics, database
):
    topics.alter(topics.results, cleanup_policy="compact")
    processor = start_processor()

    topics.send(*(task(number) for number in range(20)))
    topics.send(*(task(number) for number in range(20, 40)), key=b"key")

    until(lambda: len(topics.read_results()) == 20, "the results with a key")
    until(lambda: len(topics.read_dead_letters()) == 20, "the dead letters of the results without a key")
    assert sorted(topics.read_results()) == list(range(20, 40))
    assert {letter.header("error_code") for letter in topics.read_dead_letters()} == {b"internal_error"}
    assert len(database.rows()) == 40
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    assert held(processor) == 0

    topics.alter(topics.results, cleanup_policy="delete")
    redrive = start_processor(arguments=("redrive",), wait=False)
    until(lambda: not redrive.running, "redrive to end")
    assert redrive.returncode == 0

    until(lambda: len(topics.read_results()) == 40, "the results of the dead letters that were put back")
    assert len(database.rows()) == 40
    assert simulators.calls("phone") == 40


def test_dead_letters_that_kafka_refuses_are_held_and_stop_no_other(start_processor, topics):
    topics.alter(topics.dead_letters, cleanup_policy="compact")
    processor = start_processor(IN_FLIGHT_MAX=10)

    topics.send(*(b"no task %d" % number for number in range(30)))
    topics.send(b"no task with a key", key=b"key")
    topics.send_tasks(range(60))

    until(lambda: len(topics.read_results()) == 60, "the results of the others")
    until(lambda: len(topics.read_dead_letters()) == 1, "the dead letter with a key")
    until(lambda: held(processor) == 30, "the others to be shown as held")
    assert held_metric(processor) == 30
    assert processor.answers("/health/ready")
    assert processor.log_text().count("is held") == 1

    topics.alter(topics.dead_letters, cleanup_policy="delete")

    until(lambda: len(topics.read_dead_letters()) == 31, "the dead letters that were held")
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    until(lambda: held(processor) == 0, "none to be held")
    assert len(topics.read_dead_letters()) == 31, "a dead letter was repeated"


def test_what_is_held_when_a_replica_stops_is_held_by_the_next_one(start_processor, topics, simulators):
    topics.alter(topics.dead_letters, cleanup_policy="compact")
    first = start_processor()
    topics.send(b"no task")
    topics.send_tasks(range(20))
    until(lambda: len(topics.read_results()) == 20 and held(first) == 1, "one record to be held")
    first.stop()
    assert first.returncode == 0

    second = start_processor()

    until(lambda: held(second) == 1, "it to be held again")
    topics.send_tasks(range(20, 40))
    until(lambda: len(topics.read_results()) == 40, "the results of the others")
    topics.alter(topics.dead_letters, cleanup_policy="delete")
    until(lambda: len(topics.read_dead_letters()) == 1, "the dead letter")
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    assert all(len(ids) == 1 for ids in topics.read_results().values()), "a result was repeated"
    assert simulators.calls("phone") == 40


def test_limits_that_are_lowered_while_it_runs_stop_no_other(start_processor, topics):
    processor = start_processor()
    topics.send(b"no task")
    until(lambda: topics.read_dead_letters(), "a dead letter of the usual size")
    topics.alter(topics.dead_letters, max_message_bytes=1000)

    topics.send(os.urandom(5000), b"no task either")
    topics.send_tasks(range(20))

    until(lambda: len(topics.read_results()) == 20, "the results of the others")
    until(lambda: len(topics.read_dead_letters()) == 2, "the small dead letter")
    until(lambda: held(processor) == 1, "the large one to be held")
    topics.alter(topics.dead_letters, max_message_bytes=100_000)
    until(lambda: len(topics.read_dead_letters()) == 3, "the large one")
    until(lambda: topics.lag() == 0, "all offsets to be committed")


def test_dead_letters_above_what_a_client_sends_by_default_are_sent(start_processor, topics):
    topics.alter(topics.name, max_message_bytes=16_000_000)
    topics.alter(topics.dead_letters, max_message_bytes=16_500_000)
    large = os.urandom(15_000_000)
    send_large(topics, [large])
    topics.send_tasks(range(5))

    start_processor()

    until(lambda: len(topics.read_results()) == 5, "the results of the others")
    until(lambda: [letter.value for letter in topics.read_dead_letters()] == [large], "the dead letter")
    until(lambda: topics.lag() == 0, "all offsets to be committed")

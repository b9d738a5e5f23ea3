"""A Kafka of three brokers, some of them killed, paused, unknown or not started yet: no program ends."""

import json
import time
from functools import partial

import pytest
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from sandbox.child import free_port
from sandbox.kafka import KafkaCluster
from tests.conftest import until

TAKEOVER_SECONDS = 120.0
"""Longest time until another broker has taken over, the programs have found it, and all work is done."""


@pytest.fixture(scope="module")
def kafka(session_folder):
    cluster = KafkaCluster(session_folder / "three-brokers", session_folder / "logs" / "three-brokers")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def all_brokers(kafka):
    kafka.start()


def coordinator(topics):
    """Return the coordinator of the processors' group, which need not have been used before."""
    group = topics.environment["KAFKA_CONSUMER_GROUP"]
    consumer = Consumer({**topics.kafka.connection, "group.id": group})
    try:
        consumer.committed([TopicPartition(topics.name, 0)], timeout=30)
    except KafkaException:
        pass  # Kafka now creates the topic of committed offsets
    finally:
        consumer.close()

    def found():
        try:
            return topics.kafka.coordinator(group)
        except LookupError:
            return None

    return until(found, "a coordinator")


@pytest.mark.parametrize(("moment", "fault"), [("before", "pause"), ("during", "kill"), ("after", "pause")])
def test_no_processor_ends_when_its_groups_coordinator_does(topics, start_processor, kafka, moment, fault):
    away = coordinator(topics)
    processors = [start_processor()] if moment == "after" else []
    if moment == "before":
        getattr(away, fault)()
    processors += [start_processor(wait=False) for _ in range(2)]
    if moment != "before":
        getattr(away, fault)()

    topics.send_tasks(range(40))

    def done():
        assert all(processor.running for processor in processors), [each.returncode for each in processors]
        return topics.read_results().keys() == {*range(40)}

    until(done, "all results", TAKEOVER_SECONDS)
    kafka.start()
    assert [processor.wait().stop() for processor in processors] == [0] * len(processors)


def new_topics(topics):
    """Return settings with topics that do not exist."""
    return {
        "KAFKA_IMPORT_TOPIC": f"{topics.name}-new",
        "KAFKA_RESULT_TOPIC": f"{topics.name}-new-results",
        "KAFKA_TOPIC_PARTITIONS": 50,
    }


def replicas(topics, names):
    """Return topic name -> (replication factors of its partitions, min.insync.replicas)."""
    described = topics.admin.describe_topics(TopicCollection(names))
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    in_sync = {
        each.name: answer.result(30)["min.insync.replicas"].value
        for each, answer in topics.admin.describe_configs(asked).items()
    }
    return {
        name: ({len(partition.replicas) for partition in answer.result(30).partitions}, in_sync[name])
        for name, answer in described.items()
    }


def warnings(program):
    """Return the program's warnings and errors, except the gateway's warning about GATEWAY_AUTH=none."""
    lines = [json.loads(line) for line in program.log_text().splitlines() if line.startswith("{")]
    return [
        line["event"]
        for line in lines
        if line["level"] not in ("debug", "info") and not line["event"].startswith("GATEWAY_AUTH=none")
    ]


def test_programs_whose_topics_are_missing_wait_while_two_of_three_brokers_hang(topics, start, start_processor, kafka):
    for broker in kafka.brokers[:2]:
        broker.pause()
    settings = new_topics(topics)
    programs = [start("gateway", wait=False, **settings), *(start_processor(wait=False, **settings) for _ in range(2))]

    until(lambda: all(warnings(program) for program in programs), "each to say what it waits for", TAKEOVER_SECONDS)
    until(lambda: all(program.answers("/health/ready", 503) for program in programs), "none to be ready")
    time.sleep(15)  # time for several failing requests
    for program in programs:
        assert len(set(warnings(program))) == len(warnings(program)), "said once"
    for broker in kafka.brokers[:2]:
        broker.resume()

    for program in programs:
        until(lambda program=program: program.answers("/health/ready"), "each to be ready", TAKEOVER_SECONDS)
    answer = programs[0].client.post("/tasks", json={"task_id": 1, "task_type": "phone", "data": "8 916"})
    assert answer.status_code == 200
    assert [program.stop() for program in programs] == [0, 0, 0]


def test_programs_wait_for_brokers_that_are_down_or_unknown_and_say_so_once(topics, start, start_processor, kafka):
    for broker in kafka.brokers:
        broker.kill()
    programs = [start("gateway", wait=False), start_processor(wait=False)]
    unknown = {"KAFKA_BOOTSTRAP_SERVERS": "no-such-broker.invalid:9092"}
    others = [start("gateway", wait=False, **unknown), start_processor(wait=False, **unknown)]
    until(lambda: all(warnings(program) for program in programs + others), "each to say what it waits for")
    time.sleep(15)  # time for several failing attempts

    assert [len(warnings(program)) for program in programs + others] == [1] * 4, [*map(warnings, programs + others)]
    assert all("look at KAFKA_BOOTSTRAP_SERVERS" in warning for program in others for warning in warnings(program))
    assert all(program.running and program.answers("/health/ready", 503) for program in programs + others)
    assert [program.stop() for program in others] == [0, 0]
    kafka.start()
    answer = programs[0].wait().client.post("/tasks", json={"task_id": 1, "task_type": "phone", "data": "8 916"})
    assert answer.status_code == 200
    assert [program.wait().stop() for program in programs] == [0, 0]


def test_hosts_that_are_gone_from_the_list_of_brokers_are_passed_over(topics, start, start_processor, kafka):
    servers = f"no-such-broker.invalid:9092,127.0.0.1:{free_port()},{kafka.bootstrap_servers}"
    programs = [program(KAFKA_BOOTSTRAP_SERVERS=servers) for program in (partial(start, "gateway"), start_processor)]

    answer = programs[0].client.post("/tasks", json={"task_id": 1, "task_type": "phone", "data": "8 916"})

    assert answer.status_code == 200
    assert [program.stop() for program in programs] == [0, 0]


def test_redrive_says_what_is_wrong_while_a_broker_hangs_and_puts_all_back_once_others_have_taken_over(
    topics, start_processor, kafka
):
    processor = start_processor()
    topics.send(*(b"no task %d" % number for number in range(40)))
    until(lambda: len(topics.read_dead_letters()) == 40, "the dead letters")
    processor.stop()
    kafka.leader(topics.dead_letters, 0).pause()

    def put_back():
        redrive = start_processor(arguments=("redrive", "--reason", "invalid_task"), wait=False, LOG_LEVEL="INFO")
        until(lambda: not redrive.running, "redrive to end", TAKEOVER_SECONDS)
        *_, told = redrive.log_text().splitlines()
        if redrive.returncode == 0:
            return told
        assert (redrive.returncode, told.startswith("processor redrive: Kafka ")) == (1, True), told
        return None

    told = until(put_back, "a redrive that ends well", TAKEOVER_SECONDS)
    assert told == "40 put back (40 invalid_task), 0 skipped"


def test_topics_that_the_programs_make_have_three_replicas_two_of_them_in_sync_and_no_warning_is_logged(
    topics, start, start_processor
):
    settings = new_topics(topics)
    programs = [start("gateway", wait=False, **settings), start_processor(wait=False, **settings)]

    answer = programs[0].wait().client.post("/tasks", json={"task_id": 1, "task_type": "phone", "data": "8 916"})

    assert answer.status_code == 200
    assert [(program.wait().stop(), warnings(program)) for program in programs] == [(0, [])] * 2
    names = [settings["KAFKA_IMPORT_TOPIC"], settings["KAFKA_RESULT_TOPIC"], f"{topics.name}-new-dlt"]
    assert replicas(topics, names) == dict.fromkeys(names, ({3}, "2"))


def test_of_three_brokers_and_a_sound_postgresql_the_audit_finds_nothing(topics, start_processor):
    processor = start_processor()
    audit = start_processor(arguments=("audit",), wait=False, LOG_LEVEL="INFO")

    until(lambda: not audit.running, "the audit to end")
    assert (audit.returncode, audit.log_text()) == (0, "Kafka and PostgreSQL can keep every promise.\n")
    until(lambda: processor.client.get("/health/ready").json()["audit"] == [], "the same at the start")

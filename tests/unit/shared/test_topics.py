"""Describing and creating Kafka topics: absent topics, missing rights, requests that fail."""

import logging
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from shared.kafka_trouble import KafkaTrouble
from shared.topics import NewTopics, create_missing, describe


def future(answer):
    made = Future()
    made.set_exception(answer) if isinstance(answer, Exception) else made.set_result(answer)
    return made


def error(name):
    return KafkaException(KafkaError(getattr(KafkaError, name)))


def topic(*operations, told=True):
    listed = [SimpleNamespace(name=name) for name in operations]
    return SimpleNamespace(authorized_operations=listed if told else None)


def described(rights, answers):
    futures = {name: future(answer) for name, answer in answers.items()}
    return describe(SimpleNamespace(describe_topics=lambda *_, **__: futures), rights)


def test_rights_are_missing_that_kafka_does_not_list_where_it_lists_any():
    rights = {"tasks": ["READ", "WRITE"], "results": ["WRITE"], "dead": ["READ"], "hidden": ["READ"]}
    answers = {
        "tasks": topic("READ", "DESCRIBE"),
        "results": topic(told=False),
        "dead": topic(),
        "hidden": error("TOPIC_AUTHORIZATION_FAILED"),
    }

    found = described(rights, answers)

    assert found.denied == [
        "the right WRITE on the topic tasks",
        "the right READ on the topic dead",
        "the right READ on the topic hidden",
    ]
    assert found.found.keys() == {"tasks", "results", "dead"}
    assert found.absent == []


def test_a_topic_that_is_not_there_is_absent_and_lacks_no_right():
    found = described({"tasks": ["READ"]}, {"tasks": error("UNKNOWN_TOPIC_OR_PART")})

    assert (found.absent, found.denied, found.found) == (["tasks"], [], {})


def test_a_request_that_timed_out_is_kafkas_error():
    with pytest.raises(KafkaException, match="Timed out"):
        described({"tasks": ["READ"]}, {"tasks": error("_TIMED_OUT")})


def test_topics_are_made_unless_another_program_was_faster_and_what_keeps_kafka_from_it_is_told(caplog):
    answers = {"made": None, "faster": error("TOPIC_ALREADY_EXISTS"), "refused": error("POLICY_VIOLATION")}
    asked = []

    def create_topics(new, **_):
        asked.extend((each.topic, each.num_partitions, each.replication_factor, each.config) for each in new)
        return {name: future(answer) for name, answer in answers.items()}

    admin = SimpleNamespace(
        describe_topics=lambda *_, **__: {name: future(error("UNKNOWN_TOPIC_OR_PART")) for name in answers},
        describe_cluster=lambda **_: future(SimpleNamespace(nodes=[1, 2, 3])),
        create_topics=create_topics,
    )
    trouble = KafkaTrouble(logging.getLogger("kafka"), "waiting for Kafka")

    found = describe(admin, dict.fromkeys(answers, ()))
    create_missing(admin, found, NewTopics({name: {"a": "1"} for name in answers}, 12), trouble)

    assert (found.found, found.missing) == ({}, ["the topic made", "the topic faster", "the topic refused"])
    assert asked == [(name, 12, 3, {"a": "1", "min.insync.replicas": "2"}) for name in answers]
    why = error("POLICY_VIOLATION").args[0].str()
    assert [line for line in caplog.messages if line.startswith("waiting")] == [
        f"waiting for Kafka: missing: the topic refused, which cannot be created: {why}"
    ]


@pytest.mark.parametrize(
    ("brokers", "replication_factor", "min_insync_replicas", "replicas"),
    [
        (1, None, None, (1, 1)),
        (2, None, None, (2, 1)),
        (3, None, None, (3, 2)),
        (5, None, None, (3, 2)),
        (3, 1, None, (1, 1)),
        (5, 5, 3, (5, 3)),
        (1, 3, None, (3, 2)),
        (1, None, 2, (1, 1)),
        (3, None, 1, (3, 1)),
    ],
)
def test_a_new_topic_has_three_replicas_two_of_them_in_sync_or_what_is_set_or_what_the_cluster_holds(
    brokers, replication_factor, min_insync_replicas, replicas
):
    assert NewTopics({}, 12, replication_factor, min_insync_replicas).replicas(brokers) == replicas


def test_rights_that_are_missing_are_told():
    admin = SimpleNamespace(describe_topics=lambda *_, **__: {"tasks": future(topic("READ"))})
    told = []

    found = describe(admin, {"tasks": ("WRITE",)})
    create_missing(admin, found, NewTopics({"tasks": {}}, 3), SimpleNamespace(tell_missing=told.append))

    assert found.missing == ["the right WRITE on the topic tasks"]
    assert told == [found.missing]
    assert found.found.keys() == {"tasks"}

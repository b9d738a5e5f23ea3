"""The records on a real Kafka match /asyncapi.json."""

import json

import pytest
from confluent_kafka import TopicPartition

from tests.conftest import until
from tests.documented import assert_documented, resolved, validator

TASK = {"task_id": 42, "task_type": "phone", "data": "8 916 823 34 54"}

NO_TASKS = [b"no task", b"\xff", b"{}", None]


@pytest.fixture
def records(topics):
    """Return a function that waits for these numbers of records on the (import, result, dead-letter) topic."""
    names = (topics.name, topics.results, topics.dead_letters)
    topics.consumer.assign([TopicPartition(name, number, 0) for name in names for number in range(topics.partitions)])

    def records(*counts):
        return until(
            lambda: (
                tuple(sum(seen.topic == name for seen in topics.read()) for name in names) == counts and topics.seen
            ),
            f"{counts} records",
        )

    return records


def channel_of(document, topic):
    [channel] = [channel for channel in document["channels"].values() if channel["address"] == topic]
    return channel


def fits(record, message, document):
    """Return whether a record has the payload and the headers of a message of the document."""
    headers = {name: value.decode() for name, value in record.headers}
    if not validator(message["headers"], document).is_valid(headers):
        return False
    payload = record.json if message["contentType"] == "application/json" else repr(record.value)
    return validator(message["payload"], document).is_valid(payload)


def messages_of(record, document):
    """Return the names of the messages of the record's channel that the record fits."""
    messages = channel_of(document, record.topic)["messages"]
    return [name for name, message in messages.items() if fits(record, resolved(message, document), document)]


def test_every_record_of_every_topic_is_a_message_of_its_channel(start, start_processor, simulators, topics, records):
    processor = start_processor()
    gateway = start("gateway")
    document = gateway.client.get("/asyncapi.json").json()

    headers = {
        "X-Request-ID": "mine",
        "Idempotency-Key": "mine",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
    }
    assert gateway.client.post("/tasks", json=TASK, headers=headers).status_code == 200
    topics.send(json.dumps(TASK).encode(), key=b"mine", headers=[("mine", b"1")])
    records(2, 2, 0)
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 400}])
    assert gateway.client.post("/tasks", json=TASK).status_code == 422
    topics.send(*NO_TASKS)
    records(7, 2, 5)
    simulators.control(latency_ms=0, faults=[])
    redrive = start_processor(wait=False, arguments=("redrive", "--reason", "task_rejected"))
    until(lambda: not redrive.running, "redrive to end")
    seen = records(8, 3, 5)

    for record in seen:
        if record.topic != topics.name or record.value not in NO_TASKS:
            is_no_task = record.header("error_code") == b"invalid_task"
            expected = {
                topics.name: "task",
                topics.results: "result",
                topics.dead_letters: "noTask" if is_no_task else "failedTask",
            }
            assert messages_of(record, document) == [expected[record.topic]], record
    named = {name for record in seen for name, _ in record.headers}
    documented = {
        name for message in document["components"]["messages"].values() for name in message["headers"]["properties"]
    }
    assert named == documented | {"mine"}
    assert processor.running


def test_a_request_is_answered_on_the_reply_channel_of_its_operation(
    start, start_processor, simulators, topics, records
):
    start_processor()
    gateway = start("gateway")
    document = gateway.client.get("/asyncapi.json").json()

    def topics_of(correlation_id):
        return [record.topic for record in topics.seen if record.header("kafka_correlationId") == correlation_id]

    for number, (operation, faults) in enumerate(
        [("replyWithResult", []), ("replyWithDeadLetter", [{"kind": "status", "status": 400}])], 1
    ):
        simulators.control(latency_ms=0, faults=faults)
        request, reply = document["operations"][operation], document["operations"][operation]["reply"]
        answer = gateway.client.post("/tasks", json=TASK)
        records(number, 1, number - 1)
        assert_documented(gateway.client.get("/openapi.json").json(), answer)

        correlation_id = answer.headers["x-correlation-id"].encode()
        assert sorted(topics_of(correlation_id)) == sorted(
            resolved(side["channel"], document)["address"] for side in (request, reply)
        )

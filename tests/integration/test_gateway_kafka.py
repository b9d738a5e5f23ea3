"""The gateway as a process on a real Kafka, with a fake processor that echoes tasks."""

import contextlib
import json
import signal
import socket
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer
from confluent_kafka.admin import NewTopic

from shared.brokers import Brokers
from tests.conftest import until
from tests.edge import HEALTH, Caller

SILENT = "silent"


def task(data="x", task_id=1):
    return {"task_id": task_id, "task_type": "gpt", "data": data}


class Echo(threading.Thread):
    """A minimal processor: the result's id is the number in the task's data; the data `silent` gets no result."""

    def __init__(self, topics):
        super().__init__(daemon=True)
        self.topics, self.ended, self.values = topics, threading.Event(), []
        self.connection = {"bootstrap.servers": topics.kafka.bootstrap_servers, "log_level": 0}
        self.next_offsets = {}
        self.new_producer()
        self.new_consumer()

    def new_producer(self):
        self.producer_brokers = Brokers()
        self.producer = Producer({**self.connection, **self.producer_brokers.properties, "linger.ms": 0})

    def new_consumer(self):
        self.consumer_brokers = Brokers()
        self.consumer = Consumer(
            {
                **self.connection,
                **self.consumer_brokers.properties,
                "group.id": f"{self.topics.name}-echo-{uuid.uuid4()}",
                "topic.metadata.refresh.interval.ms": 500,
            }
        )
        self.consumer.subscribe([self.topics.name], on_assign=self.read_on)

    def read_on(self, consumer, partitions):
        for partition in partitions:
            partition.offset = self.next_offsets.get(partition.partition, OFFSET_BEGINNING)
        consumer.assign(partitions)

    def run(self):
        try:
            while not self.ended.is_set():
                if self.producer_brokers.forgotten:
                    self.new_producer()
                if self.consumer_brokers.forgotten:
                    self.consumer.close()
                    self.new_consumer()
                self.producer.poll(0)
                record = self.consumer.poll(0.02)
                if record is not None and record.error() is None:
                    self.next_offsets[record.partition()] = record.offset() + 1
                    self.values.append((record.value(), dict(record.headers())))
                    self.reply(record)
        finally:
            self.consumer.close()

    def reply(self, record, partition=None):
        data = json.loads(record.value())["data"]
        where = {} if partition is None else {"partition": partition}
        if data.startswith("fail "):
            _, code, reason = data.split(" ", 2)
            headers = [("error_code", code.encode()), ("kafka_dlt-exception-message", reason.encode())]
            self.producer.produce(self.topics.dead_letters, record.value(), headers=record.headers() + headers, **where)
        elif data != SILENT:
            value = {"task_id": json.loads(record.value())["task_id"], "id": int(data) if data.isdigit() else 1}
            self.producer.produce(self.topics.results, json.dumps(value), headers=record.headers(), **where)

    def reply_to(self, correlation_id, number, partition=0):
        """Send a result for any correlation id."""
        self.producer.produce(
            self.topics.results,
            json.dumps({"task_id": 1, "id": number}),
            headers=[("kafka_correlationId", correlation_id.encode())],
            partition=partition,
        )
        assert self.producer.flush(30) == 0


@contextlib.contextmanager
def echoing(topics):
    echo = Echo(topics)
    echo.start()
    yield echo
    echo.ended.set()
    echo.join(30)
    assert not echo.is_alive()


@pytest.fixture
def echo(topics):
    with echoing(topics) as echo:
        yield echo


def test_a_task_goes_out_byte_for_byte_and_its_result_comes_back(start, echo):
    gateway = start("gateway")
    body = b'{ "data":"7", "task_type":"gpt", "task_id":-3, "more":null }'

    answer = gateway.client.post(
        "/tasks",
        content=body,
        headers={"Content-Type": "application/json", "X-Request-ID": "mine", "Idempotency-Key": "once"},
    )

    assert (answer.status_code, answer.json()) == (200, {"task_id": -3, "id": 7})
    assert answer.headers["x-request-id"] == "mine"
    assert "server" not in answer.headers
    [(value, headers)] = echo.values
    assert value == body
    assert 0 < int(headers.pop("integration_awaited_until")) - 1000 * time.time() < 60_000
    assert headers == {
        "kafka_correlationId": answer.headers["x-correlation-id"].encode(),
        "X-Request-ID": b"mine",
        "idempotency_key": b"once",
    }


def test_a_dead_letter_comes_back_as_its_error(start, echo):
    gateway = start("gateway")

    answer = gateway.client.post("/tasks", json=task("fail task_rejected the provider answered 400"))

    assert answer.status_code == 422
    assert answer.json()["error_code"] == "task_rejected"
    assert answer.json()["detail"] == "this task is rejected: the provider answered 400"
    again = gateway.client.get(f"/tasks/{answer.headers['x-correlation-id']}")
    assert (again.status_code, again.json()["error_code"]) == (422, "task_rejected")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}], ids=["without a key", "with a key"])
def test_every_gateway_knows_whether_a_failed_task_has_a_key_and_says_what_to_do(start, echo, headers):
    gateway, other = start("gateway"), start("gateway")

    answer = gateway.client.post("/tasks", json=task("fail provider_unavailable why"), headers=headers)
    path = f"/tasks/{answer.headers['x-correlation-id']}"
    again = until(lambda: other.answers(path, 503) and other.client.get(path), "the other gateway to know it")

    for told in (answer, again):
        assert told.status_code == 503
        assert ("; send it again later with the same Idempotency-Key" in told.json()["detail"]) == bool(headers)
        assert ("it would be a second task" in told.json()["detail"]) != bool(headers)


def test_each_of_many_callers_with_one_task_id_gets_its_own_reply_from_any_of_two_gateways(start, echo):
    gateways = [start("gateway"), start("gateway")]
    answers = {}

    def post(numbers, gateway):
        with httpx.Client(base_url=gateway.url, timeout=60) as client:
            for number in numbers:
                answers[number] = client.post("/tasks", json=task(str(number)))

    threads = [
        threading.Thread(target=post, args=(range(first, 400, 16), gateways[first % 2])) for first in range(1, 17)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 399
    assert all(answer.json() == {"task_id": 1, "id": number} for number, answer in answers.items())
    assert len({answer.headers["x-correlation-id"] for answer in answers.values()}) == 399


def test_what_became_of_a_task_is_told_by_any_gateway_and_after_a_restart(start, echo):
    gateway, other = start("gateway"), start("gateway")
    answer = gateway.client.post("/tasks", json=task("42"), headers={"Prefer": "respond-async"})
    failed = gateway.client.post("/tasks", json=task("fail internal_error x"), headers={"Prefer": "respond-async"})
    pending = gateway.client.post("/tasks", json=task(SILENT), headers={"Prefer": "respond-async"})
    assert [answer.status_code, failed.status_code, pending.status_code] == [202] * 3
    for program in (gateway, other):
        until(lambda program=program: program.client.get(answer.headers["location"]).status_code == 200, "the result")
        until(lambda program=program: program.client.get(failed.headers["location"]).status_code == 500, "the failure")

    gateway.kill()
    again = start("gateway")

    assert again.client.get(answer.headers["location"]).json() == {"task_id": 1, "id": 42}
    assert again.client.get(failed.headers["location"]).json()["error_code"] == "internal_error"
    assert again.client.get(pending.headers["location"]).status_code == 202
    echo.reply_to(pending.headers["x-correlation-id"], 43)
    for program in (again, other):
        found = until(
            lambda program=program: (got := program.client.get(pending.headers["location"])).status_code == 200 and got,
            "the late result",
        )
        assert found.json() == {"task_id": 1, "id": 43}
    assert again.client.get(f"/tasks/{uuid.uuid4()}").status_code == 404


def test_replies_on_partitions_that_are_added_later_are_heard(start, topics, echo):
    gateway = start("gateway")
    pending = gateway.client.post("/tasks", json=task(SILENT), headers={"Prefer": "respond-async"})

    topics.add_partitions(topics.partitions + 2)
    until(
        lambda: (
            topics.results in (known := topics.admin.list_topics(topics.results).topics)
            and len(known[topics.results].partitions) == topics.partitions + 2
        ),
        "the new partitions",
    )
    # Sent before the gateway knows the partition, which it must read from its first record.
    echo.new_producer()
    echo.reply_to(pending.headers["x-correlation-id"], 5, partition=topics.partitions + 1)

    found = until(
        lambda: (got := gateway.client.get(pending.headers["location"])).status_code == 200 and got, "the result"
    )
    assert found.json() == {"task_id": 1, "id": 5}
    assert gateway.answers("/health/ready")


def test_topics_that_are_deleted_are_made_again_and_work_goes_on(start, topics):
    gateway = start("gateway")
    with echoing(topics):
        for number in range(30):
            assert gateway.client.post("/tasks", json=task(str(number))).status_code == 200

    delete(topics)
    until(
        lambda: topic_names(topics) <= topics.admin.list_topics(timeout=30).topics.keys(),
        "the topics, made by the gateway",
    )

    with echoing(topics):

        def works():
            return gateway.client.post("/tasks", json=task("5"), headers={"Prefer": "wait=5"}).status_code == 200

        until(works, "a reply by the new topics")
        assert all(works() for _ in range(5))
    assert gateway.answers("/health/ready")


def test_a_topic_made_again_behind_the_gateways_back_is_read_from_its_first_record(start, topics, echo):
    gateway = start("gateway")
    pending = gateway.client.post("/tasks", json=task(SILENT), headers={"Prefer": "respond-async"})
    for number in range(3):
        echo.reply_to(str(uuid.uuid4()), number)
    answer = gateway.client.post("/tasks", json=task("1"))
    assert answer.status_code == 200

    gateway.pause()
    delete(topics)
    again = [NewTopic(name, topics.partitions) for name in topic_names(topics)]
    for made in topics.admin.create_topics(again).values():
        made.result(30)
    echo.new_producer()
    echo.reply_to(pending.headers["x-correlation-id"], 5)
    for number in range(10):  # the gateway's old position then exists in the new topic, too
        echo.reply_to(str(uuid.uuid4()), number)
    gateway.resume()

    found = until(
        lambda: (got := gateway.client.get(pending.headers["location"])).status_code == 200 and got, "the result"
    )
    assert found.json() == {"task_id": 1, "id": 5}


def topic_names(topics):
    return {topics.name, topics.results, topics.dead_letters}


def delete(topics):
    for deleted in topics.admin.delete_topics(list(topic_names(topics))).values():
        deleted.result(30)


def test_missing_topics_are_made_with_as_many_partitions_as_are_set(start, topics, echo):
    name = f"{topics.name}-own"
    start("gateway", KAFKA_IMPORT_TOPIC=name, KAFKA_RESULT_TOPIC=f"{name}-out", KAFKA_TOPIC_PARTITIONS=5)

    known = topics.admin.list_topics(timeout=30).topics
    assert [len(known[topic].partitions) for topic in (name, f"{name}-out", f"{name}-dlt")] == [5] * 3


def test_what_others_put_on_the_topics_disturbs_nobody(start, topics, echo):
    gateway = start("gateway")
    producer = topics.producer
    pending = gateway.client.post("/tasks", json=task(SILENT), headers={"Prefer": "respond-async"})
    forged = [("kafka_correlationId", pending.headers["x-correlation-id"].encode())]
    for value in (None, b"\xff" * 100_000):
        producer.produce(topics.results, value, headers=forged)
    for headers in (
        [],
        [("kafka_correlationId", None)],
        [("kafka_correlationId", b"\xff\xfe")],
        [("kafka_correlationId", str(uuid.uuid4()).encode())],
        [("error_code", b"\xff")],
    ):
        for topic in (topics.results, topics.dead_letters):
            for value in (None, b"", b"\xff" * 100_000):
                producer.produce(topic, value, headers=headers)
    assert producer.flush(30) == 0

    for _ in range(8):  # each on any partition, so behind the foreign records
        assert gateway.client.post("/tasks", json=task("9")).json() == {"task_id": 1, "id": 9}
    assert gateway.client.get(pending.headers["location"]).status_code == 202
    assert gateway.answers("/health/live")


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5000000", b" " * 5_000_000),
        (b"Transfer-Encoding: chunked", b"4c4b40\r\n" + b" " * 5_000_000 + b"\r\n0\r\n\r\n"),
    ],
    ids=["with its length", "chunked"],
)
def test_a_body_over_the_limit_is_413_even_for_a_caller_who_sends_it_whole_before_reading(start, echo, framing, body):
    gateway = start("gateway")
    head = b"POST /tasks HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"

    with Caller(httpx.URL(gateway.url).port) as caller:
        caller.socket.sendall(head + body)  # raises if the connection is reset
        answer = caller.answer()
        assert caller.send(HEALTH).answer().status_code == 200

    assert (answer.status_code, answer.json()["error_code"]) == (413, "body_too_large")
    assert echo.values == []


def test_a_caller_who_leaves_frees_the_place_that_waited(start, echo):
    gateway = start("gateway", WAITING_REPLIES_MAX=1)
    with pytest.raises(httpx.ReadTimeout):
        gateway.client.post("/tasks", json=task(SILENT), timeout=0.5)

    answer = until(
        lambda: (got := gateway.client.post("/tasks", json=task("4"))).status_code == 200 and got, "a free place"
    )

    assert answer.json() == {"task_id": 1, "id": 4}


def test_a_stop_lets_waiting_requests_end_and_takes_no_new_ones(start, topics, echo):
    gateway = start("gateway")
    answers = []
    waiting = [
        threading.Thread(
            target=lambda: answers.append(httpx.post(f"{gateway.url}/tasks", json=task(SILENT), timeout=60))
        )
        for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    until(lambda: len(echo.values) == 3, "the tasks")
    ids = [headers["kafka_correlationId"].decode() for _, headers in echo.values]

    threading.Thread(target=gateway.stop).start()
    until(lambda: not gateway.answers("/health/live"), "no new requests")
    echo.reply_to(ids[0], 11)
    for thread in waiting:
        thread.join()

    by_id = {answer.headers["x-correlation-id"]: answer for answer in answers}
    assert by_id[ids[0]].json() == {"task_id": 1, "id": 11}
    assert [by_id[correlation_id].status_code for correlation_id in ids[1:]] == [504, 504]
    assert by_id[ids[1]].headers["location"] == f"/tasks/{ids[1]}"
    assert gateway.stop() == 0
    assert '"stopped"' in gateway.log_text()


def test_a_stop_at_any_moment_is_a_clean_one(start):
    for moment in (0.0, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5):
        gateway = start("gateway", wait=False)
        until(lambda gateway=gateway: has_taken_signals(gateway.pid), "the program's first line")
        time.sleep(moment)  # the moment under test

        assert gateway.stop() == 0, f"after {moment} seconds: {gateway.log_text()}"
        assert "Traceback" not in gateway.log_text(), f"after {moment} seconds: {gateway.log_text()}"


def has_taken_signals(pid):
    """Return whether the process has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"KAFKA_IMPORT_TOPIC": ""}, "KAFKA_IMPORT_TOPIC"),
        ({"KAFKA_RESULT_TOPIC": ""}, "KAFKA_RESULT_TOPIC"),
        ({"GATEWAY_PORT": "http"}, "GATEWAY_PORT"),
        ({"REPLY_TIMEOUT_SECONDS": "0"}, "REPLY_TIMEOUT_SECONDS"),
        ({"GATEWAY_AUTH": "required", "SECRET_KEY": "x"}, "SECRET_KEY"),
    ],
)
def test_a_missing_or_wrong_setting_is_one_line_that_names_it_and_exit_code_2(start, settings, named):
    gateway = start("gateway", wait=False, **settings)

    until(lambda: not gateway.running, "the end")

    assert gateway.stop() == 2
    [line] = gateway.log_text().splitlines()
    assert named in line


def test_a_port_that_is_taken_is_one_line_that_names_it_and_exit_code_2(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = start("gateway", wait=False, GATEWAY_PORT=taken.getsockname()[1])
        until(lambda: not gateway.running, "the end")

    assert gateway.stop() == 2
    [line] = gateway.log_text().splitlines()
    assert "GATEWAY_PORT" in line

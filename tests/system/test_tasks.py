"""Tasks in, results out: by REST and directly on Kafka, everything real."""

import json
import subprocess
import sys
import threading
import time

import httpx
from confluent_kafka import TopicPartition

from tests.conftest import until


def task(task_id=1, task_type="phone", data="8 916 823 34 54"):
    return {"task_id": task_id, "task_type": task_type, "data": data}


def test_a_task_by_rest_is_answered_with_the_id_of_its_row(start, start_processor, database):
    start_processor()
    gateway = start("gateway")

    for task_type, data, field, cleaned in (
        ("phone", "8 916 823 34 54", "phone", "+7 916 823-34-54"),
        ("email", "serega@yandex/ru", "email", "serega@yandex.ru"),
        ("gpt", "Столица России?", "modelVersion", "09.02.2025"),
    ):
        answer = gateway.client.post("/tasks", json=task(42, task_type, data))

        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"task_id", "id"}
        assert answer.json()["task_id"] == 42
        assert answer.headers["content-type"] == "application/json"
        row, row_type = database.rows()[answer.json()["id"]]
        assert row_type == task_type
        assert row[field] == cleaned

    assert len(database.rows()) == 3


def test_a_task_on_the_import_topic_becomes_a_result_with_its_key_and_headers(topics, start_processor, database):
    start_processor()
    headers = [("trace", b"1"), ("trace", b"\xff"), ("none", None), ("empty", b""), ("имя", b"")]

    topics.send(json.dumps(task(7)).encode(), key=b"\x00key", headers=headers)

    [result] = until(topics.read, "the result")
    assert result.topic == topics.results
    assert result.json == {"task_id": 7, "id": next(iter(database.rows()))}
    assert result.key == b"\x00key"
    assert result.headers == headers


SEND_RAW = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

# No UTF-8 at all, overlong, half of a pair, cut, and what Latin-1 makes of a letter.
NAMES = [b"\\xff\\xfe", b"\\xc0\\xaf", b"\\xed\\xa0\\x80", b"name \\xe2\\x82", b"\\xe9t\\xe9"]

class Raw(str):
    def encode(self, *_):
        return NAMES[int(self)]

async def send(servers, topic, *values):
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for number, value in enumerate(values):
            headers = [(Raw(number % len(NAMES)), b"1")]
            if number == 0:
                headers = [("good", b"1")] * 5000 + headers + [("good", b"1")] * 5000
            await producer.send_and_wait(topic, value.encode(), headers=headers, partition=0)

asyncio.run(send(*sys.argv[1:]))
"""


def send_raw(topics, topic, *values):
    """Send values in records with a header whose name is not UTF-8; confluent_kafka can neither send nor read it.

    The first record has 10,000 other headers.
    """
    subprocess.run(
        [sys.executable, "-c", SEND_RAW, topics.kafka.bootstrap_servers, topic, *values],
        env={"AIOKAFKA_NO_EXTENSIONS": "1"},  # aiokafka's C extension cannot send such a name either
        check=True,
        timeout=60,
    )


def test_a_record_whose_headers_nobody_can_read_stops_no_other_and_becomes_what_it_is(topics, start, start_processor):
    start_processor()
    gateway = start("gateway")
    values = [json.dumps(task(1)), "no task"]

    send_raw(topics, topics.name, *values)
    topics.send_tasks([4])

    until(lambda: len(topics.read()) == 3, "both results and the dead letter")
    assert topics.read_results().keys() == {1, 4}
    [dead_letter] = topics.read_dead_letters()
    assert (dead_letter.value, dead_letter.header("error_code")) == (b"no task", b"invalid_task")
    until(lambda: topics.lag() == 0, "the lag to be 0")
    send_raw(topics, topics.results, json.dumps({"task_id": 6, "id": 6}))
    assert gateway.client.post("/tasks", json=task(5)).status_code == 200
    assert gateway.answers("/health/live")


def test_headers_that_nobody_can_read_end_no_program_that_has_read_many_others(topics, start, start_processor):
    """CPython specialises a call that is made often, and then no longer checks what it returns."""
    gateway, processor = start("gateway"), start_processor()
    headers = [("kafka_correlationId", b"c")]
    good, bad, later = (
        [json.dumps(task(number)).encode() for number in numbers]
        for numbers in (range(200), range(200, 220), range(220, 300))
    )
    topics.send(*good, headers=headers)
    topics.send(*[b"no task"] * 200, headers=headers)
    until(lambda: len(topics.read()) == 400, "the results and the dead letters, which the gateway reads as well")

    for topic in (topics.name, topics.dead_letters):
        send_raw(topics, topic, *(each.decode() for each in bad))
    send_raw(topics, topics.results, *(json.dumps({"task_id": -1, "id": -1}) for _ in bad))
    topics.send(*later, *[b"no task"] * 50)

    until(lambda: topics.read_results().keys() == {*range(-1, 300)}, "every task's result")
    assert {number: len(ids) for number, ids in topics.read_results().items()} == {
        -1: 20,
        **dict.fromkeys(range(300), 1),
    }
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    told = [line for line in processor.log_text().splitlines() if "without its headers" in line]
    assert (len(told), sum('"warning"' in line for line in told)) == (20, 1)
    assert gateway.client.post("/tasks", json=task(5)).status_code == 200
    assert processor.running and gateway.answers("/health/live")
    redrive = start_processor(arguments=("redrive", "--reason", "invalid_task"), wait=False, LOG_LEVEL="INFO")
    until(lambda: not redrive.running, "redrive to end")
    told = redrive.log_text().splitlines()[-1]
    assert told == "250 put back (250 invalid_task), 20 skipped (20 not this service's)"


def test_reading_that_was_paused_at_a_partitions_end_goes_on_with_the_next_record(
    topics, start_processor, simulators, database
):
    simulators.control(latency_ms=3000, remember_inputs=True)
    start_processor(IN_FLIGHT_MAX=8)
    for number in range(8):  # one by one, so that the partition's end is reported after each
        topics.send_tasks([number])
        time.sleep(0.05)
    time.sleep(2)  # reading stays at the limit until it is paused
    topics.send_tasks(range(8, 24))

    until(lambda: topics.read_results().keys() == {*range(24)}, "every task's result")
    until(lambda: topics.lag() == 0, "all offsets to be committed")


def test_tasks_that_kafka_deletes_before_they_are_read_are_told_with_their_offsets(topics, start_processor):
    def send(numbers):
        topics.send_tasks(number * topics.partitions for number in numbers)  # all to the first partition

    processor = start_processor()
    send(range(10))
    until(lambda: len(topics.read_results()) == 10, "the results")
    assert processor.stop() == 0
    send(range(10, 30))
    kept = TopicPartition(topics.name, 0, 20)
    topics.admin.delete_records([kept])[kept].result(30)

    processor = start_processor()

    until(lambda: len(topics.read_results()) == 20, "the results of those that are left")
    lines = map(json.loads, processor.log_text().splitlines())
    assert [
        line["event"] for line in lines if line["level"] not in ("debug", "info") and "offset" in line["event"]
    ] == [
        f"{topics.name}[0]: Kafka has deleted the records at offsets 10 to 19 before they were read: "
        "look at the topic's retention.ms and retention.bytes"
    ]


def test_records_without_key_and_headers_are_as_good_as_any(topics, start_processor):
    start_processor()

    topics.send_tasks(range(20))

    until(lambda: len(topics.read_results()) == 20, "the results")
    assert all(seen.key is None and seen.headers == [] for seen in topics.seen)
    assert [seen.partition for seen in topics.seen] == [
        seen.json["task_id"] % topics.partitions for seen in topics.seen
    ]


def test_a_task_id_that_repeats_is_a_new_task_with_a_row_of_its_own(topics, start_processor, database):
    start_processor()

    topics.send(*[json.dumps(task(1)).encode()] * 5)

    until(lambda: len(topics.read_results().get(1, [])) == 5, "five results")
    assert len(set(topics.read_results()[1])) == 5
    assert len(database.rows()) == 5


def test_two_callers_with_the_same_task_id_at_once_get_their_own_replies_from_any_gateway(
    start, start_processor, database
):
    start_processor()
    gateways = [start("gateway"), start("gateway")]
    replies = {}

    def post(number):
        client = gateways[number % 2].client
        replies[number] = client.post("/tasks", json=task(5, "email", f"User{number}@example.com")).json()

    threads = [threading.Thread(target=post, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = database.rows()
    for number, reply in replies.items():
        assert rows[reply["id"]][0]["email"] == f"user{number}@example.com"


def test_a_task_that_waits_longer_than_the_caller_is_done_all_the_same(start, start_processor, simulators, database):
    simulators.control(latency_ms=2500, remember_inputs=True)
    start_processor()
    gateway = start("gateway", REPLY_TIMEOUT_SECONDS=1)

    answer = gateway.client.post("/tasks", json=task())

    assert answer.status_code == 504
    assert answer.json()["error_code"] == "reply_timeout"
    path = answer.headers["location"]
    assert gateway.client.get(path).status_code == 202
    found = until(lambda: (got := gateway.client.get(path)).status_code == 200 and got, "the result")
    assert found.json() == {"task_id": 1, "id": next(iter(database.rows()))}
    assert "integration_gateway_late_replies_total 1.0" in gateway.client.get("/metrics").text


def test_a_caller_who_prefers_not_to_wait_asks_any_gateway_later(start, start_processor, simulators):
    simulators.control(latency_ms=2500)
    start_processor()
    gateway, other = start("gateway"), start("gateway")

    for prefer in ("respond-async", "respond-async, wait=0", "wait=1"):
        answer = gateway.client.post("/tasks", json=task(9), headers={"Prefer": prefer})

        assert answer.status_code == 202, prefer
        assert answer.headers["preference-applied"] == "respond-async"
        path = answer.headers["location"]
        assert path == f"/tasks/{answer.headers['x-correlation-id']}"
        assert other.client.get(path).status_code == 202
        until(lambda path=path: other.client.get(path).status_code == 200, "the result at the other gateway")
        assert other.client.get(path).json()["task_id"] == 9
    assert start("gateway").client.get(path).status_code == 200, "a gateway that was started later knows it too"


def test_a_quick_task_is_answered_within_the_wait_that_the_caller_prefers(start, start_processor):
    start_processor()
    gateway = start("gateway")

    answer = gateway.client.post("/tasks", json=task(), headers={"Prefer": "respond-async, wait=30"})

    assert answer.status_code == 200


FAILURES = [
    ({"kind": "status", "status": 400}, 422, "task_rejected"),
    ({"kind": "status", "status": 413}, 422, "task_rejected"),
    ({"kind": "status", "status": 401}, 502, "provider_refused_account"),
    ({"kind": "status", "status": 403}, 502, "provider_refused_account"),
    ({"kind": "status", "status": 429}, 503, "provider_unavailable"),
    ({"kind": "status", "status": 500}, 503, "provider_unavailable"),
    ({"kind": "junk"}, 503, "provider_unavailable"),
    ({"kind": "wrong_shape"}, 503, "provider_unavailable"),
    ({"kind": "close"}, 503, "provider_unavailable"),
    ({"kind": "cut"}, 503, "provider_unavailable"),
    ({"kind": "drip"}, 503, "provider_unavailable"),
    ({"kind": "hang"}, 503, "provider_unavailable"),
    ({"kind": "huge"}, 503, "provider_unavailable"),
    ({"kind": "nul"}, 500, "internal_error"),
]


def test_what_the_provider_does_not_answer_is_told_by_rest_and_dead_lettered(
    start, start_processor, simulators, topics, database
):
    processor = start_processor(PROVIDER_TIMEOUT_SECONDS=1, PROVIDER_ATTEMPTS=2)
    gateway = start("gateway")

    for number, (fault, status, error_code) in enumerate(FAILURES, 1):
        simulators.control(latency_ms=0, faults=[fault])
        body = json.dumps(task(number, data=f"canary-{number}")).encode()
        answer = gateway.client.post(
            "/tasks", content=body, headers={"content-type": "application/json", "x-request-id": f"mine-{number}"}
        )

        assert answer.status_code == status, (fault, answer.text)
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem.keys() == {"type", "title", "status", "detail", "error_code", "correlation_id"}
        assert (problem["status"], problem["error_code"]) == (status, error_code)
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]
        assert answer.headers["x-request-id"] == f"mine-{number}"
        assert ("retry-after" in answer.headers) == (status == 503)
        again = gateway.client.get(f"/tasks/{problem['correlation_id']}")
        assert (again.status_code, again.json()["error_code"]) == (status, error_code)
        letter = until(
            lambda number=number: len(topics.read_dead_letters()) == number and topics.seen[-1], "dead letter"
        )
        assert letter.value == body
        assert letter.header("error_code") == error_code.encode()
        assert letter.header("kafka_correlationId").decode() == problem["correlation_id"]
        assert letter.header("X-Request-ID") == b"mine-%d" % number
        assert "canary" not in answer.text
        simulators.control(latency_ms=0)  # else the pauses between probes would grow
        assert gateway.client.post("/tasks", json=task(0)).status_code == 200

    assert len(database.rows()) == len(FAILURES)
    assert "canary" not in processor.log_text()
    assert "canary" not in gateway.log_text()


def test_a_failure_that_passes_is_tried_again(start, start_processor, simulators, topics):
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 503, "retry_after": 1, "times": 2}])
    start_processor(PROVIDER_ATTEMPTS=3)
    gateway = start("gateway")

    answer = gateway.client.post("/tasks", json=task())

    assert answer.status_code == 200
    assert simulators.calls("phone") == 3


def test_yandexgpts_own_verdicts_are_understood(start, start_processor, simulators):
    start_processor()
    gateway = start("gateway")

    for kind, status in (("content_filter", 422), ("truncated", 200)):
        simulators.control(latency_ms=0, faults=[{"kind": kind, "provider": "gpt"}])
        assert gateway.client.post("/tasks", json=task(1, "gpt")).status_code == status, kind


def test_without_a_providers_keys_its_tasks_are_refused_and_the_others_done(start, start_processor, topics):
    processor = start_processor(YANDEXGPT_API_KEY=None)
    gateway = start("gateway")

    refused = gateway.client.post("/tasks", json=task(1, "gpt"))
    done = gateway.client.post("/tasks", json=task(2, "phone"))

    assert (refused.status_code, refused.json()["error_code"]) == (502, "provider_refused_account")
    assert "YANDEXGPT_API_KEY" in refused.json()["detail"]
    assert done.status_code == 200
    assert processor.log_text().count("are not set: tasks of gpt") == 1


def test_every_kind_of_bad_body_is_refused_by_rest_and_leaves_nothing_behind(start, topics):
    gateway = start("gateway")
    json_type = {"content-type": "application/json"}
    with httpx.Client(base_url=gateway.url) as client:
        for body, status in [
            (b"", 422),
            (b"{", 422),
            (b"\xff", 422),
            (b"null", 422),
            (b"[]", 422),
            (json.dumps(task(task_id="1")).encode(), 422),
            (json.dumps(task(task_id=1.0)).encode(), 422),
            (json.dumps(task(task_id=True)).encode(), 422),
            (json.dumps(task(task_id=2**53)).encode(), 422),
            (json.dumps(task(task_type="fax")).encode(), 422),
            (json.dumps(task(data="")).encode(), 422),
            (json.dumps(task(data="x" * 257)).encode(), 422),
            (b"[" * 100_000, 422),
            (b" " * (512 * 1024) + b" ", 413),
        ]:
            answer = client.post("/tasks", content=body, headers=json_type)
            assert answer.status_code == status, (body[:50], answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
            assert answer.json()["error_code"] == ("invalid_task" if status == 422 else "body_too_large")
        endless = client.post("/tasks", content=(b" " * 65536 for _ in range(100)), headers=json_type)
        assert endless.status_code == 413
        for content_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin-1",
            "",
        ):
            answer = client.post("/tasks", content=json.dumps(task()), headers={"content-type": content_type})
            assert answer.status_code == 415, content_type

    assert all(topics.consumer.get_watermark_offsets(partition)[1] == 0 for partition in topics.consumer.assignment())


def test_every_kind_of_bad_record_is_dead_lettered_byte_for_byte_and_stops_no_other(topics, start_processor, database):
    good = [json.dumps(task(number)).encode() for number in range(1, 11)]
    bad = [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"task_id": 1}',
        json.dumps(task(task_id="1")).encode(),
        json.dumps(task(data="x" * 257)).encode(),
        b"[" * 100_000,
        b"x" * 1_000_000,
    ]
    for number, value in enumerate([*good, *bad]):
        topics.send(value, key=b"%d" % number, headers=[("n", b"%d" % number), ("error_code", b"an older one")])

    start_processor()

    until(lambda: len(topics.read()) == len(good) + len(bad), "all results and dead letters")
    assert sorted(topics.read_results()) == list(range(1, 11))
    letters = {letter.key: letter for letter in topics.read_dead_letters()}
    assert len(letters) == len(bad)
    for number, value in enumerate(bad, len(good)):
        letter = letters[b"%d" % number]
        assert letter.value == value
        assert letter.headers[:2] == [("n", b"%d" % number), ("error_code", b"an older one")]
        assert [name for name, _ in letter.headers[2:]] == [
            "kafka_dlt-original-topic",
            "kafka_dlt-original-partition",
            "kafka_dlt-original-offset",
            "kafka_dlt-original-timestamp",
            "kafka_dlt-original-topic-id",
            "kafka_dlt-exception-message",
            "error_code",
        ]
        assert letter.header("error_code") == b"invalid_task"
        assert letter.header("kafka_dlt-original-topic").decode() == topics.name
    until(lambda: topics.lag() == 0, "all offsets to be committed")


def test_processors_may_share_the_task_types_out(topics, start_processor):
    start_processor(TASK_TYPES="phone,email")
    start_processor(TASK_TYPES="gpt")

    topics.send_tasks(range(10), "phone")
    topics.send_tasks(range(10, 20), "email")
    topics.send_tasks(range(20, 30), "gpt")
    topics.send(b"no task")

    until(lambda: len(topics.read()) == 31, "all results and the dead letter")
    assert sorted(topics.read_results()) == list(range(30))
    assert all(len(ids) == 1 for ids in topics.read_results().values())
    for group in ("phone-email", "gpt"):
        until(lambda group=group: topics.lag(f"{topics.name}-group-{group}") == 0, "all offsets to be committed")

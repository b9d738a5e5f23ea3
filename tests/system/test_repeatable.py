"""Requests that may be repeated and dead letters that may be put back: one row, one id, one paid call all the same."""

import json
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import until


def task(task_id=1, task_type="phone", data="8 916 823 34 54"):
    return {"task_id": task_id, "task_type": task_type, "data": data}


def post(gateway, body, key):
    return gateway.client.post("/tasks", json=body, headers={"Idempotency-Key": key})


def test_the_same_key_again_gets_the_first_id_and_no_second_call(start, start_processor, simulators, database):
    start_processor()
    gateway = start("gateway")

    first = post(gateway, task(1), "k")
    again = post(gateway, task(2), "k")

    assert first.status_code == again.status_code == 200
    assert again.json() == {"task_id": 2, "id": first.json()["id"]}
    assert list(database.rows()) == [first.json()["id"]]
    assert simulators.calls("phone") == 1


def test_fifty_requests_with_one_key_at_once_over_two_gateways_and_two_processors_are_one_task(
    start, start_processor, simulators, database, topics
):
    simulators.control(latency_ms=500, remember_inputs=True)
    start_processor()
    second = start_processor()
    gateways = [start("gateway"), start("gateway")]
    until(lambda: "assigned 2 partitions" in second.log_text(), "both processors to have partitions")

    # A gateway fills one partition at a time: those straight onto Kafka see to it that both processors have some.
    for number in range(50, 70):
        topics.producer.produce(
            topics.name, json.dumps(task(number)), partition=number % 4, headers=[("idempotency_key", b"k")]
        )
    with ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda number: post(gateways[number % 2], task(number), "k"), range(50)))

    assert {answer.status_code for answer in answers} == {200}
    [row_id] = database.rows()
    assert [answer.json() for answer in answers] == [{"task_id": number, "id": row_id} for number in range(50)]
    until(lambda: len(topics.read()) == 70, "the other results")
    assert topics.read_results() == {number: [row_id] for number in range(70)}
    assert simulators.requests()["answered"] == {task()["data"]: 1}


def test_the_same_key_with_another_task_is_refused_and_repeats_nothing_of_it(
    start, start_processor, simulators, topics, database
):
    processor = start_processor()
    gateway = start("gateway")
    post(gateway, task(1), "canary-key")

    for body in (task(1, data="canary-data"), task(1, task_type="email")):
        answer = post(gateway, body, "canary-key")
        assert (answer.status_code, answer.json()["error_code"]) == (422, "task_rejected")
        assert "canary" not in answer.text

    letters = until(lambda: len(topics.read_dead_letters()) == 2 and topics.read_dead_letters(), "the dead letters")
    assert "canary" not in "".join(letter.header("kafka_dlt-exception-message").decode() for letter in letters)
    assert "canary" not in processor.log_text()
    assert len(database.rows()) == simulators.calls("phone") == 1


def test_a_key_whose_task_failed_may_be_used_again_for_any_task(start, start_processor, simulators, database):
    simulators.control(latency_ms=0, remember_inputs=True, faults=[{"kind": "status", "status": 400, "times": 1}])
    start_processor()
    gateway = start("gateway")

    assert post(gateway, task(1, data="8 916"), "k").status_code == 422
    answer = post(gateway, task(2), "k")

    assert answer.status_code == 200
    assert post(gateway, task(3), "k").json()["id"] == answer.json()["id"]
    assert len(database.rows()) == 1


def test_a_header_that_is_no_key_is_dead_lettered_as_no_task(start_processor, topics, database):
    start_processor()

    topics.send(json.dumps(task()).encode(), headers=[("idempotency_key", b"\xff")])

    [letter] = until(topics.read_dead_letters, "the dead letter")
    assert letter.header("error_code") == b"invalid_task"
    assert database.rows() == {}


def test_a_replica_killed_during_a_call_with_a_key_leaves_the_key_to_its_record(
    start_processor, simulators, topics, database
):
    simulators.control(latency_ms=0, faults=[{"kind": "hang", "times": 1}])
    processor = start_processor(PROVIDER_TIMEOUT_SECONDS=600)
    for number in range(20):
        topics.send(json.dumps(task(number)).encode(), headers=[("idempotency_key", b"k")])
    until(lambda: simulators.calls("phone") == 1, "the call")

    processor.kill()
    simulators.control(latency_ms=0, remember_inputs=True)
    start_processor()

    until(lambda: len(topics.read_results()) == 20, "all results")
    [row_id] = database.rows()
    assert {row_id} == {found for ids in topics.read_results().values() for found in ids}
    assert simulators.requests()["answered"] == {task()["data"]: 1}
    until(lambda: topics.lag() == 0, "all offsets to be committed")

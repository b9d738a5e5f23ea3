"""Tasks whose provider is down or refuses the account."""

import json
import re

import pytest

from tests.conftest import until


def circuit(processor):
    """Return the state of DaData's circuit breaker, as /health/ready and as /metrics show it."""
    metrics = processor.client.get("/metrics").text
    [state] = re.findall(r'^integration_circuit\{integration_circuit="(\w+)",provider="dadata"\} 1\.0$', metrics, re.M)
    return processor.client.get("/health/ready").json()["providers"]["dadata"], state


def test_while_a_provider_is_down_tasks_wait_and_their_attempts_are_not_burned(
    topics, simulators, start_processor, database
):
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 503}])
    processor = start_processor(DADATA_CONCURRENT_REQUESTS=16, PROVIDER_ATTEMPTS=2)
    topics.send_tasks(range(500))
    until(lambda: circuit(processor) == ("unavailable", "unavailable"), "the circuit to open")
    probed = simulators.calls("phone")
    until(lambda: simulators.calls("phone") >= probed + 3, "some probes")
    assert processor.answers("/health/ready"), "a processor whose provider is down is as good as any other"
    assert simulators.calls("phone") < 50

    simulators.control(latency_ms=0, faults=[])

    until(lambda: len(topics.read_results()) == 500, "all results")
    assert topics.read_dead_letters() == []
    assert circuit(processor) == ("closed", "closed")
    assert processor.log_text().count("only probes are sent until it answers") == 1
    assert processor.log_text().count("dadata answers again") == 1


def test_a_refused_account_is_asked_for_no_task_that_waits_and_again_when_it_is_mended(
    topics, simulators, start_processor, database
):
    simulators.control(latency_ms=50, faults=[{"kind": "status", "status": 403}])
    processor = start_processor(DADATA_CONCURRENT_REQUESTS=4)
    topics.send_tasks(range(300))

    until(lambda: len(topics.read_dead_letters()) == 300, "every task to be dead-lettered")
    assert {dead.header("error_code") for dead in topics.read_dead_letters()} == {b"provider_refused_account"}
    assert simulators.calls("phone") < 30
    assert circuit(processor) == ("refused", "refused")
    assert processor.log_text().count("dadata refuses our account") == 1

    simulators.control(latency_ms=0, faults=[])
    topics.send_tasks(range(300, 400))

    until(lambda: len(topics.read_results()) == 100, "the tasks after the account was mended")
    assert len(topics.read_dead_letters()) == 300
    assert circuit(processor) == ("closed", "closed")


@pytest.mark.parametrize("fault", ["wrong_shape", "nul", "huge"])
@pytest.mark.parametrize("kind", ["phone", "gpt"])
def test_an_answer_that_is_never_understood_is_paid_for_twice(
    topics, simulators, start_processor, database, kind, fault
):
    simulators.control(latency_ms=0, faults=[{"kind": fault, "when": "916"}])
    start_processor()
    topics.send(json.dumps({"task_id": 1, "task_type": kind, "data": "8 916"}).encode())
    topics.send(json.dumps({"task_id": 2, "task_type": kind, "data": "8 495"}).encode())

    until(lambda: topics.read_dead_letters() and topics.read_results(), "a dead letter and a result")

    [dead] = topics.read_dead_letters()
    assert dead.header("error_code") == (b"internal_error" if fault == "nul" else b"provider_unavailable")
    assert simulators.requests()["providers"][kind][f"fault_{fault}"] == 2
    assert len(database.rows()) == 1


def test_a_task_with_u0000_in_its_data_is_dead_lettered_and_nobody_is_asked(
    topics, simulators, start_processor, database
):
    start_processor()
    for number, kind in enumerate(("phone", "email", "gpt")):
        topics.send(json.dumps({"task_id": number, "task_type": kind, "data": "8 916\0"}).encode())

    until(lambda: len(topics.read_dead_letters()) == 3, "the dead letters")

    assert {dead.header("error_code") for dead in topics.read_dead_letters()} == {b"invalid_task"}
    assert [simulators.calls(kind) for kind in ("phone", "email", "gpt")] == [0, 0, 0]

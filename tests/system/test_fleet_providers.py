"""The fleet's providers as one queue: who goes first, what an outage costs, and what is told from what."""

import json
import statistics
import threading
import time

import httpx
import pytest

from tests.conftest import until
from tests.system.test_fleet_quota import start_replicas
from tests.system.test_providers_down import circuit


def post(gateway, number, **headers):
    """Send a task by REST; return the seconds that it took, and its answer."""
    task = {"task_id": number, "task_type": "phone", "data": f"8 495 {number}"}
    began_at = time.monotonic()
    answer = httpx.post(f"{gateway.url}/tasks", json=task, headers=headers, timeout=60)
    return time.monotonic() - began_at, answer


@pytest.fixture
def backlog(topics, simulators, start, start_processor):
    """Return a gateway, while phones wait behind 20 requests a second of two replicas."""
    start_replicas(start_processor, 2, DADATA_REQUESTS_PER_SECOND=20)
    simulators.control(latency_ms=100, dadata_requests_per_second=20, remember_inputs=True)
    gateway = start("gateway")
    topics.send_tasks(range(2_000))
    until(lambda: len(topics.read_results()) > 20, "the backlog to move")
    return gateway


def test_awaited_tasks_overtake_a_backlog_which_goes_on(backlog, topics, simulators):
    seconds, callers = [], []

    def call(number):
        took, answer = post(backlog, 10_000 + number)
        assert answer.status_code == 200
        seconds.append(took)

    before = len(topics.read_results())
    for number in range(40):
        callers.append(threading.Thread(target=call, args=(number,)))
        callers[-1].start()
        time.sleep(0.3)
    for caller in callers:
        caller.join()

    done = len(topics.read_results()) - before
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(f"p95 {p95:.2f} s, {done} results")
    assert len(seconds) == 40
    assert p95 < 2_000 / 20 / 10, "a tenth of the time that the backlog takes"
    assert done > 40 + 60, "the backlog moves, too"
    assert simulators.requests()["providers"]["phone"].get("429", 0) == 0


def test_who_waits_for_a_record_with_the_same_key_lends_it_the_deadline(backlog, topics):
    last = {"task_id": 5_000, "task_type": "phone", "data": "8 495 5000"}
    topics.send(json.dumps(last).encode(), headers=[("idempotency_key", b"same")])

    took, answer = post(backlog, 5_000, **{"Idempotency-Key": "same"})

    assert answer.status_code == 200
    assert took < 2_000 / 20 / 10, "it would have come after the backlog"


def test_a_provider_that_hangs_and_then_refuses_connections_costs_no_more_of_them_than_allowed(
    topics, simulators_process, session_services, start_processor
):
    process, url = session_services.start_simulators("--latency-ms", "100")
    replicas = start_replicas(
        start_processor,
        3,
        DADATA_URL=url,
        DADATA_REQUESTS_PER_SECOND=20,
        DADATA_NEW_CONNECTIONS_PER_MINUTE=50,
        PROVIDER_TIMEOUT_SECONDS=2,
    )
    topics.send_tasks(range(1_000))
    until(lambda: len(topics.read_results()) > 20, "the backlog to move")

    def control(**settings):
        httpx.put(f"{url}/_control", json=settings).raise_for_status()

    control(latency_ms=100, faults=[{"kind": "hang"}])
    until(lambda: circuit(replicas[0])[0] == "unavailable", "the circuit to open")
    time.sleep(10)
    control(latency_ms=100)
    returned_at = time.monotonic()
    done = len(topics.read_results())
    until(lambda: len(topics.read_results()) > done + 20, "the tasks to go on", seconds=60)
    print(f"{time.monotonic() - returned_at:.1f} s until it goes on")
    assert httpx.get(f"{url}/_requests").json()["dadata_most_connections_in_a_minute"] <= 50
    assert sum(replica.log_text().count("only probes are sent until it answers") for replica in replicas) == 1
    process.stop()


def test_while_postgresql_is_away_nothing_is_paid_that_a_kill_could_repeat(
    topics, database, postgres, simulators, start_processor
):
    killed, _ = start_replicas(start_processor, 2, DADATA_CONCURRENT_REQUESTS=64)
    simulators.control(latency_ms=100, remember_inputs=True)
    topics.send_tasks(range(6_000))
    until(lambda: len(topics.read_results()) > 500, "the tasks to move")

    postgres.kill()
    time.sleep(5)
    killed.kill()
    time.sleep(2)
    postgres.start()

    until(lambda: len(topics.read_results()) == 6_000, "all results", seconds=180)
    answered = simulators.requests()["answered"]
    print(f"paid again: {sum(answered.values()) - 6_000}")
    assert sum(answered.values()) - 6_000 <= 64 + 500
    assert len(database.rows()) == 6_000


def test_a_provider_that_rejects_everything_is_our_configuration_and_the_tasks_wait(
    topics, simulators, start_processor
):
    replicas = start_replicas(start_processor, 2)
    simulators.control(latency_ms=20, yandexgpt_retired_models=["yandexgpt-lite/latest"])
    topics.send_tasks(range(300), "gpt")
    until(lambda: replicas[0].client.get("/health/ready").json()["providers"]["yandexgpt"] == "misconfigured", "it")

    ready = replicas[0].client.get("/health/ready")
    assert ready.status_code == 200
    assert "YANDEXGPT_MODEL" in ready.json()["look_at"]["yandexgpt"]
    simulators.control(latency_ms=20)

    until(lambda: len(topics.read_results()) + len(topics.read_dead_letters()) == 300, "all", seconds=120)
    print(f"{len(topics.read_dead_letters())} dead letters")
    assert len(topics.read_dead_letters()) <= 40
    assert {dead.header("error_code") for dead in topics.read_dead_letters()} <= {b"task_rejected"}
    assert sum(replica.log_text().count("look at YANDEXGPT_MODEL") for replica in replicas) == 1


def test_one_task_that_is_rejected_among_others_is_its_own_fault(topics, simulators, start_processor):
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 400, "when": "bad"}])
    start_processor()
    for number in range(60):
        task = {"task_id": number, "task_type": "gpt", "data": "bad" if number % 2 else "good"}
        topics.send(json.dumps(task).encode())

    until(lambda: len(topics.read_results()) == len(topics.read_dead_letters()) == 30, "all outcomes")

    assert {dead.header("error_code") for dead in topics.read_dead_letters()} == {b"task_rejected"}

"""The fleet's quota, against providers that refuse whatever is beyond it."""

import json
import time

import pytest

from tests.conftest import until


def gpt(*task_ids):
    return [json.dumps({"task_id": n, "task_type": "gpt", "data": f"prompt {n}"}).encode() for n in task_ids]


def start_replicas(start_processor, count, **settings):
    replicas = [start_processor(wait=False, **settings) for _ in range(count)]
    for replica in replicas:
        replica.wait()
    until(lambda: all("assigned" in replica.log_text() for replica in replicas), "every replica to own partitions")
    return replicas


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_a_fleet_of_any_size_stays_within_a_rate_that_is_checked_over_every_second_and_uses_it(
    topics, database, simulators, start_processor, replicas
):
    start_replicas(start_processor, replicas, DADATA_REQUESTS_PER_SECOND=20)
    simulators.control(latency_ms=100, dadata_requests_per_second=20, remember_inputs=True)
    started_at = time.monotonic()
    topics.send_tasks(range(240))

    until(lambda: len(topics.read_results()) == 240, "all results", seconds=120)

    requests = simulators.requests()
    print(f"{replicas} replicas: {240 / (time.monotonic() - started_at):.2f} tasks a second", requests["providers"])
    assert requests["providers"]["phone"].get("429", 0) == 0
    assert requests["providers"]["phone"]["requests"] == 240
    assert requests["dadata_most_in_a_second"] == 20


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_fleet_of_any_size_has_no_more_generations_in_flight_than_allowed_and_uses_them(
    topics, database, simulators, start_processor, replicas
):
    start_replicas(start_processor, replicas, YANDEXGPT_CONCURRENT_REQUESTS=10)
    simulators.control(latency_ms=300, yandexgpt_concurrent_requests=10)
    topics.send(*gpt(*range(120)))

    until(lambda: len(topics.read_results()) == 120, "all results", seconds=120)

    requests = simulators.requests()
    assert requests["providers"]["gpt"].get("429", 0) == 0
    assert requests["most_in_flight"]["gpt"] == 10

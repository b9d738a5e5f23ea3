"""The fleet's quota, against providers that refuse every request beyond it."""

import time

import pytest

from tests.conftest import until


def start_replicas(start_processor, count, **settings):
    replicas = [start_processor(wait=False, **settings) for _ in range(count)]
    for replica in replicas:
        replica.wait()
    until(lambda: all("assigned" in replica.log_text() for replica in replicas), "every replica to own partitions")
    return replicas


@pytest.mark.parametrize(("replicas", "step"), [(1, 1), (4, 1), (4, 4)], ids=["1", "4", "4, all on one partition"])
def test_a_fleet_of_any_size_stays_within_a_rate_that_is_checked_over_every_second_and_uses_it(
    topics, database, simulators, start_processor, replicas, step
):
    start_replicas(start_processor, replicas, DADATA_REQUESTS_PER_SECOND=20)
    simulators.control(latency_ms=100, dadata_requests_per_second=20, remember_inputs=True)
    for attempt in range(3):  # retried: a machine that stalls for a quarter of a second delays requests
        simulators.client.delete("/_requests").raise_for_status()
        started_at = time.monotonic()
        topics.send_tasks(range(240 * step * attempt, 240 * step * (attempt + 1), step))
        until(lambda sent=240 * (attempt + 1): len(topics.read_results()) == sent, "all results", seconds=120)
        rate = 240 / (time.monotonic() - started_at)
        requests = simulators.requests()
        print(f"{replicas} replicas: {rate:.2f} tasks a second", requests["providers"])
        if requests["providers"]["phone"].get("429", 0) == 0 and rate > 18:
            break

    assert requests["providers"]["phone"].get("429", 0) == 0
    assert requests["providers"]["phone"]["requests"] == 240
    assert requests["dadata_most_in_a_second"] == 20
    assert rate > 18


@pytest.mark.parametrize("step", [1, 4], ids=["everywhere", "all on one partition"])
def test_a_fleet_has_no_more_generations_in_flight_than_allowed_and_uses_them_wherever_they_are(
    topics, database, simulators, start_processor, step
):
    start_replicas(start_processor, 4, YANDEXGPT_CONCURRENT_REQUESTS=3, YANDEXGPT_TIMEOUT_SECONDS=10)
    simulators.control(latency_ms=1000, yandexgpt_concurrent_requests=3)
    started_at = time.monotonic()
    topics.send_tasks(range(0, 90 * step, step), "gpt")

    until(lambda: len(topics.read_results()) == 90, "all results", seconds=120)

    print(f"{90 / 3 / (time.monotonic() - started_at):.0%} busy")
    requests = simulators.requests()
    assert requests["providers"]["gpt"].get("429", 0) == 0
    assert requests["most_in_flight"]["gpt"] == 3


def test_groups_for_different_task_types_share_a_quota(topics, database, simulators, start_processor):
    for task_type in ("phone", "email"):
        start_processor(wait=False, TASK_TYPES=task_type, DADATA_REQUESTS_PER_SECOND=20).wait()
    simulators.control(latency_ms=100, dadata_requests_per_second=20)
    topics.send_tasks(range(120))
    topics.send_tasks(range(120, 240), "email")

    until(lambda: len(topics.read_results()) == 240, "all results", seconds=120)

    requests = simulators.requests()
    assert requests["dadata_most_in_a_second"] == 20
    assert sum(requests["providers"][provider].get("429", 0) for provider in ("phone", "email")) == 0


def test_generations_that_a_killed_replica_has_left_at_the_provider_still_count(topics, simulators, start_processor):
    settings = {"YANDEXGPT_CONCURRENT_REQUESTS": 4, "YANDEXGPT_TIMEOUT_SECONDS": 60, "DRAIN_SECONDS": 1}
    killed, other = start_replicas(start_processor, 2, **settings)
    # Longer than the group takes to notice a lost member, so that its generations are still running then.
    simulators.control(latency_ms=18_000, yandexgpt_concurrent_requests=4)
    topics.send_tasks(range(24), "gpt")
    until(lambda: simulators.requests()["providers"]["gpt"].get("200", 0) == 4, "both to know how long it takes")
    until(lambda: simulators.requests()["in_flight"]["gpt"] == 4, "the next generations")

    assigned = other.log_text().count("assigned")
    killed.kill()
    until(lambda: other.log_text().count("assigned") > assigned, "the other replica to own all partitions")
    assert simulators.requests()["in_flight"]["gpt"] == 4, "the killed replica's generations ended too early to matter"
    simulators.control(latency_ms=0, yandexgpt_concurrent_requests=4)

    until(lambda: len(topics.read_results()) == 24, "all results", seconds=180)
    requests = simulators.requests()
    assert requests["providers"]["gpt"].get("429", 0) == 0
    assert requests["most_in_flight"]["gpt"] == 4

"""Slow work for one provider beside fast work for another."""

import json
import time

import pytest

from tests.conftest import until

PHONES = 150
SLOW = {"phone": 100, "email": 100, "gpt": [5_000, 20_000]}


def phone_p95_seconds(topics, first):
    """Send phone tasks one after the other, and return the 95th percentile of the seconds to their results."""
    sent_at, took = {}, {}
    for n in range(first, first + PHONES):
        sent_at[n] = time.monotonic()
        topics.send(json.dumps({"task_id": n, "task_type": "phone", "data": f"8 {n}"}).encode(), key=b"%d" % n)
        while len(sent_at) - len(took) >= 8:  # at most 8 at once
            take_in(topics, sent_at, took)
    until(lambda: take_in(topics, sent_at, took) == PHONES, "the results")
    return sorted(took.values())[PHONES * 95 // 100]


def take_in(topics, sent_at, took):
    message = topics.consumer.poll(0.001)
    if message is not None and message.topic() == topics.results:
        n = json.loads(message.value())["task_id"]
        if n in sent_at:
            took[n] = time.monotonic() - sent_at[n]
    return len(took)


def compare(topics, gpt_tasks):
    phone_p95_seconds(topics, 0)  # warm-up
    without = max(phone_p95_seconds(topics, n * PHONES) for n in (1, 2))
    topics.send_tasks(range(-gpt_tasks, 0), "gpt")
    phone_p95_seconds(topics, 3 * PHONES)  # queued behind all gpt tasks not read yet
    for n in range(4, 14):  # once is enough: the machine has other work
        beside = phone_p95_seconds(topics, n * PHONES)
        print(f"phone p95: {without * 1000:.0f} ms, beside {gpt_tasks} gpt tasks {beside * 1000:.0f} ms")
        if beside <= 1.25 * without:
            return
    pytest.fail("phones are slower beside gpt tasks")


def test_slow_gpt_tasks_ahead_on_the_topic_do_not_delay_phones(topics, simulators, start_processor):
    simulators.control(latency_ms=SLOW)
    start_processor()

    compare(topics, 4_000)


def test_with_task_types_shared_out_any_number_of_slow_gpt_tasks_does_not_delay_phones(
    topics, simulators, start_processor
):
    simulators.control(latency_ms=SLOW)
    start_processor(TASK_TYPES="phone,email")
    start_processor(TASK_TYPES="gpt")

    compare(topics, 20_000)

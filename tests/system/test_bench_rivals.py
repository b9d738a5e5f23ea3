"""The comparison programs of bench/ do the same as the service when nothing goes wrong."""

import contextlib
import json

import pytest

from bench.floor import Caller
from bench.rival import GRANT
from tests.conftest import until

TASKS = 50


@pytest.fixture
def start_rival(start, database, simulators):
    database.query(GRANT.format("processor"))
    options = {
        "DADATA_URL": simulators.url,
        "DADATA_API_KEY": "key",
        "DADATA_SECRET_KEY": "secret",
        "DADATA_CONCURRENT_REQUESTS": 16,
    }
    return lambda program: start(program, database.environment, wait=False, **options)


@pytest.mark.parametrize(
    "program",
    ["bench.plain_quix", "bench.faststream_workers", "bench.hand_written", "bench.hand_written_worker"],
)
def test_a_comparison_program_answers_every_task_once_and_stops_cleanly(topics, database, start_rival, program):
    for n in range(TASKS):
        task = {"task_id": n, "task_type": "phone", "data": f"8 916 {n:07}"}
        topics.send(json.dumps(task).encode(), key=f"key {n}".encode(), headers=[("trace", f"trace {n}".encode())])

    running = start_rival(program)
    until(lambda: len(topics.read()) >= TASKS or not running.running, "the results")
    code = running.stop()
    results, rows = topics.read(), database.rows()

    assert code == 0, running.tail()
    assert sorted(seen.json["task_id"] for seen in results) == list(range(TASKS))
    assert {seen.json["id"] for seen in results} == rows.keys()
    assert len(rows) == TASKS
    for seen in results:
        n = seen.json["task_id"]
        data, task_type = rows[seen.json["id"]]
        assert (seen.topic, seen.key, seen.header("trace")) == (topics.results, f"key {n}".encode(), b"trace %d" % n)
        assert (data["source"], data["number"], task_type) == (f"8 916 {n:07}", f"{n:07}", "phone")
    assert topics.lag() == 0


def test_the_hand_written_service_answers_requests_with_their_own_rows(start, topics, database, start_rival):
    worker, gateway = start_rival("bench.hand_written_worker"), start("bench.hand_written_gateway")
    replies = [
        gateway.client.post("/tasks", json={"task_id": n, "task_type": "phone", "data": f"8 916 {n:07}"}).json()
        for n in range(5)
    ]
    assert gateway.client.post("/tasks", json={"task_id": 1, "task_type": "fax", "data": "1"}).status_code == 422
    gateway.stop()

    rows = database.rows()
    assert [reply["task_id"] for reply in replies] == list(range(5))
    assert [rows[reply["id"]][0]["number"] for reply in replies] == [f"{n:07}" for n in range(5)]
    assert worker.stop() == 0


def test_the_echo_stores_a_row_for_each_record(topics, database, start_rival):
    echo = start_rival("bench.floor")
    with contextlib.closing(
        Caller(topics.kafka.bootstrap_servers, topics.name, topics.results, topics.partitions)
    ) as caller:
        latencies_ms = caller.latencies_ms(1)
    code = echo.stop()

    assert latencies_ms and min(latencies_ms) > 0
    assert len(database.rows()) == len(latencies_ms) + 1
    assert code == 0


def test_plain_quix_passes_bytes_on(topics, start_rival):
    topics.send(*(b'{"task_id":%d}' % n for n in range(TASKS)))
    running = start_rival("bench.plain_quix_bytes")
    until(lambda: len(topics.read()) == TASKS, "the results")

    assert running.stop() == 0
    assert sorted(seen.json["task_id"] for seen in topics.read()) == list(range(TASKS))

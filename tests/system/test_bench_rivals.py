"""The comparison programs of bench/ do the same as the service when nothing goes wrong."""

import json

import pytest

from bench.rival import GRANT
from tests.conftest import until

TASKS = 50


@pytest.mark.parametrize("program", ["bench.plain_quix", "bench.faststream_workers", "bench.hand_written"])
def test_a_comparison_program_answers_every_task_once_and_stops_cleanly(start, topics, database, simulators, program):
    database.query(GRANT.format("processor"))
    for n in range(TASKS):
        task = {"task_id": n, "task_type": "phone", "data": f"8 916 {n:07}"}
        topics.send(json.dumps(task).encode(), key=f"key {n}".encode(), headers=[("trace", f"trace {n}".encode())])

    running = start(
        program,
        database.environment,
        wait=False,
        DADATA_URL=simulators.url,
        DADATA_API_KEY="key",
        DADATA_SECRET_KEY="secret",
        DADATA_CONCURRENT_REQUESTS=16,
    )
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

"""The benchmark's callers, against a gateway without Kafka."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.child import Child, free_port
from sandbox.stack import answers
from tests.conftest import ROOT, ended_at_last


@pytest.fixture
def gateway_alone(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": url.rpartition(":")[2],
        "KAFKA_IMPORT_TOPIC": "tasks",
        "KAFKA_RESULT_TOPIC": "results",
    }
    command = [sys.executable, "-m", "bench.gateway_alone"]
    child = Child("gateway alone", command, tmp_path / "gateway.log", environment=environment, folder=ROOT)
    with ended_at_last(child):
        child.start()
        child.wait_until(lambda: answers(f"{url}/health/ready"))
        yield url
    assert child.returncode == 0


ECHO = b""  # stands for the task's own result


@contextlib.contextmanager
def answering(status, body, seconds=0):
    """Run a server that answers every POST with this status and body, after this time."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            answer = body or json.dumps({"task_id": json.loads(asked)["task_id"], "id": 1}).encode()
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def call(url, *arguments):
    command = [sys.executable, "-m", "bench.callers", "--url", f"{url}/tasks", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout)


def test_callers_send_as_many_requests_as_they_are_told_and_count_each(gateway_alone):
    code, report = call(gateway_alone, "--callers", 8, "--requests", 203)

    assert code == 0
    assert (report["requests"], report["statuses"], report["errors"]) == (203, {"200": 203}, 0)
    assert 0 < report["p50_ms"] <= report["p90_ms"] <= report["p99_ms"] <= report["max_ms"]
    assert report["requests_per_second"] == pytest.approx(203 / report["seconds"], rel=0.01)
    assert report["cpu_seconds"] > 0


def test_callers_end_after_the_time_that_they_are_told(gateway_alone):
    code, report = call(gateway_alone, "--callers", 2, "--seconds", 0.5)

    assert code == 0
    assert report["statuses"] == {"200": report["requests"]}
    assert 0.5 <= report["seconds"] < 30


def test_callers_send_at_the_rate_that_they_are_told_whatever_the_answers_do(gateway_alone):
    code, report = call(gateway_alone, "--callers", 4, "--seconds", 2, "--rate", 100)

    assert code == 0
    assert report["statuses"] == {"200": 200}
    assert report["seconds"] >= 1.9
    assert 0 < report["p50_ms"] <= report["p99_ms"] <= report["p99_9_ms"] <= report["max_ms"]


def test_the_latency_of_a_request_that_finds_no_caller_free_counts_from_when_it_was_due():
    with answering(200, ECHO, seconds=0.2) as url:
        _, report = call(url, "--callers", 1, "--requests", 5, "--rate", 1000)

    assert report["statuses"] == {"200": 5}
    assert report["max_ms"] >= 5 * 200 - 4


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (503, b"{}", "503"),
        (200, b'{"task_id":0,"id":1}', "200 with another task"),
        (200, b'{"id":1}', "200 with another task"),
        (200, b"junk", "200 with another task"),
    ],
)
def test_an_answer_that_is_not_the_tasks_own_result_is_an_error(status, body, named):
    with answering(status, body) as url:
        code, report = call(url, "--callers", 2, "--requests", 6)

    assert code == 1
    assert (report["requests"], report["statuses"], report["errors"]) == (0, {named: 6}, 6)


def test_callers_who_reach_nobody_are_errors():
    code, report = call(f"http://127.0.0.1:{free_port()}", "--callers", 3, "--seconds", 1)

    assert code == 1
    assert (report["requests"], report["statuses"], report["p50_ms"]) == (0, {"not connected": 3}, None)

"""A gateway behind the edge under floods of requests: it still answers health checks and tasks."""

import contextlib
import json
import re
import resource
import selectors
import socket
import threading

import httpx
import pytest

from tests.conftest import installed, until
from tests.edge import BODY, CHUNKED, HEALTH, LARGE_PAGE, POST, Caller, ProgramMissing, find_nginx, running_edge
from tests.integration.test_edge import NOT_HTTP
from tests.integration.test_gateway_kafka import SILENT, echoing, task
from tests.unit.gateway.test_rest import SECRET_KEY, token

CONNECTIONS = 10_000


@pytest.fixture
def echo(topics):
    with echoing(topics) as echo:
        yield echo


@pytest.fixture
def start_edge():
    """Return a function that starts nginx in front of a gateway."""
    installed(find_nginx, ProgramMissing)
    with contextlib.ExitStack() as started:
        yield lambda gateway: started.enter_context(running_edge(gateway.url.removeprefix("http://")))


@pytest.fixture(autouse=True)
def _files():
    """Raise the limit of open files to the hard limit, and check that it is enough."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    assert files_max > CONNECTIONS + 1_000, "raise the limit of open files (ulimit -Hn)"


def assert_answers(edge, number, authorization=b""):
    """Check that the gateway answers a health check and a task on a new connection."""
    body = json.dumps(task(str(number))).encode()
    with Caller(edge.port) as caller:
        assert caller.send(HEALTH).answer().status_code == 200
        answer = caller.send((POST % len(body)).removesuffix(b"\r\n") + authorization + b"\r\n" + body).answer()
        assert (answer.status_code, answer.json()) == (200, {"task_id": 1, "id": number})


def connections(gateway):
    text = gateway.client.get("/metrics").text
    return float(re.search(r"^integration_gateway_connections (.+)$", text, re.MULTILINE)[1])


SLOW = [b"", HEALTH[:-2], b"GET / HTTP/1.1\r\nX: ", POST % 1000 + BODY, CHUNKED + b"\r\n", LARGE_PAGE]


@pytest.mark.parametrize("said", [[b""], SLOW], ids=["silent", "slow"])
def test_10000_connections_that_are_kept_open_shut_nobody_out(start, start_edge, echo, said):
    gateway = start("gateway", LOG_LEVEL="INFO")
    edge = start_edge(gateway)
    answers = []
    asking = [
        threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"http://127.0.0.1:{edge.port}/tasks", json=task(SILENT), timeout=60)
            )
        )
        for _ in range(10)
    ]
    for thread in asking:
        thread.start()
    until(lambda: len(echo.values) == 10, "the tasks")

    with contextlib.ExitStack() as flood:
        for number in range(CONNECTIONS):
            caller = flood.enter_context(socket.create_connection(("127.0.0.1", edge.port), timeout=60))
            with contextlib.suppress(ConnectionResetError):  # nginx has closed it to make room for another
                caller.sendall(said[number % len(said)])
            if number % 1_000 == 999:
                assert_answers(edge, number + 1)
        assert connections(gateway) < 2_000
        for _, headers in list(echo.values):
            echo.reply_to(headers["kafka_correlationId"].decode(), 77)
        for thread in asking:
            thread.join()
        assert_answers(edge, CONNECTIONS + 1)

    assert [answer.json() for answer in answers] == [{"task_id": 1, "id": 77}] * 10
    assert gateway.stop() == 0


REFUSED = [
    b"GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n",
    b"POST /tasks HTTP/1.1\r\nHost: gateway\r\nContent-Length: 7\r\n\r\ncanary!",
    POST % 2 + b"{}",
    NOT_HTTP["an unknown version"],
    NOT_HTTP["length and chunks"],
]


@pytest.mark.parametrize(
    ("settings", "authorization", "statuses"),
    [
        ({}, b"", {404, 415, 422, 400}),
        (
            {"GATEWAY_AUTH": "required", "SECRET_KEY": SECRET_KEY},
            b"Authorization: %b\r\n" % token("alice")["Authorization"].encode(),
            {404, 401, 400},
        ),
    ],
    ids=["of nobody in particular", "of callers without a token"],
)
def test_a_flood_of_10000_requests_that_are_refused_shuts_nobody_out(
    start, start_edge, echo, settings, authorization, statuses
):
    """At any moment 100 callers wait for their refusal, each on its own connection."""
    gateway = start("gateway", LOG_LEVEL="INFO", **settings)
    edge = start_edge(gateway)
    address = ("127.0.0.1", edge.port)
    refusals = []

    def flood():
        with selectors.DefaultSelector() as selector:
            for number in range(CONNECTIONS + 100):
                if number >= 100:
                    key, _ = selector.select(60)[0]
                    refusals.append(key.fileobj.recv(12))
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                if number < CONNECTIONS:
                    caller = socket.create_connection(address, timeout=60)
                    caller.sendall(REFUSED[number % len(REFUSED)])
                    selector.register(caller, selectors.EVENT_READ)

    flooding = threading.Thread(target=flood)
    flooding.start()
    number = 0
    while flooding.is_alive():
        number += 1
        assert_answers(edge, number, authorization)
    flooding.join()

    assert number > 3
    assert len(refusals) == CONNECTIONS
    assert set(refusals) == {b"HTTP/1.1 %d" % status for status in statuses}

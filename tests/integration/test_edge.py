"""The edge: Debian's nginx with the project's configuration, in front of gateways."""

import contextlib
import json
import re
import select
import socket
import ssl
import struct
import subprocess
import threading
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
import uvicorn

from gateway.app import create_app, stop_waiting
from gateway.problems import BODY_BYTES_MAX, EDGE_ERRORS, ERRORS
from gateway.service import server_configuration
from gateway.settings import GatewaySettings
from sandbox.child import free_port
from tests.conftest import installed, until
from tests.edge import (
    BODY,
    CHUNKED,
    EDGE,
    HEAD,
    HEALTH,
    LARGE_PAGE,
    PATIENCE_SECONDS,
    POST,
    TASK,
    Caller,
    ProgramMissing,
    find_nginx,
    running_edge,
)
from tests.unit.gateway.test_rest import FakeKafka, assert_problem


class Gateway:
    """A gateway in its own thread, with a small fake Kafka."""

    def __init__(self, address="127.0.0.1", port=0, **settings):
        self.kafka = FakeKafka()
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {"KAFKA_IMPORT_TOPIC": "import", "KAFKA_RESULT_TOPIC": "results", **settings}.items():
                environment.setenv(name, value)
            settings = GatewaySettings()
        self.app = create_app(settings, self.kafka)
        self.server = uvicorn.Server(server_configuration(settings, self.app))
        self.listener = socket.create_server((address, port), backlog=2048)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        until(lambda: self.server.started, "the server")

    def stop(self):
        if self.thread.is_alive():
            self.server.servers[0].get_loop().call_soon_threadsafe(stop_waiting, self.app)
            self.server.should_exit = True
            self.thread.join(PATIENCE_SECONDS)
        self.listener.close()
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def nginx():
    installed(find_nginx, ProgramMissing)


@pytest.fixture(scope="module")
def stack(nginx):
    """Return a function that starts a gateway with nginx in front of it."""
    with contextlib.ExitStack() as started:

        def stack(gateway=None, **options):
            if gateway is None:
                gateway = Gateway()
                started.callback(gateway.stop)
            address = gateway if isinstance(gateway, str) else f"127.0.0.1:{gateway.port}"
            return started.enter_context(running_edge(address, **options)), gateway

        yield stack


@pytest.fixture(scope="module")
def usual(stack):
    """nginx with the project's configuration, unchanged."""
    return stack()


@pytest.fixture
def edge(usual):
    edge, gateway = usual
    gateway.kafka.sent.clear()
    return edge


@pytest.fixture
def caller(edge):
    with Caller(edge.port) as caller:
        yield caller


NOT_HTTP = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\r\n",
    "an unknown method": b"CANARY / HTTP/1.1\r\n\r\n",
    "an unknown version": b"GET / HTTP/1.2\r\n\r\n",
    "an old version": b"GET / HTTP/0.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "a proxy's": b"CONNECT gateway:80 HTTP/1.1\r\n\r\n",
    "a trace": b"TRACE / HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "length and chunks": CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "one length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "lengths in a list": HEAD + b"Content-Length: 2, 2\r\n\r\nab",
    "a length with a sign": HEAD + b"Content-Length: +2\r\n\r\nab",
    "a length that overflows": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nab",
    "an encoding that is not chunked": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "an encoding after chunked": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked disguised": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a carriage return alone": b"GET / HTTP/1.1\r\nHost: gateway\rX: a\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nX\0: a\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nzz\r\n",
    "a chunk that is longer than it says": CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "a chunk's size that overflows": CHUNKED + b"\r\nfffffffffffffffff\r\na",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_http_or_could_be_read_in_two_ways_is_400_and_no_gateway_sees_it(usual, caller, name):
    answer = caller.send(NOT_HTTP[name]).answer()

    assert_problem(answer, 400, "bad_request")
    assert caller.is_closed()
    assert usual[1].kafka.sent == []


LARGE = {
    "a header": [HEALTH[:-2] + b"X: " + b"x" * 4096 + b"\r\n\r\n"],
    "a header without an end": [HEALTH[:-2] + b"X: " + b"x" * 4096],
    "many headers": [HEALTH[:-2], *[b"X: " + b"x" * 1000 + b"\r\n"] * 17],
    "the path": [b"GET /" + b"x" * 4096 + b" HTTP/1.1\r\n\r\n"],
}


@pytest.mark.parametrize("name", LARGE)
def test_headers_that_are_too_large_are_431(caller, name):
    answer = caller.send(*LARGE[name]).answer()

    assert_problem(answer, 431, "headers_too_large")
    assert caller.is_closed()


@pytest.mark.parametrize(
    "request_",
    [POST % (BODY_BYTES_MAX + 1) + b"x" * (BODY_BYTES_MAX + 1), CHUNKED + b"\r\n90000\r\n" + b"x" * 0x90000],
    ids=["with its length", "chunked"],
)
def test_a_body_that_is_too_large_is_413_also_for_a_caller_who_sends_all_of_it_first(usual, caller, request_):
    answer = caller.send(request_).answer()

    assert_problem(answer, 413, "body_too_large")
    assert usual[1].kafka.sent == []


def test_a_body_of_the_limit_reaches_the_gateway_whole(usual, caller):
    body = BODY + b" " * (BODY_BYTES_MAX - len(BODY))

    assert caller.send(POST % len(body) + body).answer().status_code == 200
    assert [value for value, _ in usual[1].kafka.sent] == [body]


def test_the_answers_of_the_edge_are_those_of_the_table_of_errors(edge):
    template = (EDGE / "default.conf.template").read_text()
    usual = re.search(r'\$overloaded_detail \{\n    default "(.+)";', template)[1]
    told = [
        json.loads(body.replace("$overloaded_detail", usual)) for body in re.findall(r"return \d+ '(.+)';", template)
    ]

    for problem in told:
        status, detail = ERRORS[problem["error_code"]]
        assert (problem["status"], problem["title"]) == (status, HTTPStatus(status).phrase)
        assert problem["type"] == f"urn:integration-service:{problem['error_code']}"
        assert problem["detail"] == detail or status == 504  # the edge does not know whether Kafka has the task
    assert {problem["error_code"] for problem in told} == {*EDGE_ERRORS, "body_too_large", "reply_timeout"}


def test_answers_echo_a_request_id_only_where_it_is_a_valid_one(edge):
    ask = [HEAD + b"X-Request-ID: %b\r\nContent-Length: 600000\r\n\r\n" % value for value in (b"mine", b"x" * 129)]
    echoed = []
    for request in ask:
        with Caller(edge.port) as caller:
            echoed.append(caller.send(request).answer().headers.get("x-request-id"))

    assert echoed == ["mine", None]


def test_paths_that_only_the_edge_uses_are_unknown_to_callers(edge):
    answer = httpx.get(f"http://127.0.0.1:{edge.port}/problems/overloaded")

    assert_problem(answer, 404, "not_found")


@pytest.fixture(scope="module")
def impatient(stack):
    """nginx with shorter timeouts and at most two connections per address."""
    faster = [("header_timeout 10s", "header_timeout 1s"), ("body_timeout 30s", "body_timeout 1s"), ("1m60s", "2s")]
    faster += [("send_timeout 60s", "send_timeout 1s")]
    return stack(connections_per_address=2, faster=faster)


@pytest.mark.parametrize(
    ("request_", "piece"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (HEALTH[:-2], b"X: x\r\n"),
        (b"GET /", b"x"),
        (POST % 1000, b""),
        (CHUNKED + b"\r\n", b""),
    ],
    ids=["nothing", "empty lines", "headers without an end", "a path without an end", "no body", "no chunks"],
)
def test_a_caller_who_is_too_slow_is_disconnected(impatient, request_, piece):
    edge, gateway = impatient
    with Caller(edge.port) as caller:
        caller.send(request_)

        def closed():
            if not select.select([caller.socket], [], [], 0.05)[0]:
                caller.send(piece)
                return False
            return True

        until(closed, "the end of the connection", PATIENCE_SECONDS)
        assert caller.is_closed()
    assert gateway.kafka.sent == []


def test_a_caller_who_does_not_read_is_disconnected_and_a_slow_one_gets_everything(impatient):
    edge, _ = impatient
    with Caller(edge.port, receive_bytes=4096) as caller, Caller(edge.port, receive_bytes=4096) as slow:
        caller.send(LARGE_PAGE)
        assert len(slow.send(LARGE_PAGE).answer().content) > 1_000_000
        until(lambda: len(established(edge.port)) <= 1, "the end of the connection", PATIENCE_SECONDS)


def established(port):
    """Return the server's side of the open connections to the port (state 01 of /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]


def test_a_third_request_of_one_address_is_503_until_another_ends(impatient):
    edge, gateway = impatient
    gateway.kafka.sent.clear()
    gateway.kafka.reply, reply = None, gateway.kafka.reply
    with Caller(edge.port) as first, Caller(edge.port) as second, Caller(edge.port) as third:
        first.send(TASK)
        second.send(TASK)
        until(lambda: len(gateway.kafka.sent) == 2, "the tasks")

        answer = third.send(HEALTH).answer()
        assert_problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "5"
        late = first.answer()
        assert_problem(late, 504, "reply_timeout")  # from nginx: the gateway's own 504 would come later
        assert second.answer().status_code == 504
    gateway.kafka.reply = reply
    with Caller(edge.port) as fourth:
        assert fourth.send(TASK).answer().status_code == 200


def test_without_a_gateway_the_answer_is_503(stack):
    edge, _ = stack(f"127.0.0.1:{free_port()}")

    with Caller(edge.port) as caller:
        answer = caller.send(TASK).answer()
    assert_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "5"


def test_where_the_gateway_ends_after_it_has_read_a_task_nobody_is_told_to_send_it_again(stack):
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        edge, _ = stack(f"127.0.0.1:{gateway.getsockname()[1]}")
        with Caller(edge.port) as caller:
            caller.send(TASK)
            connection, _ = gateway.accept()
            with connection:
                assert connection.recv(65536)
            answer = caller.answer()

    assert_problem(answer, 503, "overloaded", retry=False)
    assert answer.json()["detail"].endswith("Kafka may have the task")


@contextlib.contextmanager
def name_server(*addresses):
    """Run a DNS server that answers every query for an IPv4 address with these; yield its own address."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer():
        with contextlib.suppress(OSError):
            while True:
                query, caller = server.recvfrom(512)
                is_a = query[-4:-2] == b"\0\1"
                count = len(addresses) if is_a else 0
                records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in addresses[:count]]
                header = query[:2] + b"\x81\x80" + struct.pack("!4H", 1, count, 0, 0)
                server.sendto(header + query[12:] + b"".join(records), caller)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_all_gateways_of_a_name_get_requests_and_one_that_is_gone_costs_nobody_an_answer(stack):
    first = Gateway("127.0.0.1")
    second = Gateway("127.0.0.2", first.port)
    with name_server("127.0.0.1", "127.0.0.2") as resolver, contextlib.ExitStack() as stopped:
        for gateway in (first, second):
            stopped.callback(gateway.stop)
        edge, _ = stack(f"gateways.test:{first.port}", resolver=resolver)
        with httpx.Client(base_url=f"http://127.0.0.1:{edge.port}") as client:
            post = {"content": BODY, "headers": {"Content-Type": "application/json"}}
            assert {client.post("/tasks", **post).status_code for _ in range(100)} == {200}
            # nginx chooses at random: in one of two million runs one of them gets fewer.
            assert min(len(gateway.kafka.sent) for gateway in (first, second)) >= 25

            second.stop()
            assert {client.post("/tasks", **post).status_code for _ in range(20)} == {200}
    assert len(first.kafka.sent) + len(second.kafka.sent) == 120


def test_callers_are_counted_by_their_own_address_and_not_by_one_they_make_up(stack):
    settings = {"CALLER_REQUESTS_PER_MINUTE": "2", "FORWARDED_ALLOW_IPS": "127.0.0.1"}
    gateway = Gateway(**settings)
    edge, _ = stack(gateway)

    def statuses(address):
        made_up = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(3)]
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
            url = f"http://127.0.0.1:{edge.port}/tasks/x"
            return [client.get(url, headers=headers).status_code for headers in made_up]

    try:
        assert statuses("127.0.0.1") == [404, 404, 429]
        assert statuses("127.0.0.3") == [404, 404, 429]
    finally:
        gateway.stop()


OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUA\r\n"
)


@pytest.mark.parametrize("through", ["the edge", "nothing"])
def test_a_caller_who_offers_another_protocol_is_answered_in_http_1_1(usual, through):
    edge, gateway = usual
    gateway.kafka.sent.clear()
    first_line, rest = TASK.split(b"\r\n", 1)
    with Caller(edge.port if through == "the edge" else gateway.port) as caller:
        for _ in range(3):
            assert caller.send(first_line + b"\r\n" + OFFER + rest).answer().status_code == 200
            assert caller.send(HEALTH[:-2] + OFFER + b"\r\n").answer().status_code == 200
    assert [value for value, _ in gateway.kafka.sent] == [BODY] * 3


def test_requests_that_are_sent_ahead_are_answered_in_their_order(caller):
    caller.send(HEALTH + TASK + HEALTH.replace(b"/health/live", b"/nowhere"), TASK[:50])

    assert [caller.answer().status_code for _ in range(3)] == [200, 200, 404]
    assert caller.send(TASK[50:]).answer().text == '{"task_id":1,"id":7}'


def test_tls_is_on_where_its_configuration_is_put(stack, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    example = (EDGE / "tls" / "tls.conf.example").read_text()
    edge, _ = stack(tls=example.replace("8443", f"127.0.0.1:{port}").replace("/etc/nginx/tls/", f"{tmp_path}/"))

    context = ssl.create_default_context(cafile=certificate)
    answer = httpx.get(f"https://localhost:{port}/health/live", verify=context)
    assert answer.status_code == 200
    assert httpx.get(f"http://127.0.0.1:{edge.port}/health/live").status_code == 200


def test_nginx_says_nothing_of_what_callers_send(edge):
    for request in [*NOT_HTTP.values(), *(b"".join(parts) for parts in LARGE.values())]:
        with Caller(edge.port) as caller:
            caller.send(request.replace(b"gateway", b"canary-7d1f")).answer()

    assert edge.log.read_text() == ""

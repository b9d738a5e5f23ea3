"""What connections may ask of a gateway: raw bytes over sockets to the real server, with a Kafka of a few lines."""

import contextlib
import http.client
import logging
import select
import socket
import threading
import time
from functools import partial

import httpx
import pytest
import uvicorn
from prometheus_client import REGISTRY

from gateway.app import create_app, stop_waiting
from gateway.connections import SEND_BUFFER_BYTES, Connections, Limits
from gateway.protocol import Connection
from gateway.settings import GatewaySettings
from tests.conftest import until
from tests.unit.gateway.test_rest import FakeKafka, assert_problem

PATIENCE_SECONDS = 20

HEALTH = b"GET /health/live HTTP/1.1\r\nHost: gateway\r\n\r\n"
BODY = b'{"task_id": 1, "task_type": "phone", "data": "canary-7d1f"}'
POST = b"POST /tasks HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
TASK = POST % len(BODY) + BODY
LARGE_PAGE = b"GET /assets/vendor/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"


class Caller:
    """A socket to the gateway."""

    def __init__(self, port, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def say(self, *parts):
        """Send each part in a packet of its own."""
        for part in parts:
            self.socket.sendall(part)
        return self

    def answer(self):
        """Return the next answer."""
        status_line = self.file.readline()
        headers = http.client.parse_headers(self.file)
        content = self.file.read(int(headers["content-length"]))
        return httpx.Response(int(status_line.split()[1]), headers=headers.items(), content=content)

    def drip(self, piece=b"x"):
        """Send a piece every 10 ms until the gateway says something or closes."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not select.select([self.socket], [], [], 0.01)[0]:
            assert time.monotonic() < give_up_at, "the gateway listens for ever"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.socket.sendall(piece)
        return self

    def is_closed(self):
        """Wait until the gateway closes; tell whether it said nothing more."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:  # it had not read all
            return True


class Gateway:
    """A gateway in a thread of its own."""

    def __init__(self, limits):
        self.kafka, self.all = FakeKafka(), Connections(limits)
        self.app = create_app(GatewaySettings(), self.kafka)
        self.server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                loop="uvloop",
                http=partial(Connection, self.all),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.callers = []

    @property
    def connections(self):
        return len(self.server.server_state.connections)

    def caller(self, **options):
        self.callers.append(Caller(self.port, **options))
        return self.callers[-1]

    def ask(self, *parts):
        """Return the answer to what is said on a connection of its own."""
        return self.caller().say(*parts).answer()

    def reply(self):
        """Reply to all tasks that came."""
        loop = self.server.servers[0].get_loop()
        for _, headers in self.kafka.sent:
            batch = [(headers["kafka_correlationId"].decode(), FakeKafka().reply)]
            loop.call_soon_threadsafe(self.kafka.replied, batch)

    def stop(self):
        for caller in self.callers:
            caller.file.close()
            caller.socket.close()
        self.server.servers[0].get_loop().call_soon_threadsafe(stop_waiting, self.app)
        self.server.should_exit = True
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def running(limits):
    """Run a gateway with the limits."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAFKA_IMPORT_TOPIC", "import")
        environment.setenv("KAFKA_RESULT_TOPIC", "results")
        gateway = Gateway(limits)
    gateway.thread.start()
    until(lambda: gateway.server.started, "the server")
    yield gateway
    gateway.stop()


@pytest.fixture
def start():
    """Return a function that starts a gateway with the limits."""
    with contextlib.ExitStack() as gateways:
        yield lambda connections_max=1000, **limits: gateways.enter_context(running(Limits(connections_max, **limits)))


@pytest.fixture(scope="module")
def gateway():
    """A gateway with the usual limits."""
    with running(Limits(1000)) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _no_caller_is_worth_a_warning(caplog):
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def refused(reason):
    return REGISTRY.get_sample_value("integration_gateway_connections_refused_total", {"reason": reason})


@contextlib.contextmanager
def counted(reason, times=1):
    before = refused(reason)
    yield
    until(lambda: refused(reason) >= before + times, f"{reason} to be counted")
    assert refused(reason) == before + times


HEAD = b"POST /tasks HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"

NOT_HTTP = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01",
    "a method nobody knows": b"CANARY / HTTP/1.1\r\n\r\n",
    "a version nobody knows": b"GET / HTTP/1.2\r\n\r\n",
    "a version before headers": b"GET / HTTP/0.9\r\n\r\n",
    "a version that is not written so": b"GET / HTTP/2.0\r\nHost: gateway\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "a path of other letters": "GET /я HTTP/1.1\r\n\r\n".encode(),
    "an address without a path": b"GET http://gateway HTTP/1.1\r\n\r\n",
    "a proxy's": b"CONNECT gateway:80 HTTP/1.1\r\n\r\n",
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
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a folded encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a line feed alone in the first line": b"GET / HTTP/1.1\nHost: gateway\r\n\r\n",
    "a line feed alone in a header": b"GET / HTTP/1.1\r\nHost: gateway\nX: a\r\n\r\n",
    "a carriage return alone": b"GET / HTTP/1.1\r\nHost: gateway\rX: a\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nX\0: a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nX\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: a\r\n\r\n",
    "a space before the first header": b"GET / HTTP/1.1\r\n X: a\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nzz\r\n",
    "a chunk that is longer than it says": CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "a chunk's size that overflows": CHUNKED + b"\r\nfffffffffffffffff\r\na",
    "a chunk's size before a line feed alone": CHUNKED + b"\r\n1\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "byte by byte"])
def test_what_is_not_http_or_could_be_read_in_two_ways_is_400_and_the_end_of_its_connection(gateway, name, piecewise):
    said, caller = NOT_HTTP[name], gateway.caller()
    with counted("bad_request"):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            caller.say(*(said[i : i + 1] for i in range(len(said))) if piecewise else [said])
        answer = caller.answer()

    assert_problem(answer, 400, "bad_request")
    assert answer.headers["connection"] == "close"
    assert caller.is_closed()
    assert gateway.kafka.sent == []


def test_a_caller_who_sends_on_before_reading_sees_the_refusal(gateway):
    caller = gateway.caller().say(b"canary\r\n", b"x" * 5_000_000)  # a reset would be raised here

    assert_problem(caller.answer(), 400, "bad_request")


HEADER_BYTES_MAX, HEADER_LINES_MAX = Limits.header_bytes_max, Limits.header_lines_max
START = b"GET /health/live HTTP/1.1\r\n"
LARGE = {
    "one header": [START + b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\n\r\n"],
    "one header without an end": [START + b"X: " + b"x" * HEADER_BYTES_MAX],
    "one header in pieces": [START + b"X: ", *[b"x" * (HEADER_BYTES_MAX // 3)] * 4],
    "a name": [START, b"x" * HEADER_BYTES_MAX, b"x"],
    "the path": [b"GET /" + b"x" * HEADER_BYTES_MAX + b" HTTP/1.1\r\n\r\n"],
    "the path in pieces": [b"GET /", *[b"x" * (HEADER_BYTES_MAX // 3)] * 4],
    "many headers": [START + b"X: x\r\n" * (HEADER_LINES_MAX + 1) + b"\r\n"],
    "many headers without an end": [START + b"X: x\r\n" * (HEADER_LINES_MAX + 2)],
    "many trailers": [CHUNKED + b"\r\n0\r\n" + b"X: x\r\n" * (HEADER_LINES_MAX + 2)],
    "one trailer in pieces": [CHUNKED + b"\r\n0\r\nX: ", *[b"x" * (HEADER_BYTES_MAX // 3)] * 4],
}


@pytest.mark.parametrize("name", LARGE)
def test_headers_that_are_too_large_are_431_and_the_end_of_their_connection(gateway, name):
    caller = gateway.caller()
    with counted("headers_too_large"):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            caller.say(*LARGE[name])
        answer = caller.answer()

    assert_problem(answer, 431, "headers_too_large")
    assert caller.is_closed()
    assert gateway.kafka.sent == []


def test_headers_of_just_the_limit_are_read(gateway):
    lines = b"".join(b"X: " + b"x" * 100 + b"\r\n" for _ in range(HEADER_LINES_MAX - 1))
    last = HEADER_BYTES_MAX - len("/health/live") - len(lines) - len("X: \r\n")

    assert gateway.ask(START + lines + b"X: " + b"x" * last + b"\r\n\r\n").status_code == 200
    answer = gateway.ask(START + lines + b"X: " + b"x" * (last + 1) + b"\r\n\r\n")
    assert_problem(answer, 431, "headers_too_large")


@pytest.mark.parametrize("said", [b"GET /health/live HTTP/1.1\r\nX: ", b"GET /", b"\r\n"])
@pytest.mark.parametrize("before", [b"", HEALTH], ids=["the first request", "a later one"])
def test_headers_that_do_not_come_in_time_are_408_however_they_drip(start, said, before):
    caller = start(header_seconds=0.2).caller()
    if before:
        assert caller.say(before).answer().status_code == 200

    with counted("request_timeout"):
        answer = caller.say(said).drip(b"\r\n" if said == b"\r\n" else b"x").answer()

    assert_problem(answer, 408, "request_timeout")
    assert caller.is_closed()


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(start):
    with counted("request_timeout"):
        assert start(header_seconds=0.1).caller().is_closed()


@pytest.mark.parametrize(
    ("head", "piece"), [(POST % 10_000, b" "), (CHUNKED + b"\r\n", b"1\r\n \r\n")], ids=["with its length", "chunked"]
)
def test_a_body_that_does_not_come_in_time_is_408_however_it_drips(start, head, piece):
    gateway = start(body_seconds=0.2)
    caller = gateway.caller()

    with counted("request_timeout"):
        answer = caller.say(head.replace(b"Host:", b"X-Request-ID: mine\r\nHost:")).drip(piece).answer()

    assert_problem(answer, 408, "request_timeout")
    assert answer.headers["x-request-id"] == "mine"
    assert caller.is_closed()
    until(lambda: not gateway.server.server_state.tasks, "the request to end")
    assert gateway.kafka.sent == []


def test_a_body_that_comes_in_pieces_in_time_is_read_and_its_clock_is_stopped(start):
    caller = start(header_seconds=0.2, body_seconds=0.2).caller()
    for _ in range(30):  # together longer than the limits
        answer = caller.say(TASK[:30], TASK[30:-20], TASK[-20:]).answer()
        assert (answer.status_code, answer.text) == (200, '{"task_id":1,"id":7}')
        assert not select.select([caller.socket], [], [], 0.01)[0]


def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for_for_long(start):
    gateway = start(rest_seconds=0.2)
    caller = gateway.caller()
    head = b"POST /nowhere HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000\r\n\r\n"

    assert_problem(caller.say(head).answer(), 404, "not_found")
    with counted("request_timeout"):
        assert caller.drip().is_closed()

    in_time = gateway.caller()
    assert in_time.say(head).answer().status_code == 404
    assert in_time.say(b"x" * 1000, HEALTH).answer().status_code == 200


@pytest.mark.parametrize("how", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_who_does_not_read_the_answer_is_cut(start, how):
    gateway = start(reader_seconds=0.2)
    with counted("answer_not_read"):
        caller = gateway.caller(receive_bytes=4096).say(LARGE_PAGE[:-2] + how + b"\r\n")
    until(lambda: gateway.connections == 0, "the connection to be gone")

    with contextlib.suppress(ConnectionResetError):
        assert len(caller.file.read()) < 1_000_000


def test_who_reads_the_answer_slowly_but_in_time_gets_it_whole(gateway):
    answer = gateway.caller(receive_bytes=4096).say(LARGE_PAGE).answer()

    assert len(answer.content) > 1_000_000


def test_at_the_limit_who_has_been_waited_for_longest_makes_room(start):
    gateway = start(connections_max=4)
    idle = gateway.caller()
    assert idle.say(HEALTH).answer().status_code == 200
    slow = gateway.caller().say(START)
    until(lambda: gateway.connections == 2, "the connections")
    begun = gateway.caller().say(POST % 100)
    until(lambda: gateway.connections == 3, "the connections")
    assert idle.say(HEALTH).answer().status_code == 200  # now the last to be waited for
    gateway.kafka.reply = None
    asking = gateway.caller().say(TASK)
    until(lambda: gateway.kafka.sent, "the task")

    for longest in (slow, begun, idle):
        with counted("made_room"):
            assert gateway.ask(HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).status_code == 200
            gateway.caller()
            assert longest.is_closed()
        until(lambda: gateway.connections == 4, "the connections")
    gateway.reply()

    assert asking.answer().text == '{"task_id":1,"id":7}'


def test_whoever_waits_for_the_gateway_is_never_closed_and_at_the_limit_the_newcomer_is_503(start):
    gateway = start(connections_max=3)
    gateway.kafka.reply = None
    asking = [gateway.caller().say(TASK) for _ in range(3)]
    until(lambda: len(gateway.kafka.sent) == 3, "the tasks")

    with counted("overloaded", 20):
        newcomers = [gateway.caller() for _ in range(20)]
        for newcomer in newcomers:
            assert_problem(newcomer.answer(), 503, "overloaded")
            assert newcomer.is_closed()
    gateway.reply()

    assert [caller.answer().text for caller in asking] == ['{"task_id":1,"id":7}'] * 3
    assert gateway.ask(HEALTH).status_code == 200


def test_of_too_many_bytes_of_unfinished_requests_those_begun_first_are_503(start):
    gateway = start(unfinished_bytes_max=100_000)
    head = POST % (40_000 + len(BODY))
    callers = [gateway.caller() for _ in range(3)]
    with counted("overloaded"):
        for number, caller in enumerate(callers, 1):
            caller.say(head + b" " * 40_000)
            until(lambda size=min(number, 2) * 40_000: gateway.all.unfinished_bytes > size, "the bytes")

    assert_problem(callers[0].answer(), 503, "overloaded")
    for caller in callers[1:]:
        assert caller.say(BODY).answer().status_code == 200


def test_requests_that_are_sent_ahead_are_answered_in_their_order(gateway):
    caller = gateway.caller().say(HEALTH + TASK + HEALTH.replace(b"/health/live", b"/nowhere"), TASK[:50])

    assert [caller.answer().status_code for _ in range(3)] == [200, 200, 404]
    assert caller.say(TASK[50:]).answer().text == '{"task_id":1,"id":7}'


def test_who_sends_too_many_requests_ahead_is_closed(start):
    gateway = start(pipelined_max=3)
    gateway.kafka.reply = None

    with counted("overloaded"):
        assert gateway.caller().say(TASK * 5).is_closed()
    until(lambda: not gateway.server.server_state.tasks, "the first request to end")


@pytest.mark.parametrize("behind", [b"canary", b"GET /" + b"x" * 20_000, b"POST / HTTP/1.1\r\nContent-Length: x\r\n"])
def test_the_answer_before_what_is_not_http_comes_whole_and_is_the_last(start, behind):
    gateway = start()
    gateway.kafka.reply = None
    caller = gateway.caller().say(TASK)
    until(lambda: gateway.kafka.sent, "the task")
    with counted("headers_too_large" if b"xxx" in behind else "bad_request"):
        caller.say(behind)
    gateway.reply()

    answer = caller.answer()

    assert (answer.status_code, answer.text) == (200, '{"task_id":1,"id":7}')
    assert answer.headers["connection"] == "close"
    assert caller.is_closed()


OFFERS = {
    "h2c, as Java has it": (
        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
        b"Upgrade: h2c\r\n"
    ),
    "websocket": (
        b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
    ),
    "several": b"upgrade: h2c, TLS/1.0\r\nUPGRADE:\r\nConnection: keep-alive\r\nConnection:upgrade\r\n",
}
CHUNKS = b"%x\r\n%b\r\n%x;a=b\r\n%b\r\n0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" % (
    *(20, BODY[:20]),
    *(len(BODY) - 20, BODY[20:]),
)


def offering(request, offer):
    """Return the request with headers that offer another protocol, in front of its own."""
    first_line, rest = request.split(b"\r\n", 1)
    return first_line + b"\r\n" + offer + rest


@pytest.mark.parametrize("task", [TASK, CHUNKED + b"\r\n" + CHUNKS], ids=["with its length", "chunked"])
@pytest.mark.parametrize("name", OFFERS)
def test_who_offers_another_protocol_speaks_http_1_1_and_is_answered_wherever_packets_end(gateway, name, task):
    said = offering(task, OFFERS[name]) + offering(HEALTH, OFFERS[name] + b"Connection: close\r\n")

    for at in range(1, len(said)):
        caller = gateway.caller().say(said[:at])
        select.select([caller.socket], [], [], 0.001)  # the halves come apart more often, and need not
        caller.say(said[at:])

        answer, later = caller.answer(), caller.answer()

        assert (answer.status_code, answer.text) == (200, '{"task_id":1,"id":7}'), at
        assert "connection" not in answer.headers
        assert (later.status_code, later.headers["connection"]) == (200, "close"), at
        caller.file.close()
        caller.socket.close()


@pytest.mark.parametrize("name", OFFERS)
def test_who_offers_another_protocol_may_send_byte_by_byte_and_many_requests(gateway, name):
    said = offering(TASK, OFFERS[name]) + TASK + offering(CHUNKED + b"\r\n" + CHUNKS, OFFERS[name])

    byte_by_byte = gateway.caller().say(*(said[i : i + 1] for i in range(len(said))))
    assert [byte_by_byte.answer().text for _ in range(3)] == ['{"task_id":1,"id":7}'] * 3

    kept = gateway.caller()
    for _ in range(10):
        assert [kept.say(said).answer().text, kept.answer().text, kept.answer().text] == ['{"task_id":1,"id":7}'] * 3


def test_who_offers_another_protocol_and_waits_to_be_asked_for_the_body_is_asked_for_it(gateway):
    caller = gateway.caller().say(offering(POST % len(BODY), OFFERS["websocket"] + b"Expect: 100-continue\r\n"))

    assert caller.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert caller.file.readline() == b"\r\n"
    assert caller.say(BODY).answer().text == '{"task_id":1,"id":7}'


@pytest.mark.parametrize("name", OFFERS)
def test_who_offers_another_protocol_is_under_the_same_limits(start, name):
    offer = OFFERS[name]
    gateway = start(pipelined_max=3, body_seconds=0.2)

    with counted("headers_too_large", 2):
        large = offering(POST % len(BODY), offer + b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\n")
        assert_problem(gateway.ask(large), 431, "headers_too_large")
        assert_problem(gateway.ask(offering(TASK, offer + b"X: x\r\n" * HEADER_LINES_MAX)), 431, "headers_too_large")
    with counted("request_timeout"):
        assert_problem(gateway.caller().say(offering(POST % 1000, offer)).drip().answer(), 408, "request_timeout")
    gateway.kafka.reply = None
    with counted("overloaded"):
        assert gateway.caller().say(offering(TASK, offer) * 5).is_closed()
    until(lambda: not gateway.server.server_state.tasks, "the first request to end")


@pytest.mark.parametrize("name", [name for name in NOT_HTTP if NOT_HTTP[name].startswith(HEAD)])
def test_who_offers_another_protocol_is_not_read_in_two_ways(gateway, name):
    caller = gateway.caller().say(offering(NOT_HTTP[name], OFFERS["websocket"]))

    assert_problem(caller.answer(), 400, "bad_request")
    assert caller.is_closed()


@pytest.mark.parametrize("target", [b"gateway:80", b"/tasks", b"/"])
def test_connect_is_no_upgrade_and_400(gateway, target):
    caller = gateway.caller().say(b"CONNECT " + target + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", TASK)

    assert_problem(caller.answer(), 400, "bad_request")
    assert caller.is_closed()


def test_what_a_caller_says_in_the_protocol_that_it_offered_is_400(gateway):
    caller = gateway.caller().say(offering(HEALTH, OFFERS["h2c, as Java has it"]))
    assert caller.answer().status_code == 200

    caller.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    assert_problem(caller.answer(), 400, "bad_request")
    assert caller.is_closed()


def test_what_comes_behind_a_body_is_no_header(gateway):
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)

    answer = gateway.ask(CHUNKED + b"\r\n" + chunks + b"X-Request-ID: mine\r\n\r\n")

    assert answer.status_code == 200
    assert "x-request-id" not in answer.headers


def test_a_stop_waits_for_answers_and_for_nobody_who_has_not_sent_all(start):
    gateway = start()
    gateway.kafka.reply = None
    whole, half = gateway.caller().say(TASK), gateway.caller().say((POST % len(BODY)) + BODY[:10])
    until(lambda: len(gateway.kafka.sent) == 1 and gateway.all.unfinished_bytes > 0, "both requests")

    gateway.server.should_exit = True

    assert_problem(half.answer(), 503, "overloaded")
    gateway.reply()
    assert whole.answer().status_code == 200

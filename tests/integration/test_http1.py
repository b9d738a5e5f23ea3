"""HTTP/1.1 at the gateway itself, without nginx before it: what is read, and what is refused."""

import time

import pytest

from gateway.http1 import HEAD_BYTES_MAX
from tests.conftest import until
from tests.edge import BODY, CHUNKED, HEAD, HEALTH, TASK, Caller
from tests.integration.test_edge import NOT_HTTP, OFFER, Gateway
from tests.unit.gateway.test_rest import RESULT

OFFERING = HEAD + OFFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
REFUSED_BY_THE_EDGE_ONLY = {"an old version", "no host", "a trace"}


@pytest.fixture(scope="module")
def gateway():
    gateway = Gateway()
    yield gateway
    gateway.stop()


@pytest.fixture
def caller(gateway):
    gateway.kafka.sent.clear()
    with Caller(gateway.port) as caller:
        yield caller


@pytest.mark.parametrize("pieces", [1, 2, len(OFFERING)], ids=["in one piece", "in two", "byte by byte"])
@pytest.mark.parametrize("request_", [TASK, OFFERING], ids=["plain", "with an offer of HTTP/2"])
def test_a_task_is_read_whole_however_it_arrives(gateway, caller, request_, pieces):
    size = -(-len(request_) // pieces)
    for _ in range(2):
        caller.send(*(request_[start : start + size] for start in range(0, len(request_), size)))
        assert caller.answer().text == '{"task_id":1,"id":7}'
    assert [value for value, _ in gateway.kafka.sent] == [BODY] * 2


def test_the_body_of_a_request_with_an_offer_may_follow_its_head(gateway, caller):
    caller.send(OFFERING[: -len(BODY)], BODY[:9], BODY[9:])

    assert caller.answer().status_code == 200
    assert [value for value, _ in gateway.kafka.sent] == [BODY]


def test_requests_with_and_without_an_offer_that_are_sent_ahead_are_answered_in_their_order(gateway, caller):
    caller.send(HEALTH + OFFERING + HEALTH.replace(b"/health/live", b"/nowhere") + OFFERING + TASK)

    assert [caller.answer().status_code for _ in range(5)] == [200, 200, 404, 200, 200]
    assert [value for value, _ in gateway.kafka.sent] == [BODY] * 3


def test_a_request_with_an_offer_keeps_its_other_headers(gateway, caller):
    assert caller.send(OFFERING.replace(b"\r\n", b"\r\nX-Request-ID: mine\r\n", 1)).answer().status_code == 200

    [(_, headers)] = gateway.kafka.sent
    assert headers["X-Request-ID"] == b"mine"


def test_what_is_not_http_behind_a_task_does_not_take_the_tasks_answer(gateway, caller, monkeypatch):
    monkeypatch.setattr(gateway.kafka, "reply", None)
    caller.send(TASK, b"canary\r\n\r\n")
    until(lambda: gateway.kafka.sent, "the task")
    time.sleep(0.2)  # for what is not HTTP to be read
    [(_, headers)] = gateway.kafka.sent
    reply = [(headers["kafka_correlationId"].decode(), RESULT)]
    gateway.server.servers[0].get_loop().call_soon_threadsafe(gateway.kafka.replied, reply)

    assert caller.answer().text == '{"task_id":1,"id":7}'
    assert caller.is_closed()


ENDLESS = {
    "a path": (b"GET /", b"x" * 8000),
    "a header": (HEALTH[:-2] + b"X: ", b"x" * 8000),
    "headers": (HEALTH[:-2], b"X: " + b"x" * 8000 + b"\r\n"),
    "headers with an offer": (HEALTH[:-2] + OFFER, b"X: " + b"x" * 8000 + b"\r\n"),
    "a chunk's extension": (CHUNKED + b"\r\n1;", b"x" * 8000),
    "trailers": (CHUNKED + b"\r\n0\r\n", b"X: " + b"x" * 8000 + b"\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_is_read_without_an_end_is_refused(gateway, caller, name):
    start, piece = ENDLESS[name]

    # What arrives together with the end of a head does not count, and may be as much as one read takes.
    caller.send(start, *[piece] * (8 * HEAD_BYTES_MAX // len(piece)))

    try:
        answer = caller.file.read()  # to the end of the connection
    except ConnectionResetError:
        answer = b""
    assert answer[:12] in (b"", b"HTTP/1.1 400")
    assert gateway.kafka.sent == []


@pytest.mark.parametrize("name", sorted(NOT_HTTP.keys() - REFUSED_BY_THE_EDGE_ONLY))
def test_what_is_not_http_or_could_be_read_in_two_ways_is_400_here_too(gateway, caller, name):
    assert caller.send(NOT_HTTP[name]).answer().status_code == 400
    assert caller.is_closed()
    assert gateway.kafka.sent == []

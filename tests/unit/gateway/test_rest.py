"""The REST interface, with a small fake Kafka."""

import asyncio
import json
import logging
import re
import time
import uuid

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from gateway.access.tokens import Tokens
from gateway.app import create_app, stop_waiting
from gateway.correlation import new_correlation_id
from gateway.kafka.tasks_out import NotConfirmed, NotTaken
from gateway.replies import Reply
from gateway.settings import GatewaySettings
from gateway.tasks import BODY_BYTES_MAX
from tests.documented import assert_documented

TASK = {"task_id": 1, "task_type": "phone", "data": "canary-7d1f"}
RESULT = Reply(b'{"task_id":1,"id":7}')
SECRET_KEY = "a-key-of-at-least-32-bytes-for-tests"


def token(subject, secret_key=SECRET_KEY):
    """Return the Authorization header for a caller."""
    return {"Authorization": f"Bearer {Tokens(SecretStr(secret_key)).make(subject, 1, time.time())}"}


class FakeKafka:
    """Accepts tasks and replies to each at once with `reply`; if that is None, it sends no reply."""

    def __init__(self):
        self.sent = []
        self.reply = RESULT
        self.refusal = None
        self.absent = []
        self.ended = []
        self.taken = True

    def start(self, replied, forget_until):
        self.replied = replied

    def close(self):
        self.closed = True

    def missing(self):
        return self.absent

    def dead(self):
        return self.ended

    def send(self, value, headers):
        loop = asyncio.get_running_loop()
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((value, dict(headers)))
        sent = loop.create_future()
        if isinstance(self.taken, Exception):
            loop.call_soon(sent.set_exception, self.taken)
        elif self.taken:
            loop.call_soon(sent.set_result, None)
        if self.reply is not None:
            correlation_id = dict(headers)["kafka_correlationId"].decode()
            loop.call_soon(self.replied, [(correlation_id, self.reply)])
        return sent


class Bench:
    """An application with its fake Kafka, and requests to it. Each request has an event loop of its own."""

    def __init__(self):
        self.kafka = FakeKafka()
        self.app = create_app(GatewaySettings(), self.kafka)

    @property
    def waiting(self):
        return self.app.state.gateway.replies.waiting

    def run(self, conversation):
        """Run a coroutine function with a client, and check that the event loop reports no unhandled exception."""
        unseen = []

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
            transport = httpx.ASGITransport(self.app)
            async with (
                asyncio.timeout(20),
                self.app.router.lifespan_context(self.app),
                httpx.AsyncClient(
                    transport=transport, base_url="http://gateway", event_hooks={"response": [self.look_up]}
                ) as client,
            ):
                return await conversation(client)

        answer = asyncio.run(main())
        assert unseen == []
        assert self.waiting == 0
        return answer

    async def look_up(self, answer):
        """Check every answer that a test gets against the OpenAPI document."""
        await answer.aread()
        assert_documented(json.loads(self.app.state.documents.openapi), answer)

    def request(self, method, path, **options):
        return self.run(lambda client: client.request(method, path, **options))

    def post(self, body=TASK, headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request(
            "POST", "/tasks", content=content, headers={"Content-Type": "application/json", **(headers or {})}
        )


@pytest.fixture
def bench(monkeypatch):
    def make(**settings):
        for name in GatewaySettings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in {
            "KAFKA_IMPORT_TOPIC": "import",
            "KAFKA_RESULT_TOPIC": "results",
            "REPLY_TIMEOUT_SECONDS": "0.05",
            **settings,
        }.items():
            monkeypatch.setenv(name, str(value))
        return Bench()

    return make


def assert_problem(answer, status, error_code, *, retry=None):
    """Check a problem. `retry`: whether it has a Retry-After; if None, every 503 and no other has one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "detail", "error_code", "correlation_id"}
    assert (body["status"], body["error_code"]) == (status, error_code)
    assert body["correlation_id"] == answer.headers["x-correlation-id"]
    assert body["detail"]
    assert "canary-7d1f" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503 if retry is None else retry)


def test_a_task_is_sent_as_it_came_and_answered_with_its_result(bench):
    run = bench()
    body = b' {"data": "\\u0438 x", "task_type":"email", "task_id":-5, "more": [1]}\n'

    answer = run.post(body)

    assert (answer.status_code, answer.content) == (200, b'{"task_id":1,"id":7}')
    assert answer.headers["content-type"] == "application/json"
    [(value, headers)] = run.kafka.sent
    assert value == body
    assert headers.keys() == {"kafka_correlationId", "integration_awaited_until"}
    assert headers["kafka_correlationId"] == answer.headers["x-correlation-id"].encode()


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_may_be_called_so_in_several_ways(bench, content_type):
    assert bench().post(headers={"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/jsonl", "application/json; charset=latin-1", "application/json, x"]
)
def test_a_body_that_is_not_json_by_its_name_is_415(bench, content_type):
    run = bench()

    assert_problem(run.post(headers={"Content-Type": content_type}), 415, "unsupported_media_type")
    assert run.kafka.sent == []


@pytest.mark.parametrize(
    ("content_type", "was"),
    [
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("", "missing"),
        ("text/plain; charset=utf-8", "another"),
        ("canary-7d1f", "another"),
        ("text/89168233454", "another"),
        ("text/" + "x" * 200, "another"),
    ],
)
def test_a_415_says_what_the_content_type_must_be_and_repeats_only_a_harmless_one(bench, content_type, was):
    detail = bench().post(headers={"Content-Type": content_type}).json()["detail"]

    assert detail.endswith(f": Content-Type must be application/json; it was {was}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"canary-7d1f",
        b"\xff",
        b'{"task_id":1,"task_type":"phone"',
        json.dumps({**TASK, "task_id": "1"}).encode(),
        json.dumps({**TASK, "task_type": "canary-7d1f"}).encode(),
        json.dumps({**TASK, "data": ""}).encode(),
        json.dumps({**TASK, "data": "canary-7d1f" * 30}).encode(),
        b"[" * 300_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_no_task_is_422_and_never_reaches_kafka(bench, body):
    run = bench()

    assert_problem(run.post(body), 422, "invalid_task")
    assert run.kafka.sent == []


def test_a_body_that_says_it_is_compressed_is_415(bench):
    run = bench()

    answer = run.post(headers={"Content-Encoding": "gzip"})
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.json()["detail"].endswith(": Content-Encoding must not be used")
    assert run.post(headers={"Content-Encoding": "Identity"}).status_code == 200
    assert len(run.kafka.sent) == 1


def test_a_body_over_the_limit_is_413_by_its_length_before_it_is_read(bench):
    run = bench()

    headers = {"Content-Type": "application/json", "Content-Length": str(BODY_BYTES_MAX + 1)}
    answer_so_far = []

    async def conversation(_):
        async def receive():
            assert answer_so_far, "the body was asked for before the answer"
            return {"type": "http.disconnect"}

        async def send(message):
            answer_so_far.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await run.app(
            {"type": "http", "method": "POST", "path": "/tasks", "query_string": b"", "headers": raw}, receive, send
        )

    run.run(conversation)

    assert answer_so_far[0]["status"] == 413
    assert json.loads(answer_so_far[1]["body"])["error_code"] == "body_too_large"


def test_a_body_without_a_length_is_413_as_soon_as_it_is_too_large(bench):
    run = bench()

    async def body():
        for _ in range(3):
            yield b" " * (BODY_BYTES_MAX // 2)

    headers = {"Content-Type": "application/json"}
    answer = run.request("POST", "/tasks", content=body(), headers=headers)

    assert_problem(answer, 413, "body_too_large")
    assert run.kafka.sent == []


def test_a_body_of_just_the_limit_is_read(bench):
    body = json.dumps(TASK).encode()

    assert bench().post(body + b" " * (BODY_BYTES_MAX - len(body))).status_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_task", 422),
        ("task_rejected", 422),
        ("provider_unavailable", 503),
        ("provider_refused_account", 502),
        ("internal_error", 500),
    ],
)
def test_a_dead_letter_is_the_error_that_its_code_says(bench, code, status):
    run = bench()
    run.kafka.reply = Reply(None, code, "the reason")

    answer = run.post()

    assert_problem(answer, status, code)
    assert ": the reason" in answer.json()["detail"]


NOT_SENT_AGAIN = "sent again, it (would be|may become) a second task$"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("code", ["provider_unavailable", "provider_refused_account", "internal_error"])
def test_only_who_has_sent_a_key_is_told_to_send_a_task_again_that_the_operator_can_put_back(bench, code, method):
    run = bench()

    def detail(reply):
        async def conversation(client):
            run.kafka.reply = reply
            answer = await client.post("/tasks", json=TASK)
            return await client.get(f"/tasks/{answer.headers['x-correlation-id']}") if method == "GET" else answer

        return run.run(conversation).json()["detail"]

    without, with_key = detail(Reply(None, code, "why")), detail(Reply(None, code, "why", has_key=True))

    assert re.search(": why; the task is kept, and the operator can put it back: " + NOT_SENT_AGAIN, without)
    assert with_key.endswith(": why; send it again later with the same Idempotency-Key")


@pytest.mark.parametrize("code", ["invalid_task", "task_rejected"])
@pytest.mark.parametrize("has_key", [True, False])
def test_who_has_sent_a_task_that_fails_again_is_not_told_to_send_it_again(bench, code, has_key):
    run = bench()
    run.kafka.reply = Reply(None, code, "why", has_key)

    assert run.post().json()["detail"].endswith(": why")


def test_who_gets_no_reply_in_time_is_told_what_the_same_task_would_be(bench):
    run = bench()
    run.kafka.reply = None

    assert re.search(NOT_SENT_AGAIN, run.post().json()["detail"])
    detail = run.post(headers={"Idempotency-Key": "k"}).json()["detail"]
    assert detail.endswith("; sent again with the same Idempotency-Key, it gets the same result")


def test_a_dead_letter_with_a_code_of_its_own_is_an_internal_error(bench):
    run = bench()
    run.kafka.reply = Reply(None, "surprise", "")

    assert_problem(run.post(), 500, "internal_error")


def test_without_a_reply_in_time_it_is_504_and_the_result_is_found_later(bench):
    run = bench()
    run.kafka.reply = None

    async def conversation(client):
        answer = await client.post("/tasks", json=TASK)
        pending = await client.get(answer.headers["location"])
        run.kafka.replied([(answer.headers["x-correlation-id"], RESULT)])
        return answer, pending, await client.get(answer.headers["location"])

    answer, pending, found = run.run(conversation)

    assert_problem(answer, 504, "reply_timeout")
    assert answer.headers["location"] == f"/tasks/{answer.headers['x-correlation-id']}"
    assert pending.status_code == 202
    assert (found.status_code, found.content) == (200, RESULT.value)
    assert found.headers["x-correlation-id"] != answer.headers["x-correlation-id"]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=0"])
def test_who_prefers_not_to_wait_gets_202_when_kafka_has_the_task(bench, prefer):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    run.kafka.reply = None

    answer = run.post(headers={"Prefer": prefer})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/tasks/{answer.headers['x-correlation-id']}"


def test_who_prefers_to_wait_gets_the_result_if_it_comes_in_time(bench):
    assert bench(REPLY_TIMEOUT_SECONDS=60).post(headers={"Prefer": "wait=10"}).status_code == 200


def test_nobody_waits_longer_than_the_gateway_lets_them(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=0.05)
    run.kafka.reply = None

    assert run.post(headers={"Prefer": "wait=999"}).status_code == 202


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("", 60.5), ("wait=5", 5), ("respond-async, wait=5", 5), ("wait=61", 60.5), ("wait=9999999999", 60.5)],
)
def test_a_task_says_until_when_its_caller_waits(bench, prefer, seconds):
    run = bench(REPLY_TIMEOUT_SECONDS=60.5)
    before = int(1000 * time.time())

    run.post(headers={"Prefer": prefer} if prefer else {})

    until = int(run.kafka.sent[0][1]["integration_awaited_until"])
    assert before <= until - 1000 * seconds <= 1000 * time.time()


def test_a_body_that_comes_slowly_does_not_shorten_the_wait(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    complete_at = []

    async def body():
        yield json.dumps(TASK).encode()
        await asyncio.sleep(0.05)
        complete_at.append(int(1000 * time.time()))

    run.request("POST", "/tasks", content=body(), headers={"Content-Type": "application/json"})

    assert int(run.kafka.sent[0][1]["integration_awaited_until"]) >= complete_at[0] + 60_000


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=0"])
def test_a_task_that_nobody_waits_for_says_no_time(bench, prefer):
    run = bench()

    run.post(headers={"Prefer": prefer, "integration_awaited_until": "32503680000000"})

    assert run.kafka.sent[0][1].keys() == {"kafka_correlationId"}


def test_a_time_that_a_caller_sends_does_not_go_with_the_task(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=60)

    run.post(headers={"integration_awaited_until": "32503680000000"})

    assert int(run.kafka.sent[0][1]["integration_awaited_until"]) <= 1000 * (time.time() + 60)


@pytest.mark.parametrize("prefer", [None, "respond-async", "wait=1"])
def test_a_task_that_kafka_does_not_take_is_503(bench, prefer):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    headers = {"Prefer": prefer} if prefer else {}
    run.kafka.reply, run.kafka.taken = None, NotTaken("it is refused")
    assert_problem(run.post(headers=headers), 503, "kafka_unavailable")

    run.kafka.refusal = NotTaken("too many tasks wait for Kafka")
    assert_problem(run.post(headers=headers), 503, "kafka_unavailable")


@pytest.mark.parametrize("prefer", [None, "respond-async"])
def test_a_task_that_kafka_may_have_is_sent_again_only_with_its_key(bench, prefer):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    headers = {"Prefer": prefer} if prefer else {}
    run.kafka.reply, run.kafka.taken = None, NotConfirmed()

    answer = run.post(headers=headers)
    assert_problem(answer, 503, "kafka_unavailable", retry=False)
    assert re.search("at Location: " + NOT_SENT_AGAIN, answer.json()["detail"])
    assert answer.headers["location"] == f"/tasks/{answer.headers['x-correlation-id']}"

    answer = run.post(headers=headers | {"Idempotency-Key": "k"})
    assert_problem(answer, 503, "kafka_unavailable", retry=True)
    assert answer.json()["detail"].endswith("; send it again later with the same Idempotency-Key")


def test_before_the_gateway_hears_all_replies_no_task_is_sent(bench):
    run = bench()
    run.kafka.absent = ["the reply consumer's position"]

    assert_problem(run.post(), 503, "kafka_unavailable")
    assert run.kafka.sent == []
    ready = run.request("GET", "/health/ready")
    assert (ready.status_code, ready.json()) == (
        503,
        {"status": "missing", "missing": ["the reply consumer's position"]},
    )
    assert run.request("GET", "/health/live").status_code == 200


def test_a_thread_that_has_ended_makes_the_gateway_not_live(bench):
    run = bench()
    run.kafka.ended = ["the thread of replies"]

    assert run.request("GET", "/health/live").status_code == 503
    assert run.request("GET", "/health/ready").status_code == 503
    assert "integration_gateway_ready 0.0" in run.request("GET", "/metrics").text


def test_when_too_many_wait_the_next_is_503_before_anything_is_sent(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=60, WAITING_REPLIES_MAX=3)
    run.kafka.reply = None

    async def conversation(client):
        waiting = [asyncio.ensure_future(client.post("/tasks", json=TASK)) for _ in range(3)]
        while run.waiting < 3:
            await asyncio.sleep(0)
        answer = await client.post("/tasks", json=TASK)
        run.kafka.replied([(headers["kafka_correlationId"].decode(), RESULT) for _, headers in run.kafka.sent])
        return answer, await asyncio.gather(*waiting)

    answer, others = run.run(conversation)

    assert_problem(answer, 503, "too_many_waiting")
    assert [other.status_code for other in others] == [200] * 3
    assert len(run.kafka.sent) == 3


def test_replies_reach_the_requests_that_asked_whatever_their_order(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    run.kafka.reply = None

    async def conversation(client):
        requests = [asyncio.ensure_future(client.post("/tasks", json=TASK)) for _ in range(20)]
        while run.waiting < 20:
            await asyncio.sleep(0)
        ids = [headers["kafka_correlationId"].decode() for _, headers in run.kafka.sent]
        for number, correlation_id in reversed(list(enumerate(ids, 1))):
            run.kafka.replied([(correlation_id, Reply(b'{"task_id":1,"id":%d}' % number))])
        return dict(zip(ids, range(1, 21), strict=True)), await asyncio.gather(*requests)

    numbers, answers = run.run(conversation)

    assert len(numbers) == 20
    for answer in answers:
        assert answer.json()["id"] == numbers[answer.headers["x-correlation-id"]]


def test_a_stop_answers_those_who_wait_that_their_task_will_be_done(bench):
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    run.kafka.reply = None

    async def conversation(client):
        waiting = asyncio.ensure_future(client.post("/tasks", json=TASK))
        while not run.waiting:
            await asyncio.sleep(0)
        stop_waiting(run.app)
        return await waiting

    assert_problem(run.run(conversation), 504, "reply_timeout")


def test_a_caller_who_leaves_is_not_waited_for(bench, monkeypatch):
    monkeypatch.setattr("gateway.tasks.DISCONNECT_LOOK_SECONDS", 0.01)
    run = bench(REPLY_TIMEOUT_SECONDS=60)
    run.kafka.reply = None

    async def conversation(_):
        messages = [{"type": "http.request", "body": json.dumps(TASK).encode()}, {"type": "http.disconnect"}]
        started = []

        async def receive():
            return messages.pop(0)

        async def send(message):
            started.append(message)

        headers = [(b"content-type", b"application/json")]
        await run.app(
            {"type": "http", "method": "POST", "path": "/tasks", "query_string": b"", "headers": headers}, receive, send
        )
        return started

    started, _ = run.run(conversation)

    assert started["status"] == 499
    assert len(run.kafka.sent) == 1


@pytest.mark.parametrize(
    "correlation_id", ["x", "%00", "é", str(uuid.uuid4()), new_correlation_id(0.0), "a" * 5000], ids=range(6)
)
def test_a_request_that_nobody_remembers_is_404(bench, correlation_id):
    assert_problem(bench().request("GET", f"/tasks/{correlation_id}"), 404, "not_found")


@pytest.mark.parametrize("request_id", ["a", "!~", "x" * 128])
def test_a_request_id_is_echoed_and_goes_with_the_task(bench, request_id):
    run = bench()

    answer = run.post(headers={"X-Request-ID": request_id})

    assert answer.headers["x-request-id"] == request_id
    assert run.kafka.sent[0][1]["X-Request-ID"] == request_id.encode()


@pytest.mark.parametrize("request_id", ["", "two words", "x" * 129, "tab\t", "é"])
def test_a_request_id_of_another_shape_is_ignored(bench, request_id):
    run = bench()

    answer = run.post(headers={"X-Request-ID": request_id.encode()})

    assert answer.status_code == 200
    assert "x-request-id" not in answer.headers
    assert run.kafka.sent[0][1].keys() == {"kafka_correlationId", "integration_awaited_until"}


def test_an_idempotency_key_and_the_trace_go_with_the_task(bench):
    run = bench()
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}

    run.post(headers={"Idempotency-Key": "k" * 255, **trace})

    [(_, headers)] = run.kafka.sent
    assert headers["idempotency_key"] == b"k" * 255
    assert {name: headers[name].decode() for name in trace} == trace


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "é"])
def test_an_idempotency_key_of_another_shape_is_422(bench, key):
    run = bench()

    assert_problem(run.post(headers={"Idempotency-Key": key.encode()}), 422, "invalid_idempotency_key")
    assert run.kafka.sent == []


def test_a_trace_that_is_too_long_is_left_out(bench):
    run = bench()

    run.post(headers={"traceparent": "0" * 65, "tracestate": "x" * 513})

    assert run.kafka.sent[0][1].keys() == {"kafka_correlationId", "integration_awaited_until"}


@pytest.mark.parametrize(
    ("method", "path", "status", "error_code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/tasks/", 404, "not_found"),
        ("GET", "/redoc", 404, "not_found"),
        ("GET", "/tasks", 405, "method_not_allowed"),
        ("DELETE", "/tasks/1", 405, "method_not_allowed"),
        ("OPTIONS", "/tasks", 405, "method_not_allowed"),
        ("BREW", "/tasks", 405, "method_not_allowed"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_as_well(bench, method, path, status, error_code):
    assert_problem(bench().request(method, path), status, error_code)


def test_every_answer_carries_a_correlation_id_of_its_own(bench):
    run = bench()
    answers = [run.request("GET", path) for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/")]
    answers += [run.post(), run.post(b"")]

    assert len({answer.headers["x-correlation-id"] for answer in answers}) == len(answers)


def test_an_unforeseen_error_is_a_500_that_is_logged_without_the_task(bench, caplog):
    run = bench()
    run.kafka.refusal = RuntimeError("canary-7d1f")

    with caplog.at_level(logging.DEBUG):
        answer = run.post(headers={"X-Request-ID": "mine"})

    assert_problem(answer, 500, "internal_error")
    assert answer.json()["detail"].endswith(": unforeseen error; Kafka may have the task")
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "unforeseen RuntimeError" in error.getMessage()
    assert "in post_task" in error.getMessage()
    assert answer.headers["x-correlation-id"] in error.getMessage()
    [request] = [record for record in caplog.records if record.getMessage() == "request"]
    assert (request.levelname, request.method, request.route, request.status) == ("WARNING", "POST", "/tasks", 500)
    assert (request.correlation_id, request.request_id) == (answer.headers["x-correlation-id"], "mine")
    assert "canary-7d1f" not in "".join(repr(vars(record)) for record in caplog.records)


def test_how_long_requests_waited_is_counted_by_what_came(bench):
    def waits(outcome):
        return REGISTRY.get_sample_value("integration_gateway_reply_seconds_count", {"outcome": outcome})

    before = {outcome: waits(outcome) for outcome in ("result", "dead_letter", "none")}
    run = bench()
    run.post()
    run.kafka.reply = Reply(None, "task_rejected", "no")
    run.post()
    run.kafka.reply = None
    run.post()

    assert {outcome: waits(outcome) - count for outcome, count in before.items()} == dict.fromkeys(before, 1)


def test_metrics_count_requests_by_route_and_never_by_what_a_caller_made_up(bench):
    run = bench()
    run.post()
    run.request("GET", "/canary-path")
    run.request("CANARYMETHOD", "/tasks")

    text = run.request("GET", "/metrics").text

    assert 'integration_gateway_request_seconds_count{method="POST",route="/tasks",status="200"}' in text
    assert 'integration_gateway_request_seconds_count{method="GET",route="none",status="404"}' in text
    assert "integration_gateway_waiting_replies 0.0" in text
    assert "integration_gateway_ready 1.0" in text
    assert "canary" not in text.lower()


@pytest.fixture
def guarded(bench):
    """A gateway that requires tokens."""
    return bench(GATEWAY_AUTH="required", SECRET_KEY=SECRET_KEY)


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        ({"Authorization": ""}, "Bearer"),
        ({"Authorization": "Basic YWxpY2U6Y2FuYXJ5"}, "Bearer"),
        ({"Authorization": token("alice")["Authorization"].removeprefix("Bearer ")}, "Bearer"),
        ({"Authorization": "Bearer"}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Bearer canary-7d1f"}, 'Bearer error="invalid_token"'),
        (token("alice", secret_key=SECRET_KEY + "2"), 'Bearer error="invalid_token"'),
    ],
    ids=range(7),
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/tasks"), ("GET", f"/tasks/{new_correlation_id(0)}")], ids=["POST", "GET"]
)
def test_without_a_valid_token_nothing_is_taken_or_told(guarded, method, path, headers, challenge):
    answer = guarded.request(method, path, json=TASK, headers=headers)

    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == challenge
    assert guarded.kafka.sent == []


def test_of_two_authorization_headers_none_counts(guarded):
    headers = [*token("alice").items(), *token("bob").items()]

    answer = guarded.request("POST", "/tasks", json=TASK, headers=headers)

    assert_problem(answer, 401, "unauthorized")


def test_a_token_is_checked_before_the_body_is_read(guarded):
    answer = guarded.request("POST", "/tasks", content=b"x" * (BODY_BYTES_MAX + 1))

    assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_with_a_token_a_task_is_taken_and_nothing_of_the_token_goes_to_kafka(guarded, scheme):
    bearer = token("alice-canary-7d1f")["Authorization"].removeprefix("Bearer ")

    answer = guarded.post(headers={"Authorization": scheme + bearer})

    assert (answer.status_code, answer.content) == (200, b'{"task_id":1,"id":7}')
    [(_, headers)] = guarded.kafka.sent
    assert headers.keys() == {"kafka_correlationId", "integration_awaited_until"}
    assert headers["kafka_correlationId"] == answer.headers["x-correlation-id"].encode()


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/asyncapi.json", "/metrics", "/health/live", "/nowhere"]
)
def test_what_is_no_task_needs_no_token(guarded, path):
    assert guarded.request("GET", path).status_code in (200, 404)


def test_what_became_of_a_task_is_told_to_its_owner_only(guarded):
    guarded.kafka.reply = None

    async def conversation(client):
        sent = await client.post("/tasks", json=TASK, headers={**token("alice"), "Prefer": "respond-async"})
        where = sent.headers["location"]
        before = [await client.get(where, headers=token(subject)) for subject in ("alice", "bob")]
        guarded.kafka.replied([(sent.headers["x-correlation-id"], RESULT)])
        after = [await client.get(where, headers=token(subject)) for subject in ("alice", "bob")]
        return [answer.status_code for answer in (*before, *after)], after[1]

    statuses, refused = guarded.run(conversation)

    assert statuses == [202, 404, 200, 404]
    assert_problem(refused, 404, "not_found")


def test_any_replica_with_the_same_key_knows_whose_a_task_is(bench):
    settings = {"GATEWAY_AUTH": "required", "SECRET_KEY": SECRET_KEY}
    location = bench(**settings).post(headers=token("alice")).headers["x-correlation-id"]
    another = bench(**settings)

    async def conversation(client):
        return [
            (await client.get(f"/tasks/{location}", headers=token(subject))).status_code for subject in ("alice", "bob")
        ]

    assert another.run(conversation) == [202, 404]


def test_the_same_idempotency_key_of_two_callers_is_two_keys_and_of_one_caller_one(guarded):
    for subject in ("alice", "bob", "alice"):
        assert guarded.post(headers={**token(subject), "Idempotency-Key": "mine"}).status_code == 200

    keys = [headers["idempotency_key"] for _, headers in guarded.kafka.sent]
    assert keys[0] == keys[2] != keys[1]
    assert all(len(key) == 64 for key in keys)


def test_a_caller_is_told_how_many_requests_are_left_and_refused_after_them(bench):
    run = bench(CALLER_REQUESTS_PER_MINUTE=2)

    answers = [run.post(), run.request("GET", "/tasks/mine"), run.post()]

    assert [answer.status_code for answer in answers] == [200, 404, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"caller";q=2;w=60'}
    left = [answer.headers["ratelimit"].rpartition(";t=") for answer in answers]
    assert [remaining for remaining, _, _ in left] == ['"caller";r=1', '"caller";r=0', '"caller";r=0']
    assert answers[2].json()["error_code"] == "too_many_requests"
    assert answers[2].headers["retry-after"] == left[2][2]
    assert len(run.kafka.sent) == 1
    assert run.request("GET", "/health/live").status_code == 200


def test_with_tokens_each_caller_has_requests_of_its_own_and_one_without_takes_none(bench):
    run = bench(GATEWAY_AUTH="required", SECRET_KEY=SECRET_KEY, CALLER_REQUESTS_PER_MINUTE=1)

    statuses = [run.post(headers=headers).status_code for headers in ({}, token("alice"), token("bob"), token("alice"))]

    assert statuses == [401, 200, 200, 429]


def test_no_answer_about_a_task_is_kept_on_its_way(guarded):
    answers = [guarded.post(), guarded.post(headers=token("alice")), guarded.request("GET", "/tasks/mine")]

    assert [answer.status_code for answer in answers] == [401, 200, 401]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


def test_without_a_limit_no_answer_speaks_of_one(bench):
    assert "ratelimit" not in bench().post().headers

"""The traces that a collector receives, with everything real: one trace from the request to its reply.

The tests need no real collector: OTLP over HTTP is a POST of one protobuf message.
"""

import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Kind
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sandbox.child import free_port
from tests.conftest import ROOT, until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
CANARY = "canary-7d1f"


@dataclass
class Span:
    """A span as the collector received it."""

    service: dict
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict
    events: list
    failed: bool
    seconds: float


class Collector:
    """Accepts OTLP over HTTP and keeps what it receives."""

    def __init__(self):
        self.bodies = []
        self.headers = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                collector.headers.append((self.path, self.headers.get("x-tenant")))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self):
        url = f"http://127.0.0.1:{self.server.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def spans(self):
        """Return all spans received so far."""
        return [
            span
            for body in list(self.bodies)
            for group in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in group.scope_spans
            for span in map(lambda span, of=values(group.resource.attributes): seen(span, of), scope.spans)
        ]

    def trace(self, trace_id, spans, seconds=60):
        """Wait until the trace has this many spans, and return them."""

        def whole():
            found = [span for span in self.spans() if span.trace == trace_id]
            return len(found) >= spans and found

        return until(whole, f"{spans} spans of a trace", seconds)


def values(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def seen(span, service):
    return Span(
        service,
        span.name,
        Kind.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        values(span.attributes),
        [(event.name, values(event.attributes)) for event in span.events],
        span.status.code == Status.STATUS_CODE_ERROR,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def tree(spans, parent):
    """Return the spans below a parent as a tree of names."""
    return {span.name: tree(spans, span.id) for span in spans if span.parent == parent}


def by_name(spans):
    return {span.name: span for span in spans}


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def task(data="8 916 823 34 54", task_type="phone"):
    return {"task_id": 1, "task_type": task_type, "data": data}


def value(*arguments):
    return json.dumps(task(*arguments)).encode()


def test_a_post_is_one_trace_from_the_callers_span_to_the_reply(collector, topics, start, start_processor):
    start_processor(**collector.environment)
    gateway = start("gateway", collector.environment, OTEL_EXPORTER_OTLP_HEADERS="x-tenant=ours")

    answer = gateway.client.post(
        "/tasks", json=task(), headers={"traceparent": TRACEPARENT, "tracestate": "a=b", "baggage": f"who={CANARY}"}
    )

    assert answer.status_code == 200
    spans = collector.trace(TRACE, 6)
    assert tree(spans, CALLER) == {
        "POST /tasks": {
            f"send {topics.name}": {
                f"process {topics.name}": {
                    "POST /api/v1/clean/phone": {},
                    "INSERT integration_service": {},
                    f"send {topics.results}": {},
                }
            }
        }
    }
    named = by_name(spans)
    correlation_id = answer.headers["x-correlation-id"]
    request = named["POST /tasks"]
    assert request.kind == "SERVER"
    assert request.service["service.name"] == "integration-service-gateway"
    assert request.service["service.instance.id"]
    assert request.attributes["http.request.method"] == "POST"
    assert (request.attributes["http.route"], request.attributes["http.response.status_code"]) == ("/tasks", 200)
    assert request.events == [("reply", {"integration.outcome": "result"})]
    record = named[f"process {topics.name}"]
    [result] = until(topics.read, "the result")
    assert record.kind == "CONSUMER"
    assert record.service["service.name"] == "integration-service-processor"
    assert record.attributes["messaging.system"] == "kafka"
    assert record.attributes["messaging.destination.name"] == topics.name
    assert record.attributes["messaging.consumer.group.name"] == f"{topics.name}-group"
    assert record.attributes["messaging.kafka.offset"] == 0
    assert record.attributes["integration.task_type"] == "phone"
    assert record.attributes["integration.outcome"] == "result"
    for span in (request, record, named[f"send {topics.name}"], named[f"send {topics.results}"]):
        assert span.attributes["messaging.message.conversation_id"] == correlation_id
    attempt = named["POST /api/v1/clean/phone"]
    assert (attempt.kind, attempt.attributes["integration.attempt"]) == ("CLIENT", 1)
    assert attempt.attributes["http.response.status_code"] == 200
    row = named["INSERT integration_service"]
    assert (row.kind, row.attributes["db.system.name"]) == ("CLIENT", "postgresql")
    assert row.attributes["integration.batch_rows"] == 1
    sent = named[f"send {topics.results}"]
    assert sent.kind == "PRODUCER"
    assert sent.attributes["messaging.kafka.offset"] == result.offset
    assert sent.attributes["messaging.destination.partition.id"] == str(result.partition)
    # The record on Kafka carries the producer span instead of the caller's, and no baggage.
    assert result.header("traceparent") == f"00-{TRACE}-{named[f'send {topics.name}'].id}-01".encode()
    assert result.header("tracestate") == b"a=b"
    assert "baggage" not in dict(result.headers)
    assert ("/v1/traces", "ours") in collector.headers
    assert not any(span.failed for span in spans)


def test_a_question_about_a_task_has_a_span_and_a_probe_has_none(collector, start):
    gateway = start("gateway", collector.environment, OTEL_SERVICE_NAME="front")
    asked = f"{int(time.time() * 1000):012x}"
    path = f"/tasks/{asked[:8]}-{asked[8:]}-7000-8000-000000000000"

    assert gateway.client.get(path).status_code == 202
    gateway.client.get(f"/tasks/{CANARY}")
    gateway.client.get(f"/{CANARY}")
    assert gateway.stop() == 0

    [span] = collector.spans()
    assert (span.name, span.kind) == ("GET /tasks/{correlation_id}", "SERVER")
    assert span.attributes["messaging.message.conversation_id"] == path.removeprefix("/tasks/")
    assert span.service["service.name"] == "front"


def test_a_producers_traceparent_is_the_parent_and_comes_back_on_the_result(collector, topics, start_processor):
    start_processor(**collector.environment)

    topics.send(value(), headers=[("traceparent", TRACEPARENT.encode())])

    [result] = until(topics.read, "the result")
    assert result.headers == [("traceparent", TRACEPARENT.encode())]
    spans = collector.trace(TRACE, 4)
    assert list(tree(spans, CALLER)) == [f"process {topics.name}"]


@pytest.mark.parametrize(
    "traceparent",
    [None, b"", b"\xff\xfe", b"00-0-0-01", f"00-{TRACE}-{CALLER}".encode(), TRACEPARENT.encode() * 10_000],
    ids=["none", "empty", "no UTF-8", "short", "cut off", "long"],
)
def test_a_malformed_traceparent_starts_a_new_trace_and_harms_nothing(collector, topics, start_processor, traceparent):
    start_processor(**collector.environment)

    topics.send(value(), headers=[("traceparent", traceparent)])

    [result] = until(topics.read, "the result")
    assert result.topic == topics.results
    assert result.headers == [("traceparent", traceparent)]
    until(lambda: len(collector.spans()) == 4, "the spans")
    [root] = tree(collector.spans(), "")
    assert root == f"process {topics.name}"
    assert {span.trace for span in collector.spans()} != {TRACE}


def test_each_attempt_is_a_span(collector, topics, simulators, start_processor):
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 503, "times": 2}])
    start_processor(**collector.environment)

    topics.send(value(), headers=[("traceparent", TRACEPARENT.encode())])

    spans = collector.trace(TRACE, 6)
    attempts = sorted(
        (span for span in spans if span.name == "POST /api/v1/clean/phone"),
        key=lambda span: span.attributes["integration.attempt"],
    )
    assert [span.attributes["integration.attempt"] for span in attempts] == [1, 2, 3]
    assert [span.attributes.get("http.request.resend_count") for span in attempts] == [None, 1, 2]
    assert [span.attributes["http.response.status_code"] for span in attempts] == [503, 503, 200]
    assert [span.attributes.get("error.type") for span in attempts] == ["provider_unavailable"] * 2 + [None]
    assert [span.failed for span in attempts] == [True, True, False]
    assert attempts[1].attributes["integration.waited_seconds"] > attempts[0].attributes["integration.waited_seconds"]
    assert not by_name(spans)[f"process {topics.name}"].failed


def test_a_dead_letter_is_marked_as_an_error(collector, topics, simulators, start, start_processor):
    simulators.control(latency_ms=0, faults=[{"kind": "status", "status": 400}])
    start_processor(**collector.environment)
    gateway = start("gateway", collector.environment)

    answer = gateway.client.post("/tasks", json=task(), headers={"traceparent": TRACEPARENT})

    assert answer.status_code == 422
    named = by_name(collector.trace(TRACE, 5))
    record = named[f"process {topics.name}"]
    assert record.failed
    assert (record.attributes["error.type"], record.attributes["integration.outcome"]) == ("task_rejected",) * 2
    assert named[f"send {topics.dead_letters}"].parent == record.id
    assert named["POST /tasks"].events == [("reply", {"integration.outcome": "task_rejected"})]


def test_no_span_repeats_a_task_an_answer_or_a_key(collector, topics, simulators, start, start_processor):
    faults = [{"when": f"{CANARY} {kind}", "kind": kind} for kind in ("junk", "wrong_shape", "close", "nul", "cut")]
    faults += [{"when": f"{CANARY} {n}", "kind": "status", "status": n} for n in (400, 503)]
    for_all = [{"when": f"{CANARY} {n}", "kind": "status", "status": n} for n in (401, 404)]
    simulators.control(latency_ms=0, faults=[*faults, *for_all])
    keys = {"DADATA_API_KEY": CANARY, "DADATA_SECRET_KEY": CANARY, "YANDEXGPT_API_KEY": CANARY}
    processor = start_processor(**collector.environment, **keys, PROVIDER_ATTEMPTS=2)
    gateway = start("gateway", collector.environment)

    failing = [fault["when"] for fault in faults]
    for data in (CANARY, *failing):
        topics.send(value(data), key=CANARY.encode(), headers=[("kafka_correlationId", CANARY.encode())])
    topics.send(f'{{"task_id": "{CANARY}"}}'.encode(), CANARY.encode(), b"\0" + CANARY.encode())
    for headers in ({"Idempotency-Key": CANARY, "X-Request-ID": CANARY}, {"Idempotency-Key": CANARY}):
        gateway.client.post(f"/tasks?who={CANARY}", json=task(CANARY), headers=headers)
        gateway.client.post("/tasks", json=task(f"{CANARY} 400"), headers=headers)
    gateway.client.post("/tasks", content=CANARY, headers={"Content-Type": "application/json"})
    expected = 1 + len(failing) + 3 + 4
    until(lambda: len(topics.read()) == expected, "results and dead letters")
    # Last, because other tasks wait then: no service until the provider takes another task, and a refused account.
    topics.send(value(f"{CANARY} 404"))
    processor.wait_until(lambda: "rejects every task" in processor.log_text())
    topics.send(value(CANARY))
    until(lambda: len(topics.read()) == expected + 2, "the other task's result, and then the dead letter")
    topics.send(value(f"{CANARY} 401"))
    expected += 3
    until(lambda: len(topics.read()) == expected, "one more dead letter")

    until(lambda: sum(span.name.startswith("process") for span in collector.spans()) == expected, "the spans")
    assert {span.attributes["integration.outcome"] for span in collector.spans() if span.kind == "CONSUMER"} == {
        "result",
        "invalid_task",
        "task_rejected",
        "provider_refused_account",
        "provider_unavailable",
        "internal_error",
    }
    assert CANARY.encode() not in b"".join(collector.bodies)
    assert "opentelemetry" not in processor.log_text() + gateway.log_text(), "the SDK complains about us"


def test_a_collector_that_is_away_stops_nothing_and_is_told_now_and_then(topics, start, start_processor):
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    away |= {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
    }
    programs = [start_processor(**away), start("gateway", away)]

    topics.send_tasks(range(500))
    assert programs[1].client.post("/tasks", json=task()).status_code == 200

    until(lambda: len(topics.read()) == 501, "all results")
    for program in programs:
        until(lambda log=program.log_text: "Failed to export spans" in log(), "a line about it")
    assert [program.stop(seconds=15) for program in programs] == [0, 0]
    for program in programs:
        told = [line for line in program.log_text().splitlines() if "opentelemetry" in line]
        assert 1 <= len(told) <= 4, told
        assert not any("8 916" in line or "127.0.0.1" in line for line in told)


def test_with_traces_off_the_callers_traceparent_goes_through_untouched(topics, start, start_processor):
    start_processor()
    gateway = start("gateway")

    gateway.client.post("/tasks", json=task(), headers={"traceparent": TRACEPARENT, "tracestate": "a=b"})

    [result] = until(topics.read, "the result")
    assert result.header("traceparent") == TRACEPARENT.encode()
    assert result.header("tracestate") == b"a=b"


@pytest.mark.parametrize(
    ("program", "loaded"),
    # FastAPI itself imports OpenTelemetry's bare API, which does nothing without the SDK.
    [
        ("processor", r"opentelemetry"),
        ("gateway", r"opentelemetry\.(sdk|exporter|semconv|proto)|requests|google\.protobuf"),
    ],
)
def test_with_traces_off_nothing_of_opentelemetry_is_loaded(program, loaded, tmp_path):
    # The script stops before the program would open a connection or a port.
    script = f"""
import sys
from {program}.service import Untraced, spans
from shared.settings import read_settings
from {program}.settings import {program.capitalize()}Settings
assert isinstance(spans(read_settings({program.capitalize()}Settings)), Untraced)
print(*sys.modules, sep="\\n")
"""
    environment = {"KAFKA_IMPORT_TOPIC": "a", "KAFKA_RESULT_TOPIC": "b", "POSTGRES_PASSWORD": "c"}
    modules = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert f"{program}.service" in modules
    assert not re.findall(rf"^(?:{loaded})\b.*", modules, re.M)
    assert f"{program}.traces" not in modules

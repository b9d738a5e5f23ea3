"""Trace context: a span's parent, the headers sent over Kafka, and what a failed span records."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span

from processor.enrich.errors import TaskRejected
from shared.traces import current, parent_of, record_attributes, with_parent

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01".encode()
OTHER = TRACEPARENT.replace(b"0af7", b"ffff")
CORRELATION_ID = b"01a208a4-51f7-7b5c-9d3e-6f0c8f4a2b11"


def parent(*headers):
    return get_current_span(parent_of(headers)).get_span_context()


def test_the_parent_is_the_span_that_traceparent_names():
    found = parent(("other", b"\xff"), ("traceparent", TRACEPARENT), ("tracestate", b"a=b"))

    assert (found.trace_id, found.span_id, found.is_remote) == (int(TRACE, 16), int(CALLER, 16), True)
    assert found.trace_state.to_header() == "a=b"


def test_the_last_of_several_counts():
    assert parent(("traceparent", OTHER), ("traceparent", TRACEPARENT)).trace_id == int(TRACE, 16)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff" * 55,
        TRACEPARENT[:-1],
        TRACEPARENT.upper(),
        TRACEPARENT + b"-more",
        TRACEPARENT.replace(b"00-", b"ff-", 1),
        f"00-{'0' * 32}-{CALLER}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        TRACEPARENT + b" " * 1000,
    ],
)
def test_what_is_no_traceparent_is_no_parent(value):
    assert not parent(("traceparent", value)).is_valid


def test_the_span_goes_over_kafka_in_place_of_the_callers_and_everything_else_as_it_is():
    span = NonRecordingSpan(SpanContext(int(TRACE, 16), int(CALLER, 16), is_remote=False, trace_flags=TraceFlags(1)))
    headers = [("a", b"1"), ("traceparent", OTHER), ("a", b"2"), ("tracestate", b"x=y")]

    assert with_parent(headers, span) == [("a", b"1"), ("a", b"2"), ("traceparent", TRACEPARENT)]


@pytest.mark.parametrize(
    ("header", "told"),
    [(CORRELATION_ID, CORRELATION_ID.decode()), (b"+7 916 823-34-54", None), (b"\xff", None), (None, None)],
)
def test_a_correlation_id_is_told_only_where_a_gateway_has_made_it(header, told):
    attributes = record_attributes("process", "tasks", [("kafka_correlationId", header)])

    assert attributes.get("messaging.message.conversation_id") == told


@pytest.mark.parametrize(
    ("error", "error_type"), [(ValueError("canary"), "ValueError"), (TaskRejected("canary"), "task_rejected")]
)
def test_a_failure_tells_its_kind_and_nothing_of_its_text(error, error_type):
    ended = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ended))
    span = provider.get_tracer("test").start_span("one")

    with pytest.raises(type(error)), current(span):
        raise error
    span.end()

    [found] = ended.get_finished_spans()
    assert found.attributes == {"error.type": error_type}
    assert (found.status.is_ok, found.status.description, found.events) == (False, None, ())


def test_who_is_cancelled_has_not_failed():
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("one")

    with pytest.raises(asyncio.CancelledError), current(span):
        raise asyncio.CancelledError

    assert span.status.is_unset

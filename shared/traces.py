"""OpenTelemetry for both programs: the exporter, a span's parent, and the mark of a failed span.

Imported only if OTEL_EXPORTER_OTLP_ENDPOINT turns traces on. Names follow OpenTelemetry's semantic conventions; names
that these lack begin with `integration.`. No span repeats a task, an answer, a key or an exception's text, and baggage
is not passed on.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from shared.messages import TRACE_HEADERS, ErrorCode, correlation_id_of

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""How long a stop waits for the collector to accept the last spans. After that, they are lost."""

OUTCOME = "integration.outcome"
"""A record's outcome: result, the dead letter's error_code, or handed_back to Kafka by a stop or a rebalance."""

_propagator = TraceContextTextMapPropagator()  # not the global one, which carries baggage


class Traces:
    """Sends spans to the collector. Spans never block: when the queue is full, they are dropped."""

    def __init__(self, service_name: str) -> None:
        """Start the thread that sends spans. The SDK reads its other settings from OTEL_*.

        Args:
            service_name: used if the environment names none.
        """
        # Their warnings repeat addresses and headers, which include the collector's token. Lost spans are still logged,
        # as ERRORs and by the queue.
        for name in ("opentelemetry.exporter", "opentelemetry.trace", "opentelemetry.util"):
            logging.getLogger(name).setLevel(logging.ERROR)
        resource = Resource.create({"service.name": service_name, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        session = requests.Session()
        session.trust_env = False  # no proxies or passwords from variables other than OTEL_*
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=session)))
        self._tracer = self._provider.get_tracer("integration-service", schema_url=Schemas.V1_44_0.value)

    def close(self) -> None:
        """Send the last spans, for at most FLUSH_SECONDS."""
        # In a thread, because the SDK's own stop takes no time limit and waits for a silent collector.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)
        if closing.is_alive():
            logger.warning("the last spans are lost: the collector did not accept them in %g seconds", FLUSH_SECONDS)

    def start(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], parent: Context | None = None
    ) -> Span:
        """Start a span that the caller ends. Its parent is the current span unless `parent` names another."""
        return self._tracer.start_span(name, parent, kind, attributes)

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], parent: Context | None = None
    ) -> Iterator[Span]:
        """Start a span that is current until the context ends, and then ends with the context's success or failure."""
        span = self.start(name, kind, attributes, parent)
        try:
            with current(span):
                yield span
        finally:
            span.end()


@contextmanager
def current(span: Span) -> Iterator[Span]:
    """Make the span the current one until the context ends, without ending the span."""
    with use_span(span, record_exception=False, set_status_on_exception=False):  # both would repeat the error's text
        try:
            yield span
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            code = getattr(error, "code", None)
            fail(span, code if isinstance(code, ErrorCode) else type(error).__name__)
            raise


def fail(span: Span, error_type: str) -> None:
    """Mark the span as failed. `error_type` is an error code or a class name, never free text."""
    span.set_attribute(ERROR_TYPE, str(error_type))
    span.set_status(Status(StatusCode.ERROR))


def parent_of(headers: Iterable[tuple[str, bytes | None]]) -> Context:
    """Return the context that W3C Trace Context's headers name; if there are none, an empty one, for a new trace.

    Args:
        headers: names in lower case. The last of a name counts.
    """
    carrier = {}
    for name, value in headers:
        if name in TRACE_HEADERS and value is not None and len(value) <= TRACE_HEADERS[name]:
            carrier[name] = value.decode("ascii", errors="replace")
    return _propagator.extract(carrier, Context())


def with_parent(headers: Iterable[tuple[str, bytes]], span: Span) -> list[tuple[str, bytes]]:
    """Return the record's headers with the span as parent instead of the caller's."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span))
    return [
        *((name, value) for name, value in headers if name not in TRACE_HEADERS),
        *((name, value.encode()) for name, value in carrier.items()),
    ]


def record_attributes(
    operation: Literal["send", "process"], topic: str, headers: Iterable[tuple[str, bytes | None]]
) -> dict[str, AttributeValue]:
    """Return the attributes of every span about a record: among them its correlation id, if a gateway made it."""
    attributes: dict[str, AttributeValue] = {
        messaging.MESSAGING_SYSTEM: "kafka",
        messaging.MESSAGING_OPERATION_NAME: operation,
        messaging.MESSAGING_OPERATION_TYPE: operation,
        messaging.MESSAGING_DESTINATION_NAME: topic,
    }
    if correlation_id := correlation_id_of(headers):
        attributes[messaging.MESSAGING_MESSAGE_CONVERSATION_ID] = correlation_id
    return attributes

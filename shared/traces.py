"""OpenTelemetry for both programs: the exporter, a span's parent, and how a span shows a failure.

Imported only where OTEL_EXPORTER_OTLP_ENDPOINT turns traces on. Names are those of OpenTelemetry's semantic
conventions, and begin with `integration.` where these have none. No span repeats a task, an answer, a key or an
exception's text, and baggage goes no further.
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
"""How long a stop waits for the collector to take the last spans. Where it does not, they are lost."""

OUTCOME = "integration.outcome"
"""What became of a record: result, the dead letter's error_code, or handed_back to Kafka by a stop or a rebalance."""

_propagator = TraceContextTextMapPropagator()  # and not the global one, which carries baggage


class Traces:
    """Spans on their way to the collector. None waits for it: what its queue does not hold is dropped."""

    def __init__(self, service_name: str) -> None:
        """Start the thread that sends them. All settings but these are the SDK's own, out of OTEL_*.

        Args:
            service_name: where the environment names none.
        """
        # These repeat addresses and headers, the collector's token among them; that spans are lost is told by ERRORs
        # and by the queue's own lines.
        for name in ("opentelemetry.exporter", "opentelemetry.trace", "opentelemetry.util"):
            logging.getLogger(name).setLevel(logging.ERROR)
        resource = Resource.create({"service.name": service_name, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        session = requests.Session()
        session.trust_env = False  # no proxy and no password but those of OTEL_*
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=session)))
        self._tracer = self._provider.get_tracer("integration-service", schema_url=Schemas.V1_44_0.value)

    def close(self) -> None:
        """Send what is still to be sent, for FLUSH_SECONDS at most."""
        # In a thread, as the SDK's own stop has no limit of ours and waits for as long as a silent collector.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)
        if closing.is_alive():
            logger.warning("the last spans are lost: the collector has not taken them in %g seconds", FLUSH_SECONDS)

    def start(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], parent: Context | None = None
    ) -> Span:
        """Start a span that somebody else ends. Its parent is the current one unless `parent` says another."""
        return self._tracer.start_span(name, parent, kind, attributes)

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], parent: Context | None = None
    ) -> Iterator[Span]:
        """Make a span the current one for as long as the context lasts, which it then tells how it ended."""
        span = self.start(name, kind, attributes, parent)
        try:
            with current(span):
                yield span
        finally:
            span.end()


@contextmanager
def current(span: Span) -> Iterator[Span]:
    """Make the span the current one for as long as the context lasts, without ending it."""
    with use_span(span, record_exception=False, set_status_on_exception=False):  # both would repeat the text
        try:
            yield span
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            code = getattr(error, "code", None)
            fail(span, code if isinstance(code, ErrorCode) else type(error).__name__)
            raise


def fail(span: Span, error_type: str) -> None:
    """Mark the span as failed.

    Args:
        span: not ended yet.
        error_type: one of few: a code or the name of a class, and no text.
    """
    span.set_attribute(ERROR_TYPE, str(error_type))
    span.set_status(Status(StatusCode.ERROR))


def parent_of(headers: Iterable[tuple[str, bytes | None]]) -> Context:
    """Return the context that W3C Trace Context's headers name; an empty one, so a new trace, where they name none.

    Args:
        headers: names in lower case. The last of a name counts.
    """
    carrier = {}
    for name, value in headers:
        if name in TRACE_HEADERS and value is not None and len(value) <= TRACE_HEADERS[name]:
            carrier[name] = value.decode("ascii", errors="replace")
    return _propagator.extract(carrier, Context())


def with_parent(headers: Iterable[tuple[str, bytes]], span: Span) -> list[tuple[str, bytes]]:
    """Return the record's headers with the span in place of the caller's."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span))
    return [
        *((name, value) for name, value in headers if name not in TRACE_HEADERS),
        *((name, value.encode()) for name, value in carrier.items()),
    ]


def record_attributes(
    operation: Literal["send", "process"], topic: str, headers: Iterable[tuple[str, bytes | None]]
) -> dict[str, AttributeValue]:
    """Return what every span about a record says of it.

    Args:
        operation: what is done with the record.
        topic: where the record goes to, or comes from.
        headers: the record's, of which the correlation id is told where a gateway has made it.
    """
    attributes: dict[str, AttributeValue] = {
        messaging.MESSAGING_SYSTEM: "kafka",
        messaging.MESSAGING_OPERATION_NAME: operation,
        messaging.MESSAGING_OPERATION_TYPE: operation,
        messaging.MESSAGING_DESTINATION_NAME: topic,
    }
    if correlation_id := correlation_id_of(headers):
        attributes[messaging.MESSAGING_MESSAGE_CONVERSATION_ID] = correlation_id
    return attributes

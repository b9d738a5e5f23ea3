"""The processor's spans: a record, each request to its provider, its row, and the delivery of its outcome.

Imported only if traces are on. `processor.service` wraps the steps in them, so the steps do not know about traces.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaError, Message
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import db_attributes as db
from opentelemetry.semconv.attributes import http_attributes as http
from opentelemetry.semconv.attributes import server_attributes as server
from opentelemetry.semconv.attributes import url_attributes as url
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from processor.apply_async.operator import Refused
from processor.enrich.enrich import Lane
from processor.enrich.errors import Answer, Line, NotNow, Provider
from processor.enrich.gate import Ticket
from processor.enrich.providers.wire import Response, Send, Wire
from processor.outcome import Outcome
from processor.record import Position, Record, Turn
from processor.settings import ProcessorSettings
from processor.store.postgres import Postgres
from processor.store.rows import FinishedRecords, Ledger, Row
from shared.messages import ERROR_CODE_HEADER, Task, TaskType
from shared.traces import OUTCOME, Traces, current, fail, parent_of, record_attributes

SERVICE_NAME = "integration-service-processor"

TASK_TYPE = "integration.task_type"
PROVIDER = "integration.provider"
ATTEMPT = "integration.attempt"
WAITED_SECONDS = "integration.waited_seconds"
"""Wait before an attempt: for a slot of the provider's quota and, before a retry, for the back-off."""
BATCH_ROWS = "integration.batch_rows"
"""Rows of the statement that wrote the row."""

EnrichStep = Callable[[Task, Ticket, Turn], Awaitable[Answer]]
Step = Callable[[Record, FinishedRecords, Turn], Awaitable[Outcome | None]]


@dataclass(slots=True)
class _Asking:
    """A task's attempts, and the time since which it waits for the next."""

    since: float
    attempt: int = 0


_asking: ContextVar[_Asking] = ContextVar("asking")  # each record's coroutine has a context of its own


class _TracedOutcome(Outcome):
    """An outcome with the span of its delivery."""

    span: Span
    started_ns: int


class _TracedRow(Row):
    """A row with its span."""

    span: Span


class TracedSteps:
    """Puts spans around the pipeline's steps."""

    def __init__(self, settings: ProcessorSettings) -> None:
        """Start sending spans, until `close`."""
        self._traces = Traces(SERVICE_NAME)
        self._group = settings.consumer_group()
        self._result_topic = settings.kafka_result_topic
        self._dead_letter_topic = settings.kafka_dead_letter_topic
        self._row_attributes: dict[str, AttributeValue] = {
            db.DB_SYSTEM_NAME: "postgresql",
            db.DB_NAMESPACE: settings.postgres_db,
            db.DB_COLLECTION_NAME: "integration_service",
            db.DB_OPERATION_NAME: "INSERT",
            server.SERVER_ADDRESS: settings.postgres_host,
            **({server.SERVER_PORT: int(settings.postgres_port)} if settings.postgres_port.isdigit() else {}),
        }

    def close(self) -> None:
        """Send the last spans, for a bounded time."""
        self._traces.close()

    def ledger(self, postgres: Postgres) -> Ledger:
        """Return a ledger that adds its statements to the spans of rows."""
        return _TracedLedger(postgres)

    def wire(self) -> Wire:
        """Return connections that add HTTP's attributes to the span of an attempt."""
        return _TracedWire()

    def process(self, process: Step) -> Step:
        """Return the step with a consumer span for each record, a child of the span in the record's headers."""

        async def traced(record: Record, finished: FinishedRecords, turn: Turn) -> Outcome | None:
            headers = record.headers or ()
            attributes = {
                **record_attributes("process", record.topic, headers),
                messaging.MESSAGING_DESTINATION_PARTITION_ID: str(record.partition),
                messaging.MESSAGING_KAFKA_OFFSET: record.offset,
                messaging.MESSAGING_CONSUMER_GROUP_NAME: self._group,
            }
            span = self._traces.start(f"process {record.topic}", SpanKind.CONSUMER, attributes, parent_of(headers))
            try:
                with current(span):
                    outcome = await process(record, finished, turn)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    span.set_attribute(OUTCOME, "handed_back")
                span.end()
                raise
            if outcome is None:
                return None  # another group handles the record: a span that does not end is not sent
            code = "result" if outcome.is_result else (dict(outcome.headers)[ERROR_CODE_HEADER] or b"").decode()
            span.set_attribute(OUTCOME, code)
            if not outcome.is_result:
                fail(span, code)
            span.end()
            return self._sending(outcome, span)

        return traced

    def _sending(self, outcome: Outcome, span: Span) -> Outcome:
        topic = self._result_topic if outcome.is_result else self._dead_letter_topic
        traced = _TracedOutcome(*outcome)
        traced.started_ns = time.time_ns()
        attributes = record_attributes("send", topic, outcome.headers)
        traced.span = self._traces.start(f"send {topic}", SpanKind.PRODUCER, attributes, set_span_in_context(span))
        return traced

    def refused(self, refused: Refused) -> Refused:
        """Return the function so that the outcome that replaces a refused one has a producer span, too."""

        def traced(record: Record, finished: FinishedRecords, outcome: Any, error: KafkaError) -> Outcome | None:
            replacement = refused(record, finished, outcome, error)
            return None if replacement is None else self._sending(replacement, outcome.span)

        return traced

    def delivered(self, outcome: Any, error: KafkaError | None, message: Message | None) -> None:
        """End the producer span of an outcome, at the time of delivery: this call, on Quix's thread, may come later."""
        if error is not None:
            fail(outcome.span, error.name())
        elif message is not None:
            outcome.span.set_attribute(messaging.MESSAGING_DESTINATION_PARTITION_ID, str(message.partition()))
            if message.offset() is not None:  # else its first acknowledgement was lost: Kafka has it and says not where
                outcome.span.set_attribute(messaging.MESSAGING_KAFKA_OFFSET, message.offset())
        seconds = None if message is None else message.latency()
        outcome.span.end(None if seconds is None else outcome.started_ns + int(seconds * 1e9))

    def enrich(self, enrich: EnrichStep) -> EnrichStep:
        """Return the step so that it adds the task type to the record's span, and counts attempts."""

        async def traced(task: Task, ticket: Ticket, turn: Turn) -> Answer:
            get_current_span().set_attribute(TASK_TYPE, task.task_type)
            _asking.set(_Asking(since=time.monotonic()))
            return await enrich(task, ticket, turn)

        return traced

    def lanes(self, lanes: Mapping[TaskType, Lane]) -> dict[TaskType, Lane]:
        """Return the lanes with a client span for each attempt; a lane without keys makes none."""
        return {
            task_type: lane if lane.ask is None else replace(lane, ask=self._ask(lane.name, lane.ask))
            for task_type, lane in lanes.items()
        }

    def _ask(self, provider: str, ask: Provider) -> Provider:
        async def traced(data: str, line: Line) -> Answer:
            asking = _asking.get()
            asking.attempt += 1
            attributes: dict[str, AttributeValue] = {
                PROVIDER: provider,
                ATTEMPT: asking.attempt,
                WAITED_SECONDS: round(time.monotonic() - asking.since, 6),
            }
            if asking.attempt > 1:
                attributes[http.HTTP_REQUEST_RESEND_COUNT] = asking.attempt - 1
            try:
                with self._traces.span("POST", SpanKind.CLIENT, attributes):
                    return await ask(data, line)
            except NotNow:  # it was not sent
                asking.attempt -= 1
                raise
            finally:
                asking.since = time.monotonic()

        return traced

    def sink(self, store: Callable[[Row], Awaitable[int]]) -> Callable[[Row], Awaitable[int]]:
        """Return the step with a client span for each row, from its submission to the group commit to its commit."""

        async def traced(row: Row) -> int:
            with self._traces.span("INSERT integration_service", SpanKind.CLIENT, self._row_attributes) as span:
                traced_row = _TracedRow(*row)
                traced_row.span = span
                return await store(traced_row)

        return traced


class _TracedLedger(Ledger):
    async def write(self, rows: Sequence[Row], *, suspect: bool = False) -> dict[Position, int]:
        """Record in the rows' spans the start of their statement, and its number of rows."""
        for row in rows:
            if isinstance(row, _TracedRow) and row.span.is_recording():
                row.span.add_event("statement")
                row.span.set_attribute(BATCH_ROWS, len(rows))
        return await super().write(rows, suspect=suspect)


class _TracedWire(Wire):
    def prepare(self, request: Any, timeout_seconds: float) -> Send:
        """Return the function that sends the request."""
        send = super().prepare(request, timeout_seconds)
        address = request.url.copy_with(userinfo=b"", query=None, fragment=None)
        attributes = {
            http.HTTP_REQUEST_METHOD: request.method,
            server.SERVER_ADDRESS: address.host,
            server.SERVER_PORT: address.port or (443 if address.scheme == "https" else 80),
            url.URL_FULL: str(address),
        }

        async def traced(body: bytes, line: Line) -> Response:
            span = get_current_span()
            span.update_name(f"{request.method} {address.path}")
            span.set_attributes(attributes)
            response = await send(body, line)
            span.set_attribute(http.HTTP_RESPONSE_STATUS_CODE, response.status_code)
            return response

        return traced

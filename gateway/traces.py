"""The gateway's spans: task requests, the delivery of tasks to Kafka, and replies. Imported only if traces are on."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import http_attributes as http
from opentelemetry.semconv.attributes import url_attributes as url
from opentelemetry.trace import Span, SpanKind, get_current_span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.kafka.kafka import Kafka
from gateway.kafka.replies_in import Replied
from gateway.kafka.tasks_out import NotTaken
from gateway.replies import Reply
from gateway.settings import GatewaySettings
from shared.messages import CORRELATION_ID, CORRELATION_ID_HEADER, ErrorCode
from shared.traces import OUTCOME, Traces, fail, parent_of, record_attributes, with_parent

SERVICE_NAME = "integration-service-gateway"

_TASK_PATH = re.compile(f"/tasks/({CORRELATION_ID.pattern})")


class TracedGateway:
    """Adds spans to Kafka and the application."""

    def __init__(self) -> None:
        """Start sending spans, until `close`."""
        self._traces = Traces(SERVICE_NAME)

    def close(self) -> None:
        """Send the last spans, for a bounded time."""
        self._traces.close()

    def kafka(self, settings: GatewaySettings) -> Kafka:
        """Return Kafka with a producer span for each task, and an event of the request's span for its reply."""
        return _TracedKafka(self._traces, settings)

    def app(self, app: ASGIApp) -> ASGIApp:
        """Return the application with a server span for each POST and GET of a task.

        Probes, and paths that callers choose freely, have no spans.
        """
        return _TracedRequests(app, self._traces)


class _TracedRequests:
    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, asked_id = _route(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        attributes = {
            http.HTTP_REQUEST_METHOD: scope["method"],
            http.HTTP_ROUTE: route,
            url.URL_SCHEME: scope["scheme"],
            url.URL_PATH: scope["path"],
        }
        parent = parent_of((name.decode("latin-1"), value) for name, value in scope["headers"])
        with self._traces.span(f"{scope['method']} {route}", SpanKind.SERVER, attributes, parent) as span:

            async def traced_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute(http.HTTP_RESPONSE_STATUS_CODE, message["status"])
                    if message["status"] >= 500:
                        fail(span, str(message["status"]))
                await send(message)

            await self._app(scope, receive, traced_send)
            span.set_attribute(
                messaging.MESSAGING_MESSAGE_CONVERSATION_ID, asked_id or scope["state"]["correlation_id"]
            )


class _TracedKafka(Kafka):
    def __init__(self, traces: Traces, settings: GatewaySettings) -> None:
        super().__init__(settings)
        self._traces = traces
        # Correlation id -> its request's span, while the request lasts.
        self._requests: WeakValueDictionary[str, Span] = WeakValueDictionary()

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        def traced(batch: list[tuple[str, Reply]]) -> None:
            for correlation_id, reply in batch:
                self._add_event(correlation_id, reply)
            replied(batch)

        super().start(traced, forget_until)

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        request = get_current_span()
        if request.is_recording():
            self._requests[dict(headers)[CORRELATION_ID_HEADER].decode()] = request
        topic = self.import_topic
        span = self._traces.start(f"send {topic}", SpanKind.PRODUCER, record_attributes("send", topic, headers))
        try:
            sent = super().send(value, with_parent(headers, span))
        except NotTaken:
            fail(span, NotTaken.__name__)
            span.end()
            raise
        sent.add_done_callback(partial(_end, span))
        return sent

    def _add_event(self, correlation_id: str, reply: Reply) -> None:
        request = self._requests.pop(correlation_id, None)
        if request is not None and request.is_recording():
            code = reply.error_code if reply.error_code in set(ErrorCode) else ErrorCode.INTERNAL_ERROR
            request.add_event("reply", {OUTCOME: "result" if reply.value is not None else str(code)})


def _route(scope: Scope) -> tuple[str | None, str | None]:
    """Return the route of a traced request, and the correlation id in its path."""
    if scope["type"] != "http":
        return None, None
    match scope["method"], scope["path"]:
        case "POST", "/tasks":
            return "/tasks", None
        case "GET", path if found := _TASK_PATH.fullmatch(path):
            return "/tasks/{correlation_id}", found[1]
    return None, None


def _end(span: Span, sent: "asyncio.Future[None]") -> None:
    if sent.cancelled() or sent.exception() is not None:
        fail(span, NotTaken.__name__)
    span.end()

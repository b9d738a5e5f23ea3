"""The gateway's application: what every request gets, whatever its route."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.correlation import new_correlation_id
from gateway.kafka import Kafka
from gateway.metrics import LATE_REPLIES, REQUEST_SECONDS, WAITING_REPLIES
from gateway.problems import problem
from gateway.replies import Replies, Reply
from gateway.routes import router
from gateway.settings import GatewaySettings
from shared.messages import REQUEST_ID_HEADER, ErrorCode

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 3600.0
"""How long a reply can be asked for by `GET /tasks/ID`."""

REMEMBERED_MAX = 100_000
"""How many replies at most."""

REQUEST_ID_CHARACTERS_MAX = 128

_ERROR_CODES = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: GatewaySettings) -> FastAPI:
    """Return the application; Kafka is opened when it starts, and need not be there yet."""
    kafka = Kafka(
        settings.kafka_connection(),
        import_topic=settings.kafka_import_topic,
        dead_letter_topic=settings.kafka_dead_letter_topic,
        topics=settings.kafka_topics(),
        partitions=settings.kafka_topic_partitions,
        remembered_seconds=REMEMBERED_SECONDS,
        remembered_max=REMEMBERED_MAX,
    )
    replies: Replies[asyncio.Future[Reply]] = Replies(
        waiting_max=settings.waiting_replies_max,
        remembered_max=REMEMBERED_MAX,
        remembered_seconds=REMEMBERED_SECONDS,
        on_late=LATE_REPLIES.inc,
    )
    WAITING_REPLIES.set_function(lambda: replies.waiting)

    def replied(batch: list[tuple[str, Reply]]) -> None:
        now = time.time()
        for correlation_id, reply in batch:
            waiter = replies.settle(correlation_id, reply, now)
            if waiter is not None and not waiter.done():
                waiter.set_result(reply)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        kafka.start(replied, replies.forget_until)
        yield
        await asyncio.to_thread(kafka.close)

    app = FastAPI(
        title="Integration service",
        version="1.0.0",
        summary="Phones, e-mail addresses and prompts in; cleaned and answered rows out.",
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.kafka = kafka
    app.state.replies = replies
    app.state.settings = settings
    app.include_router(router)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_middleware(EveryRequest)
    return app


class EveryRequest:
    """Gives each request its correlation id, echoes its X-Request-ID, measures it, and turns bugs into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI. Not starlette's BaseHTTPMiddleware, which costs a task and two queues a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        correlation_id = new_correlation_id(time.time())
        request_id = _request_id(scope)
        scope["state"]["correlation_id"] = correlation_id
        scope["state"]["request_id"] = request_id
        headers = [(b"x-correlation-id", correlation_id.encode())]
        if request_id is not None:
            headers.append((REQUEST_ID_HEADER.lower().encode(), request_id))
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # the boundary: a bug over one request must not take the connection down
            logger.exception("unforeseen %s over request %s", type(error).__name__, correlation_id)
            if status:
                raise
            answer = problem(500, ErrorCode.INTERNAL_ERROR, "unforeseen error", correlation_id)
            await answer(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            REQUEST_SECONDS.labels(route, _method(scope), status).observe(time.perf_counter() - started_at)


def _request_id(scope: Scope) -> bytes | None:
    name = REQUEST_ID_HEADER.lower().encode()
    value: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    visible = all(0x21 <= byte <= 0x7E for byte in value)
    return value if visible and 0 < len(value) <= REQUEST_ID_CHARACTERS_MAX else None


def _method(scope: Scope) -> str:
    # A label must not be a caller's free choice.
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


async def _http_error(request: Request, error: Any) -> Response:
    assert isinstance(error, HTTPException | StarletteHTTPException)
    code = _ERROR_CODES.get(error.status_code, "bad_request")
    return problem(error.status_code, code, str(error.detail), request.state.correlation_id, error.headers)

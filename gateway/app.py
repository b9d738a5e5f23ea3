"""The gateway's application: its routes, and the middleware of every request."""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import health, tasks
from gateway.access.callers import CallerLimit
from gateway.access.tokens import Tokens
from gateway.correlation import new_correlation_id
from gateway.documents import documents, pages
from gateway.kafka.kafka import Kafka
from gateway.metrics import LATE_REPLIES, READY, REQUEST_SECONDS, WAITING_REPLIES, WAITING_REPLIES_MAX
from gateway.problems import Problem
from gateway.replies import REMEMBERED_MAX, REMEMBERED_SECONDS, Replies, Reply
from gateway.settings import GatewaySettings
from gateway.state import Gateway
from shared.messages import REQUEST_ID_HEADER, ErrorCode

logger = logging.getLogger(__name__)


def create_app(settings: GatewaySettings, kafka: Kafka) -> FastAPI:
    """Return the application. It starts and closes Kafka, which need not answer yet."""
    replies: Replies[asyncio.Future[Reply]] = Replies(
        waiting_max=settings.waiting_replies_max,
        remembered_max=REMEMBERED_MAX,
        remembered_seconds=REMEMBERED_SECONDS,
        on_late=LATE_REPLIES.inc,
    )
    WAITING_REPLIES.set_function(lambda: replies.waiting)
    WAITING_REPLIES_MAX.set(settings.waiting_replies_max)
    READY.set_function(lambda: not (kafka.dead() or kafka.missing()))

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

    app = Application(
        title="Integration service",
        version="1.0.0",
        openapi_url=None,  # documents.py serves it, with pages that load nothing from other hosts
        redirect_slashes=False,
        # FastAPI's own telemetry would read the environment in every request, a tenth of a request's cost.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )
    app.state.gateway = Gateway(
        settings,
        kafka,
        replies,
        _tokens(settings),
        CallerLimit(settings.caller_requests_per_minute) if settings.caller_requests_per_minute else None,
    )
    app.state.documents = documents.Documents(app.title, app.version, settings)
    app.include_router(tasks.router)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.include_router(documents.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_middleware(EveryRequest)
    return app


class Application(FastAPI):
    """FastAPI, past which a POST of a task goes straight to its function: the layers cost as much as all the rest."""

    def __init__(self, **options: Any) -> None:
        """See FastAPI."""
        super().__init__(**options)
        self._post_task = EveryRequest(_post_task)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        if scope["type"] == "http" and scope["path"] == "/tasks" and scope["method"] == "POST":
            scope["app"] = self
            await self._post_task(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _post_task(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = tasks.POST_TASK
    request = Request(scope, receive)
    try:
        answer = await tasks.post_task(request)
    except Problem as error:
        answer = await _problem(request, error)
    await answer(scope, receive, send)


def _tokens(settings: GatewaySettings) -> Tokens | None:
    if settings.gateway_auth == "none":
        return None
    assert settings.secret_key is not None  # validated by the settings
    return Tokens(settings.secret_key)


def stop_waiting(app: FastAPI) -> None:
    """Answer the waiting requests at a stop: Kafka has their tasks, and the replies are still to come."""
    for waiter in app.state.gateway.replies.waiters():
        waiter.cancel()


class EveryRequest:
    """Gives each request its correlation id, echoes its X-Request-ID, measures it, and turns a bug into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI. Starlette's BaseHTTPMiddleware would cost a task and two queues for each request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        request_id = _request_id(scope)
        headers: list[tuple[bytes, bytes]] = []
        if request_id is not None:
            headers.append((REQUEST_ID_HEADER.lower().encode(), request_id))
        state = scope.setdefault("state", {})
        state.update(correlation_id=new_correlation_id(time.time()), request_id=request_id, answer_headers=headers)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Read now, because the route may have marked the id with its owner.
                named = (b"x-correlation-id", state["correlation_id"].encode())
                message["headers"] = [*message["headers"], named, *headers]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the boundary: a bug in one request is that request's 500
            # Not the exception's text, which may repeat the task.
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unforeseen %s at request %s\n%s", type(error).__name__, state["correlation_id"], frames)  # noqa: TRY400
            if not status:  # else the answer has begun, and uvicorn closes the connection
                reason = "unforeseen error"
                if scope.get("route") is tasks.POST_TASK:
                    reason += "; Kafka may have the task"
                answer = Problem(ErrorCode.INTERNAL_ERROR, reason).response(state["correlation_id"])
                await answer(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started_at
            route = getattr(scope.get("route"), "path", "none")
            method = _method(scope)
            REQUEST_SECONDS.labels(route, method, status).observe(seconds)
            # The many 503s of an overload are only counted, and the processor logs those of a provider.
            level = logging.WARNING if status in (500, 502, 504) else logging.DEBUG
            if logger.isEnabledFor(level):
                fields = {
                    "method": method,
                    "route": route,
                    "status": status,
                    "seconds": round(seconds, 4),
                    "correlation_id": state["correlation_id"],
                }
                logger.log(level, "request", extra=fields | ({"request_id": request_id.decode()} if request_id else {}))


def _request_id(scope: Scope) -> bytes | None:
    name = REQUEST_ID_HEADER.lower().encode()
    value: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    visible = all(0x21 <= byte <= 0x7E for byte in value)
    return value if visible and 0 < len(value) <= tasks.REQUEST_ID_CHARACTERS_MAX else None


def _method(scope: Scope) -> str:
    # Callers must not be able to choose a metric's label.
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


async def _problem(request: Request, error: Any) -> Response:
    answer: Response = error.response(request.state.correlation_id)
    return answer


async def _http_exception(request: Request, error: Any) -> Response:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return Problem(code, headers=error.headers).response(request.state.correlation_id)

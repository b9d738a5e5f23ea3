"""The REST interface: tasks, health, metrics."""

import asyncio
import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from gateway.kafka import Kafka, NotTaken
from gateway.problems import PROBLEM_SCHEMA, problem
from gateway.replies import Replies, Reply, TooManyWaiting
from gateway.settings import GatewaySettings
from shared.messages import CORRELATION_ID_HEADER, REQUEST_ID_HEADER, ErrorCode, InvalidTask, Result, Task, decode_task

BODY_BYTES_MAX = 512 * 1024

DISCONNECT_LOOK_SECONDS = 1.0
"""How long a request waits before it is worth a task to find out whether its caller is still there."""

TRACE_HEADER_BYTES_MAX = 512
TRACE_HEADERS = ("traceparent", "tracestate")

CLIENT_CLOSED_REQUEST = 499
"""For the metrics: nobody reads the answer."""

STATUS_BY_ERROR_CODE = {
    ErrorCode.INVALID_TASK: 422,
    ErrorCode.TASK_REJECTED: 422,
    ErrorCode.PROVIDER_UNAVAILABLE: 503,
    ErrorCode.PROVIDER_REFUSED_ACCOUNT: 502,
    ErrorCode.INTERNAL_ERROR: 500,
}

DETAIL_BY_ERROR_CODE = {
    ErrorCode.INVALID_TASK: "the task is not valid",
    ErrorCode.TASK_REJECTED: "the provider rejects this task",
    ErrorCode.PROVIDER_UNAVAILABLE: "the provider does not answer; the task is on the dead-letter topic",
    ErrorCode.PROVIDER_REFUSED_ACCOUNT: "the provider refuses the service's account",
    ErrorCode.INTERNAL_ERROR: "the service failed over this task",
}

router = APIRouter()
Waiting = Replies[asyncio.Future[Reply]]


def _kafka(request: Request) -> Kafka:
    kafka: Kafka = request.app.state.kafka
    return kafka


def _replies(request: Request) -> Waiting:
    replies: Waiting = request.app.state.replies
    return replies


def _settings(request: Request) -> GatewaySettings:
    settings: GatewaySettings = request.app.state.settings
    return settings


def _problems(**described: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    return {int(status[1:]): {"description": text, "content": content} for status, text in described.items()}


FAILURES = _problems(
    s422="The body is no task (`invalid_task`), or the provider rejects it (`task_rejected`).",
    s500="The service failed over this task (`internal_error`).",
    s502="The provider refuses the service's account (`provider_refused_account`).",
    s503="The provider or Kafka is unavailable, or too many requests wait. Retry-After says when to try again.",
)


@router.post(
    "/tasks",
    response_model=Result,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Task.model_json_schema()}}},
        "parameters": [
            {
                "name": "Prefer",
                "in": "header",
                "schema": {"type": "string", "examples": ["respond-async", "wait=10"]},
                "description": "RFC 7240. `respond-async`: 202 once Kafka has the task; `wait=N`: after N seconds.",
            },
            {
                "name": "X-Request-ID",
                "in": "header",
                "schema": {"type": "string", "maxLength": 128},
                "description": "1 to 128 visible ASCII characters of the caller's own; echoed, logged, carried along.",
            },
        ],
    },
    responses={
        202: {"description": "Kafka has the task; its result will be at Location."},
        **FAILURES,
        **_problems(
            s413=f"The body has more than {BODY_BYTES_MAX} bytes.",
            s415="The body is not application/json.",
            s504="No reply yet: the task is in Kafka and will be done; its result will be at Location.",
        ),
    },
)
async def post_task(
    request: Request,
    kafka: Annotated[Kafka, Depends(_kafka)],
    replies: Annotated[Waiting, Depends(_replies)],
    settings: Annotated[GatewaySettings, Depends(_settings)],
) -> Response:
    """Take a task, and answer with its result."""
    correlation_id: str = request.state.correlation_id
    location = {"Location": f"/tasks/{correlation_id}"}
    content_type = request.headers.get("content-type", "")
    if not re.fullmatch(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', content_type, re.IGNORECASE):
        return problem(415, "unsupported_media_type", "the body must be application/json", correlation_id)
    try:
        body = await _body(request)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if body is None:
        too_large = f"the body has more than {BODY_BYTES_MAX} bytes"
        return problem(413, "body_too_large", too_large, correlation_id, {"Connection": "close"})
    try:
        decode_task(body)
    except InvalidTask as error:
        return problem(422, ErrorCode.INVALID_TASK, str(error), correlation_id)
    missing = kafka.missing()
    if missing:
        return problem(503, "kafka_unavailable", f"not ready yet: {', '.join(missing)}", correlation_id)

    patience_seconds = _patience_seconds(request)
    wait_seconds = settings.reply_timeout_seconds
    if patience_seconds is not None:
        wait_seconds = min(wait_seconds, patience_seconds)
    waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    try:
        replies.expect(correlation_id, waiter)  # before the task is sent: a reply may be quick
    except TooManyWaiting:
        return problem(503, "too_many_waiting", "too many requests wait for their reply", correlation_id)
    try:
        sent = kafka.send(body, _headers(request, correlation_id))
        sent.add_done_callback(lambda _: _fail(waiter, sent))
        if wait_seconds > 0 and await _comes(waiter, wait_seconds, request):
            return _answer(await waiter, correlation_id)
        await sent
    except NotTaken as error:
        return problem(503, "kafka_unavailable", str(error), correlation_id)
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        replies.remove(correlation_id)
    if patience_seconds is not None:
        return _accepted(correlation_id, {**location, "Preference-Applied": "respond-async"})
    late = f"no reply within {settings.reply_timeout_seconds:g} seconds; the task is in Kafka and will be done"
    return problem(504, "reply_timeout", late, correlation_id, location)


@router.get(
    "/tasks/{correlation_id}",
    response_model=Result,
    responses={
        202: {"description": "Not known yet."},
        **FAILURES,
        **_problems(s404="No such request, or it is older than the gateway remembers."),
    },
)
async def get_task(correlation_id: str, request: Request, replies: Annotated[Waiting, Depends(_replies)]) -> Response:
    """Tell what became of a task, by the correlation id that its request was answered with. Any replica knows."""
    reply = replies.find(correlation_id)
    if reply is not None:
        return _answer(reply, request.state.correlation_id)
    if replies.may_come(correlation_id, time.time()):
        return _accepted(correlation_id, {"Retry-After": "1"})
    gone = "no such request, or it is older than the gateway remembers"
    return problem(404, "not_found", gone, request.state.correlation_id)


@router.get("/health/live", responses={503: {"description": "A thread has ended that must not."}})
async def live(kafka: Annotated[Kafka, Depends(_kafka)]) -> Response:
    """Whether the gateway works at all; restart it where not."""
    return _health(kafka.dead())


@router.get("/health/ready", responses={503: {"description": "What is missing before tasks can be taken."}})
async def ready(kafka: Annotated[Kafka, Depends(_kafka)]) -> Response:
    """Whether tasks can be taken: the topics are there and all replies are heard."""
    return _health(kafka.dead() + kafka.missing())


@router.get("/metrics", include_in_schema=False)
def metrics() -> Response:
    """Answer Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _body(request: Request) -> bytes | None:
    """Return the body, or None as soon as it is known to be too large."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > BODY_BYTES_MAX:
        return None
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > BODY_BYTES_MAX:
            return None
    return bytes(chunks)


def _patience_seconds(request: Request) -> float | None:
    """Return after how many seconds the caller prefers a 202, or None without such a preference (RFC 7240).

    What makes no sense is no preference; of one that comes twice the first counts.
    """
    preferences: dict[str, str] = {}
    for part in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = part.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = preferences.get("wait", "")
    if wait.isascii() and wait.isdigit():
        return float(wait[:9])
    return 0.0 if "respond-async" in preferences else None


def _headers(request: Request, correlation_id: str) -> list[tuple[str, bytes]]:
    headers = [(CORRELATION_ID_HEADER, correlation_id.encode())]
    if request.state.request_id is not None:
        headers.append((REQUEST_ID_HEADER, request.state.request_id))
    for name in TRACE_HEADERS:
        value = request.headers.get(name)
        if value is not None and len(value) <= TRACE_HEADER_BYTES_MAX and value.isascii():
            headers.append((name, value.encode()))
    return headers


def _fail(waiter: asyncio.Future[Reply], sent: asyncio.Future[None]) -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None and not waiter.done():
        waiter.set_exception(error)


async def _comes(waiter: asyncio.Future[Reply], seconds: float, request: Request) -> bool:
    """Wait for the reply, and tell whether it came.

    Raises:
        ClientDisconnect: the caller has gone.
    """
    await asyncio.wait({waiter}, timeout=min(seconds, DISCONNECT_LOOK_SECONDS))
    if waiter.done() or seconds <= DISCONNECT_LOOK_SECONDS:
        return waiter.done()
    gone = asyncio.ensure_future(request.receive())  # the body is read: what comes next is the disconnect
    try:
        either: set[asyncio.Future[Any]] = {waiter, gone}
        await asyncio.wait(either, timeout=seconds - DISCONNECT_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not waiter.done():
            raise ClientDisconnect
    finally:
        gone.cancel()
    return waiter.done()


def _answer(reply: Reply, correlation_id: str) -> Response:
    if reply.value is not None:
        return Response(reply.value, media_type="application/json")
    code = ErrorCode(reply.error_code) if reply.error_code in list(ErrorCode) else ErrorCode.INTERNAL_ERROR
    detail = ": ".join(part for part in (DETAIL_BY_ERROR_CODE[code], reply.reason) if part)
    return problem(STATUS_BY_ERROR_CODE[code], code, detail, correlation_id)


def _accepted(correlation_id: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"correlation_id": correlation_id}, 202, headers)


def _health(missing: list[str]) -> Response:
    return JSONResponse({"status": "missing" if missing else "ok", "missing": missing}, 503 if missing else 200)

"""The REST interface to tasks: POST sends one and returns its result; GET returns the result later."""

import asyncio
import re
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from gateway.access.callers import CallerLimit, caller_at
from gateway.access.tokens import TokenRefused, Tokens, own_key
from gateway.kafka.tasks_out import NotConfirmed, NotTaken
from gateway.metrics import DEAD_LETTER_SECONDS, NO_REPLY_SECONDS, RESULT_SECONDS
from gateway.prefer import preferred_wait_seconds
from gateway.problems import BODY_BYTES_MAX, Problem
from gateway.replies import Reply, TooManyWaiting
from gateway.state import Gateway
from shared.messages import (
    AWAITED_UNTIL_HEADER,
    CORRELATION_ID_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    IDEMPOTENCY_KEY_PATTERN,
    REQUEST_ID_HEADER,
    TRACE_HEADERS,
    ErrorCode,
    InvalidTask,
    decode_task,
)

NOT_KEPT = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""Headers of every answer about a task: no browser or proxy stores it or guesses its type."""

JSON_TYPE = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)

SAFE_TYPE = re.compile(r"[a-z]{1,30}/[a-z.+-]{1,60}")
"""A media type that an answer may repeat: it can have no number, no address and no key."""

REQUEST_ID_CHARACTERS_MAX = 128

DISCONNECT_LOOK_SECONDS = 1.0
"""How long a request waits for its reply before it also starts to watch for its caller's disconnect."""

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a caller that has disconnected. Only the metrics show it."""

router = APIRouter()


@router.post("/tasks")
async def post_task(request: Request) -> Response:
    """Accept a task, and return its result."""
    gateway: Gateway = request.app.state.gateway
    subject = _let_in(gateway, request)
    if subject is not None:
        assert gateway.tokens is not None
        request.state.correlation_id = gateway.tokens.owned(request.state.correlation_id, subject)
    replies, reply_timeout_seconds = gateway.replies, gateway.settings.reply_timeout_seconds
    correlation_id: str = request.state.correlation_id
    location = f"/tasks/{correlation_id}"
    preferred_seconds = preferred_wait_seconds(request.headers.getlist("prefer"))
    wait_seconds = min(reply_timeout_seconds, reply_timeout_seconds if preferred_seconds is None else preferred_seconds)
    headers = _record_headers(request, correlation_id, subject)
    try:
        body = await _read_body(request)
        decode_task(body)
    except InvalidTask as error:
        raise Problem(ErrorCode.INVALID_TASK, str(error)) from None
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if missing := gateway.kafka.missing():
        raise Problem("kafka_unavailable", f"it was not sent; missing: {', '.join(missing)}")

    waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    try:
        replies.expect(correlation_id, waiter)  # before the task is sent, because the reply may come at once
        if wait_seconds > 0:
            headers.append((AWAITED_UNTIL_HEADER, b"%d" % int(1000 * (time.time() + wait_seconds))))
        sent = gateway.kafka.send(body, headers)
        del body  # frees the memory while the reply is awaited
        sent.add_done_callback(lambda _: _stop_waiting_unless_taken(waiter, sent))
        began_at = time.monotonic()
        await _wait(waiter, wait_seconds, request)
        waited_seconds = time.monotonic() - began_at
        if waiter.done() and not waiter.cancelled():
            reply = waiter.result()
            (DEAD_LETTER_SECONDS if reply.value is None else RESULT_SECONDS).observe(waited_seconds)
            return _answer(reply, correlation_id)
        NO_REPLY_SECONDS.observe(waited_seconds)
        await sent
        if preferred_seconds is not None:
            return _accepted(correlation_id, {"Location": location, "Preference-Applied": "respond-async"})
        replies.give_up(correlation_id)
    except TooManyWaiting:
        raise Problem("too_many_waiting") from None
    except NotConfirmed:
        raise Problem("kafka_unavailable", headers={"Location": location}, has_key=_has_key(headers)) from None
    except NotTaken as error:
        raise Problem("kafka_unavailable", str(error)) from None
    except ClientDisconnect:
        replies.give_up(correlation_id)
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        replies.remove(correlation_id)
    raise Problem("reply_timeout", headers={"Location": location}, has_key=_has_key(headers))


POST_TASK = router.routes[-1]


@router.get("/tasks/{correlation_id}")
async def get_task(correlation_id: str, request: Request) -> Response:
    """Return a task's result, which every gateway knows, by the correlation id of its POST."""
    gateway: Gateway = request.app.state.gateway
    subject = _let_in(gateway, request)
    if subject is not None:
        assert gateway.tokens is not None
        if not gateway.tokens.owns(correlation_id, subject):
            raise Problem("not_found")  # not 403, which would reveal that another caller's task exists
    reply = gateway.replies.find(correlation_id)
    if reply is not None:
        return _answer(reply, request.state.correlation_id)
    if gateway.replies.may_come(correlation_id, time.time()):
        return _accepted(correlation_id, {"Retry-After": "1"})
    raise Problem("not_found")


def _let_in(gateway: Gateway, request: Request) -> str | None:
    """Authenticate and count the request. Return the caller's subject, or None if tokens are off.

    Raises:
        Problem: the caller is unknown, or makes too many requests.
    """
    request.state.answer_headers += NOT_KEPT
    subject = None if gateway.tokens is None else _subject(gateway.tokens, request)
    if gateway.caller_limit is not None:
        _count(gateway.caller_limit, subject, request)
    return subject


def _subject(tokens: Tokens, request: Request) -> str:
    scheme, _, token = ",".join(request.headers.getlist("authorization")).partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("unauthorized", headers={"WWW-Authenticate": "Bearer"})
    try:
        return tokens.subject(token.strip())
    except TokenRefused as error:
        raise Problem("unauthorized", str(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None


def _count(caller_limit: CallerLimit, subject: str | None, request: Request) -> None:
    """Count the request, and add the remaining number to the answer's headers."""
    assert request.client is not None  # over TCP every caller has an address
    allowance = caller_limit.take(caller_at(request.client.host) if subject is None else subject, time.monotonic())
    left = f'"caller";r={allowance.remaining};t={allowance.reset_seconds}'
    request.state.answer_headers += [
        (b"ratelimit-policy", caller_limit.policy.encode()),
        (b"ratelimit", left.encode()),
    ]
    if not allowance.granted:
        raise Problem("too_many_requests", headers={"Retry-After": str(allowance.reset_seconds)})


def _record_headers(request: Request, correlation_id: str, subject: str | None) -> list[tuple[str, bytes]]:
    headers = [(CORRELATION_ID_HEADER, correlation_id.encode())]
    if request.state.request_id is not None:
        headers.append((REQUEST_ID_HEADER, request.state.request_id))
    keys = request.headers.getlist("idempotency-key")
    if keys:
        if not (len(keys) == 1 and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, keys[0])):
            raise Problem("invalid_idempotency_key")
        key = keys[0] if subject is None else own_key(keys[0], subject)
        headers.append((IDEMPOTENCY_KEY_HEADER, key.encode()))
    for name, characters_max in TRACE_HEADERS.items():
        value = request.headers.get(name, "")
        if 0 < len(value) <= characters_max and value.isascii():
            headers.append((name, value.encode()))
    return headers


def _has_key(headers: list[tuple[str, bytes]]) -> bool:
    return IDEMPOTENCY_KEY_HEADER in dict(headers)


async def _read_body(request: Request) -> bytes:
    """Return the body. Stop reading as soon as it is known to be too large."""
    content_type = request.headers.get("content-type", "")
    if not JSON_TYPE.fullmatch(content_type):
        was = (content_type if SAFE_TYPE.fullmatch(content_type) else "another") if content_type else "missing"
        raise Problem("unsupported_media_type", f"Content-Type must be application/json; it was {was}")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "Content-Encoding must not be used")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_BYTES_MAX:
        raise Problem("body_too_large")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Problem("body_too_large")
    return bytes(body)


def _stop_waiting_unless_taken(waiter: asyncio.Future[Reply], sent: asyncio.Future[None]) -> None:
    if sent.cancelled() or sent.exception() is not None:
        waiter.cancel()


async def _wait(waiter: asyncio.Future[Reply], seconds: float, request: Request) -> None:
    """Wait until the waiter is done, but no longer than `seconds`.

    Raises:
        ClientDisconnect: the caller has disconnected.
    """
    await asyncio.wait({waiter}, timeout=min(seconds, DISCONNECT_LOOK_SECONDS))
    if waiter.done() or seconds <= DISCONNECT_LOOK_SECONDS:
        return
    gone = asyncio.ensure_future(request.receive())  # the body has been read, so the next message is the disconnect
    try:
        either: set[asyncio.Future[Any]] = {waiter, gone}
        await asyncio.wait(either, timeout=seconds - DISCONNECT_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not waiter.done():
            raise ClientDisconnect
    finally:
        gone.cancel()


def _answer(reply: Reply, correlation_id: str) -> Response:
    if reply.value is not None:
        return Response(reply.value, media_type="application/json")
    code = ErrorCode(reply.error_code) if reply.error_code in set(ErrorCode) else ErrorCode.INTERNAL_ERROR
    return Problem(code, reply.reason, has_key=reply.has_key).response(correlation_id)


def _accepted(correlation_id: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"correlation_id": correlation_id}, 202, headers)

"""One HTTP call to a provider: bounded, and every failure translated into what to do about it."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from processor.providers import AccountRefused, ProviderUnavailable, TaskRejected, UnexpectedAnswer

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""A larger answer is none: nothing of the kind is documented, and memory is bounded."""

KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept. DaData allows 60 new connections a minute."""

_INPUT_REFUSED = (400, 413, 414, 422)
_ACCOUNT_REFUSED = (401, 402, 403)
_NEVER_RETRY = 501


def provider_transport(connections_max: int) -> httpx.AsyncBaseTransport:
    """Return a pooled keep-alive transport, without cookies, redirects, or proxies and passwords of the environment.

    Its connections belong to the event loop that first uses it. httpx's own pool does 72 to 150 requests a second at
    256 in flight, this one 1,900.
    """
    return AiohttpTransport(
        client=lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=["Accept-Encoding"],  # answers are small, and unpacking them costs more than it saves
            trust_env=False,
        ),
        trust_env=False,
    )


async def call(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Any:
    """Send the request once and return the JSON value of its answer.

    The transport is called without httpx's client around it: redirects, cookies and environment are not wanted here.

    Raises:
        ProviderError: there is no good answer; which one says what to do.
    """
    try:
        response = await transport.handle_async_request(request)
        try:
            body = await _read(response)
        finally:
            await response.aclose()
    except (httpx.RequestError, aiohttp.ClientError, OSError) as error:
        raise ProviderUnavailable(f"no answer: {type(error).__name__}") from None
    if response.status_code != 200:
        _refuse(response)
    try:
        return json.loads(body, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise ProviderUnavailable("the answer is no JSON") from None


async def _read(response: httpx.Response) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise ProviderUnavailable(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _refuse(response: httpx.Response) -> NoReturn:
    # The body's text is not used: DaData's repeats the API token, and Yandex says to go by the status.
    status = response.status_code
    message = f"the provider answered {status}"
    if status in (408, 429) or (status >= 500 and status != _NEVER_RETRY):
        raise ProviderUnavailable(message, retry_after_seconds=_retry_after_seconds(response.headers))
    if status == _NEVER_RETRY:
        raise ProviderUnavailable(message, retryable=False)
    if status in _ACCOUNT_REFUSED:
        raise AccountRefused(message)
    if status in _INPUT_REFUSED:
        raise TaskRejected(message)
    raise UnexpectedAnswer(message)


def _retry_after_seconds(headers: httpx.Headers) -> float | None:
    # RFC 9110, section 10.2.3: a number of seconds or a date. Anything else counts as not sent.
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _no_json(constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")

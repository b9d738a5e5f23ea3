"""One request to a provider: returns its JSON, or raises the error that fits the failure."""

import codecs
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    Line,
    Misconfigured,
    ProviderError,
    ProviderUnavailable,
    TaskRejected,
    UnexpectedAnswer,
    UnstorableAnswer,
    UnusableAnswer,
)
from processor.enrich.providers.wire import ANSWER_BYTES_MAX, Response, Send

_TASK_REJECTED = (400, 422)
_INPUT_REJECTED = (413, 414)
_ACCOUNT_REFUSED = (401, 402, 403)
_MISCONFIGURED = (404, 405, 415)
_NEVER_RETRY = 501

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


async def call(send: Send, body: bytes, line: Line) -> Any:
    """Send the request once and return the JSON value of its answer.

    Raises:
        ProviderError: there is no usable answer.
    """
    response = await send(body, line)
    if response.status_code != 200:
        _refuse(response)
    content = _decoded(response).removeprefix(codecs.BOM_UTF8)
    try:
        answer = from_json(content, allow_inf_nan=False)
    except ValueError:
        raise _unreadable(content) from None
    _check_that_it_can_be_stored(answer)
    return answer


def _decoded(response: Response) -> bytes:
    # The request accepts no content encoding, but some proxies apply one anyway.
    content = response.content
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return content
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnusableAnswer("the answer has a content encoding that was not requested")
    try:
        return _inflated(content, _GZIP_OR_ZLIB)
    except zlib.error:
        if encoding != "deflate":
            raise ProviderUnavailable("the answer's compression is broken") from None
    try:
        return _inflated(content, -zlib.MAX_WBITS)  # some servers send deflate without the zlib header
    except zlib.error:
        raise ProviderUnavailable("the answer's compression is broken") from None


def _inflated(content: bytes, window_bits: int) -> bytes:
    inflate = zlib.decompressobj(window_bits)
    inflated = inflate.decompress(content, ANSWER_BYTES_MAX + 1)
    if len(inflated) > ANSWER_BYTES_MAX:
        raise UnusableAnswer(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    if not inflate.eof:
        raise ProviderUnavailable("the answer is truncated")
    return inflated


def _unreadable(content: bytes) -> ProviderError:
    # A proxy's error page or a truncated answer is temporary. Complete but unreadable JSON will come again: numbers
    # with thousands of digits, NaN, half of a surrogate pair, too deep a nesting, UTF-16 (RFC 8259 permits only UTF-8).
    try:
        json.loads(content, parse_int=str)
    except ValueError:
        return ProviderUnavailable("the answer is not valid JSON")
    except RecursionError:
        pass
    return UnusableAnswer("the answer is JSON that cannot be read")


def _check_that_it_can_be_stored(answer: Any) -> None:
    # PostgreSQL would refuse the row, and repeat it in its log.
    text = to_json(answer)
    # 1e400 is valid JSON but parses to infinity, which is not.
    if b"Infinity" in text and text != to_json(answer, inf_nan_mode="null"):
        raise UnusableAnswer("the answer has a number that is too large")
    if b"\\u0000" in text and b"\\u0000" in text.replace(b"\\\\", b""):  # an escaped backslash begins no escape
        raise UnstorableAnswer("the answer contains U+0000, which PostgreSQL cannot store")


def _refuse(response: Response) -> NoReturn:
    # The body is ignored: DaData's repeats the API token, and Yandex documents the status as decisive.
    status = response.status_code
    message = f"the provider answered {status}"
    if status == _NEVER_RETRY:
        raise ProviderUnavailable(message, retryable=False)
    if status in (408, 429) or status >= 500:
        raise ProviderUnavailable(message, retry_after_seconds=_retry_after_seconds(response.headers))
    if status in _ACCOUNT_REFUSED:
        raise AccountRefused(message)
    if status in _TASK_REJECTED:
        raise TaskRejected(message)
    if status in _INPUT_REJECTED:
        raise InputRejected(message)
    if status in _MISCONFIGURED:
        raise Misconfigured(message)
    raise UnexpectedAnswer(message)


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    # RFC 9110, section 10.2.3: a number of seconds or a date. Anything else is ignored.
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # OverflowError: the zone's offset is years long
        return None
    return None if until.tzinfo is None else max(0.0, (until - datetime.now(UTC)).total_seconds())

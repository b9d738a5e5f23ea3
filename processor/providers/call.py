"""One question to a provider: its answer as JSON, or what to do about the failure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

from processor.providers import AccountRefused, ProviderUnavailable, TaskRejected, UnexpectedAnswer
from processor.providers.wire import Response, Send

_INPUT_REFUSED = (400, 413, 414, 422)
_ACCOUNT_REFUSED = (401, 402, 403)
_NEVER_RETRY = 501


async def call(send: Send, body: bytes) -> Any:
    """Send the request once and return the JSON value of its answer.

    Raises:
        ProviderError: there is no good answer; which one says what to do.
    """
    response = await send(body)
    if response.status_code != 200:
        _refuse(response)
    try:
        answer = from_json(response.content, allow_inf_nan=False)
    except ValueError:
        raise ProviderUnavailable("the answer is no JSON") from None
    if _has_infinity(answer):
        raise ProviderUnavailable("the answer has a number that is too large")
    return answer


def _has_infinity(answer: Any) -> bool:
    # 1e400 is JSON and becomes one all the same, which is none: PostgreSQL would refuse the row.
    text = to_json(answer)
    return b"Infinity" in text and text != to_json(answer, inf_nan_mode="null")


def _refuse(response: Response) -> NoReturn:
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


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    # RFC 9110, section 10.2.3: a number of seconds or a date. Anything else counts as not sent.
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter of a zone that is years away
        return None
    if until.tzinfo is None:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())

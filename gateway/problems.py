"""Errors of the REST interface: the table of error codes, and the answers made from it, as problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.responses import Response

from shared.messages import IDEMPOTENCY_KEY_CHARACTERS_MAX, ErrorCode

BODY_BYTES_MAX = 512 * 1024

RETRY_AFTER_SECONDS = 5
"""Sent with a 503, unless sending the task again may make a second one."""

MEDIA_TYPE = "application/problem+json"


class Meaning(NamedTuple):
    """The HTTP status of an error code, and a detail for people that repeats no part of the task."""

    status: int
    detail: str


EDGE_ERRORS = {
    "bad_request": Meaning(400, "the request is not valid HTTP/1.1"),
    "headers_too_large": Meaning(431, "the headers have more than 16384 bytes, or one line more than 4096"),
    "overloaded": Meaning(503, "too many connections from one address, or no gateway is available"),
}
"""Errors that nginx returns before a request reaches a gateway; edge/default.conf.template has the same."""

ERRORS = {
    "unauthorized": Meaning(401, "a bearer token is required"),
    "not_found": Meaning(404, "no such request, or the gateway no longer remembers it"),
    "method_not_allowed": Meaning(405, "this path does not support the request's method"),
    "body_too_large": Meaning(413, f"the body has more than {BODY_BYTES_MAX} bytes"),
    "unsupported_media_type": Meaning(415, "the body must be JSON in UTF-8, not compressed"),
    "invalid_idempotency_key": Meaning(
        422, f"Idempotency-Key must be one key of 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters"
    ),
    "too_many_requests": Meaning(429, "the caller has used up its requests for this minute"),
    "kafka_unavailable": Meaning(503, "Kafka has not confirmed the task"),
    "too_many_waiting": Meaning(503, "too many requests are waiting for their replies"),
    "reply_timeout": Meaning(504, "no reply in time; Kafka has the task, and its result will be at Location"),
    **EDGE_ERRORS,
    **{code.value: Meaning(code.status, code.meaning) for code in ErrorCode},
}
"""Every error code of the REST interface."""

_SAME_KEY = "send it again later with the same Idempotency-Key"

SENT_AGAIN = {
    "kafka_unavailable": ("its result would be at Location: sent again, it may become a second task", _SAME_KEY),
    "reply_timeout": (
        "sent again, it would be a second task",
        "sent again with the same Idempotency-Key, it gets the same result",
    ),
    **dict.fromkeys(
        (code.value for code in ErrorCode if code.may_pass),
        ("the task is kept, and the operator can put it back: sent again, it would be a second task", _SAME_KEY),
    ),
}
"""Error code of a task that Kafka has or may have -> what happens if it is sent again: without and with the key of its
first request. The key of a failed task is free, and its dead letter has it: whichever comes first, the dead letter that
is put back or the new request, is done, and the other one gets its result."""


class Problem(Exception):
    """An error answer to a request. It must not repeat any part of the task."""

    def __init__(
        self,
        error_code: str,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        has_key: bool | None = None,
    ) -> None:
        """Describe the answer.

        Args:
            error_code: one of ERRORS.
            reason: the specific reason.
            headers: further headers of the answer; Retry-After is added to a 503.
            has_key: whether the task has an Idempotency-Key; None if Kafka does not have the task.
        """
        super().__init__(error_code)
        self.error_code = error_code
        self.status, meaning = ERRORS[error_code]
        self.detail = f"{meaning}: {reason}" if reason else meaning
        if has_key is not None and error_code in SENT_AGAIN:
            self.detail += f"; {SENT_AGAIN[error_code][has_key]}"
        self.headers = dict(headers or {})
        # A provider_unavailable always has it, as the interface promises.
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE and (error_code, has_key) != ("kafka_unavailable", False):
            self.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)

    def body(self, correlation_id: str) -> dict[str, Any]:
        """Return the answer's JSON object for the request with this correlation id."""
        return {
            "type": f"urn:integration-service:{self.error_code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "error_code": self.error_code,
            "correlation_id": correlation_id,
        }

    def response(self, correlation_id: str) -> Response:
        """Return the answer to the request with this correlation id."""
        return Response(json.dumps(self.body(correlation_id)), self.status, self.headers, MEDIA_TYPE)

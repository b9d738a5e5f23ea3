"""Errors of the REST interface: the table of error codes, and the answers made from it, as problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.responses import Response

from shared.messages import IDEMPOTENCY_KEY_CHARACTERS_MAX, ErrorCode

BODY_BYTES_MAX = 512 * 1024

RETRY_AFTER_SECONDS = 5
"""Sent with every 503."""

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
    "unsupported_media_type": Meaning(415, "the body must be application/json, not compressed"),
    "invalid_idempotency_key": Meaning(
        422, f"Idempotency-Key must be one key of 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters"
    ),
    "too_many_requests": Meaning(429, "the caller has used up its requests for this minute"),
    "kafka_unavailable": Meaning(503, "the task was not accepted"),
    "too_many_waiting": Meaning(503, "too many requests are waiting for their replies"),
    "reply_timeout": Meaning(504, "no reply in time; Kafka has the task, and its result will be at Location"),
    **EDGE_ERRORS,
    **{code.value: Meaning(code.status, code.meaning) for code in ErrorCode},
}
"""Every error code of the REST interface."""


class Problem(Exception):
    """An error answer to a request. It must not repeat any part of the task."""

    def __init__(self, error_code: str, reason: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Describe the answer.

        Args:
            error_code: one of ERRORS.
            reason: the specific reason.
            headers: further headers of the answer; Retry-After is added to every 503.
        """
        super().__init__(error_code)
        self.error_code = error_code
        self.status, meaning = ERRORS[error_code]
        self.detail = f"{meaning}: {reason}" if reason else meaning
        self.headers = dict(headers or {})

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
        headers = dict(self.headers)
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return Response(json.dumps(self.body(correlation_id)), self.status, headers, MEDIA_TYPE)

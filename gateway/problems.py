"""Errors as RFC 9457 has them: application/problem+json."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

RETRY_AFTER_SECONDS = 5
"""What a caller is told to wait where the service cannot take a task now."""

LINGER_SECONDS = 2.0
"""How long the rest of a body that nobody wants is read and thrown away."""

MEDIA_TYPE = "application/problem+json"

FRAMEWORK_ERROR_CODES = {404: "not_found", 405: "method_not_allowed"}
"""Of what the framework refuses by itself."""


class Problem(Exception):
    """A request that is answered with an error. Nothing of it may repeat the task."""

    def __init__(self, status: int, error_code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Describe the answer.

        Args:
            status: of HTTP.
            error_code: for programs.
            detail: for a person.
            headers: more of them; where trying again helps (503), it is said when.
        """
        super().__init__(detail)
        self.status = status
        self.error_code = error_code
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self, correlation_id: str) -> dict[str, Any]:
        """Return what the answer to the request with this correlation id says."""
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
        body = json.dumps(self.body(correlation_id))
        headers = dict(self.headers)
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if self.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            headers["Connection"] = "close"
            return LingeringResponse(body, self.status, headers, MEDIA_TYPE)
        return Response(body, self.status, headers, MEDIA_TYPE)


class LingeringResponse(Response):
    """An answer to a request whose body has not been read.

    It goes out first. Then the rest of the body is thrown away for a while: to close a connection with unread bytes
    in it resets it, and the caller, who may still be sending, would never see the answer (RFC 9112, section 9.6).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass  # the caller has had its time
        await send({"type": "http.response.body", "body": b"", "more_body": False})

"""Errors as RFC 9457 has them: application/problem+json."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

RETRY_AFTER_SECONDS = 5
"""What a caller is told to wait where the service cannot take a task now."""

PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error_code", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["urn:integration-service:invalid_task"]},
        "title": {"type": "string", "examples": ["Unprocessable Entity"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "examples": ["task_type: Input should be 'phone', 'email' or 'gpt'"]},
        "error_code": {"type": "string", "examples": ["invalid_task"]},
        "correlation_id": {"type": "string", "format": "uuid"},
    },
}


def problem(
    status: int, error_code: str, detail: str, correlation_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the error's answer. Where trying again helps (503), it says when.

    Args:
        status: of HTTP.
        error_code: for programs.
        detail: for a person; must not repeat the task.
        correlation_id: of this request.
        headers: more of them.
    """
    body = {
        "type": f"urn:integration-service:{error_code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error_code": error_code,
        "correlation_id": correlation_id,
    }
    retry_after = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(
        json.dumps(body, ensure_ascii=False),
        status,
        {**retry_after, **(headers or {})},
        media_type="application/problem+json",
    )

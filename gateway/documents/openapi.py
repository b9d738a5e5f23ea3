"""Fills in openapi.yaml, the OpenAPI document. test_openapi.py compares it with the routes."""

from typing import Any

from gateway.documents import examples
from gateway.documents.files import filled
from gateway.problems import BODY_BYTES_MAX, EDGE_ERRORS, ERRORS, MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from gateway.replies import REMEMBERED_MAX, REMEMBERED_SECONDS
from gateway.settings import GatewaySettings
from gateway.tasks import REQUEST_ID_CHARACTERS_MAX
from shared.messages import (
    IDEMPOTENCY_KEY_DAYS,
    IDEMPOTENCY_KEY_PATTERN,
    REQUEST_ID_HEADER,
    TASK,
    TRACE_HEADERS,
    ErrorCode,
    Result,
)

_REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "description": f"The caller's own name for the request, 1 to {REQUEST_ID_CHARACTERS_MAX} visible ASCII characters: "
    "echoed, logged, and carried with the task. A name of another form is ignored.",
    # Without a pattern, because a request that does not match it is not refused.
    "schema": {"type": "string", "examples": [examples.REQUEST_ID]},
}
"""Copied to every path, because Swagger UI loses a parameter that is only referenced."""


def openapi_document(title: str, version: str, settings: GatewaySettings) -> dict[str, Any]:
    """Return the document."""
    rows = [f"| `{code}` | {status} | {detail} |" for code, (status, detail) in ERRORS.items()]
    document = filled(
        "openapi.yaml",
        TITLE=title,
        VERSION=version,
        REPLY_TIMEOUT=f"{settings.reply_timeout_seconds:g}",
        ERRORS="\n    ".join(["| error_code | status | detail |", "|---|---|---|", *rows]),
        EDGE_ERRORS=", ".join(f"`{code}`" for code in EDGE_ERRORS),
        KEY_DAYS=IDEMPOTENCY_KEY_DAYS,
        KEY_PATTERN=IDEMPOTENCY_KEY_PATTERN,
        IDEMPOTENCY_KEY=examples.IDEMPOTENCY_KEY,
        TRACEPARENT_MAX=TRACE_HEADERS["traceparent"],
        TRACESTATE_MAX=TRACE_HEADERS["tracestate"],
        BODY_MAX=f"{BODY_BYTES_MAX:,}",
        CORRELATION_ID=examples.CORRELATION_ID,
        REQUEST_ID=examples.REQUEST_ID,
        RESULT=examples.RESULT.model_dump_json(),
        RETRY_AFTER=RETRY_AFTER_SECONDS,
        REQUEST_ID_MAX=REQUEST_ID_CHARACTERS_MAX,
        REMEMBERED_MINUTES=f"{REMEMBERED_SECONDS / 60:g}",
        REMEMBERED_MAX=f"{REMEMBERED_MAX:,}",
    )
    components = document["components"]
    components["schemas"] |= {"Task": TASK.json_schema(), "Result": Result.model_json_schema()}
    problem = components["schemas"]["Problem"]["properties"]
    problem["status"]["enum"] = sorted({status for status, _ in ERRORS.values()})
    problem["error_code"]["enum"] = sorted(ERRORS)
    post = document["paths"]["/tasks"]["post"]
    post["requestBody"]["content"]["application/json"]["examples"] = {
        task_type: {"value": task} for task_type, task in examples.TASKS.items()
    }
    for path, item in document["paths"].items():
        [operation] = item.values()
        item["parameters"] = [_REQUEST_ID_PARAMETER]
        if path.startswith("/tasks"):
            _describe_token(operation, required=settings.gateway_auth == "required")
        _fill_examples(operation["responses"])
        for code, (status, _) in EDGE_ERRORS.items():
            operation["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{code}"})
    if settings.gateway_auth == "none":
        del components["securitySchemes"], components["headers"]["WWW-Authenticate"]
    _fill_examples(components["responses"])
    _fill_examples(document["x-other-responses"])
    return document


def _describe_token(operation: dict[str, Any], *, required: bool) -> None:
    if required:
        operation["security"] = [{"bearer": []}]
    else:
        del operation["responses"]["401"]


def _fill_examples(responses: dict[str, Any]) -> None:
    """Replace the reason in each error example by the error's body."""
    for response in responses.values():
        reasons = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        for code, reason in reasons.items():
            if reason is None and code in set(ErrorCode):
                reason = examples.reason(ErrorCode(code))
            has_key = None if code == "kafka_unavailable" else False  # the example is of a task that was not sent
            reasons[code] = {"value": Problem(code, reason, has_key=has_key).body(examples.CORRELATION_ID)}

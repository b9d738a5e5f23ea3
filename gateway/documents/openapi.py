"""The OpenAPI document: every request that the gateway takes, and every answer that it gives.

Written down here and not gathered from the routes, as FastAPI does it: headers, errors and examples are most of it.
tests/unit/gateway/documents/test_openapi.py compares it with what the routes do.
"""

from collections.abc import Mapping
from typing import Any

from gateway.documents import examples
from gateway.problems import BODY_BYTES_MAX, EDGE_ERRORS, ERRORS, MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from gateway.replies import REMEMBERED_MAX, REMEMBERED_SECONDS
from gateway.settings import GatewaySettings
from gateway.tasks import REQUEST_ID_CHARACTERS_MAX
from shared.messages import (
    IDEMPOTENCY_KEY_DAYS,
    IDEMPOTENCY_KEY_PATTERN,
    REQUEST_ID_HEADER,
    TRACE_HEADERS,
    ErrorCode,
    Result,
    Task,
)

Document = dict[str, Any]

_CORRELATION_ID = {"type": "string", "format": "uuid", "examples": [examples.CORRELATION_ID]}

_REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "description": f"The caller's own name for the request, 1 to {REQUEST_ID_CHARACTERS_MAX} visible ASCII characters: "
    "echoed, logged, and carried with the task. One of another shape is ignored.",
    # Without a pattern: a request that breaks it is not refused.
    "schema": {"type": "string", "examples": [examples.REQUEST_ID]},
}
"""Written out at every path: Swagger UI loses one that is only referred to."""


def openapi_document(title: str, version: str, settings: GatewaySettings) -> Document:
    """Return the document as JSON has it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _description(settings)},
        "servers": [{"url": "/", "description": "The gateway that answers this document."}],
        "security": [],
        "tags": [
            {"name": "tasks", "description": "Send a task, and learn what became of it."},
            {"name": "health", "description": "For whoever runs the gateway."},
            {"name": "pages", "description": "For people, and the documents behind them."},
        ],
        "paths": {
            path: {
                "parameters": [_REQUEST_ID_PARAMETER],
                "get" if path != "/tasks" else "post": operation,
            }
            for path, operation in _operations(settings).items()
        },
        "components": {
            "schemas": {
                "Task": Task.model_json_schema(),
                "Result": Result.model_json_schema(),
                "Accepted": _object({"correlation_id": _CORRELATION_ID}),
                "Health": _object(
                    {
                        "status": {"type": "string", "enum": ["ok", "missing"]},
                        "missing": {"type": "array", "items": {"type": "string"}},
                    }
                ),
                "Problem": _problem_schema(),
            },
            "headers": _headers() | (_headers_of_tokens() if settings.gateway_auth == "required" else {}),
            "securitySchemes": _security_schemes(settings),
            "responses": {
                **{
                    code: _problem(
                        status,
                        "From nginx in front of the gateways.",
                        {code: None},
                        *(["Retry-After"] if status == 503 else []),
                    )
                    for code, (status, _) in EDGE_ERRORS.items()
                },
                "unforeseen": _problem(500, "A bug.", {ErrorCode.INTERNAL_ERROR: "unforeseen error"}),
            },
        },
        "x-other-responses": {  # to requests that are no operation's
            "no_such_path": _problem(404, "No such path.", {"not_found": None}),
            "no_such_method": _no_such_method(),
        },
    }


def _no_such_method() -> Document:
    answer = _problem(405, "No such method at this path.", {"method_not_allowed": None})
    answer["headers"]["Allow"] = _header("The methods that there are.", {"type": "string", "examples": ["GET"]})
    return answer


def _security_schemes(settings: GatewaySettings) -> Document:
    if settings.gateway_auth != "required":
        return {}
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "Made with `python -m gateway token SUBJECT`. What became of a task is told to the "
            "subject that sent it, and to nobody else.",
        }
    }


def _description(settings: GatewaySettings) -> str:
    rows = "\n".join(f"| `{code}` | {status} | {detail} |" for code, (status, detail) in ERRORS.items())
    return (
        "A task is one thing to ask a provider: DaData about a phone or an e-mail address, YandexGPT with a prompt. "
        "The answer is stored as one row, and the caller gets the row's `id`. The same tasks and results travel over "
        "Kafka: see [the AsyncAPI document](/asyncapi).\n\n"
        f"A POST waits {settings.reply_timeout_seconds:g} seconds for its result. Who does not want to wait sends "
        "`Prefer: respond-async` and asks later at `Location`.\n\n"
        "Every answer has an `X-Correlation-ID` of its own. Errors are `application/problem+json` (RFC 9457):\n\n"
        f"| error_code | status | detail |\n|---|---|---|\n{rows}\n\n"
        "`not_found` and `method_not_allowed` also answer every path and method that is not in this document. "
        f"{', '.join(f'`{code}`' for code in EDGE_ERRORS)} come from nginx, where it is in front of the gateways."
    )


def _operations(settings: GatewaySettings) -> dict[str, Document]:
    """Return path -> its one operation: POST for /tasks, GET for the others."""
    operations = _operations_alone(settings)
    for operation in operations.values():
        for code, (status, _) in EDGE_ERRORS.items():
            operation["responses"].setdefault(str(status), _ref("responses", code))
    return operations


def _operations_alone(settings: GatewaySettings) -> dict[str, Document]:
    page, document = _content("text/html", {"type": "string"}), _content("application/json", {"type": "object"})
    return {
        "/tasks": _guarded(_post_task(settings), settings),
        "/tasks/{correlation_id}": _guarded(_get_task(), settings),
        "/health/live": _health("getHealthLive", "Tell whether the gateway works at all", "What has ended."),
        "/health/ready": _health("getHealthReady", "Tell whether tasks can be taken", "What is missing before that."),
        "/metrics": _get("getMetrics", "health", "Answer Prometheus", _content("text/plain", {"type": "string"})),
        "/": _get("getTryPage", "pages", "The page on which a person tries the service", page),
        "/docs": _get("getDocs", "pages", "This document as a page", page),
        "/asyncapi": _get("getAsyncapi", "pages", "What travels over Kafka, as a page", page),
        "/openapi.json": _get("getOpenapiJson", "pages", "This document", document),
        "/asyncapi.json": _get("getAsyncapiJson", "pages", "What travels over Kafka (AsyncAPI 3.0)", document),
    }


def _guarded(operation: Document, settings: GatewaySettings) -> Document:
    """Return the operation with what callers and their number of requests get it to answer."""
    responses = operation["responses"]
    if settings.gateway_auth == "required":
        operation["security"] = [{"bearer": []}]
        responses["401"] = _problem(401, "There is no valid bearer token.", {"unauthorized": None}, "WWW-Authenticate")
    responses["429"] = _problem(
        429,
        "The caller makes too many requests (only with CALLER_REQUESTS_PER_MINUTE). Try again after Retry-After.",
        {"too_many_requests": None},
        "Retry-After",
    )
    for response in responses.values():
        response["headers"] |= {name: _ref("headers", name) for name in ("RateLimit-Policy", "RateLimit")}
    return operation


def _post_task(settings: GatewaySettings) -> Document:
    in_seconds = f"within {settings.reply_timeout_seconds:g} seconds"
    limit = f"{BODY_BYTES_MAX:,} bytes"
    return {
        "operationId": "postTask",
        "tags": ["tasks"],
        "summary": "Take a task, and answer with its result",
        "parameters": [
            _header_parameter(
                "Prefer",
                "RFC 7240. `respond-async`: 202 as soon as Kafka has the task. `wait=N`: the result if it comes within "
                "N seconds, else 202. What cannot be understood is ignored.",
                {"type": "string", "examples": ["respond-async", "wait=10"]},
            ),
            _header_parameter(
                "Idempotency-Key",
                f"Makes the request repeatable, for {IDEMPOTENCY_KEY_DAYS} days: the same key again gets the first "
                "one's `id`, and no provider is asked. With another task_type or data it is refused "
                "(`task_rejected`). The key of a task that failed is free again. With bearer tokens each subject has "
                "keys of its own.",
                {
                    "type": "string",
                    "pattern": f"^{IDEMPOTENCY_KEY_PATTERN}$",
                    "examples": [examples.IDEMPOTENCY_KEY],
                },
            ),
            *(
                _header_parameter(
                    name,
                    f"W3C Trace Context, carried with the task. One of more than {characters_max} characters is not.",
                    {"type": "string"},
                )
                for name, characters_max in TRACE_HEADERS.items()
            ),
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {limit}, in UTF-8. Unknown fields are ignored.",
            "content": _content(
                "application/json",
                _ref("schemas", "Task"),
                {task_type: task.model_dump() for task_type, task in examples.TASKS.items()},
            ),
        },
        "responses": {
            "200": _result(),
            "202": _accepted("As preferred: Kafka has the task, which will be done.", "Location", "Preference-Applied"),
            "413": _problem(413, f"The body has more than {limit}.", {"body_too_large": None}),
            "415": _problem(415, "The body is not application/json.", {"unsupported_media_type": None}),
            "422": _problem(
                422,
                "The body is no task, the Idempotency-Key is no key or another task's, or the provider refuses this "
                "very input. To try again does not help.",
                {ErrorCode.INVALID_TASK: examples.reason(ErrorCode.INVALID_TASK)}
                | {"invalid_idempotency_key": None}
                | _failure(ErrorCode.TASK_REJECTED),
            ),
            "500": _failed(),
            "502": _account_refused(),
            "503": _problem(
                503,
                "Kafka is not there, too many requests wait, or the provider does not answer. Try again after "
                "Retry-After.",
                {"kafka_unavailable": "missing: Kafka"}
                | {"too_many_waiting": None}
                | _failure(ErrorCode.PROVIDER_UNAVAILABLE),
                "Retry-After",
            ),
            "504": _problem(
                504,
                f"No reply {in_seconds}. Kafka has the task, which will be done: do not send it again, but ask at "
                "Location.",
                {"reply_timeout": None},
                "Location",
            ),
        },
    }


def _get_task() -> Document:
    remembered = f"{REMEMBERED_SECONDS / 60:g} minutes, or for {REMEMBERED_MAX:,} tasks"
    return {
        "operationId": "getTask",
        "tags": ["tasks"],
        "summary": "Tell what became of a task",
        "description": f"Any replica of the gateway knows, for {remembered}. With bearer tokens only the task's sender "
        "is told.",
        "parameters": [
            {
                "name": "correlation_id",
                "in": "path",
                "required": True,
                "description": "The X-Correlation-ID of the answer to the task's POST.",
                "schema": _CORRELATION_ID,
            }
        ],
        "responses": {
            "200": _result(),
            "202": _accepted("It is not known yet. Ask again after Retry-After.", "Retry-After"),
            "404": _problem(
                404,
                "No such request, or it is older than the gateway remembers, or another caller's.",
                {"not_found": None},
            ),
            "422": _problem(
                422,
                "The task was none, or it is rejected.",
                _failure(ErrorCode.INVALID_TASK) | _failure(ErrorCode.TASK_REJECTED),
            ),
            "500": _failed(),
            "502": _account_refused(),
            "503": _problem(
                503,
                "The provider did not answer. The task may be sent again.",
                _failure(ErrorCode.PROVIDER_UNAVAILABLE),
                "Retry-After",
            ),
        },
    }


def _health(operation_id: str, summary: str, missing: str) -> Document:
    schema = _ref("schemas", "Health")
    well: Document = {"status": "ok", "missing": []}
    ill: Document = {"status": "missing", "missing": ["Kafka"]}
    operation = _get(operation_id, "health", summary, _content("application/json", schema, {"ok": well}))
    operation["responses"]["503"] = _answer(missing, _content("application/json", schema, {"missing": ill}))
    return operation


def _get(operation_id: str, tag: str, summary: str, content: Document) -> Document:
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        "responses": {"200": _answer("It is as asked for.", content), "500": _ref("responses", "unforeseen")},
    }


def _result() -> Document:
    example = {"result": examples.RESULT.model_dump()}
    return _answer(
        "The task's result: its row is committed.", _content("application/json", _ref("schemas", "Result"), example)
    )


def _accepted(description: str, *headers: str) -> Document:
    example = {"accepted": {"correlation_id": examples.CORRELATION_ID}}
    return _answer(description, _content("application/json", _ref("schemas", "Accepted"), example), *headers)


def _failed() -> Document:
    return _problem(500, "The service failed to process this task.", _failure(ErrorCode.INTERNAL_ERROR))


def _account_refused() -> Document:
    description = "The provider refuses the service's account: its key, or its quota or balance is used up."
    return _problem(502, description, _failure(ErrorCode.PROVIDER_REFUSED_ACCOUNT))


def _failure(error_code: ErrorCode) -> dict[str, str | None]:
    return {error_code: examples.reason(error_code)}


def _problem(status: int, description: str, reasons: Mapping[str, str | None], *headers: str) -> Document:
    """Describe an error's answer.

    Args:
        status: of HTTP.
        description: when it is given.
        reasons: each error_code that it may have -> an example of the reason, or None.
        headers: that it has besides those of every answer.
    """
    bodies = {str(code): Problem(code, reason).body(examples.CORRELATION_ID) for code, reason in reasons.items()}
    return _answer(description, _content(MEDIA_TYPE, _ref("schemas", "Problem"), bodies), *headers)


def _answer(description: str, content: Document, *headers: str) -> Document:
    names = ("X-Correlation-ID", REQUEST_ID_HEADER, *headers)
    return {
        "description": description,
        "headers": {name: _ref("headers", name) for name in names},
        "content": content,
    }


def _content(media_type: str, schema: Document, bodies: Mapping[str, Any] | None = None) -> Document:
    content: Document = {"schema": schema}
    if bodies:
        content["examples"] = {name: {"value": body} for name, body in bodies.items()}
    return {media_type: content}


def _headers() -> Document:
    return {
        "X-Correlation-ID": _header("Made by the gateway for this one request.", _CORRELATION_ID),
        REQUEST_ID_HEADER: _header(
            "As the request had it.",
            {
                "type": "string",
                "pattern": f"^[!-~]{{1,{REQUEST_ID_CHARACTERS_MAX}}}$",
                "examples": [examples.REQUEST_ID],
            },
            required=False,
        ),
        "Location": _header(
            "Where the result will be.",
            {"type": "string", "format": "uri-reference", "examples": [f"/tasks/{examples.CORRELATION_ID}"]},
        ),
        "Preference-Applied": _header("RFC 7240.", {"type": "string", "const": "respond-async"}),
        "Retry-After": _header("In seconds.", {"type": "integer", "examples": [RETRY_AFTER_SECONDS]}),
        "RateLimit-Policy": _header(
            "How many requests one caller may make in how many seconds (draft-ietf-httpapi-ratelimit-headers-10).",
            {"type": "string", "examples": ['"caller";q=100;w=60']},
            required=False,
        ),
        "RateLimit": _header(
            "How many are left, and in how many seconds all of them are there again.",
            {"type": "string", "examples": ['"caller";r=99;t=60']},
            required=False,
        ),
    }


def _headers_of_tokens() -> Document:
    return {"WWW-Authenticate": _header("RFC 6750.", {"type": "string", "examples": ["Bearer"]})}


def _header(description: str, schema: Document, *, required: bool = True) -> Document:
    return {"description": description, "required": required, "schema": schema}


def _header_parameter(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _problem_schema() -> Document:
    return _object(
        {
            "type": {"type": "string", "format": "uri-reference", "description": "The error_code as a URN."},
            "title": {"type": "string", "description": "The status in words."},
            "status": {"type": "integer", "enum": sorted({status for status, _ in ERRORS.values()})},
            "detail": {"type": "string", "description": "For a person. Nothing of the task is repeated."},
            "error_code": {"type": "string", "enum": sorted(ERRORS), "description": "For programs."},
            "correlation_id": _CORRELATION_ID,
        }
    )


def _object(properties: Document) -> Document:
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}

"""The AsyncAPI document: the messages on Kafka, from the service's view: it receives tasks and sends the rest."""

from collections.abc import Sequence
from typing import Any

from gateway.documents import examples
from gateway.settings import GatewaySettings
from gateway.tasks import REQUEST_ID_CHARACTERS_MAX
from shared.messages import (
    CORRELATION_ID_HEADER,
    DEAD_LETTER_HEADER_PREFIX,
    ERROR_CODE_HEADER,
    IDEMPOTENCY_KEY_DAYS,
    IDEMPOTENCY_KEY_HEADER,
    IDEMPOTENCY_KEY_PATTERN,
    REDRIVEN_FROM_HEADER,
    REQUEST_ID_HEADER,
    TRACE_HEADERS,
    ErrorCode,
    Result,
    Task,
)

Document = dict[str, Any]

BINDING_VERSION = "0.5.0"
"""Of the Kafka bindings, which have versions of their own."""

SECURITY_SCHEME_TYPES = {"PLAIN": "plain", "SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512"}
"""What AsyncAPI calls librdkafka's mechanisms."""

_CORRELATION_ID = {
    "location": f"$message.header#/{CORRELATION_ID_HEADER}",
    "description": "The request that a result or a dead letter answers.",
}


def asyncapi_document(title: str, version: str, settings: GatewaySettings) -> Document:
    """Return the document as JSON has it. Of the settings it tells the topics' names and how to log in, not where."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"kafka": _server(settings)},
        "channels": {
            "tasks": _channel(settings.kafka_import_topic, "Tasks come in by it: the import topic.", "task"),
            "results": _channel(
                settings.kafka_result_topic, "Results go out by it, and nothing else: the result topic.", "result"
            ),
            "deadLetters": _channel(
                settings.kafka_dead_letter_topic,
                "Records that cannot become results: the dead-letter topic.",
                "failedTask",
                "noTask",
            ),
        },
        "operations": _operations(),
        "components": {
            "schemas": {"Task": Task.model_json_schema(), "Result": Result.model_json_schema()},
            "messages": _messages(settings),
        },
    }


_DESCRIPTION = (
    "A task is one thing to ask a provider: DaData about a phone or an e-mail address, YandexGPT with a prompt. Its "
    "answer is stored as one row, and the result carries the row's `id`. The operations are the service's own: it "
    "receives tasks, and sends a result or a dead letter for each. The gateway's POST /tasks is one of those who put "
    "tasks on the import topic (see the OpenAPI document); any producer may be another.\n\n"
    "Values are JSON in UTF-8. Header values are text in UTF-8. Of several headers with one name the last counts. Keys "
    "are free bytes, or none. Kafka delivers at least once: a result may come again, with the same `id`."
)


def _server(settings: GatewaySettings) -> Document:
    server: Document = {
        "host": "{bootstrapServer}",
        "protocol": "kafka-secure" if settings.kafka_security_protocol.endswith("SSL") else "kafka",
        "description": "The service's Kafka.",
        "variables": {
            "bootstrapServer": {
                # The setting's default and not its value: whoever may read this need not know the network inside.
                "default": GatewaySettings.model_fields["kafka_bootstrap_servers"].default,
                "description": "As in KAFKA_BOOTSTRAP_SERVERS; ask who runs the service.",
            }
        },
        "bindings": {"kafka": {"bindingVersion": BINDING_VERSION}},
    }
    if settings.kafka_sasl_mechanism and settings.kafka_security_protocol.startswith("SASL"):
        server["security"] = [{"type": SECURITY_SCHEME_TYPES[settings.kafka_sasl_mechanism], "description": "SASL."}]
    return server


def _channel(topic: str, description: str, *messages: str) -> Document:
    return {
        "address": topic,
        "description": description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING_VERSION}},
    }


def _operations() -> Document:
    return {
        "receiveTask": {
            "action": "receive",
            **_on("tasks", "task"),
            "summary": "Take a task.",
            "description": "What is no task is received too, and becomes a dead letter.",
        },
        "sendResult": {"action": "send", **_on("results", "result"), "summary": "Tell that a task's row is committed."},
        "sendDeadLetter": {
            "action": "send",
            **_on("deadLetters", "failedTask", "noTask"),
            "summary": "Set a record aside that cannot become a result.",
        },
        "replyWithResult": {
            "action": "receive",
            **_on("tasks", "task"),
            "summary": "Answer a task with its result.",
            "description": f"Request and reply: both have the same {CORRELATION_ID_HEADER}, and the same key.",
            "reply": _on("results", "result"),
        },
        "replyWithDeadLetter": {
            "action": "receive",
            **_on("tasks", "task"),
            "summary": "Answer a task that fails.",
            "description": f"The other reply that a request may get, also with the same {CORRELATION_ID_HEADER} and "
            f"the same key. {ERROR_CODE_HEADER} says what a caller can do about it.",
            "reply": _on("deadLetters", "failedTask", "noTask"),
        },
    }


def _on(channel: str, *messages: str) -> Document:
    return {
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _messages(settings: GatewaySettings) -> Document:
    task_codes = [code for code in ErrorCode if code is not ErrorCode.INVALID_TASK]
    return {
        "task": _message(
            "A task",
            "What one of the providers is to be asked.",
            {"$ref": "#/components/schemas/Task"},
            _headers(_carried() | _for_the_service()),
            [
                (task_type, task.model_dump(), _EXAMPLE_HEADERS if task_type == "phone" else {})
                for task_type, task in examples.TASKS.items()
            ],
        ),
        "result": _message(
            "A result",
            "With the key and all headers of its task's record.",
            {"$ref": "#/components/schemas/Result"},
            _headers(_carried()),
            [("result", examples.RESULT.model_dump(), _EXAMPLE_HEADERS)],
        ),
        "failedTask": _message(
            "A task that failed",
            "The task's record, byte for byte, with its key and headers, and headers that say why. It can be put back: "
            "see `python -m processor redrive`.",
            {"$ref": "#/components/schemas/Task"},
            _headers(_carried(), _why(task_codes)),
            [
                (code.value, examples.TASKS["phone"].model_dump(), _EXAMPLE_HEADERS | _example_why(settings, code))
                for code in task_codes
            ],
        ),
        "noTask": _message(
            "A record that is no task",
            "Byte for byte: any bytes, or none. Also a task with an idempotency_key that is no key.",
            {"description": "Anything; perhaps no JSON."},
            _headers(_carried(), _why([ErrorCode.INVALID_TASK])),
            [("invalid_task", examples.NO_TASK.decode(), _example_why(settings, ErrorCode.INVALID_TASK))],
        )
        | {"contentType": "application/octet-stream"},
    }


_EXAMPLE_HEADERS = {CORRELATION_ID_HEADER: examples.CORRELATION_ID, REQUEST_ID_HEADER: examples.REQUEST_ID}


def _message(
    title: str, summary: str, payload: Document, headers: Document, shown: list[tuple[str, Any, Document]]
) -> Document:
    return {
        "title": title,
        "summary": summary,
        "contentType": "application/json",
        "correlationId": _CORRELATION_ID,
        "headers": headers,
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": ["string", "null"], "description": "Free; the reply has the same."},
                "bindingVersion": BINDING_VERSION,
            }
        },
        "examples": [
            {"name": name, "headers": headers, "payload": payload} if headers else {"name": name, "payload": payload}
            for name, payload, headers in shown
        ],
    }


def _headers(optional: Document, required: Document | None = None) -> Document:
    required = required or {}
    return {
        "type": "object",
        "properties": {**optional, **required},
        "required": list(required),
        "description": "Others are free, and carried along.",
    }


def _carried() -> Document:
    """Return the headers that go from a task's record to its reply, whoever set them."""
    return {
        CORRELATION_ID_HEADER: _text(
            "The request. The gateway's is a UUID of version 7; other producers may set their own.",
            examples.CORRELATION_ID,
        ),
        REQUEST_ID_HEADER: _text(
            f"The caller's own name for a request by REST, 1 to {REQUEST_ID_CHARACTERS_MAX} visible ASCII characters.",
            examples.REQUEST_ID,
        ),
        **{name: _text("W3C Trace Context.") for name in TRACE_HEADERS},
    }


def _for_the_service() -> Document:
    """Return the headers that mean something to the service; elsewhere they may have come in any shape."""
    return {
        IDEMPOTENCY_KEY_HEADER: {
            **_text(
                f"Makes the task repeatable, for {IDEMPOTENCY_KEY_DAYS} days: the same key again gets the first one's "
                f"`id`, and no provider is asked. With another task_type or data: `{ErrorCode.TASK_REJECTED}`.",
                examples.IDEMPOTENCY_KEY,
            ),
            "pattern": f"^{IDEMPOTENCY_KEY_PATTERN}$",
        },
        REDRIVEN_FROM_HEADER: _text(
            "Where a record was first that was put back from the dead-letter topic: topic id, partition, offset. Not "
            "to be set by others.",
            "Nn6pTr4xQ1yTjz0Z4oQv3A/3/42",
        ),
    }


def _why(codes: Sequence[ErrorCode]) -> Document:
    """Return the headers that make a record a dead letter, and that others can rely on to be its last ones."""
    number = "^[0-9]+$"
    return {
        _dlt("original-topic"): _text("The topic that it came in by."),
        _dlt("original-partition"): {**_text("A number."), "pattern": number},
        _dlt("original-offset"): {**_text("A number."), "pattern": number},
        _dlt("original-timestamp"): {**_text("The record's, in milliseconds since 1970."), "pattern": "^-?[0-9]+$"},
        _dlt("original-topic-id"): _text("Kafka's own id of the topic. A topic that is made again gets another one."),
        _dlt("exception-message"): _text("Why, for a person. Nothing of the task is repeated."),
        ERROR_CODE_HEADER: {
            "type": "string",
            "enum": [code.value for code in codes],
            "description": "Why, for programs. " + "; ".join(f"`{code}`: {code.meaning}" for code in codes) + ".",
        },
    }


def _example_why(settings: GatewaySettings, code: ErrorCode) -> Document:
    return {
        _dlt("original-topic"): settings.kafka_import_topic,
        _dlt("original-partition"): "3",
        _dlt("original-offset"): "42",
        _dlt("original-timestamp"): "1769850000000",
        _dlt("original-topic-id"): "Nn6pTr4xQ1yTjz0Z4oQv3A",
        _dlt("exception-message"): examples.reason(code),
        ERROR_CODE_HEADER: code.value,
    }


def _dlt(name: str) -> str:
    return DEAD_LETTER_HEADER_PREFIX + name


def _text(description: str, example: str | None = None) -> Document:
    return {"type": "string", "description": description} | ({"examples": [example]} if example else {})

"""Fills in asyncapi.yaml, the AsyncAPI document."""

from typing import Any

from gateway.documents import examples
from gateway.documents.files import filled
from gateway.settings import GatewaySettings
from gateway.tasks import REQUEST_ID_CHARACTERS_MAX
from shared.messages import (
    AWAITED_UNTIL_HEADER,
    CORRELATION_ID_HEADER,
    ERROR_CODE_HEADER,
    IDEMPOTENCY_KEY_DAYS,
    IDEMPOTENCY_KEY_PATTERN,
    REQUEST_ID_HEADER,
    TASK,
    ErrorCode,
    Result,
)

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "PLAIN": {"type": "plain"},
    "SCRAM-SHA-256": {"type": "scramSha256"},
    "SCRAM-SHA-512": {"type": "scramSha512"},
    "OAUTHBEARER": {"type": "oauth2", "flows": {}},  # the token endpoint may be of an internal network
}
"""AsyncAPI's names for librdkafka's mechanisms."""

_CARRIED = {
    CORRELATION_ID_HEADER: examples.CORRELATION_ID,
    REQUEST_ID_HEADER: examples.REQUEST_ID,
    AWAITED_UNTIL_HEADER: examples.AWAITED_UNTIL,
}


def asyncapi_document(title: str, version: str, settings: GatewaySettings) -> dict[str, Any]:
    """Return the document: the topics' names, how to authenticate, and Kafka's public addresses if any are set."""
    codes = [code for code in ErrorCode if code is not ErrorCode.INVALID_TASK]
    document = filled(
        "asyncapi.yaml",
        TITLE=title,
        VERSION=version,
        PROTOCOL="kafka-secure" if settings.kafka_security_protocol.endswith("SSL") else "kafka",
        IMPORT_TOPIC=settings.kafka_import_topic,
        RESULT_TOPIC=settings.kafka_result_topic,
        DEAD_LETTER_TOPIC=settings.kafka_dead_letter_topic,
        CORRELATION_ID=examples.CORRELATION_ID,
        REQUEST_ID=examples.REQUEST_ID,
        REQUEST_ID_MAX=REQUEST_ID_CHARACTERS_MAX,
        AWAITED_UNTIL=examples.AWAITED_UNTIL,
        IDEMPOTENCY_KEY=examples.IDEMPOTENCY_KEY,
        KEY_DAYS=IDEMPOTENCY_KEY_DAYS,
        KEY_PATTERN=IDEMPOTENCY_KEY_PATTERN,
        TASK_ERROR_CODES=", ".join(codes),
        MEANINGS="; ".join(f"`{code}`: {code.meaning}" for code in codes),
        NO_TASK_MEANING=f"`{ErrorCode.INVALID_TASK}`: {ErrorCode.INVALID_TASK.meaning}",
    )
    document["components"]["schemas"] = {"Task": TASK.json_schema(), "Result": Result.model_json_schema()}
    if settings.kafka_public_bootstrap_servers:
        document["servers"]["kafka"]["host"] = settings.kafka_public_bootstrap_servers
        del document["servers"]["kafka"]["variables"]
    if settings.kafka_sasl_mechanism and settings.kafka_security_protocol.startswith("SASL"):
        security = SECURITY_SCHEMES[settings.kafka_sasl_mechanism]
        description = f"SASL with {settings.kafka_sasl_mechanism}."
        document["servers"]["kafka"]["security"] = [{**security, "description": description}]
    shown_by_message: dict[str, list[tuple[str, Any, dict[str, str]]]] = {
        "task": [(kind, task, _CARRIED) for kind, task in examples.TASKS.items()],
        "result": [("result", examples.RESULT.model_dump(), _CARRIED)],
        "failedTask": [(code, examples.TASKS["phone"], _CARRIED | _why(settings, code)) for code in codes],
        "noTask": [("invalid_task", examples.NO_TASK.decode(), _why(settings, ErrorCode.INVALID_TASK))],
    }
    for name, shown in shown_by_message.items():
        document["components"]["messages"][name]["examples"] = [
            {"name": str(title), "headers": headers, "payload": payload} for title, payload, headers in shown
        ]
    return document


def _why(settings: GatewaySettings, code: ErrorCode) -> dict[str, str]:
    return {
        "kafka_dlt-original-topic": settings.kafka_import_topic,
        "kafka_dlt-original-partition": "3",
        "kafka_dlt-original-offset": "42",
        "kafka_dlt-original-timestamp": "1769850000000",
        "kafka_dlt-original-topic-id": "Nn6pTr4xQ1yTjz0Z4oQv3A",
        "kafka_dlt-exception-message": examples.reason(code),
        ERROR_CODE_HEADER: code.value,
    }

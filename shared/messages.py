"""Messages on Kafka: tasks and results, their headers, and error codes."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from shared.validation import in_words

TaskType = Literal["phone", "email", "gpt"]


class TaskData(NamedTuple):
    """The `data` of a task type's tasks."""

    characters_max: int
    example: str


TASK_DATA: dict[TaskType, TaskData] = {
    "phone": TaskData(256, "8 916 823 34 54"),
    "email": TaskData(256, "serega@yandex/ru"),
    "gpt": TaskData(100_000, "What is the capital of Russia?"),
}
TASK_TYPES = tuple(TASK_DATA)

TASK_ID_MAX = 2**53 - 1
"""Readers that parse JSON numbers as doubles round larger ones (RFC 8259, section 6)."""

CORRELATION_ID_HEADER = "kafka_correlationId"
"""One request's id, named as in Spring Kafka. The gateway sets it, and the processor copies it to the reply."""
REQUEST_ID_HEADER = "X-Request-ID"
TRACE_HEADERS = {"traceparent": 64, "tracestate": 512}
"""W3C Trace Context's headers, with the largest number of characters; longer values are dropped."""
AWAITED_UNTIL_HEADER = "integration_awaited_until"
"""Until when somebody waits for the record's result, in milliseconds since 1970. If there are several, the last counts.
Such records go before the others at the provider."""
IDEMPOTENCY_KEY_HEADER = "idempotency_key"
"""Makes a task repeatable. If there are several, the last counts."""

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

IDEMPOTENCY_KEY_PATTERN = rf"[!-~]{{1,{IDEMPOTENCY_KEY_CHARACTERS_MAX}}}"
"""A key is visible ASCII characters."""

IDEMPOTENCY_KEY_DAYS = 30
"""How long a key is remembered. After that, a task with this key is a new task."""
REDRIVEN_FROM_HEADER = "redriven_from"
"""The first position, `TOPIC-ID/PARTITION/OFFSET`, of a redriven record. If there are several, the last counts."""
ERROR_CODE_HEADER = "error_code"
DEAD_LETTER_HEADER_PREFIX = "kafka_dlt-"


# A dataclass, because a model takes 400 bytes more, and a processor has tens of thousands of tasks in flight.
@dataclass(
    frozen=True,
    slots=True,
    config=ConfigDict(strict=True, json_schema_extra=lambda schema: schema.update(allOf=_limits_of_data())),
)
class Task:
    """A task: the value on the import topic, and the body of `POST /tasks`. Unknown fields are ignored."""

    task_id: Annotated[
        int,
        Field(ge=-TASK_ID_MAX, le=TASK_ID_MAX, description="The caller's own number; it may repeat.", examples=[42]),
    ]
    task_type: Annotated[TaskType, Field(description="Which provider answers.", examples=["phone"])]
    data: Annotated[
        str,
        Field(
            min_length=1,
            description="The input for the provider, without U+0000, which PostgreSQL cannot store. At most "
            + ", ".join(f"{data.characters_max:,} characters for {task_type}" for task_type, data in TASK_DATA.items())
            + ".",
            examples=[TASK_DATA["phone"].example],
            json_schema_extra={  # checked below, where the message gives the reason
                "maxLength": max(data.characters_max for data in TASK_DATA.values()),
                "pattern": r"^[^\u0000]*$",
            },
        ),
    ]

    @model_validator(mode="after")
    def _data_can_be_asked_and_stored(self) -> Self:
        if len(self.data) > TASK_DATA[self.task_type].characters_max:
            characters_max = f"{TASK_DATA[self.task_type].characters_max:,}"
            raise ValueError(f"data: must have at most {characters_max} characters for {self.task_type}")
        if "\0" in self.data:
            raise ValueError("data: must not contain U+0000, which PostgreSQL cannot store")
        return self


TASK = TypeAdapter(Task)
"""Decodes tasks, and describes them as JSON Schema."""


def _limits_of_data() -> list[JsonValue]:
    """Return the JSON Schema of the length limits that `Task` checks."""
    return [
        {
            "if": {"properties": {"task_type": {"const": task_type}}},
            "then": {"properties": {"data": {"maxLength": data.characters_max}}},
        }
        for task_type, data in TASK_DATA.items()
    ]


class Result(BaseModel):
    """A result: the value on the result topic, and the body of the REST answer."""

    model_config = ConfigDict(frozen=True, strict=True)

    task_id: Annotated[int, Field(ge=-TASK_ID_MAX, le=TASK_ID_MAX, description="The task's number.", examples=[42])]
    id: Annotated[int, Field(ge=1, description="The primary key of the row that holds the answer.", examples=[1])]

    def to_bytes(self) -> bytes:
        """Return the value for the result topic: `{"task_id":42,"id":1}`."""
        return b'{"task_id":%d,"id":%d}' % (self.task_id, self.id)


class ErrorCode(StrEnum):
    """Why a task did not become a result: the dead letter's header and the REST answer's `error_code`."""

    status: int
    """The HTTP status of the REST answer."""
    meaning: str

    INVALID_TASK = "invalid_task", 422, "the task is not valid"
    TASK_REJECTED = "task_rejected", 422, "this task is rejected"
    PROVIDER_UNAVAILABLE = "provider_unavailable", 503, "the provider does not answer"
    PROVIDER_REFUSED_ACCOUNT = "provider_refused_account", 502, "the provider refuses the service's account"
    INTERNAL_ERROR = "internal_error", 500, "the service failed to process this task"

    def __new__(cls, value: str, status: int = 0, meaning: str = "") -> Self:  # defaults: mypy checks ErrorCode("...")
        code = str.__new__(cls, value)
        code._value_, code.status, code.meaning = value, status, meaning
        return code

    @property
    def may_pass(self) -> bool:
        """Whether the same task may succeed later, because the cause is not the task itself."""
        return self.status >= 500


CORRELATION_ID = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""Form of a gateway's ids (RFC 9562, version 7). uuid.UUID accepts other spellings and takes three times as long."""


_MILLISECONDS = re.compile(rb"[0-9]{1,18}")


def awaited_until(header: bytes | None) -> float | None:
    """Return the header's time in seconds since 1970; None if there is no header, or if it is not a time."""
    if header is None or not _MILLISECONDS.fullmatch(header):
        return None
    return int(header) / 1000


def correlation_id_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """Return a record's correlation id for logs and spans, if it has the form that a gateway makes.

    Other producers may have written anything there, even a phone number.
    """
    value = (dict(headers or ()).get(CORRELATION_ID_HEADER) or b"").decode("latin-1")
    return value if CORRELATION_ID.fullmatch(value) else None


class InvalidTask(ValueError):
    """The value is not a task. The message gives the reason, and repeats no part of the value."""


def decode_task(value: bytes | None) -> Task:
    """Decode a task from a record's value or a request's body.

    Raises:
        InvalidTask: the value is missing, is not UTF-8, is not JSON or has another shape.
    """
    if value is None:
        raise InvalidTask("the record has no value (a tombstone)")
    try:
        return TASK.validate_json(value)
    except ValidationError as error:
        raise InvalidTask(_reason(value, error)) from None


def _reason(value: bytes, error: ValidationError) -> str:
    if not value.strip():
        return "it is empty"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return "; ".join(f"{name}: {wanted}" if name else wanted for name, wanted in in_words(error))

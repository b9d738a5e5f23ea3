"""Messages on Kafka: tasks, results, error codes, and the headers of both."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

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
"""Beyond it JSON numbers are rounded by readers that hold them as doubles (RFC 8259, section 6)."""

CORRELATION_ID_HEADER = "kafka_correlationId"
"""One request's id, as Spring Kafka names it. The gateway sets it, the processor carries it to the reply."""
REQUEST_ID_HEADER = "X-Request-ID"
TRACE_HEADERS = {"traceparent": 64, "tracestate": 512}
"""W3C Trace Context's, with the most characters that are carried through; longer ones are left out."""
IDEMPOTENCY_KEY_HEADER = "idempotency_key"
"""Makes a task repeatable. Where there are several, the last counts."""

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

IDEMPOTENCY_KEY_PATTERN = rf"[!-~]{{1,{IDEMPOTENCY_KEY_CHARACTERS_MAX}}}"
"""A key's form: visible ASCII characters."""

IDEMPOTENCY_KEY_DAYS = 30
"""How long a key is remembered. A task with a key that is older is a new task."""
REDRIVEN_FROM_HEADER = "redriven_from"
"""A record's first position, `TOPIC-ID/PARTITION/OFFSET`, once it was put back from the dead-letter topic. Where there
are several, the last counts."""
ERROR_CODE_HEADER = "error_code"
DEAD_LETTER_HEADER_PREFIX = "kafka_dlt-"


class Task(BaseModel):
    """A task as it stands in the import topic's value and in the body of `POST /tasks`. Unknown fields are ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, json_schema_extra=lambda schema: schema.update(allOf=_limits_of_data())
    )

    task_id: Annotated[
        int,
        Field(ge=-TASK_ID_MAX, le=TASK_ID_MAX, description="The caller's own number; it may repeat.", examples=[42]),
    ]
    task_type: Annotated[TaskType, Field(description="Which provider answers.", examples=["phone"])]
    data: Annotated[
        str,
        Field(
            min_length=1,
            max_length=max(data.characters_max for data in TASK_DATA.values()),
            description="What the provider is asked. Without U+0000, which PostgreSQL cannot store. At most "
            + ", ".join(f"{data.characters_max:,} characters for {task_type}" for task_type, data in TASK_DATA.items())
            + ".",
            examples=[TASK_DATA["phone"].example],
            json_schema_extra={"pattern": r"^[^\u0000]*$"},  # checked below, where the message can say why
        ),
    ]

    @model_validator(mode="after")
    def _data_can_be_asked_and_stored(self) -> Self:
        if len(self.data) > TASK_DATA[self.task_type].characters_max:
            raise ValueError(f"data has more than {TASK_DATA[self.task_type].characters_max} characters")
        if "\0" in self.data:
            raise ValueError("data has U+0000 in it, which PostgreSQL cannot store: leave it out")
        return self


def _limits_of_data() -> list[JsonValue]:
    """Return in JSON Schema what `Task` checks of the length of data."""
    return [
        {
            "if": {"properties": {"task_type": {"const": task_type}}},
            "then": {"properties": {"data": {"maxLength": data.characters_max}}},
        }
        for task_type, data in TASK_DATA.items()
    ]


class Result(BaseModel):
    """A result as it stands in the result topic's value and in the REST answer."""

    model_config = ConfigDict(frozen=True, strict=True)

    task_id: Annotated[int, Field(ge=-TASK_ID_MAX, le=TASK_ID_MAX, description="As the task had it.", examples=[42])]
    id: Annotated[int, Field(ge=1, description="The primary key of the row that holds the answer.", examples=[1])]

    def to_bytes(self) -> bytes:
        """Return the value for the result topic: `{"task_id":42,"id":1}`."""
        return b'{"task_id":%d,"id":%d}' % (self.task_id, self.id)


class ErrorCode(StrEnum):
    """Why a task did not become a result: the dead letter's header and the REST answer's `error_code`."""

    INVALID_TASK = "invalid_task"
    TASK_REJECTED = "task_rejected"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REFUSED_ACCOUNT = "provider_refused_account"
    INTERNAL_ERROR = "internal_error"

    @property
    def status(self) -> int:
        """The HTTP status of the REST answer."""
        return _ERROR_CODES[self][0]

    @property
    def meaning(self) -> str:
        """Its meaning, for a person."""
        return _ERROR_CODES[self][1]


_ERROR_CODES = {
    ErrorCode.INVALID_TASK: (422, "the task is not valid"),
    ErrorCode.TASK_REJECTED: (422, "this task is rejected"),
    ErrorCode.PROVIDER_UNAVAILABLE: (503, "the provider does not answer"),
    ErrorCode.PROVIDER_REFUSED_ACCOUNT: (502, "the provider refuses the service's account"),
    ErrorCode.INTERNAL_ERROR: (500, "the service failed to process this task"),
}

_CORRELATION_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def correlation_id_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """Return a record's correlation id for logs and spans, where it has the form that a gateway makes.

    Others may have put anything there, a person's number too.
    """
    value = dict(headers or ()).get(CORRELATION_ID_HEADER) or b""
    return value.decode() if _CORRELATION_ID.fullmatch(value) else None


class InvalidTask(ValueError):
    """The value is no task. The message says what is wrong with it and repeats nothing of it."""


def decode_task(value: bytes | None) -> Task:
    """Read a task out of a record's value or a request's body.

    Raises:
        InvalidTask: the value is missing, is not UTF-8, is not JSON or has another shape.
    """
    if value is None:
        raise InvalidTask("the record has no value (a tombstone)")
    try:
        return Task.model_validate_json(value)
    except ValidationError as error:
        raise InvalidTask(_without_input(error)) from None


def _without_input(error: ValidationError) -> str:
    # str(error) would repeat the input, which is personal data: test_messages.py holds this.
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(
        ": ".join([*(str(part) for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")])
        for problem in problems
    )

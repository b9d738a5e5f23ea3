"""Examples in the documents: together they follow one task from request to reply."""

from pydantic import JsonValue

from shared.messages import TASK, TASK_DATA, ErrorCode, InvalidTask, Result, Task, TaskType, decode_task

CORRELATION_ID = "01a208a4-51f7-7b5c-9d3e-6f0c8f4a2b11"
REQUEST_ID = "order-4711"
AWAITED_UNTIL = "1795441376343"
"""60 seconds after CORRELATION_ID was made."""
IDEMPOTENCY_KEY = "order-4711/phone"

TASKS: dict[TaskType, dict[str, JsonValue]] = {
    task_type: TASK.dump_python(Task(task_id=task_id, task_type=task_type, data=data.example))
    for task_id, (task_type, data) in enumerate(TASK_DATA.items(), 42)
}
RESULT = Result(task_id=42, id=1)

NO_TASK = b'{"task_id": 42, "task_type": "fax", "data": "8 916 823 34 54"}'


def reason(error_code: ErrorCode) -> str:
    """Return the processor's reason for the example's failure: the end of a REST answer's detail, and a header."""
    return {
        ErrorCode.INVALID_TASK: _no_task(),
        ErrorCode.TASK_REJECTED: "the provider answered 400",
        ErrorCode.PROVIDER_UNAVAILABLE: "the provider answered 503",
        ErrorCode.PROVIDER_REFUSED_ACCOUNT: "the provider answered 403",
        ErrorCode.INTERNAL_ERROR: "the provider answered 404",
    }[error_code]


def _no_task() -> str:
    try:
        decode_task(NO_TASK)
    except InvalidTask as error:
        return str(error)
    raise AssertionError("the example is a task")

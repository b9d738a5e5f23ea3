"""Hooks that schemathesis loads (SCHEMATHESIS_HOOKS): they add the canary to requests, and the project's checks."""

import os

import httpx
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shared.messages import TASK_DATA
from tests.documented import assert_documented

CANARY = os.environ.get("FUZZ_CANARY", "")
"""Put before the data of every task that has room for it."""


@schemathesis.hook
def before_call(context, case, kwargs):
    """Put the canary into the task. Data that is too long or empty is left unchanged."""
    data = case.body.get("data") if isinstance(case.body, dict) else None
    if isinstance(data, str) and 0 < len(data) <= min(data.characters_max for data in TASK_DATA.values()) - len(CANARY):
        case.body["data"] = CANARY + data


@schemathesis.check
def is_documented(ctx, response, case):
    """Check each answer with the tests' own validator, which also covers paths and methods not in the document.

    Raises:
        AssertionError: the answer is not documented, or repeats the task.
    """
    headers = [(name, value) for name, values in response.headers.items() for value in values]
    request = httpx.Request(response.request.method, response.request.url)
    answer = httpx.Response(response.status_code, headers=headers, content=response.content, request=request)
    assert_documented(case.operation.schema.raw_schema, answer)
    assert not CANARY or CANARY not in f"{answer.text} {answer.headers}", "the answer repeats the task"


@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    """Check positive_data_acceptance, except for what no schema can express.

    The exceptions are a key that another task had before, and a task_id of 1.0, an integer in JSON Schema.
    """
    error_code = response.json()["error_code"] if response.status_code == 422 else ""
    task_id = case.body.get("task_id") if isinstance(case.body, dict) else None
    if error_code != "task_rejected" and not (error_code == "invalid_task" and isinstance(task_id, float)):
        positive_data_acceptance(ctx, response, case)

"""One record from its bytes to its outcome."""

import asyncio
import logging

import pytest

from processor.apply_async import Record
from processor.ledger import Position, RowRefused
from processor.process import Process
from processor.providers import AccountRefused, ProviderUnavailable, TaskRejected, UnexpectedAnswer
from shared.messages import TASK_TYPES

CANARY = "canary-7d1f"
VALUE = b'{"task_id": 7, "task_type": "phone", "data": "%s"}' % CANARY.encode()
HEADERS = [("kafka_correlationId", b"c"), ("empty", b""), ("none", None), ("twice", b"1"), ("twice", b"\xff")]


class Finished:
    """A partition of which the offsets in `ids` are done."""

    topic_id = "topic-id"

    def __init__(self, ids):
        self.ids = ids

    async def find(self, offset):
        return self.ids.get(offset)


def record(value=VALUE, headers=HEADERS):
    return Record("import", 3, 42, value, b"key", 1_700_000_000_000, headers)


def process(of, *, enrich=None, store=None, task_types=TASK_TYPES, finished=None, **limits):
    rows = []

    async def answer(task, turn):
        return {"source": task.data}

    async def write(row):
        rows.append(row)
        return 99

    async def run():
        step = Process(
            enrich=enrich or answer,
            store=store or write,
            task_types=task_types,
            **{"result_bytes_max": 10_000, "dead_letter_bytes_max": 10_000, **limits},
        )
        return await asyncio.wait_for(step(of, Finished(finished or {}), turn=None), timeout=0.5)

    return asyncio.run(run()), rows


async def never(*_):
    raise AssertionError("must not be called")


def fail_with(error):
    async def fail(*_):
        raise error

    return fail


def why(outcome):
    return dict(outcome.headers[len(HEADERS) :])


def test_a_task_becomes_a_row_and_then_a_result_with_the_records_headers():
    outcome, [row] = process(record())

    assert outcome.is_result
    assert outcome.value == b'{"task_id":7,"id":99}'
    assert outcome.headers == HEADERS
    assert row.position == Position("topic-id", 3, 42)
    assert (row.data, row.task_type) == (f'{{"source": "{CANARY}"}}', "phone")


def test_a_record_that_is_done_is_answered_with_its_id_and_nobody_is_asked_or_paid():
    outcome, rows = process(record(), finished={42: 5}, enrich=never, store=never)

    assert outcome.value == b'{"task_id":7,"id":5}'
    assert rows == []


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", VALUE[:-1]])
def test_a_record_that_is_no_task_is_dead_lettered_byte_for_byte(value):
    outcome, _ = process(record(value), enrich=never)

    assert not outcome.is_result
    assert outcome.value == value
    assert outcome.headers[: len(HEADERS)] == HEADERS
    assert list(why(outcome)) == [
        "kafka_dlt-original-topic",
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
        "kafka_dlt-original-timestamp",
        "kafka_dlt-exception-message",
        "error_code",
    ]
    assert list(why(outcome).values())[:4] == [b"import", b"3", b"42", b"1700000000000"]
    assert why(outcome)["error_code"] == b"invalid_task"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskRejected("400"), b"task_rejected"),
        (ProviderUnavailable("503"), b"provider_unavailable"),
        (AccountRefused("403"), b"provider_refused_account"),
        (UnexpectedAnswer("404"), b"internal_error"),
        (KeyError(CANARY), b"internal_error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_provider_does_not_answer_is_dead_lettered_by_its_code(error, code):
    outcome, rows = process(record(), enrich=fail_with(error))

    assert outcome.value == VALUE
    assert why(outcome)["error_code"] == code
    assert rows == []


@pytest.mark.parametrize("error", [RowRefused("SQLSTATE 22P05"), ValueError(CANARY)], ids=["refused", "unforeseen"])
def test_a_row_that_cannot_be_written_is_dead_lettered_as_internal_error(error):
    outcome, _ = process(record(), store=fail_with(error))

    assert why(outcome)["error_code"] == b"internal_error"


def test_a_record_without_headers_gets_those_of_its_dead_letter_only():
    outcome, _ = process(record(b"", headers=None))

    assert len(outcome.headers) == 6


def test_records_of_other_types_are_passed_over():
    assert process(record(), task_types=("gpt",), enrich=never) == (None, [])


@pytest.mark.parametrize(("task_types", "dead_lettered"), [(("phone",), True), (("email", "gpt"), False)])
def test_records_that_are_no_task_are_the_business_of_those_who_handle_phone(task_types, dead_lettered):
    outcome, _ = process(record(b"{}"), task_types=task_types)

    assert (outcome is not None) == dead_lettered


def test_an_unforeseen_failure_is_a_loud_error_that_repeats_nothing_of_the_record(caplog):
    with caplog.at_level(logging.DEBUG):
        outcome, _ = process(record(), enrich=fail_with(RuntimeError(CANARY)))

    [said] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert "RuntimeError" in said.getMessage()
    assert "import[3]@42" in said.getMessage()
    assert "test_process.py" in said.getMessage()
    assert CANARY not in caplog.text
    assert CANARY not in repr(why(outcome))


def test_a_dead_letter_that_the_topic_does_not_take_is_held_and_not_lost(caplog):
    with pytest.raises(TimeoutError):
        process(record(b"x" * 1000), dead_letter_bytes_max=1000)

    assert "max.message.bytes" in caplog.text

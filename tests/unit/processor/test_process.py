"""Processing of one record, from its bytes to its outcome."""

import asyncio
import logging

import pytest
from confluent_kafka import KafkaError
from prometheus_client import REGISTRY

from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    ProviderUnavailable,
    TaskRejected,
    UnexpectedAnswer,
    UnstorableAnswer,
    UnusableAnswer,
)
from processor.enrich.gate import Ticket
from processor.pipeline import steps
from processor.process import Process, in_place_of_refused
from processor.record import Position, Record
from processor.store.keys import OtherTask, StillClaimed
from processor.store.known import Known
from processor.store.postgres import RowRefused
from shared.messages import TASK_TYPES

CANARY = "canary-7d1f"
CORRELATION_ID = "01a208a4-51f7-7b5c-9d3e-6f0c8f4a2b11"
VALUE = b'{"task_id": 7, "task_type": "phone", "data": "%s"}' % CANARY.encode()
HEADERS = [("kafka_correlationId", b"c"), ("empty", b""), ("none", None), ("twice", b"1"), ("twice", b"\xff")]


class Finished:
    """A partition in which the offsets in `ids` are done."""

    topic_id = "topic-id"

    def __init__(self, ids):
        self.ids = ids

    async def find(self, offset):
        return self.ids.get(offset)


class Turn:
    """A record's turn, which is refused if the record has been handed back."""

    def __init__(self, handed_back=False, elsewhere=False):
        self.handed_back = handed_back
        self.elsewhere = elsewhere
        self.begins = 0

    def begin(self):
        if self.handed_back:
            raise asyncio.CancelledError


def record(value=VALUE, headers=HEADERS):
    return Record("import", 3, 42, value, b"key", 1_700_000_000_000, headers)


def process(
    of,
    *,
    enrich=None,
    store=None,
    find=None,
    claim=None,
    release=None,
    task_types=TASK_TYPES,
    finished=None,
    turn=None,
):
    rows = []

    async def answer(task, ticket, turn):
        return {"source": task.data}

    async def write(row):
        rows.append(row)
        return 99

    async def run():
        known = Known(find or never, claim or never).id_of
        record_steps = steps(task_types=task_types, known=known, enrich=enrich or answer, sink=store or write)
        step = Process(record_steps, release=release or never, task_types=task_types)
        return await asyncio.wait_for(step(of, Finished(finished or {}), turn=turn or Turn()), timeout=0.5)

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
    assert (row.data, row.task_type) == (f'{{"source":"{CANARY}"}}', "phone")


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
        "kafka_dlt-original-topic-id",
        "kafka_dlt-exception-message",
        "error_code",
    ]
    assert list(why(outcome).values())[:5] == [b"import", b"3", b"42", b"1700000000000", b"topic-id"]
    assert why(outcome)["error_code"] == b"invalid_task"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskRejected("400"), b"task_rejected"),
        (InputRejected("413"), b"task_rejected"),
        (ProviderUnavailable("503"), b"provider_unavailable"),
        (AccountRefused("403"), b"provider_refused_account"),
        (UnexpectedAnswer("302"), b"internal_error"),
        (UnusableAnswer("nonsense"), b"provider_unavailable"),
        (UnstorableAnswer("nonsense"), b"internal_error"),
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

    assert len(outcome.headers) == 7


def test_records_of_other_types_are_passed_over():
    assert process(record(), task_types=("gpt",), enrich=never) == (None, [])


@pytest.mark.parametrize(("task_types", "dead_lettered"), [(("phone",), True), (("email", "gpt"), False)])
def test_records_that_are_no_task_are_the_business_of_those_who_handle_phone(task_types, dead_lettered):
    outcome, _ = process(record(b"{}"), task_types=task_types)

    assert (outcome is not None) == dead_lettered


def test_an_unforeseen_failure_is_a_loud_error_that_repeats_nothing_of_the_record(caplog):
    with caplog.at_level(logging.DEBUG, "processor.process"):
        outcome, _ = process(record(), enrich=fail_with(RuntimeError(CANARY)))

    [said] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert "RuntimeError" in said.getMessage()
    assert "import[3]@42" in said.getMessage()
    assert "test_process.py" in said.getMessage()
    assert CANARY not in caplog.text
    assert why(outcome)["kafka_dlt-exception-message"] == b"an unforeseen error, which is in the processor's log"


def test_a_finished_record_is_one_debug_line_with_what_became_of_it(caplog):
    async def after_two_attempts(task, ticket, turn):
        turn.begins = 2
        return {}

    with caplog.at_level(logging.DEBUG, "processor.process"):
        process(record(headers=[("kafka_correlationId", CORRELATION_ID.encode())]), enrich=after_two_attempts)

    [line] = caplog.records
    said = (line.levelname, line.message, line.correlation_id, line.position, line.task_type, line.outcome)
    assert said == ("DEBUG", "finished", CORRELATION_ID, "import[3]@42", "phone", "stored")
    assert (line.attempts, line.seconds < 60) == (2, True)
    assert CANARY not in repr(vars(line))


def test_a_dead_letter_is_one_warning_with_its_reason(caplog):
    with caplog.at_level(logging.DEBUG, "processor.process"):
        process(record(), enrich=fail_with(TaskRejected("the provider answered 400")))

    [line] = caplog.records
    assert (line.levelname, line.message, line.outcome) == ("WARNING", "dead letter", "task_rejected")
    assert (line.reason, line.attempts, line.position) == ("the provider answered 400", 0, "import[3]@42")
    assert CANARY not in repr(vars(line))


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"89168233454", CORRELATION_ID.encode() + b"\n"])
def test_what_no_gateway_has_made_as_a_correlation_id_is_in_no_log(value, caplog):
    with caplog.at_level(logging.DEBUG, "processor.process"):
        process(record(headers=[("kafka_correlationId", value)]))

    [line] = caplog.records
    assert line.correlation_id is None


def test_every_record_is_counted_by_what_became_of_it():
    def counted(outcome):
        return REGISTRY.get_sample_value("integration_tasks_total", {"task_type": "phone", "outcome": outcome}) or 0

    before = {outcome: counted(outcome) for outcome in ("stored", "known", "passed_over", "task_rejected")}
    dead = REGISTRY.get_sample_value("integration_dead_letters_total", {"error_code": "task_rejected"}) or 0

    timed = REGISTRY.get_sample_value("integration_task_seconds_count", {"task_type": "phone"}) or 0

    process(record())
    process(record(), finished={42: 5})
    process(record(), task_types=("gpt",))
    process(record(), enrich=fail_with(TaskRejected("no")))

    assert {outcome: counted(outcome) - count for outcome, count in before.items()} == dict.fromkeys(before, 1)
    assert REGISTRY.get_sample_value("integration_dead_letters_total", {"error_code": "task_rejected"}) == dead + 1
    # A record that another group handles is not timed here.
    assert REGISTRY.get_sample_value("integration_task_seconds_count", {"task_type": "phone"}) == timed + 3


def test_a_result_that_kafka_refuses_becomes_a_dead_letter_and_a_dead_letter_does_not():
    counted = {"error_code": "internal_error"}
    before = REGISTRY.get_sample_value("integration_dead_letters_total", counted)
    error = KafkaError(KafkaError.INVALID_RECORD)
    outcome, _ = process(record())

    letter = in_place_of_refused(record(), Finished({}), outcome, error)

    assert (letter.is_result, letter.value, letter.headers[: len(HEADERS)]) == (False, VALUE, HEADERS)
    assert why(letter)["error_code"] == b"internal_error"
    assert why(letter)["kafka_dlt-exception-message"] == (
        b"the result topic refuses the result: a compacted topic takes no record without a key"
    )
    assert REGISTRY.get_sample_value("integration_dead_letters_total", counted) == before + 1
    assert in_place_of_refused(record(), Finished({}), letter, error) is None


KEY = [*HEADERS, ("idempotency_key", b"k")]
REDRIVEN = [*HEADERS, ("redriven_from", b"first-topic/1/7")]


def test_a_record_with_a_key_that_is_free_claims_it_by_its_position_and_asks_its_provider():
    claims = []

    async def claim(claim):
        claims.append(claim)

    outcome, [row] = process(record(headers=KEY), claim=claim)

    assert outcome.value == b'{"task_id":7,"id":99}'
    assert [(claim.key, claim.position) for claim in claims] == [("k", row.position)]


AWAITED = ("integration_awaited_until", b"1795441376343")


@pytest.mark.parametrize(
    ("headers", "ticket"),
    [
        (HEADERS, Ticket()),
        ([*HEADERS, AWAITED], Ticket(1_795_441_376.343)),
        (KEY, Ticket(None, Position("topic-id", 3, 42))),
        ([*KEY, AWAITED], Ticket(1_795_441_376.343, Position("topic-id", 3, 42))),
        ([*REDRIVEN, AWAITED, ("idempotency_key", b"k")], Ticket(1_795_441_376.343, Position("first-topic", 1, 7))),
    ],
    ids=["neither", "awaited", "key", "both", "put back"],
)
def test_a_record_waits_for_its_provider_with_its_deadline_and_with_its_position_if_it_has_a_key(headers, ticket):
    tickets, deadlines = [], []

    async def enrich(task, ticket, turn):
        tickets.append(ticket)
        return {}

    async def claim(claim):
        deadlines.append(claim.awaited_until)

    async def find(position):
        return None

    outcome, _ = process(record(headers=headers), enrich=enrich, claim=claim, find=find)

    assert outcome.is_result
    assert outcome.headers == headers, "the deadline goes with the result as every header does"
    [given] = tickets
    assert (given.awaited_until, given.position, given.number) == (ticket.awaited_until, ticket.position, None)
    assert deadlines == ([ticket.awaited_until] if ticket.position else [])


def test_a_record_with_a_key_that_has_an_id_is_answered_with_it_and_nobody_is_asked_or_paid():
    async def claim(claim):
        return 5

    outcome, _ = process(record(headers=KEY), claim=claim, enrich=never, store=never)

    assert outcome.value == b'{"task_id":7,"id":5}'


def test_a_record_that_is_done_is_answered_without_a_look_at_its_key():
    outcome, _ = process(record(headers=KEY), finished={42: 5}, claim=never, enrich=never)

    assert outcome.value == b'{"task_id":7,"id":5}'


@pytest.mark.parametrize(
    ("refusal", "code"), [(OtherTask, b"task_rejected"), (StillClaimed, b"provider_unavailable")], ids=["other", "late"]
)
def test_a_record_that_is_refused_its_key_is_dead_lettered_and_nobody_is_asked(refusal, code):
    async def release(claim):
        pass

    outcome, _ = process(record(headers=KEY), claim=fail_with(refusal("why")), release=release, enrich=never)

    assert why_of(outcome, KEY)["error_code"] == code
    assert why_of(outcome, KEY)["kafka_dlt-exception-message"] == b"why"


@pytest.mark.parametrize(
    "failure",
    [
        {"enrich": fail_with(ProviderUnavailable("503"))},
        {"enrich": fail_with(KeyError(CANARY))},
        {"store": fail_with(RowRefused("SQLSTATE 22P05"))},
    ],
    ids=["provider", "unforeseen", "row"],
)
def test_a_record_that_fails_gives_its_key_back_before_its_dead_letter_goes_out(failure):
    claimed, released = [], []

    async def claim(claim):
        claimed.append(claim)

    async def release(claim):
        released.append(claim)

    outcome, _ = process(record(headers=KEY), claim=claim, release=release, **failure)

    assert not outcome.is_result
    assert released == claimed


def test_a_record_that_is_handed_back_keeps_its_claim():
    async def claim(claim):
        pass

    with pytest.raises(asyncio.CancelledError):
        process(record(headers=KEY), claim=claim, enrich=fail_with(TaskRejected("400")), turn=Turn(handed_back=True))
    with pytest.raises(asyncio.CancelledError):
        process(record(headers=KEY), claim=claim, enrich=fail_with(asyncio.CancelledError()))


def test_a_record_whose_key_is_no_key_is_dead_lettered_by_the_processors_of_its_type_only():
    no_key = [*HEADERS, ("idempotency_key", b"")]

    for task_types in (("phone",), TASK_TYPES):
        outcome, _ = process(record(headers=no_key), task_types=task_types, enrich=never)
        assert why_of(outcome, no_key)["error_code"] == b"invalid_task"
    assert process(record(headers=no_key), task_types=("gpt",), enrich=never) == (None, [])
    email = record(VALUE.replace(b"phone", b"email"), no_key)
    outcome, _ = process(email, task_types=("email",), enrich=never)
    assert why_of(outcome, no_key)["error_code"] == b"invalid_task"


def test_a_record_that_was_put_back_is_known_by_its_first_position():
    async def find(position):
        return {Position("first-topic", 1, 7): 5}.get(position)

    outcome, rows = process(record(headers=REDRIVEN), find=find, enrich=never)

    assert outcome.value == b'{"task_id":7,"id":5}'
    assert rows == []


def test_a_record_that_was_put_back_is_entered_and_claims_its_key_under_its_first_position():
    first = Position("first-topic", 1, 7)
    claims = []

    async def find(position):
        return None

    async def claim(claim):
        claims.append(claim)

    _, [row] = process(record(headers=[*REDRIVEN, ("idempotency_key", b"k")]), find=find, claim=claim)

    assert row.position == first
    assert [claim.position for claim in claims] == [first]


def test_a_header_that_is_no_position_is_a_foreign_header():
    _, [row] = process(record(headers=[("redriven_from", b"anywhere")]))

    assert row.position == Position("topic-id", 3, 42)


def why_of(outcome, headers):
    return dict(outcome.headers[len(headers) :])


def test_a_record_that_its_earlier_owner_still_has_in_hand_waits_for_that_ones_row(monkeypatch):
    monkeypatch.setattr("processor.store.known.ELSEWHERE_PAUSE_SECONDS", 0)
    looks = []

    async def find(position):
        looks.append(position)
        return 5 if len(looks) == 3 else None

    outcome, rows = process(record(), find=find, turn=Turn(elsewhere=True))

    assert outcome.value == b'{"task_id":7,"id":5}'
    assert looks == [Position("topic-id", 3, 42)] * 3
    assert rows == []


def test_a_record_whose_earlier_owner_writes_no_row_is_done_again(monkeypatch):
    monkeypatch.setattr("processor.store.known.ELSEWHERE_PAUSE_SECONDS", 0)

    async def find(position):
        return None

    outcome, rows = process(record(), find=find, turn=Turn(elsewhere=True))

    assert outcome.is_result
    assert len(rows) == 1

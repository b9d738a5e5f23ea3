"""Any record that a producer may put on the import topic raises only the errors that are meant for it."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kafka.kafka import Kafka
from gateway.prefer import preferred_wait_seconds
from gateway.replies import Replies, Reply
from gateway.settings import GatewaySettings
from processor.apply_async.commit_metadata import decode
from processor.outcome import dead_letter, original
from processor.record import Position, Record
from processor.store.keys import Claim, claim_of
from processor.store.known import first_position
from shared.messages import TASK_ID_MAX, TASK_TYPES, ErrorCode, InvalidTask, Task, correlation_id_of, decode_task
from shared.traces import parent_of
from tests.fuzz import records

CANARY = "canaryq"
HERE = Position("topic-id", 3, 42)
TASK = Task(task_id=7, task_type="phone", data="8 916")

CHANCE = st.randoms(use_true_random=False)
RECORDS = CHANCE.map(lambda chance: records.record(chance, CANARY))
HEADERS = CHANCE.map(lambda chance: records.headers(chance, CANARY))


def what_is_said(function, *arguments):
    """Return the function's result and None, or None and the message of its InvalidTask."""
    try:
        return function(*arguments), None
    except InvalidTask as error:
        return None, str(error)


@settings(deadline=None)
@given(CHANCE.map(lambda chance: records.value(chance, CANARY)))
def test_a_value_is_a_task_as_any_reader_of_json_sees_it_or_invalid_and_nothing_of_it_is_told(value):
    task, said = what_is_said(decode_task, value)

    if task is None:
        assert CANARY not in said and said.isprintable()
        return
    read = json.loads(value)
    assert asdict(task) == {name: read[name] for name in ("task_id", "task_type", "data")}
    assert abs(task.task_id) <= TASK_ID_MAX and task.task_type in TASK_TYPES and task.data


@settings(deadline=None)
@given(CHANCE.map(lambda chance: records.task(chance, CANARY)))
def test_a_task_is_one_in_any_spelling(value):
    assert decode_task(value).data.startswith(CANARY)


@settings(deadline=None)
@given(HEADERS)
def test_headers_are_a_first_position_and_a_key_or_none_and_no_key_is_told(headers):
    position = first_position(headers)
    claim, said = what_is_said(claim_of, headers, TASK, HERE, None)
    correlation_id = correlation_id_of(headers)
    parent_of(headers)

    assert position is None or type(position) is Position
    assert claim is None or type(claim) is Claim
    assert said is None or CANARY not in said
    assert correlation_id is None or (len(correlation_id), CANARY in correlation_id) == (36, False)


@settings(deadline=None)
@given(RECORDS, st.sampled_from(ErrorCode))
def test_a_dead_letter_is_its_record_and_tells_where_it_was(sent, code):
    record = Record("import", 3, 42, sent.value, sent.key, sent.timestamp or 0, sent.headers)

    letter = dead_letter(record, "topic-id", code, "why")

    assert letter.value == sent.value
    what = original(letter.headers)
    assert (what.headers, what.partition, what.offset, what.code) == (sent.headers, 3, 42, code)
    assert what.timestamp == record.timestamp


@settings(deadline=None)
@given(HEADERS)
def test_foreign_headers_are_a_dead_letters_or_not(headers):
    assert original(headers) is None  # six matching headers in order do not arise by chance


class FakeMessage:
    """The part of a librdkafka message that the gateway uses."""

    def __init__(self, topic, sent):
        self.topic, self.value, self.headers = lambda: topic, lambda: sent.value, lambda: sent.headers
        self.partition, self.offset, self.error = lambda: 0, lambda: 0, lambda: None


@pytest.fixture(scope="module")
def kafka():
    return Kafka(
        GatewaySettings(kafka_import_topic="import", kafka_result_topic="results", kafka_dead_letter_topic="dlt")
    )


@settings(deadline=None)
@given(RECORDS, st.sampled_from(["results", "dlt"]))
def test_the_gateway_reads_any_record_as_a_reply_or_none(kafka, sent, topic):
    replies = Replies(waiting_max=1, remembered_max=1, remembered_seconds=1e12, on_late=lambda: None)

    read = kafka.replies_in.read(FakeMessage(topic, sent))

    if read is not None:
        correlation_id, reply = read
        assert type(reply) is Reply
        assert replies.settle(correlation_id, reply, now=1e12) is None, "nobody waits"
        assert replies.find(correlation_id) in (reply, None)


@given(st.lists(st.text(max_size=30) | st.sampled_from(["wait=", "respond-async", "wait=٣", 'a="', "wait=9" * 30])))
def test_any_preference_is_some_seconds_or_none(lines):
    seconds = preferred_wait_seconds(lines)

    assert seconds is None or 0 <= seconds < 10**9


@given(
    st.text(max_size=60)
    | st.recursive(st.none() | st.text(max_size=5) | st.integers() | st.floats(), st.lists, max_leaves=3).map(
        lambda finished: json.dumps({"v": 1, "finished": finished, "hand": finished})
    ),
    st.integers(0, 2**63 - 1),
)
def test_any_metadata_of_a_commit_is_read_or_nothing(text, committed):
    decode(text, committed)

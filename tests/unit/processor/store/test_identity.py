"""What makes two records the same task: a first position, an idempotency key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.record import Position
from processor.store.identity import claim_of, fingerprint, first_position, redriven_from
from shared.messages import InvalidTask, Task

HERE = Position("topic-id", 3, 42)
TASK = Task(task_id=7, task_type="phone", data="8 916")
CANARY = b"canary key"


@pytest.mark.parametrize("headers", [None, [], [("Idempotency_key", b"k"), ("redriven-from", b"t/0/0")]])
def test_a_record_without_the_headers_has_no_key_and_no_first_position(headers):
    assert claim_of(headers, TASK, HERE) is None
    assert first_position(headers) is None


@pytest.mark.parametrize("key", [b"k", b"k" * 255, bytes(range(0x21, 0x7F))])
def test_visible_ascii_up_to_255_bytes_is_a_key(key):
    assert claim_of([("idempotency_key", key)], TASK, HERE) == (key.decode(), fingerprint(key, TASK), HERE)


@pytest.mark.parametrize("value", [None, b"", b"k" * 256, CANARY, b"k\n", b"\x00", "ключ".encode(), b"\xff"])
def test_what_is_no_key_is_told_without_repeating_it(value):
    with pytest.raises(InvalidTask, match=r"^idempotency_key: ") as invalid:
        claim_of([("idempotency_key", value)], TASK, HERE)

    assert CANARY.decode() not in str(invalid.value)


def test_of_several_keys_the_last_counts():
    headers = [("idempotency_key", b""), ("idempotency_key", b"one"), ("idempotency_key", b"two"), ("other", b"x")]

    assert claim_of(headers, TASK, HERE).key == "two"
    with pytest.raises(InvalidTask):
        claim_of([*headers, ("idempotency_key", None)], TASK, HERE)


def test_a_fingerprint_is_the_tasks_and_the_keys_and_not_the_task_ids():
    others = [TASK.model_copy(update={"data": "8 917"}), TASK.model_copy(update={"task_type": "gpt"})]
    fingerprints = [fingerprint(b"k", TASK), fingerprint(b"l", TASK), *(fingerprint(b"k", other) for other in others)]

    assert len(set(fingerprints)) == 4
    assert {len(made) for made in fingerprints} == {16}
    assert fingerprint(b"k", TASK.model_copy(update={"task_id": 8})) == fingerprints[0]


@given(
    st.builds(
        Position,
        st.from_regex(r"[A-Za-z0-9_+/-]{22}", fullmatch=True),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**63 - 1),
    )
)
def test_a_position_is_read_as_it_was_written(position):
    assert first_position([("other", b"x"), redriven_from(position)]) == position


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"t",
        b"t/0",
        b"t/0/0 ",
        b"t/0/-1",
        b"t/0/+1",
        b"t/00/0",
        b"t/0/01",
        b"/0/0",
        b"t\x00/0/0",
        b"t/%d/0" % 2**31,
        b"t/0/%d" % 2**63,
        b"x" * 65 + b"/0/0",
        "t/٣/0".encode(),
    ],
)
def test_what_is_no_position_is_ignored(value):
    assert first_position([("redriven_from", value)]) is None
    assert first_position([("redriven_from", b"t/0/0"), ("redriven_from", value)]) is None, "the last counts"

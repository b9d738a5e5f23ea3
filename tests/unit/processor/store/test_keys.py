"""Idempotency keys: which values are valid, which record does the work, and which records wait."""

import asyncio

import pytest

from processor.record import Position
from processor.store import keys as keys_module
from processor.store.keys import Claim, Keys, OtherTask, Owner, StillClaimed, claim_of, fingerprint
from shared.messages import InvalidTask, Task

MINE = Claim("k", b"fingerprint", Position("topic-id", 0, 1))
HERE = Position("topic-id", 3, 42)
TASK = Task(task_id=7, task_type="phone", data="8 916")
CANARY = b"canary key"
THEIRS = MINE._replace(position=Position("topic-id", 1, 1))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(keys_module, "PAUSE_SECONDS_MAX", 0)
    monkeypatch.setattr(keys_module, "PAUSE_SECONDS_FIRST", 0)


def settle(*owners, rows=()):
    """Return what a record with the claim MINE gets if it finds these owners and rows one after the other."""
    looks, found = iter(owners), iter(rows)

    async def claim(self, claims, *, suspect):
        assert claims == [MINE]
        return [next(looks)]

    async def find(position):
        assert position == MINE.position
        return next(found, None)

    async def wait():
        return await type("FakeKeys", (Keys,), {"claim": claim})(None, find).wait_for(MINE)

    settled = asyncio.run(wait())
    assert list(looks) == [], "not all looks were needed"
    return settled


def test_a_claim_that_is_ones_own_means_work():
    assert settle(Owner(MINE, None)) is None


def test_a_claim_that_has_an_id_is_answered_whoever_made_it():
    assert settle(Owner(MINE, 5)) == 5
    assert settle(Owner(THEIRS, 6)) == 6


def test_a_claim_of_another_that_has_no_id_is_waited_for():
    assert settle(Owner(THEIRS, None), Owner(THEIRS, None), Owner(THEIRS, 6)) == 6


def test_a_claim_that_its_owner_gives_up_is_free_for_the_next():
    assert settle(Owner(THEIRS, None), None, Owner(MINE, None)) is None


def test_a_position_that_holds_another_key_is_waited_for_until_it_has_its_row():
    assert settle(None, None, None, rows=[None, None, 6]) == 6


@pytest.mark.parametrize("row_id", [None, 6])
def test_a_claim_by_another_task_is_refused_at_once(row_id):
    with pytest.raises(OtherTask):
        settle(Owner(THEIRS._replace(fingerprint=b"another"), row_id))


def test_a_claim_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(keys_module, "LOOKS_MAX", 3)

    with pytest.raises(StillClaimed):
        settle(*[Owner(THEIRS, None)] * 3)


@pytest.mark.parametrize("headers", [None, [], [("Idempotency_key", b"k")]])
def test_a_record_without_the_header_has_no_key(headers):
    assert claim_of(headers, TASK, HERE) is None


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

"""Idempotency keys: which values are valid, which record does the work, and which records wait."""

import asyncio
import time
from dataclasses import replace

import pytest

from processor.record import Position
from processor.store import keys as keys_module
from processor.store.keys import LENT_SECONDS_MAX, Claim, Keys, OtherTask, Owner, StillClaimed, claim_of, fingerprint
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


def never(*_):
    raise AssertionError("must not be called")


def settle(*owners, rows=(), awaited_until=None, lend=None):
    """Return what a record with the claim MINE gets if it finds these owners and rows one after the other."""
    looks, found = iter(owners), iter(rows)

    async def claim(self, claims, *, suspect):
        assert [claim._replace(awaited_until=None) for claim in claims] == [MINE]
        return [next(looks)]

    async def find(position):
        assert position == MINE.position
        return next(found, None)

    async def wait():
        keys = type("FakeKeys", (Keys,), {"claim": claim})(None, find, lend or never)
        return await keys.wait_for(MINE._replace(awaited_until=awaited_until))

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


def lent(*owners, rows=(), awaited_until):
    """Return what the record lends, while it finds these owners and rows: positions, each with a deadline."""
    lent = []
    settle(*owners, rows=rows, awaited_until=awaited_until, lend=lambda *one: lent.append(one))
    return lent


def test_a_record_that_waits_for_its_key_lends_its_deadline_to_the_keys_owner():
    soon = time.time() + 60
    other = THEIRS._replace(position=Position("another-topic", 7, 8))

    assert lent(Owner(THEIRS, None), Owner(THEIRS, 6), awaited_until=soon) == [(THEIRS.position, soon)]
    assert lent(Owner(THEIRS, None), None, Owner(other, None), Owner(MINE, None), awaited_until=soon) == [
        (THEIRS.position, soon),
        (other.position, soon),
    ], "the key has another owner by then"


def test_a_record_that_nobody_waits_for_lends_nothing():
    assert settle(Owner(THEIRS, None), Owner(THEIRS, 6), lend=never) == 6


def test_a_deadline_that_is_over_is_not_lent():
    assert lent(Owner(THEIRS, None), Owner(THEIRS, 6), awaited_until=time.time() - 1) == []


def test_no_deadline_is_lent_for_longer_than_a_record_waits():
    before = time.time()

    [(position, until)] = lent(Owner(THEIRS, None), Owner(THEIRS, 6), awaited_until=1e15)

    assert position == THEIRS.position
    assert before <= until - LENT_SECONDS_MAX <= time.time()


@pytest.mark.parametrize(
    "owners",
    [[Owner(MINE, None)], [Owner(MINE, 5)], [Owner(THEIRS, 6)], [None, Owner(THEIRS, 6)]],
    ids=["own", "own and done", "done", "released and done"],
)
def test_a_record_that_need_not_wait_lends_nothing(owners):
    assert lent(*owners, awaited_until=time.time() + 60) == []


def test_a_record_of_another_task_lends_nothing():
    with pytest.raises(OtherTask):
        lent(Owner(THEIRS._replace(fingerprint=b"another"), None), awaited_until=time.time() + 60)


@pytest.mark.parametrize("headers", [None, [], [("Idempotency_key", b"k")]])
def test_a_record_without_the_header_has_no_key(headers):
    assert claim_of(headers, TASK, HERE, None) is None


@pytest.mark.parametrize("key", [b"k", b"k" * 255, bytes(range(0x21, 0x7F))])
def test_visible_ascii_up_to_255_bytes_is_a_key(key):
    claim = claim_of([("idempotency_key", key)], TASK, HERE, 2.5)
    assert claim == (key.decode(), fingerprint(key, TASK), HERE, 2.5)


@pytest.mark.parametrize("value", [None, b"", b"k" * 256, CANARY, b"k\n", b"\x00", "ключ".encode(), b"\xff"])
def test_what_is_no_key_is_told_without_repeating_it(value):
    with pytest.raises(InvalidTask, match=r"^idempotency_key: ") as invalid:
        claim_of([("idempotency_key", value)], TASK, HERE, None)

    assert CANARY.decode() not in str(invalid.value)


def test_of_several_keys_the_last_counts():
    headers = [("idempotency_key", b""), ("idempotency_key", b"one"), ("idempotency_key", b"two"), ("other", b"x")]

    assert claim_of(headers, TASK, HERE, None).key == "two"
    with pytest.raises(InvalidTask):
        claim_of([*headers, ("idempotency_key", None)], TASK, HERE, None)


def test_a_fingerprint_is_the_tasks_and_the_keys_and_not_the_task_ids():
    others = [replace(TASK, data="8 917"), replace(TASK, task_type="gpt")]
    fingerprints = [fingerprint(b"k", TASK), fingerprint(b"l", TASK), *(fingerprint(b"k", other) for other in others)]

    assert len(set(fingerprints)) == 4
    assert {len(made) for made in fingerprints} == {16}
    assert fingerprint(b"k", replace(TASK, task_id=8)) == fingerprints[0]

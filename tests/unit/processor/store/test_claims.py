"""Who works for an idempotency key, and who waits."""

import asyncio

import pytest

from processor.record import Position
from processor.store import claims as claims_module
from processor.store.claims import Claims, OtherTask, StillClaimed
from processor.store.ledger import Claim, Owner

MINE = Claim("k", b"fingerprint", Position("topic-id", 0, 1))
THEIRS = MINE._replace(position=Position("topic-id", 1, 1))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(claims_module, "PAUSE_SECONDS_MAX", 0)
    monkeypatch.setattr(claims_module, "PAUSE_SECONDS_FIRST", 0)


def settle(*owners, rows=()):
    """Return what a record with the claim MINE gets, where it finds these owners and rows one after the other."""
    looks, found = iter(owners), iter(rows)

    async def claim(claim):
        assert claim == MINE
        return next(looks)

    async def find(position):
        assert position == MINE.position
        return next(found, None)

    settled = asyncio.run(Claims(claim, find)(MINE))
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
    monkeypatch.setattr(claims_module, "LOOKS_MAX", 3)

    with pytest.raises(StillClaimed):
        settle(*[Owner(THEIRS, None)] * 3)

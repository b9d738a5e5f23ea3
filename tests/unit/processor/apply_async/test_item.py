"""The stages of a record: in any order of events it is settled once, and emitted only where that is allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.apply_async.item import LEGAL, MAY_BE_WITH_THE_NEXT_OWNER, Grip, IllegalStep, Stage, Staged

NEVER_EMITTED = {Stage.HANDED_BACK, Stage.FAILED, Stage.SETTLED}


def reachable(start):
    found = set()
    left = [start]
    while left:
        for stage in LEGAL[left.pop()] - found:
            found.add(stage)
            left.append(stage)
    return found


def test_every_stage_can_be_reached_and_can_be_settled():
    assert reachable(Stage.QUEUED) | {Stage.QUEUED} == set(Stage) == LEGAL.keys()
    for stage in set(Stage) - {Stage.SETTLED}:
        assert Stage.SETTLED in reachable(stage), stage


@pytest.mark.parametrize("stage", sorted(NEVER_EMITTED, key=str))
def test_nothing_is_emitted_for_a_record_that_was_handed_back_or_has_failed_or_is_settled(stage):
    assert reachable(stage) <= {Stage.SETTLED}


def test_what_may_not_be_repeated_has_begun_in_every_stage_that_the_next_owner_is_told_of():
    before = {Stage.QUEUED, Stage.RUNNING}
    assert set(Stage) - before - NEVER_EMITTED == MAY_BE_WITH_THE_NEXT_OWNER


@given(st.lists(st.sampled_from(Stage)))
def test_of_any_steps_only_the_legal_ones_are_taken(wanted):
    record = Staged()
    taken = [record.stage]
    for to in wanted:
        if to in LEGAL[record.stage]:
            record.advance(to)
            taken.append(to)
        else:
            with pytest.raises(IllegalStep, match=f"{record.stage.name} -> {to.name}"):
                record.advance(to)
            assert record.stage is taken[-1]

    assert taken.count(Stage.SETTLED) <= 1
    assert taken.count(Stage.QUEUED) == 1
    if Stage.EMITTED in taken:
        before = taken[: taken.index(Stage.EMITTED)]
        assert before[-1] is Stage.ENDED
        assert not NEVER_EMITTED & set(before)
    if Stage.DELIVERING in taken:
        assert taken[taken.index(Stage.DELIVERING) - 1] is Stage.EMITTED


def test_the_grip_only_loosens():
    assert Grip.OURS < Grip.GIVEN_UP < Grip.GONE

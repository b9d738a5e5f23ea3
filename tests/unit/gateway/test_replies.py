"""Pending requests and their replies; late, remembered and forgotten replies."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.correlation import FUTURE_SECONDS_MAX, made_at, new_correlation_id
from gateway.replies import Replies, Reply, TooManyWaiting

NOW = 1_800_000_000.0
RESULT = Reply(b'{"task_id":1,"id":1}')
FAILURE = Reply(None, "task_rejected", "because")


@pytest.fixture
def late():
    return []


@pytest.fixture
def replies(late):
    return Replies(waiting_max=2, remembered_max=3, remembered_seconds=100, on_late=lambda: late.append(1))


def settled(replies, made, reply=RESULT):
    correlation_id = new_correlation_id(made)
    replies.settle(correlation_id, reply, NOW)
    return correlation_id


def test_a_reply_reaches_the_request_that_waits_for_it_and_no_other(replies):
    first, second = new_correlation_id(NOW), new_correlation_id(NOW)
    replies.expect(first, "first")
    replies.expect(second, "second")

    assert replies.settle(second, RESULT, NOW) == "second"
    assert replies.settle(second, RESULT, NOW) is None
    assert replies.waiting == 1


def test_no_more_requests_wait_than_may(replies):
    replies.expect(new_correlation_id(NOW), "first")
    second = new_correlation_id(NOW)
    replies.expect(second, "second")

    with pytest.raises(TooManyWaiting):
        replies.expect(new_correlation_id(NOW), "third")

    replies.remove(second)
    replies.expect(new_correlation_id(NOW), "third")


def test_a_reply_that_comes_too_late_is_counted_once_and_remembered(replies, late):
    correlation_id = new_correlation_id(NOW)
    replies.expect(correlation_id, "waiter")
    replies.give_up(correlation_id)
    replies.remove(correlation_id)

    assert replies.settle(correlation_id, RESULT, NOW) is None
    assert replies.settle(correlation_id, RESULT, NOW) is None
    assert len(late) == 1
    assert replies.find(correlation_id) == RESULT


def test_a_reply_that_nobody_wanted_to_wait_for_is_not_late(replies, late):
    correlation_id = new_correlation_id(NOW)
    replies.expect(correlation_id, "waiter")
    replies.remove(correlation_id)
    replies.settle(correlation_id, RESULT, NOW)
    settled(replies, NOW)

    assert late == []


def test_a_result_is_the_last_word_and_a_failure_is_not(replies):
    redriven = settled(replies, NOW, FAILURE)
    replies.settle(redriven, RESULT, NOW)
    assert replies.find(redriven) == RESULT

    replies.settle(redriven, FAILURE, NOW)
    assert replies.find(redriven) == RESULT


def test_when_too_many_are_remembered_the_oldest_is_forgotten_and_not_claimed_to_be_on_its_way(replies):
    ids = [settled(replies, NOW - 10 + number) for number in range(4)]

    assert replies.find(ids[0]) is None
    assert not replies.may_come(ids[0], NOW)
    assert all(replies.find(correlation_id) == RESULT for correlation_id in ids[1:])
    assert replies.may_come(new_correlation_id(NOW), NOW)


def test_a_reply_is_forgotten_with_age(replies):
    old = settled(replies, NOW - 99)
    replies.settle(new_correlation_id(NOW), RESULT, NOW + 2)

    assert replies.find(old) is None
    assert not replies.may_come(old, NOW + 2)


@pytest.mark.parametrize(
    ("made", "may_come"),
    [(NOW, True), (NOW - 99, True), (NOW - 101, False), (NOW + FUTURE_SECONDS_MAX - 1, True), (NOW + 3600, False)],
)
def test_a_request_may_be_on_its_way_while_it_is_young_and_not_from_the_future(replies, made, may_come):
    assert replies.may_come(new_correlation_id(made), NOW) is may_come


@pytest.mark.parametrize("correlation_id", ["", "1", "я", "5e4d27f8-8ee8-4a4c-9e0e-0d5f2d9a3f4e", "{" + "0" * 32 + "}"])
def test_replies_to_ids_that_no_gateway_makes_are_dropped(replies, correlation_id):
    assert replies.settle(correlation_id, RESULT, NOW) is None
    assert replies.find(correlation_id) is None
    assert not replies.may_come(correlation_id, NOW)


def test_nothing_is_claimed_about_requests_from_before_what_was_read(replies):
    before = new_correlation_id(NOW - 1)
    replies.forget_until(NOW)

    assert not replies.may_come(before, NOW)
    assert replies.may_come(new_correlation_id(NOW + 1), NOW)


class AnyOrder(RuleBasedStateMachine):
    """Requests and replies in any order, at any time, of this gateway and of others."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.late = 0
        self.replies = Replies(
            waiting_max=3, remembered_max=4, remembered_seconds=50, on_late=lambda: setattr(self, "late", self.late + 1)
        )
        self.ids = []
        self.waiting = set()
        self.given_up = set()
        self.answered = set()

    def pick(self, data):
        return data.draw(st.sampled_from(self.ids))

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(ahead=st.floats(-30, 30))
    def a_request_is_made_elsewhere(self, ahead):
        self.ids.append(new_correlation_id(self.now + ahead))

    @rule()
    def a_request_is_made_here(self):
        correlation_id = new_correlation_id(self.now)
        self.ids.append(correlation_id)
        if len(self.waiting) == 3:
            with pytest.raises(TooManyWaiting):
                self.replies.expect(correlation_id, correlation_id)
        else:
            self.replies.expect(correlation_id, correlation_id)
            self.waiting.add(correlation_id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), wanted=st.booleans())
    def a_request_ends(self, data, wanted):
        correlation_id = self.pick(data)
        if wanted:
            self.replies.give_up(correlation_id)
            if correlation_id in self.waiting:
                self.given_up.add(correlation_id)
        self.replies.remove(correlation_id)
        self.waiting.discard(correlation_id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), reply=st.sampled_from([RESULT, FAILURE]))
    def a_reply_comes(self, data, reply):
        correlation_id = self.pick(data)
        late = self.late
        in_time = self.now - 50 < made_at(correlation_id) <= self.now + FUTURE_SECONDS_MAX

        waiter = self.replies.settle(correlation_id, reply, self.now)

        if in_time:
            assert waiter == (correlation_id if correlation_id in self.waiting else None)
            assert self.late - late == (correlation_id in self.given_up)
            self.waiting.discard(correlation_id)
            self.given_up.discard(correlation_id)
            self.answered.add(correlation_id)

    @invariant()
    def limits_hold(self):
        assert self.replies.waiting == len(self.waiting) <= 3
        assert sum(self.replies.find(correlation_id) is not None for correlation_id in self.ids) <= 4

    @invariant()
    def what_was_answered_and_is_forgotten_is_never_said_to_be_on_its_way(self):
        for correlation_id in self.answered:
            if self.replies.find(correlation_id) is None:
                assert not self.replies.may_come(correlation_id, self.now)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

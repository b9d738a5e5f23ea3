"""The enrich step: attempts, turns, and the requests that are counted."""

import asyncio
import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.enrich import enrich as enrich_module
from processor.enrich.enrich import Enrich, Lane, pause_seconds
from processor.enrich.errors import (
    AccountRefused,
    Misconfigured,
    NotNow,
    ProviderUnavailable,
    TaskRejected,
    UnexpectedAnswer,
    UnusableAnswer,
)
from processor.enrich.gate import Gate, Ticket
from processor.enrich.quota import AtOnce
from processor.metrics import PROVIDER_SECONDS
from shared.messages import Task
from tests.unit.processor.enrich.test_gate import answer_another

PHONE = Task(task_id=1, task_type="phone", data="8 916")
GPT = Task(task_id=2, task_type="gpt", data="?")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_SECONDS_FIRST", 0.0)
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_JITTER_SECONDS", 0.0)


def permitting(name="phone", *, slots=10):
    """Return a gate with a lease."""
    gate = Gate(name, quota=AtOnce(slots, 60.0), requests_max=100)
    gate.quota.limit, gate.valid_until = slots, math.inf
    return gate


class Asking:
    """The enrich step for phones."""

    def __init__(self, ask, *, attempts_max=3, **options):
        self.gate = permitting(**options)
        self.turn = Turn()
        self._enrich = Enrich({"phone": Lane(self.gate.name, ask, self.gate)}, attempts_max)

    async def __call__(self, task=PHONE):
        return await self._enrich(task, Ticket(), self.turn)

    @property
    def turns(self):
        return self.turn.begun, self.turn.ended


class Turn:
    """Counts how often it begins and ends."""

    def __init__(self):
        self.begun = self.ended = 0

    def begin(self):
        self.begun += 1

    def end(self):
        self.ended += 1


def failing(*failures):
    """Return a provider that raises these failures in turn and then answers, and the list of its requests."""
    asked = []

    async def ask(data, line):
        asked.append(data)
        if len(asked) <= len(failures):
            raise failures[len(asked) - 1]
        return {"qc": 0}

    return ask, asked


def test_a_failure_that_passes_costs_attempts_and_no_more():
    ask, asked = failing(ProviderUnavailable("429"), ProviderUnavailable("500", retry_after_seconds=0))

    asking = Asking(ask)

    assert asyncio.run(asking()) == {"qc": 0}
    assert asked == ["8 916"] * 3
    assert asking.turns == (3, 2), "its turn ends where it may be handed back"


def test_after_the_last_attempt_the_failure_stands():
    ask, asked = failing(*[ProviderUnavailable("429")] * 3)

    with pytest.raises(ProviderUnavailable):
        asyncio.run(Asking(ask)())

    assert len(asked) == 3


@pytest.mark.parametrize(
    "failure",
    [
        TaskRejected("400"),
        AccountRefused("403"),
        UnexpectedAnswer("302"),
        ProviderUnavailable("501", retryable=False),
        ZeroDivisionError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_will_not_pass_is_not_asked_again(failure):
    ask, asked = failing(failure)

    with pytest.raises(type(failure)):
        asyncio.run(Asking(ask)())

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("failures", "calls"),
    [
        ([UnusableAnswer("nonsense")] * 9, 2),
        ([UnusableAnswer("nonsense"), ProviderUnavailable("503"), UnusableAnswer("nonsense")] * 3, 3),
        ([ProviderUnavailable("503")] * 4 + [UnusableAnswer("nonsense")] * 5, 5),
    ],
    ids=["twice", "twice, with a failure between", "at the last attempt"],
)
def test_an_answer_that_cannot_be_used_is_paid_for_twice_at_most(failures, calls):
    ask, asked = failing(*failures)

    with pytest.raises(UnusableAnswer):
        asyncio.run(Asking(ask, attempts_max=5)())

    assert len(asked) == calls


def test_after_one_answer_that_cannot_be_used_the_next_one_counts():
    ask, asked = failing(UnusableAnswer("nonsense"))

    asking = Asking(ask)

    assert asyncio.run(asking()) == {"qc": 0}
    assert len(asked) == 2
    assert asking.turns == (2, 1)


@given(attempt=st.integers(1, 10**6))
def test_the_wait_doubles_up_to_its_limit_and_is_never_the_same_for_all(attempt):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enrich_module, "BACK_OFF_SECONDS_FIRST", 0.2)
        patch.setattr(enrich_module, "BACK_OFF_JITTER_SECONDS", 0.2)
        least = min(0.2 * 2 ** min(attempt - 1, 10), 10)
        assert least <= pause_seconds(attempt) <= min(least + 0.2, 10)
        assert 7 <= pause_seconds(attempt, 7.0) <= 7.2
        assert 60 <= pause_seconds(attempt, 3600.0) <= 60.2


def test_a_request_that_was_not_sent_is_no_attempt_and_its_turn_ends():
    ask, asked = failing(*[NotNow()] * 5)
    asking = Asking(ask, attempts_max=1)

    assert asyncio.run(asking()) == {"qc": 0}
    assert len(asked) == 6
    assert asking.turns == (6, 5)
    assert asking.gate.quota.used(0) == 0


@pytest.mark.parametrize("failures", [1, 2], ids=["once", "and again when others are taken"])
def test_a_task_for_which_there_is_no_service_waits_until_the_provider_takes_another(failures):
    async def run():
        ask, asked = failing(*[Misconfigured("404")] * failures)
        asking = Asking(ask, attempts_max=1)
        answer = asyncio.ensure_future(asking())
        await asyncio.sleep(0.001)
        assert asking.gate.state == "misconfigured"
        assert asking.turns == (1, 1)

        answer_another(asking.gate)
        asking.gate.serve()
        if failures == 1:
            assert await answer == {"qc": 0}
        else:
            with pytest.raises(Misconfigured):
                await answer
        assert len(asked) == 2
        assert asking.gate.quota.used(0) == 0

    asyncio.run(run())


def test_a_task_that_is_rejected_while_every_task_is_waits_and_is_asked_again(monkeypatch):
    monkeypatch.setattr("processor.enrich.gate.SURE_REJECTIONS", 0)
    monkeypatch.setattr("processor.enrich.gate.REJECTIONS_MAX", 1)

    async def run():
        ask, asked = failing(TaskRejected("400"))
        asking = Asking(ask, attempts_max=1)
        answer = asyncio.ensure_future(asking())
        await asyncio.sleep(0.001)
        asking.gate.count_rejections(-math.inf, 0, time.monotonic())
        await asyncio.sleep(0.001)
        assert asking.gate.state == "misconfigured"
        assert asking.turns == (1, 1)

        answer_another(asking.gate)
        asking.gate.serve()
        assert await answer == {"qc": 0}
        assert len(asked) == 2

    asyncio.run(run())


def test_a_task_whose_accounts_keys_are_not_set_is_refused_without_a_request():
    lane = Lane("phone", None, Gate("phone", quota=None, requests_max=1), "DADATA_API_KEY")

    with pytest.raises(AccountRefused, match="DADATA_API_KEY are not set"):
        asyncio.run(Enrich({"phone": lane}, 3)(PHONE, Ticket(), Turn()))


def test_no_more_requests_are_in_flight_than_there_are_slots():
    in_flight, most = 0, 0

    async def ask(data, line):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1
        return {}

    async def run():
        asking = Asking(ask, slots=4)
        await asyncio.gather(*(asking() for _ in range(40)))

    asyncio.run(run())

    assert most == 4


def test_work_that_waits_for_one_provider_does_not_delay_another():
    async def run():
        answered = asyncio.Event()

        async def slow(data, line):
            await answered.wait()
            return {}

        async def fast(data, line):
            return {"qc": 0}

        lanes = {
            "gpt": Lane("gpt", slow, permitting(slots=1)),
            "phone": Lane("phone", fast, permitting(slots=1)),
        }
        ask = Enrich(lanes, attempts_max=1)
        waiting = [asyncio.ensure_future(ask(GPT, Ticket(), Turn())) for _ in range(100)]
        answer = await ask(PHONE, Ticket(), Turn())
        assert not any(task.done() for task in waiting)
        answered.set()
        await asyncio.gather(*waiting)
        return answer

    assert asyncio.run(run()) == {"qc": 0}


def test_a_slot_is_free_while_a_task_waits_for_its_next_attempt():
    async def run():
        failed = asyncio.Event()

        async def ask(data, line):
            if data == "8 916":
                failed.set()
                raise ProviderUnavailable("429", retry_after_seconds=3600)
            return {}

        one_slot = Asking(ask, slots=1)
        waiting = asyncio.ensure_future(one_slot())
        await failed.wait()
        assert await one_slot(replace(PHONE, data="other")) == {}
        waiting.cancel()

    asyncio.run(run())


def test_nobody_is_asked_for_a_record_that_is_handed_back_and_its_slot_is_free():
    ask, asked = failing()
    asking = Asking(ask)

    def handed_back():
        raise asyncio.CancelledError

    asking.turn.begin = handed_back
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asking())

    assert asked == []
    assert asking.gate.quota.used(0) == 0


def counted(provider):
    """Return outcome -> number of requests."""
    return {
        sample.labels["outcome"]: sample.value
        for family in PROVIDER_SECONDS.collect()
        for sample in family.samples
        if sample.labels.get("provider") == provider and sample.name.endswith("_count")
    }


def test_requests_are_counted_by_outcome_and_what_was_not_sent_is_not_counted():
    ask, _ = failing(NotNow(), ProviderUnavailable("503"), UnusableAnswer("nonsense"))
    asyncio.run(Asking(ask, name="counted")())
    for failure in (ZeroDivisionError(), TaskRejected("400")):
        ask, _ = failing(failure)
        with pytest.raises(type(failure)):
            asyncio.run(Asking(ask, name="counted")())

    assert counted("counted") == {"answered": 1, "provider_unavailable": 2, "unforeseen": 1, "task_rejected": 1}


def test_a_request_that_is_cut_off_by_a_stop_is_not_counted_and_its_slot_is_free():
    async def run():
        async def never(data, line):
            await asyncio.Event().wait()

        asking = Asking(never, name="cut off")
        task = asyncio.ensure_future(asking())
        await asyncio.sleep(0)
        assert asking.gate.quota.used(0) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asking.gate.quota.used(0) == 0
        assert asking.turns == (1, 0)

    asyncio.run(run())

    assert counted("cut off") == {}

"""Calls to a provider: attempts, timeouts and concurrency."""

import asyncio
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.enrich import enrich as enrich_module
from processor.enrich.enrich import Enrich, Lane, pause_seconds
from processor.enrich.errors import AccountRefused, ProviderUnavailable, TaskRejected, UnexpectedAnswer, UnusableAnswer
from processor.enrich.gate import Gate
from processor.metrics import PROVIDER_SECONDS
from shared.messages import Task

PHONE = Task(task_id=1, task_type="phone", data="8 916")
GPT = Task(task_id=2, task_type="gpt", data="?")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_SECONDS_FIRST", 0.0)
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_JITTER_SECONDS", 0.0)


def enrich(ask, *, slots=10, attempts_max=3):
    lane = Lane("phone", ask, Gate("phone", quota=None, requests_max=slots))
    return functools.partial(Enrich({"phone": lane}, attempts_max), turn=Turn())


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

    async def ask(data):
        asked.append(data)
        if len(asked) <= len(failures):
            raise failures[len(asked) - 1]
        return {"qc": 0}

    return ask, asked


def test_a_failure_that_passes_costs_attempts_and_no_more():
    ask, asked = failing(ProviderUnavailable("429"), ProviderUnavailable("500", retry_after_seconds=0))

    asking = enrich(ask)

    assert asyncio.run(asking(PHONE)) == {"qc": 0}
    assert asked == ["8 916"] * 3
    turn = asking.keywords["turn"]
    assert (turn.begun, turn.ended) == (3, 2), "its turn ends where it may be handed back"


def test_after_the_last_attempt_the_failure_stands():
    ask, asked = failing(*[ProviderUnavailable("429")] * 3)

    with pytest.raises(ProviderUnavailable):
        asyncio.run(enrich(ask)(PHONE))

    assert len(asked) == 3


@pytest.mark.parametrize(
    "failure",
    [
        TaskRejected("400"),
        AccountRefused("403"),
        UnexpectedAnswer("404"),
        ProviderUnavailable("501", retryable=False),
        ZeroDivisionError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_will_not_pass_is_not_asked_again(failure):
    ask, asked = failing(failure)

    with pytest.raises(type(failure)):
        asyncio.run(enrich(ask)(PHONE))

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
        asyncio.run(enrich(ask, attempts_max=5)(PHONE))

    assert len(asked) == calls


def test_after_one_answer_that_cannot_be_used_the_next_one_counts():
    ask, asked = failing(UnusableAnswer("nonsense"))

    asking = enrich(ask)

    assert asyncio.run(asking(PHONE)) == {"qc": 0}
    assert len(asked) == 2
    turn = asking.keywords["turn"]
    assert (turn.begun, turn.ended) == (2, 1)


@given(attempt=st.integers(1, 10**6))
def test_the_wait_doubles_up_to_its_limit_and_is_never_the_same_for_all(attempt):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enrich_module, "BACK_OFF_SECONDS_FIRST", 0.2)
        patch.setattr(enrich_module, "BACK_OFF_JITTER_SECONDS", 0.2)
        least = min(0.2 * 2 ** min(attempt - 1, 10), 10)
        assert least <= pause_seconds(attempt) <= min(least + 0.2, 10)
        assert 7 <= pause_seconds(attempt, 7.0) <= 7.2
        assert 60 <= pause_seconds(attempt, 3600.0) <= 60.2


def test_no_more_requests_are_in_flight_than_there_are_slots():
    in_flight, most = 0, 0

    async def ask(data):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1
        return {}

    async def run():
        ask_enriched = enrich(ask, slots=4)
        await asyncio.gather(*(ask_enriched(PHONE) for _ in range(40)))

    asyncio.run(run())

    assert most == 4


def test_work_that_waits_for_one_provider_does_not_delay_another():
    async def run():
        answered = asyncio.Event()

        async def slow(data):
            await answered.wait()
            return {}

        async def fast(data):
            return {"qc": 0}

        lanes = {
            "gpt": Lane("gpt", slow, Gate("test", quota=None, requests_max=1)),
            "phone": Lane("phone", fast, Gate("test", quota=None, requests_max=1)),
        }
        ask = functools.partial(Enrich(lanes, attempts_max=1), turn=Turn())
        waiting = [asyncio.ensure_future(ask(GPT)) for _ in range(100)]
        answer = await ask(PHONE)
        assert not any(task.done() for task in waiting)
        answered.set()
        await asyncio.gather(*waiting)
        return answer

    assert asyncio.run(run()) == {"qc": 0}


def test_a_slot_is_free_while_a_task_waits_for_its_next_attempt():
    async def run():
        failed = asyncio.Event()

        async def ask(data):
            if data == "8 916":
                failed.set()
                raise ProviderUnavailable("429", retry_after_seconds=3600)
            return {}

        one_slot = enrich(ask, slots=1)
        waiting = asyncio.ensure_future(one_slot(PHONE))
        await failed.wait()
        assert await one_slot(PHONE.model_copy(update={"data": "other"})) == {}
        waiting.cancel()

    asyncio.run(run())


def test_nobody_is_asked_for_a_record_that_is_handed_back():
    ask, asked = failing()
    turn = Turn()
    turn.begin = failing_begin

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(enrich(ask)(PHONE, turn=turn))

    assert asked == []


def test_an_attempt_that_is_cut_off_by_a_stop_is_not_counted():
    def counted():
        return {
            tuple(sample.labels.values())
            for family in PROVIDER_SECONDS.collect()
            for sample in family.samples
            if sample.labels.get("provider") == "cut off"
        }

    async def run():
        async def never(data):
            await asyncio.Event().wait()

        gate = Gate("cut off", quota=None, requests_max=1)
        asking = asyncio.ensure_future(Enrich({"phone": Lane("cut off", never, gate)}, 3)(PHONE, Turn()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(run())

    assert counted() == set()


def failing_begin():
    raise asyncio.CancelledError

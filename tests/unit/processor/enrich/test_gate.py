"""The gate to a provider: its order, its circuit breaker and its share of the quota."""

import asyncio
import math

import pytest
from prometheus_client import REGISTRY

from processor.enrich import gate as module
from processor.enrich.circuit import FAILURES_MAX
from processor.enrich.errors import AccountRefused, ProviderUnavailable, TaskRejected, UnusableAnswer
from processor.enrich.gate import Gate, Gates
from processor.enrich.quota import LATE_SECONDS_MAX, Quota

UNAVAILABLE = ProviderUnavailable("the provider answered 503")


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 30))


async def waiting(gate, count=1, *, again=False):
    """Return `count` tasks that wait at the gate."""
    tasks = [asyncio.ensure_future(gate.enter(again=again)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def opened(gate):
    for _ in range(FAILURES_MAX):
        gate.leave(gate._begin(0.0), UNAVAILABLE)


@pytest.mark.parametrize("error", [UNAVAILABLE, UnusableAnswer("nonsense")], ids=["unavailable", "nonsense"])
def test_a_provider_that_has_no_good_answer_to_anything_is_asked_only_now_and_then(error):
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        for _ in range(FAILURES_MAX):
            assert gate.state == "closed"
            gate.leave(gate._begin(0.0), error)
        assert gate.state == "unavailable"

    run(scenario())


def test_who_comes_first_goes_first_and_who_comes_again_goes_before():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        inside = await gate.enter(again=False)
        first, second = await waiting(gate, 2)
        [again] = await waiting(gate, again=True)
        order = []
        for _ in range(3):
            gate.leave(inside, None)
            done, _ = await asyncio.wait({first, second, again} - set(order), return_when=asyncio.FIRST_COMPLETED)
            [task] = done
            order.append(task)
            inside = task.result()
        assert order == [again, first, second]

    run(scenario())


def test_who_is_cancelled_while_waiting_leaves_and_takes_no_place():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        inside = await gate.enter(again=False)
        first, second = await waiting(gate, 2)
        first.cancel()
        await asyncio.sleep(0)
        gate.leave(inside, None)
        await second

    run(scenario())


def test_who_is_cancelled_in_the_moment_of_being_let_in_gives_the_place_back():
    async def scenario():
        gate = Gate("test", quota=Quota(1, longest_seconds=60), requests_max=1)
        gate.quota.assign({0}, 1, taken_over=(), free_from=0.0)
        inside = await gate.enter(again=False)
        first, second = await waiting(gate, 2)
        gate.leave(inside, None)
        first.cancel()
        await second
        assert first.cancelled()

    run(scenario())


def test_while_the_circuit_is_open_the_others_wait_for_a_probe_which_lets_them_in():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=100)
        opened(gate)
        assert gate.state == "unavailable"
        tasks = await waiting(gate, 5)
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        [probe] = done
        assert probe.result().probe
        gate.leave(probe.result(), TaskRejected("400"))  # a rejection is an answer, too
        assert gate.state == "closed"
        await asyncio.gather(*others)

    run(scenario())


def test_probes_that_fail_are_spread_over_the_waiting_tasks(monkeypatch):
    monkeypatch.setattr("processor.enrich.circuit.PROBE_SECONDS_FIRST", 0.05)
    monkeypatch.setattr("processor.enrich.circuit.PROBE_SECONDS_MAX", 0.05)

    async def scenario():
        gate = Gate("test", quota=None, requests_max=100)
        opened(gate)
        asked = []

        async def task(name):
            for again in (False, True):
                leave = await gate.enter(again=again)
                asked.append(name)
                gate.leave(leave, UNAVAILABLE)

        await asyncio.gather(*(task(name) for name in range(4)))
        assert asked == [0, 1, 2, 3, 0, 1, 2, 3]

    run(scenario())


def test_a_refused_account_refuses_all_who_wait_and_who_comes_later_waits_for_a_probe():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        inside = await gate.enter(again=False)
        tasks = await waiting(gate, 3)
        gate.leave(inside, AccountRefused("the provider answered 403"))
        for task in tasks:
            with pytest.raises(AccountRefused, match="403"):
                await task
        assert gate.state == "refused"

        probe = await gate.enter(again=False)
        gate.leave(probe, None)
        assert gate.state == "closed"

    run(scenario())


def test_a_probe_that_is_cut_off_leaves_its_place_to_the_next():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        opened(gate)
        first, second = await waiting(gate, 2)
        gate.leave(await first, asyncio.CancelledError())
        assert (await second).probe

    run(scenario())


def test_each_change_of_state_is_told_once(caplog):
    caplog.set_level("INFO")

    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        opened(gate)
        opened(gate)
        gate.leave(gate._begin(0.0), None)
        gate.leave(gate._begin(0.0), None)
        gate.leave(gate._begin(0.0), AccountRefused("403"))

    run(scenario())

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "test has failed too often, only probes are sent until it answers: the provider answered 503"),
        ("INFO", "test answers again"),
        ("ERROR", "test refuses our account, its tasks are dead-lettered until it accepts it: 403"),
    ]


def test_partitions_bring_their_share_when_their_earlier_owners_requests_have_ended(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(module, "_now", lambda: now)

    async def scenario():
        nonlocal now
        gate = Gate("dadata", quota=Quota(20), requests_max=100)
        gates = Gates([gate], asyncio.get_running_loop(), {"import": 12}.get)

        async def changed(partitions):
            gates.changed({("import", partition): note for partition, note in partitions.items()})
            await asyncio.sleep(0)
            return gate.quota.slots(now)

        assert await changed({partition: {} for partition in range(6)}) == 10, "nobody was there before"
        assert await changed({}) == 0
        assert await changed({5: {}, 6: {"dadata": 1000.5}, 7: {"other": 2000.0}}) == 2, "5 is kept"
        now = 1000.5
        assert gate.quota.slots(now) == 5
        assert await changed({5: {"dadata": 1e12}}) == 0, "it was another's meanwhile"
        now += gate.quota.longest_seconds
        assert gate.quota.slots(now) == 2, "a clock that is wrong holds nobody up for longer than a request lasts"
        gate.leave(await gate.enter(again=False), None)
        assert gates.note() == {"dadata": pytest.approx(now + gate.quota.longest_seconds + LATE_SECONDS_MAX)}

    run(scenario())


def test_without_a_share_everybody_waits_and_a_share_lets_them_in():
    async def scenario():
        gate = Gate("yandexgpt", quota=Quota(10, longest_seconds=120), requests_max=10)
        tasks = await waiting(gate, 3)
        assert gate.quota.wait_seconds(0) == math.inf
        gates = Gates([gate], asyncio.get_running_loop(), {"import": 1}.get)
        gates.changed({("import", 0): {}})
        await asyncio.gather(*tasks)

    run(scenario())


def test_who_waits_and_what_is_used_can_be_seen_from_outside():
    def seen(name):
        return REGISTRY.get_sample_value(f"integration_{name}", {"provider": "seen"})

    async def scenario():
        quota = Quota(2, longest_seconds=60)
        quota.assign([0], 1, taken_over=(), free_from=0)
        gate = Gate("seen", quota=quota, requests_max=10)
        await gate.enter(again=False)
        await gate.enter(again=False)
        await waiting(gate, 3)
        return seen("quota_slots"), seen("quota_used_slots"), seen("waiting_for_slot")

    assert run(scenario()) == (2, 2, 3)

"""The gate to a provider: when a request begins, and in which order."""

import asyncio
import itertools
import math
import time

import pytest
from prometheus_client import REGISTRY

from processor.enrich.circuit import FAILURES_MAX, REJECTIONS_MAX, SETTLE_SECONDS, SURE_REJECTIONS, Opening, agree
from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    Misconfigured,
    NotNow,
    ProviderUnavailable,
    TaskRejected,
    UnusableAnswer,
)
from processor.enrich.gate import Gate, Ticket
from processor.enrich.quota import MINUTE, AtOnce, Rate
from processor.enrich.waiting import BACKLOG_TURNS
from processor.record import Position

UNAVAILABLE = ProviderUnavailable("the provider answered 503")
REFUSED = AccountRefused("the provider answered 403")
REJECTED = TaskRejected("the provider answered 400")

PROBE_SECONDS = 1.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr("processor.enrich.circuit.PAUSE_SECONDS_FIRST", 0.01)
    monkeypatch.setattr("processor.enrich.circuit.PAUSE_SECONDS_MAX", 0.01)
    monkeypatch.setattr("processor.enrich.circuit.ANSWERED_PAUSE_SECONDS_MAX", 0.01)
    monkeypatch.setattr("processor.enrich.gate.STORE_LOOK_SECONDS", 0.001)
    monkeypatch.setattr("processor.enrich.gate.VERDICT_SECONDS", 60.0)


class Connection:
    """An open connection."""

    reusable = True
    idle_since = 0.0

    def close(self):
        self.reusable = False


class Replica:
    """A gate, and the renewals of its leases."""

    def __init__(self, *, quota=None, requests_max=100, **options):
        self.gate = Gate("test", quota=quota, requests_max=requests_max, **options)
        self.opening = Opening()
        for each in (quota, self.gate.connections):
            if each is not None:
                each.limit = each.slots
        self.renew()

    def renew(self, opening=None):
        gate, now = self.gate, time.monotonic()
        gate.count_rejections(-math.inf, 0, now)
        report = gate.circuit.report(0.0, wants_probe=gate.is_wanted)
        self.opening = agree(opening or self.opening, report, "me", -math.inf, now, PROBE_SECONDS)
        gate.follow(self.opening, report, "me", 0.0, now)
        gate.valid_until = math.inf
        gate.serve()

    async def renew_until(self, *tasks):
        """Return the tasks' results, or the only one's."""
        while not all(task.done() for task in tasks):
            self.renew()
            await asyncio.sleep(0.001)
        results = [task.result() for task in tasks]
        return results if len(results) > 1 else results[0]


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 30))


async def entering(gate, *tickets):
    """Return a task for each ticket, once it waits at the gate or has a permit."""
    tasks = [asyncio.ensure_future(gate.enter(ticket)) for ticket in tickets]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def fails(gate, error=UNAVAILABLE):
    """Let the circuit open."""
    while gate.state == "closed":
        gate.leave(await gate.enter(Ticket()), error)


def answer_another(gate):
    """Let the provider answer another task."""
    now = time.monotonic()
    gate.circuit.answered(now, now)


async def rejected(gate, ticket=None, error=REJECTED):
    """Return whether the rejection of one more task stands."""
    ticket = ticket or Ticket()
    gate.leave(await gate.enter(ticket), error)
    return await gate.stands(ticket, error)


async def suspected(gate, count):
    """Return tasks that wait to know whether their rejections stand."""
    for _ in range(SURE_REJECTIONS):
        await rejected(gate)
    tasks = [asyncio.ensure_future(rejected(gate)) for _ in range(count)]
    await asyncio.sleep(0.001)
    return tasks


async def probed(replica, count, error):
    """Return in which order this many tasks are probes, twice each. All end with the error."""
    gate, asked = replica.gate, []

    async def task(name):
        ticket = Ticket()
        for _ in range(2):
            permit = await gate.enter(ticket)
            asked.append(name)
            gate.leave(permit, error)
            assert error is UNAVAILABLE or not await gate.stands(ticket, error)

    await replica.renew_until(asyncio.gather(*(task(name) for name in range(count))))
    return asked


async def order(gate, inside, tasks):
    """Return the tasks in the order in which they get the only permit."""
    done = []
    while len(done) < len(tasks):
        gate.leave(inside, None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        [task] = [task for task in tasks if task.done() and task not in done]
        done.append(task)
        inside = task.result()
    return [tasks.index(task) for task in done]


def test_nothing_begins_without_a_valid_lease():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        [task] = await entering(gate, Ticket())
        gate.serve()
        assert not task.done()

        gate.valid_until = time.monotonic() + 60
        gate.serve()
        gate.leave(await task, None)
        gate.valid_until = time.monotonic()
        [task] = await entering(gate, Ticket())
        assert not task.done()

    run(scenario())


def test_nothing_begins_while_its_answer_could_not_be_stored_and_it_goes_on_by_itself():
    async def scenario():
        storable = False
        gate = Replica(storable=lambda: storable).gate
        [task] = await entering(gate, Ticket())
        await asyncio.sleep(0.01)
        assert not task.done()

        storable = True
        await task

    run(scenario())


def test_without_a_slot_everybody_waits_and_slots_let_them_in():
    async def scenario():
        gate = Replica(quota=AtOnce(2, 60)).gate
        gate.quota.limit = 0
        tasks = await entering(gate, *(Ticket() for _ in range(3)))
        gate.quota.limit = 2
        gate.serve()
        gate.leave(await tasks[0], None)
        await asyncio.gather(*tasks)
        assert gate.quota.used(0) == 2

    run(scenario())


def test_who_waits_for_a_rates_slot_goes_on_by_itself_once_one_is_free():
    async def scenario():
        gate = Replica(quota=Rate(1, seconds=0.01, margin_seconds=0)).gate
        permit = await gate.enter(Ticket())
        [task] = await entering(gate, Ticket())
        await asyncio.sleep(0.02)
        assert not task.done(), "its request is not sent yet"

        permit.sent()
        await task

    run(scenario())


def test_a_replica_has_no_more_requests_in_flight_than_it_may():
    async def scenario():
        gate = Replica(requests_max=2).gate
        permit, _ = await gate.enter(Ticket()), await gate.enter(Ticket())
        [task] = await entering(gate, Ticket())
        assert not task.done()
        gate.leave(permit, None)
        await task

    run(scenario())


def test_awaited_records_go_by_deadline_and_before_the_others_which_go_as_they_came():
    async def scenario():
        gate, now = Replica(requests_max=1).gate, time.time()
        inside = await gate.enter(Ticket())
        deadlines = [None, now + 60, None, now + 20, now + 40, now - 1, None]
        tasks = await entering(gate, *map(Ticket, deadlines))
        assert await order(gate, inside, tasks) == [3, 4, 1, 0, 2, 5, 6]

    run(scenario())


def test_a_record_whose_deadline_is_over_is_awaited_no_longer():
    async def scenario():
        gate = Gate("test", quota=None, requests_max=1)
        tasks = await entering(gate, Ticket(time.time() + 60), Ticket(time.time() - 1), Ticket())
        assert gate.waiting() == (1, 2)
        for task in tasks:
            task.cancel()

    run(scenario())


def test_while_awaited_records_wait_one_start_in_ten_is_the_others():
    async def scenario():
        gate, until = Replica(requests_max=1).gate, time.time() + 60
        inside = await gate.enter(Ticket())
        tasks = await entering(gate, *(Ticket(until) for _ in range(30)), Ticket(), Ticket())
        assert await order(gate, inside, tasks) == [*range(9), 30, *range(9, 18), 31, *range(18, 30)]

    assert BACKLOG_TURNS == 10
    run(scenario())


def test_a_task_that_comes_again_keeps_its_place():
    async def scenario():
        gate, again = Replica(requests_max=1).gate, Ticket()
        gate.leave(await gate.enter(again), UNAVAILABLE)
        inside = await gate.enter(Ticket())
        tasks = await entering(gate, Ticket(), Ticket(), again)
        assert await order(gate, inside, tasks) == [2, 0, 1]

    run(scenario())


def test_while_the_circuit_is_open_it_goes_to_the_end_so_that_probes_are_spread_over_the_tasks():
    async def scenario():
        replica = Replica()
        await fails(replica.gate)
        assert await probed(replica, 4, UNAVAILABLE) == [0, 1, 2, 3, 0, 1, 2, 3]

    run(scenario())


def test_if_every_task_is_rejected_every_second_probe_is_the_task_that_came_last():
    async def scenario():
        replica, error = Replica(), Misconfigured("the provider answered 404")
        assert not await rejected(replica.gate, error=error)
        asked = await probed(replica, 5, error)
        assert asked[:5] == [4, 0, 3, 1, 2], "who was asked goes behind the others"
        assert sorted(asked[5:]) == [0, 1, 2, 3, 4]

    run(scenario())


@pytest.mark.parametrize("lent", [False, True], ids=["its own deadline", "a lent one"])
def test_while_the_circuit_is_open_an_awaited_task_is_one_probe_and_then_lets_the_others_go_first(lent):
    async def scenario():
        replica, until, position = Replica(requests_max=1), time.time() + 60, Position("topic", 0, 7)
        gate, ticket = replica.gate, Ticket(position=position) if lent else Ticket(until)
        gate.lend({position: until} if lent else {})
        await fails(gate)
        tasks = await entering(gate, Ticket(), ticket, Ticket())
        gate.leave(await replica.renew_until(tasks[1]), UNAVAILABLE)
        [again] = await entering(gate, ticket)
        gate.lend({position: until} if lent else {})
        assert gate.waiting() == (0, 3)
        gate.leave(await replica.renew_until(tasks[0]), UNAVAILABLE)
        permit = await replica.renew_until(tasks[2])
        assert not again.done()

        tasks = await entering(gate, Ticket(), Ticket())
        gate.leave(permit, None)
        assert gate.state == "closed"
        await asyncio.sleep(0)
        assert [task.done() for task in (again, *tasks)] == [True, False, False], "it is awaited again"
        gate.leave(again.result(), None)
        await asyncio.sleep(0)
        assert tasks[0].done()
        tasks[1].cancel()
        assert not gate._put_back, "nothing is kept of tasks that have gone"

    run(scenario())


def test_who_comes_when_a_slot_has_just_become_free_does_not_overtake_who_waits():
    async def scenario():
        gate = Replica(quota=AtOnce(1, 60)).gate
        gate.quota.limit = 0
        [first] = await entering(gate, Ticket())
        gate.quota.limit = 1
        [second] = await entering(gate, Ticket())
        assert (first.done(), second.done()) == (True, False)
        second.cancel()

    run(scenario())


def test_who_is_cancelled_while_waiting_takes_no_place():
    async def scenario():
        gate = Replica(requests_max=1).gate
        inside = await gate.enter(Ticket())
        first, second = await entering(gate, Ticket(), Ticket())
        first.cancel()
        await asyncio.sleep(0)
        assert gate.waiting() == (0, 1)
        gate.leave(inside, None)
        await second

    run(scenario())


def test_who_is_cancelled_in_the_moment_of_being_admitted_gives_everything_back():
    async def scenario():
        gate = Replica(quota=AtOnce(1, 60), connections=Rate(9, MINUTE)).gate
        inside = await gate.enter(Ticket())
        first, second = await entering(gate, Ticket(), Ticket())
        gate.leave(inside, None)
        first.cancel()
        await second
        assert first.cancelled()
        assert gate.quota.used(0) == 1
        assert gate.connections.used(time.monotonic()) == 2

    run(scenario())


def test_idle_connections_are_used_first_and_the_most_recently_used_one_before_the_others():
    async def scenario():
        gate, connections = Replica(connections=Rate(3, MINUTE)).gate, [Connection() for _ in range(3)]
        permits = [await gate.enter(Ticket()) for _ in connections]
        for permit, permit.connection in zip(permits, connections, strict=True):
            permit.sent()
        for permit in permits:
            gate.leave(permit, None)

        connections[2].close()
        permits = [await gate.enter(Ticket()) for _ in range(2)]
        assert [permit.connection for permit in permits] == [connections[1], connections[0]]
        [third] = await entering(gate, Ticket())
        assert not third.done(), "there is no slot for another new one"
        gate.leave(permits[0], None)
        assert (await third).connection is connections[1]

    run(scenario())


def test_a_slot_of_the_connections_is_used_also_by_one_that_fails_and_not_by_one_that_does_not_start():
    async def scenario():
        gate = Replica(connections=Rate(9, MINUTE)).gate

        def used():
            return gate.connections.used(time.monotonic())

        gate.cancel(await gate.enter(Ticket()))
        assert used() == 0
        gate.leave(await gate.enter(Ticket()), UNAVAILABLE)
        assert used() == 1
        gate.leave(await gate.enter(Ticket()), asyncio.CancelledError())
        assert used() == 2
        permit = await gate.enter(Ticket())
        permit.connection = Connection()
        permit.sent()
        gate.leave(permit, None)
        gate.leave(await gate.enter(Ticket()), None)
        assert used() == 3

    run(scenario())


def test_the_slot_of_a_connection_that_could_not_be_opened_is_free_a_minute_later():
    async def scenario():
        gate = Replica(connections=Rate(1, seconds=0.02, margin_seconds=0)).gate
        gate.leave(await gate.enter(Ticket()), UNAVAILABLE)
        [task] = await entering(gate, Ticket())
        assert not task.done()
        await task

    run(scenario())


def test_as_many_connections_are_wanted_as_could_be_opened_at_once():
    async def scenario():
        gate = Replica(quota=AtOnce(4, 60), connections=Rate(9, MINUTE), requests_max=3).gate
        permit = await gate.enter(Ticket())
        permit.connection = Connection()
        gate.connections.limit = 0
        assert gate.connections_wanted() == 0
        tasks = await entering(gate, Ticket(), Ticket(), Ticket())
        assert gate.connections_wanted() == 2, "one of three requests is in flight"
        gate.valid_until = -math.inf
        gate.leave(permit, None)
        assert gate.connections_wanted() == 2, "and one connection is idle"
        gate.quota.limit = 2
        assert gate.connections_wanted() == 1
        for task in tasks:
            task.cancel()

    run(scenario())


def test_a_lease_that_ends_while_the_connection_is_opened_stops_the_request_and_the_connection_is_kept():
    async def scenario():
        gate = Replica(quota=Rate(5), connections=Rate(5, MINUTE)).gate
        permit = await gate.enter(Ticket())
        permit.connection = connection = Connection()
        gate.valid_until = time.monotonic()
        with pytest.raises(NotNow):
            permit.sent()
        gate.cancel(permit)
        now = time.monotonic()
        assert (gate.quota.used(now), gate.connections.used(now)) == (0, 1)

        gate.valid_until = math.inf
        assert (await gate.enter(Ticket())).connection is connection

    run(scenario())


def test_a_request_that_began_before_its_lease_ended_is_not_sent_after_the_lease_is_renewed():
    async def scenario():
        gate = Replica().gate
        late, permit = await gate.enter(Ticket()), await gate.enter(Ticket())
        gate.renew(time.monotonic() + 60)
        permit.sent()
        gate.valid_until = time.monotonic()
        gate.renew(time.monotonic() + 60)  # another replica may have got the slot meanwhile
        with pytest.raises(NotNow):
            late.sent()
        gate.cancel(late)
        (await gate.enter(Ticket())).sent()

    run(scenario())


def test_idle_connections_are_closed_at_the_end():
    async def scenario():
        gate, connection = Replica().gate, Connection()
        permit = await gate.enter(Ticket())
        permit.connection = connection
        gate.leave(permit, None)
        gate.close()
        assert not connection.reusable

    run(scenario())


@pytest.mark.parametrize("error", [UNAVAILABLE, UnusableAnswer("nonsense")], ids=["unavailable", "nonsense"])
def test_a_provider_that_has_no_good_answer_to_anything_is_asked_only_by_probes(error):
    async def scenario():
        replica = Replica()
        gate = replica.gate
        for _ in range(FAILURES_MAX):
            assert gate.state == "closed"
            gate.leave(await gate.enter(Ticket()), error)
        assert gate.state == "unavailable"

        tasks = await entering(gate, *(Ticket() for _ in range(5)))
        assert not any(task.done() for task in tasks)
        await replica.renew_until(tasks[0])
        await asyncio.sleep(0.03)
        assert [task.done() for task in tasks] == [True] + 4 * [False]
        gate.leave(tasks[0].result(), REJECTED)  # a rejection is an answer, too
        assert gate.state == "closed"
        await asyncio.gather(*tasks)

    run(scenario())


def test_a_probe_that_is_cut_off_leaves_its_place_to_the_next_task():
    async def scenario():
        replica = Replica()
        gate = replica.gate
        await fails(gate)
        first, second, third = await entering(gate, Ticket(), Ticket(), Ticket())
        gate.leave(await replica.renew_until(first), asyncio.CancelledError())
        gate.cancel(await second)
        assert (await third).probe

    run(scenario())


async def refused(*tasks):
    for task in tasks:
        with pytest.raises(AccountRefused, match="403"):
            await task


def test_a_refused_account_refuses_who_waits_and_who_comes_later_waits_for_a_probe():
    async def scenario():
        replica = Replica(requests_max=1)
        gate = replica.gate
        inside = await gate.enter(Ticket())
        tasks = await entering(gate, Ticket(), Ticket())
        gate.leave(inside, REFUSED)
        await refused(*tasks)
        assert gate.state == "refused"

        first, second = await entering(gate, Ticket(), Ticket())
        replica.renew()
        await asyncio.sleep(0)
        assert not first.done(), "it came after the refusal of which the fleet hears now"
        permit = await replica.renew_until(first)
        [third] = await entering(gate, Ticket())
        assert not second.done()
        assert not third.done(), "they wait for the probe"
        gate.leave(permit, REFUSED)
        await refused(second, third)

        first, second = await entering(gate, Ticket(), Ticket())
        replica.renew()
        await asyncio.sleep(0)
        assert not first.done()
        gate.leave(await replica.renew_until(first), None)
        assert gate.state == "closed"
        await second

    run(scenario())


def test_an_account_that_another_replica_finds_refused_refuses_who_waits_here():
    async def scenario():
        replica = Replica(requests_max=1)
        gate, now = replica.gate, time.monotonic()
        await gate.enter(Ticket())
        [task] = await entering(gate, Ticket())
        replica.renew(Opening("refused", "403", now, 0, now + 60))
        await refused(task)

        [task] = await entering(gate, Ticket())
        replica.renew(replica.opening._replace(prober="other"))
        await asyncio.sleep(0)
        assert not task.done(), "it waits for the other's probe"
        replica.renew(Opening("refused", "403", now, 1, now + 60))
        await refused(task)

    run(scenario())


def test_a_refusal_of_a_request_that_began_before_says_nothing_about_the_account():
    async def scenario():
        replica = Replica()
        gate = replica.gate
        early = [await gate.enter(Ticket()) for _ in range(3)]
        gate.leave(early.pop(), REFUSED)
        [task] = await entering(gate, Ticket())
        gate.leave(early.pop(), REFUSED)
        await asyncio.sleep(0)
        assert not task.done(), "it waits for the probe"

        gate.leave(await replica.renew_until(task), None)
        gate.leave(early.pop(), REFUSED)
        assert gate.state == "closed"

    run(scenario())


def test_an_account_that_only_one_other_replica_finds_refused_refuses_nobody_here():
    async def scenario():
        replica = Replica()
        now = time.monotonic()
        await fails(replica.gate)
        [task] = await entering(replica.gate, Ticket())
        for probes in range(3):
            replica.renew(Opening("refused", "403", now, probes, now + 60, found_by="other"))
        await asyncio.sleep(0)
        assert not task.done()
        replica.renew(Opening("refused", "403", now, 3, now + 60))
        await refused(task)

    run(scenario())


def test_the_first_rejections_in_a_row_stand_and_further_ones_wait_for_an_answer():
    async def scenario():
        gate, changes = Replica().gate, []
        gate.changed = lambda: changes.append(gate.is_suspicious)
        for _ in range(SURE_REJECTIONS):
            assert await rejected(gate)
        tasks = [asyncio.ensure_future(rejected(gate)) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        assert changes, "the fleet counts, too"
        assert gate.is_suspicious

        gate.leave(await gate.enter(Ticket()), None)
        assert await asyncio.gather(*tasks) == [True, True]
        assert not gate.is_suspicious
        assert await rejected(gate), "counted from the beginning"

    run(scenario())


def test_an_answer_to_a_request_that_began_before_the_rejections_says_nothing_about_them():
    async def scenario():
        gate = Replica().gate
        early = await gate.enter(Ticket())
        [task] = await suspected(gate, 1)
        gate.leave(early, None)
        await asyncio.sleep(0.001)
        assert not task.done()
        gate.leave(await gate.enter(Ticket()), None)
        assert await task

    run(scenario())


def test_an_answer_to_another_replica_lets_rejections_stand():
    async def scenario():
        gate = Replica().gate
        [task] = await suspected(gate, 1)
        for answered_at, now in ((-math.inf, time.monotonic()), (0.0, math.inf)):
            gate.count_rejections(answered_at, REJECTIONS_MAX - SURE_REJECTIONS - 2, now)
        await asyncio.sleep(0.001)
        assert not task.done()
        gate.count_rejections(time.monotonic(), REJECTIONS_MAX, time.monotonic())
        assert await task
        assert await rejected(gate)

    run(scenario())


def test_rejections_stand_if_nothing_happens(monkeypatch):
    monkeypatch.setattr("processor.enrich.gate.VERDICT_SECONDS", 0.01)

    async def scenario():
        assert await asyncio.gather(*await suspected(Replica().gate, 5)) == [True] * 5

    run(scenario())


def test_if_every_task_is_rejected_the_service_is_misconfigured_and_the_tasks_wait():
    async def scenario():
        replica = Replica()
        gate = replica.gate
        tasks = await suspected(gate, REJECTIONS_MAX - SURE_REJECTIONS)
        assert await replica.renew_until(*tasks) == [False] * len(tasks)
        assert gate.state == "misconfigured"
        assert gate.circuit.why == "the provider answered 400"

        ticket = Ticket()
        [task] = await entering(gate, ticket)
        gate.leave(await replica.renew_until(task), REJECTED)
        assert not await gate.stands(ticket, REJECTED), "it is asked again"
        [task] = await entering(gate, Ticket())
        gate.leave(await replica.renew_until(task), None)
        assert gate.state == "closed"
        assert await rejected(gate, ticket), "the provider takes others"

    run(scenario())


def test_a_task_that_is_rejected_again_after_another_was_taken_stands_at_once():
    async def scenario():
        replica, tickets = Replica(), [Ticket() for _ in range(REJECTIONS_MAX)]
        gate = replica.gate
        stand = await replica.renew_until(*(asyncio.ensure_future(rejected(gate, ticket)) for ticket in tickets))
        assert stand == [True] * SURE_REJECTIONS + [False] * (REJECTIONS_MAX - SURE_REJECTIONS)
        answer_another(gate)

        assert all(await asyncio.gather(*(rejected(gate, ticket) for ticket in tickets[SURE_REJECTIONS:])))
        assert gate.state == "closed"

    run(scenario())


def test_the_fleets_count_of_rejections_opens_the_circuit_too_and_says_why():
    async def scenario():
        gate, changes = Replica().gate, []
        assert await rejected(gate)
        gate.changed = lambda: changes.append(gate.state)
        now = time.monotonic()
        gate.count_rejections(now - 60, REJECTIONS_MAX, now)
        assert gate.state == "closed", "another replica may have been answered since"
        for later in range(2):
            gate.count_rejections(now - 60, REJECTIONS_MAX, now + SETTLE_SECONDS + later)
        assert changes == ["misconfigured"]
        assert gate.circuit.why == "the provider answered 400"

    run(scenario())


def test_an_input_that_is_rejected_for_its_meaning_stands_and_is_an_answer():
    async def scenario():
        gate = Replica().gate
        for _ in range(3 * REJECTIONS_MAX):
            assert await rejected(gate, error=InputRejected("content filter"))
        for _ in range(SURE_REJECTIONS):
            assert await rejected(gate)
        assert await rejected(gate, error=InputRejected("content filter"))
        assert await rejected(gate), "the first in a row"
        assert gate.state == "closed"

    run(scenario())


def test_an_address_without_the_service_is_misconfigured_at_once_and_an_answer_ends_it():
    async def scenario():
        replica = Replica(requests_max=1)
        gate = replica.gate
        inside = await gate.enter(Ticket())
        waits_longer, came_last = await entering(gate, Ticket(), Ticket())
        gate.leave(inside, Misconfigured("the provider answered 404"))
        await asyncio.sleep(0)
        assert gate.state == "misconfigured"
        assert not came_last.done()

        gate.leave(await replica.renew_until(came_last), None)
        assert gate.state == "closed"
        await waits_longer

    run(scenario())


def test_if_the_provider_takes_others_an_address_without_the_service_is_the_tasks_own_fault():
    async def scenario():
        gate, ticket, error = Replica().gate, Ticket(), Misconfigured("the provider answered 404")
        assert not await rejected(gate, ticket, error)
        answer_another(gate)
        assert await rejected(gate, ticket, error)
        assert gate.state == "closed"
        assert not await rejected(gate, Ticket(), error), "another task's is not"
        assert gate.state == "misconfigured"

    run(scenario())


def test_a_task_that_was_rejected_and_is_the_probe_of_the_next_outage_is_not_at_fault():
    async def scenario():
        replica, ticket, error = Replica(), Ticket(), Misconfigured("the provider answered 404")
        gate = replica.gate
        assert not await rejected(gate, ticket, error)
        answer_another(gate)
        assert not await rejected(gate, Ticket(), error)

        [task] = await entering(gate, ticket)
        gate.leave(await replica.renew_until(task), error)
        assert not await gate.stands(ticket, error)
        assert gate.state == "misconfigured"

    run(scenario())


def test_while_the_circuit_is_open_what_concerns_every_task_and_its_rejection_cost_no_task_anything():
    async def scenario():
        replica, ticket, error = Replica(), Ticket(), Misconfigured("the provider answered 404")
        gate = replica.gate
        early = await gate.enter(ticket)
        await fails(gate)
        gate.leave(early, error)
        assert not await gate.stands(ticket, error)
        assert gate.state == "unavailable"

        [task] = await entering(gate, ticket)
        gate.leave(await replica.renew_until(task), error)
        [task] = await entering(gate, ticket)
        gate.leave(await replica.renew_until(task), REJECTED)
        assert not await gate.stands(ticket, REJECTED)
        assert gate.state == "misconfigured"

    run(scenario())


def test_rejections_that_wait_are_asked_again_when_another_replica_finds_the_service_misconfigured():
    async def scenario():
        replica, now = Replica(), time.monotonic()
        tasks = await suspected(replica.gate, 2)
        replica.renew(Opening("misconfigured", "404", now, 0, now + 60))
        assert await asyncio.gather(*tasks) == [False, False]

    run(scenario())


def test_a_record_that_another_one_waits_for_is_awaited_like_it():
    async def scenario():
        gate, until = Replica(requests_max=1).gate, time.time() + 60
        waiting, later = Position("topic", 0, 7), Position("topic", 0, 8)
        inside = await gate.enter(Ticket())
        tasks = await entering(gate, Ticket(), Ticket(position=waiting))
        gate.lend({waiting: until, later: until - 1})
        assert gate.waiting() == (1, 1)
        tasks += await entering(gate, Ticket(position=later))
        assert gate.waiting() == (2, 1)
        assert await order(gate, inside, tasks) == [2, 1, 0]
        assert not gate._places, "nothing is kept of records that have gone"

    run(scenario())


def test_the_fleet_is_called_when_a_task_waits_a_circuit_opens_and_a_probe_ends():
    async def scenario():
        replica, called = Replica(requests_max=1), itertools.count()
        gate = replica.gate
        gate.changed = lambda: next(called)
        inside = await gate.enter(Ticket())
        [other, task] = await entering(gate, Ticket(), Ticket())
        assert next(called) == 1, "once, for the first one that waits"
        gate.leave(inside, Misconfigured("404"))
        assert next(called) == 3
        gate.leave(await replica.renew_until(task), Misconfigured("404"))
        assert next(called) == 5
        other.cancel()

    run(scenario())


def seen(name, **labels):
    return REGISTRY.get_sample_value(f"integration_{name}", {"provider": "test", **labels})


def test_who_waits_and_what_is_used_can_be_seen_from_outside():
    async def scenario():
        gate = Replica(quota=AtOnce(2, 60), connections=Rate(9, MINUTE)).gate
        await gate.enter(Ticket())
        await gate.enter(Ticket())
        tasks = await entering(gate, Ticket(), Ticket(time.time() + 60), Ticket())
        assert (seen("quota_slots"), seen("quota_used_slots")) == (2, 2)
        assert (seen("new_connections"), seen("new_connections_left")) == (2, 7)
        assert (seen("waiting_for_slot"), seen("awaited_waiting_for_slot")) == (3, 1)
        for task in tasks:
            task.cancel()

    run(scenario())


def test_the_circuit_can_be_seen_from_outside():
    def states():
        names = ("closed", "unavailable", "refused", "misconfigured")
        return [state for state in names if seen("circuit", integration_circuit=state)]

    async def scenario():
        replica, now = Replica(), time.monotonic()
        gate = replica.gate
        assert states() == ["closed"]
        await fails(gate)
        assert states() == ["unavailable"]
        replica.renew(Opening("misconfigured", "404", now, 0, now))
        assert states() == ["misconfigured"]
        [task] = await entering(gate, Ticket())
        gate.leave(await replica.renew_until(task), None)
        assert states() == ["closed"]

    run(scenario())

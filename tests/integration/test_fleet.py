"""Leases and circuits of several replicas, in a real PostgreSQL."""

import asyncio
import contextlib
import time

import psycopg

from processor import fleet as fleet_module
from processor.enrich.circuit import FAILURES_MAX
from processor.enrich.errors import AccountRefused, ProviderUnavailable, TaskRejected
from processor.enrich.gate import Gate, Ticket
from processor.enrich.quota import AtOnce, Rate
from processor.fleet import Fleet
from processor.record import Position
from tests.conftest import PATIENCE_SECONDS
from tests.integration.test_ledger import connection

UNAVAILABLE = ProviderUnavailable("the provider answered 503")
REFUSED = AccountRefused("the provider answered 403")


class Replica:
    """A replica with one gate: at most 10 requests at once over the fleet, and a number of new connections a minute."""

    def __init__(self, database, slots=10, connections=None, longest_seconds=1.0):
        self.quota = AtOnce(slots, longest_seconds)
        opened = None if connections is None else Rate(connections, 60.0, 1.0)
        self.gate = Gate("test", quota=self.quota, requests_max=100, look_at="TEST_URL", connections=opened)
        self.fleet = Fleet(connection(database), [self.gate])

    def start(self):
        self.task = asyncio.ensure_future(self.fleet.run())

    async def stop(self):
        held = self.fleet.stop()
        await self.kill()
        await self.fleet.close(held)

    async def kill(self):
        """End without giving anything back."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def replicas(database, count, **options):
    """Start replicas, and stop them afterwards."""
    started = [Replica(database, **options) for _ in range(count)]
    for replica in started:
        replica.start()
    try:
        yield started
    finally:
        for replica in started:
            await replica.stop()


async def until(condition, seconds=PATIENCE_SECONDS):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 2 * PATIENCE_SECONDS))


def test_slots_go_where_they_are_wanted_and_never_add_up_to_more(database):
    async def scenario():
        async with replicas(database, 3) as (busy, other, third):
            await until(lambda: sum(replica.quota.limit for replica in (busy, other, third)) == 10)
            tasks = [asyncio.ensure_future(busy.gate.enter(Ticket())) for _ in range(30)]
            await until(lambda: busy.quota.used(0) == 10)
            assert database.query("SELECT sum(slots)::int FROM leases") == [(10,)]

            lone = asyncio.ensure_future(other.gate.enter(Ticket(awaited_until=time.time() + 60)))
            await until(lambda: busy.quota.limit == 9)
            assert not lone.done(), "all slots are in use"
            begun = [task for task in tasks if task.done()]
            busy.gate.leave(begun[0].result(), None)
            await lone
            assert busy.quota.used(0) + other.quota.used(0) == 10
            for task in tasks:
                task.cancel()

    run(scenario())


def test_a_killed_replicas_slots_come_back_when_its_last_request_must_have_ended(database):
    async def scenario():
        async with replicas(database, 2) as (killed, other):
            await until(lambda: killed.quota.limit == other.quota.limit == 5)
            await killed.kill()
            killed_at = time.monotonic()
            tasks = [asyncio.ensure_future(other.gate.enter(Ticket())) for _ in range(10)]
            await until(lambda: other.quota.limit == 10)
            assert time.monotonic() - killed_at > fleet_module.LEASE_SECONDS - fleet_module.IDLE_SECONDS
            await asyncio.gather(*tasks)
            killed.start()

    run(scenario())


def test_while_postgresql_does_not_answer_nothing_begins_and_afterwards_it_goes_on(database, monkeypatch, caplog):
    monkeypatch.setattr(fleet_module, "LEASE_SECONDS", 0.5)

    async def scenario():
        async with replicas(database, 1) as [replica]:
            replica.gate.leave(await replica.gate.enter(Ticket()), None)
            with psycopg.connect(database.postgres.conninfo(database.name)) as admin:
                admin.execute("LOCK TABLE leases")
                await until(lambda: time.monotonic() > replica.gate.valid_until)
                task = asyncio.ensure_future(replica.gate.enter(Ticket()))
                await asyncio.sleep(fleet_module.TRANSACTION_SECONDS + 1)
                assert not task.done()
            await task

    run(scenario())
    assert caplog.text.count("leases cannot be renewed, no provider is asked") == 1


def test_a_replica_that_stands_still_in_its_transaction_does_not_stop_the_others(database):
    async def scenario():
        standing = Replica(database)
        await standing.fleet._ask(fleet_module._READ)
        async with replicas(database, 1) as [other]:
            await other.gate.enter(Ticket())
        await standing.fleet._disconnect()

    run(scenario())


def test_one_replicas_failures_open_the_circuit_for_all_and_one_probe_closes_it(database, caplog):
    caplog.set_level("INFO")

    async def scenario():
        async with replicas(database, 3) as (failing, *others):
            await until(lambda: failing.quota.limit > 0)
            for _ in range(FAILURES_MAX):
                failing.gate.leave(await failing.gate.enter(Ticket()), UNAVAILABLE)
            await until(lambda: all(other.gate.state == "unavailable" for other in others))

            late = Replica(database)
            late.start()
            await until(lambda: late.gate.state == "unavailable")
            tasks = [asyncio.ensure_future(replica.gate.enter(Ticket())) for replica in (failing, *others, late)]
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            [probe] = done
            assert probe.result().probe
            probe.result().gate.leave(probe.result(), None)
            await asyncio.gather(*waiting)
            await late.stop()

    run(scenario())
    assert caplog.text.count("has failed too often") == 1
    assert caplog.text.count("answers again") == 1


def test_a_replica_that_alone_is_refused_is_told_of_once_and_stops_no_other(database, caplog):
    caplog.set_level("INFO")

    async def ask(replica, error=None):
        permit = await asyncio.wait_for(replica.gate.enter(Ticket()), PATIENCE_SECONDS)
        await asyncio.sleep(0.05)
        replica.gate.leave(permit, error)

    async def scenario():
        async with replicas(database, 2) as (wrong, other):
            await ask(other)
            await until(lambda: database.query("SELECT 1 FROM leases WHERE answered_at IS NOT NULL"))
            asking = asyncio.ensure_future(ask(wrong, REFUSED))
            probes = 0
            async with asyncio.timeout(PATIENCE_SECONDS):
                while probes < 3:
                    await ask(other)
                    assert other.gate.state == "closed"
                    if asking.done():
                        probes += 1
                        asking = asyncio.ensure_future(ask(wrong, REFUSED))
            assert wrong.gate.state == "refused"
            asking.cancel()

    run(scenario())
    assert caplog.text.count("answers other replicas and not this one") == 1
    assert "refuses our account" not in caplog.text


def test_a_replica_that_stops_in_the_middle_of_a_renewal_gives_its_slots_back(database):
    async def scenario():
        async with replicas(database, 1) as [replica]:
            await until(lambda: replica.quota.limit == 10)
            with psycopg.connect(database.postgres.conninfo(database.name)) as admin:
                admin.execute("SELECT pg_advisory_xact_lock(hashtext('integration_service leases'))")
                replica.gate.changed()
                await until(lambda: database.query("SELECT 1 FROM pg_locks WHERE NOT granted"))
                await replica.stop()
                assert database.query("SELECT valid_until <= clock_timestamp() FROM leases") == [(True,)]

    run(scenario())


def test_rejections_are_counted_over_the_fleet(database):
    async def scenario():
        async with replicas(database, 4, slots=24) as fleet:
            await until(lambda: all(replica.quota.limit == 6 for replica in fleet))

            async def rejected(replica):
                ticket, error = Ticket(), TaskRejected("the provider answered 400")
                replica.gate.leave(await replica.gate.enter(ticket), error)
                return await replica.gate.stands(ticket, error)

            stand = await asyncio.gather(*(rejected(replica) for replica in fleet for _ in range(6)))
            assert sum(stand) == 12, "of each replica's, the first three"
            assert all(replica.gate.state == "misconfigured" for replica in fleet)

    run(scenario())


def test_a_lent_deadline_reaches_the_replica_where_the_record_waits(database):
    async def scenario():
        async with replicas(database, 2, slots=0) as (lender, other):
            position = Position("topic", 1, 7)
            task = asyncio.ensure_future(other.gate.enter(Ticket(position=position)))
            await until(lambda: other.gate.waiting() == (0, 1))
            lender.fleet.lend(position, time.time() + 1)
            await until(lambda: other.gate.waiting() == (1, 0))
            await until(lambda: other.gate.waiting() == (0, 1))
            await until(lambda: database.query("SELECT 1 FROM lent_deadlines") == [])
            task.cancel()

    run(scenario())


def test_a_rate_and_new_connections_are_leased_too_and_some_connections_are_kept_for_probes(database, monkeypatch):
    monkeypatch.setattr(fleet_module, "RESERVE_SECONDS", 0.0)

    async def scenario():
        connections = Rate(50, 60.0, 1.0)
        gate = Gate("dadata", quota=Rate(20), requests_max=100, connections=connections)
        fleet = Fleet(connection(database), [gate])
        running = asyncio.ensure_future(fleet.run())
        tasks = [asyncio.ensure_future(gate.enter(Ticket())) for _ in range(100)]
        await until(lambda: connections.limit == 45 and gate.quota.limit == 20)
        assert database.query("SELECT quota, slots FROM leases ORDER BY quota") == [
            ("dadata", 20),
            ("dadata connections", 45),
        ]
        held = fleet.stop()
        for task in (running, *tasks):
            task.cancel()
        await fleet.close(held)

    run(scenario())


def test_a_replica_that_stops_keeps_only_the_slots_that_its_requests_hold_and_wants_nothing_any_more(
    database, monkeypatch
):
    monkeypatch.setattr(fleet_module, "RESERVE_SECONDS", 0.0)

    async def scenario():
        async with replicas(database, 2, connections=50) as (stopped, other):
            await until(lambda: stopped.gate.connections.limit + other.gate.connections.limit == 45)
            permit = await stopped.gate.enter(Ticket())
            stopped.gate.sent(permit)
            waiting = [asyncio.ensure_future(stopped.gate.enter(Ticket())) for _ in range(60)]
            await until(lambda: database.query("SELECT 1 FROM leases WHERE backlog > slots"))
            held = stopped.gate.connections.used(time.monotonic())
            await stopped.stop()
            for task in waiting:
                task.cancel()

            await until(lambda: other.gate.connections.limit == 45 - held)
            assert 0 < held < 45
            assert other.fleet.is_first

    run(scenario())


def test_requests_that_a_stop_cuts_off_hold_their_slots_until_they_must_have_ended(database):
    async def scenario():
        async with replicas(database, 2, longest_seconds=5.0) as (stopped, other):
            await until(lambda: stopped.quota.limit == other.quota.limit == 5)
            passes = [await stopped.gate.enter(Ticket()) for _ in range(3)]
            held = stopped.fleet.stop()
            for each in passes:
                stopped.gate.leave(each, asyncio.CancelledError())  # cut off: the provider may still work on it
            await stopped.kill()
            await stopped.fleet.close(held)
            stopped_at = time.monotonic()
            assert database.query("SELECT slots FROM leases WHERE valid_until <= clock_timestamp()") == [(3,)]

            await until(lambda: other.quota.limit == 7)
            await until(lambda: other.quota.limit == 10)
            assert time.monotonic() - stopped_at > 5.0 - 0.1

    run(scenario())

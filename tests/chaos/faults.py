"""The catalogue of faults: each is a context manager, and the fault lasts as long as the context.

They run in the main thread, because the processes that they start must outlive them. Entering the context may take a
while if the fault is a sequence, such as a rolling restart.
"""

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from sandbox.kafka import Kafka, KafkaCluster
from sandbox.toxiproxy import Proxy
from tests.chaos.fleet import Fleet, Program
from tests.chaos.judge import STEADY_SECONDS, Steady
from tests.chaos.services import DATABASE_USER, wait_for

SMALL_PROBABILITY = 0.03

Injected = Callable[[Fleet, random.Random], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One fault: its name, how it is injected and how long it lasts."""

    name: str
    inject: Injected
    seconds: tuple[float, float]
    """Shortest and longest duration; the actual one is drawn at random."""
    restarts_broker: bool = False
    """Whether a broker of Kafka is stopped and started again."""
    cuts_calls: bool = False
    """Whether answers of providers are lost in transit, so that their calls are inevitably paid again."""
    dead_letters: bool = False
    """Whether a task may end as a dead letter, which is allowed only if its provider fails."""
    may_join: bool = False
    """Whether it may be combined with another fault: it must not need what the other takes away."""
    tasks: int | None = None
    """Number of tasks that it needs; None for its share of the run's."""
    steady: Steady | None = None
    """What it must leave of a steady flow of tasks; None if most tasks of its round are sent at once."""


@contextlib.contextmanager
def replica_killed(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGKILL, then a new process in its place."""
    replica = fleet.pick(chance)
    fleet.kill(replica)
    yield
    fleet.start(replica)
    fleet.wait()


@contextlib.contextmanager
def replica_stopped(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGTERM, then a new process in its place."""
    replica = fleet.pick(chance)
    fleet.stop(replica)
    yield
    fleet.start(replica)
    fleet.wait()


@contextlib.contextmanager
def replica_restarted(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGKILL, and a new process at once, which Kafka does not know to be in the killed one's place."""
    replica = fleet.pick(chance)
    fleet.kill(replica)
    fleet.start(replica)
    yield
    fleet.wait()


@contextlib.contextmanager
def replica_added(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """One more replica, then one fewer, chosen at random."""
    fleet.add("processor")
    yield
    fleet.wait()
    fleet.remove(fleet.pick(chance))


def storm(kills: int, stops: int) -> Injected:
    """Return a fault in which replicas are killed and stopped, and PostgreSQL and Kafka killed once, 3 to 7 s apart.

    Each is started again at once, so that some are killed before they are ready.
    """

    @contextlib.contextmanager
    def storming(fleet: Fleet, chance: random.Random) -> Iterator[None]:
        def kill(replica: Program) -> None:
            fleet.kill(replica)
            fleet.start(replica)

        def stop(replica: Program) -> None:
            fleet.stop(replica)
            fleet.start(replica)

        def kill_postgresql(_: Program) -> None:
            with postgresql_killed(fleet, chance):
                pass

        def kill_kafka(_: Program) -> None:
            with broker_killed(fleet, chance):
                pass

        events = [*[kill] * kills, *[stop] * stops, kill_postgresql, kill_kafka]
        for event in chance.sample(events, len(events)):
            event(fleet.pick(chance))
            time.sleep(chance.uniform(3, 7))  # the fault's own rhythm
        yield

    return storming


def broker_of_three_killed(role: Callable[[Fleet, KafkaCluster], Kafka]) -> Injected:
    """Return a fault in which the broker that has this role is killed, and started again after the fault."""

    @contextlib.contextmanager
    def killed(fleet: Fleet, chance: random.Random) -> Iterator[None]:
        cluster = fleet.services.kafka
        assert isinstance(cluster, KafkaCluster)
        broker = role(fleet, cluster)
        with fleet.cutting(*fleet.replicas):
            broker.kill()
        yield
        broker.start()

    return killed


@contextlib.contextmanager
def brokers_restarted(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """One broker of three after the other: SIGTERM, then a new process; the next follows when it is ready."""
    cluster = fleet.services.kafka
    assert isinstance(cluster, KafkaCluster)
    for broker in cluster.brokers:
        broker.stop()
        broker.start()
    yield


@contextlib.contextmanager
def replica_paused(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGSTOP for longer than Kafka's session timeout, then SIGCONT."""
    replica = fleet.pick(chance)
    with fleet.cutting(replica):
        replica.pause()
    yield
    replica.resume()


@contextlib.contextmanager
def scaled_up_and_down(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """Two more replicas, then two fewer, chosen at random."""
    fleet.add("processor")
    fleet.add("processor")
    fleet.wait()
    yield
    for _ in range(2):
        fleet.remove(fleet.pick(chance))


@contextlib.contextmanager
def scaled_without_postgresql(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """One more replica while answers wait to be written to PostgreSQL, then one fewer."""
    proxy = fleet.services.proxies["PostgreSQL"]
    proxy.refuse()
    try:
        fleet.add("processor")
        yield
    finally:
        proxy.cure()
    fleet.wait()
    fleet.remove(fleet.pick(chance))


@contextlib.contextmanager
def rolling_restart(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """One replica after the other: SIGTERM, then a new process; the next follows when it is ready."""
    for replica in chance.sample(fleet.replicas, len(fleet.replicas)):
        fleet.stop(replica)
        fleet.start(replica)
        fleet.wait()
    yield


@contextlib.contextmanager
def all_replicas_killed(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGKILL of all replicas at once."""
    fleet.kill(*fleet.replicas)
    yield
    for replica in fleet.replicas:
        fleet.start(replica)
    fleet.wait()


@contextlib.contextmanager
def all_replicas_stopped(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGTERM of all replicas at once."""
    fleet.stop(*fleet.replicas)
    yield
    for replica in fleet.replicas:
        fleet.start(replica)
    fleet.wait()


@contextlib.contextmanager
def broker_killed(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGKILL of Kafka, then a restart with the same data."""
    [broker] = fleet.services.brokers
    with fleet.cutting(*fleet.replicas):
        broker.kill()
    yield
    broker.start()


@contextlib.contextmanager
def broker_paused(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGSTOP of Kafka: its sockets stay open but silent."""
    [broker] = fleet.services.brokers
    with fleet.cutting(*fleet.replicas):
        broker.pause()
    yield
    broker.resume()


@contextlib.contextmanager
def postgresql_killed(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """SIGKILL of PostgreSQL, then a restart with recovery."""
    fleet.services.postgres.kill()
    yield
    fleet.services.postgres.start()


@contextlib.contextmanager
def postgresql_stopped_at_once(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """Immediate shutdown of PostgreSQL, then a restart with recovery."""
    fleet.services.postgres.send_signal(signal.SIGQUIT)
    wait_for(lambda: not fleet.services.postgres.running, "PostgreSQL to end")
    yield
    fleet.services.postgres.start()


@contextlib.contextmanager
def connections_terminated(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """pg_terminate_backend of all processors' connections, a few times."""
    for _ in range(5):
        _terminate(fleet)
        time.sleep(chance.uniform(0.05, 0.5))  # the fault's own rhythm
    yield


@contextlib.contextmanager
def tables_locked(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """A lock on both tables that blocks writes, or reads as well."""
    mode = chance.choice(["EXCLUSIVE", "ACCESS EXCLUSIVE"])
    with psycopg.connect(fleet.conninfo) as connection:
        connection.execute(f"LOCK TABLE integration_service, ledger IN {mode} MODE")
        yield
        connection.rollback()


@contextlib.contextmanager
def database_read_only(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """New connections are read-only, as after a switch to a standby; existing connections are terminated."""
    with psycopg.connect(fleet.services.postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{fleet.name}" SET default_transaction_read_only = on')
        try:
            _terminate(fleet)
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{fleet.name}" RESET default_transaction_read_only')
    _terminate(fleet)


def _terminate(fleet: Fleet) -> None:
    with psycopg.connect(fleet.services.postgres.conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [DATABASE_USER])


@contextlib.contextmanager
def commits_cut(fleet: Fleet, chance: random.Random) -> Iterator[None]:
    """Connections to PostgreSQL are cut within answers, so that committed transactions look failed."""
    proxy = fleet.services.proxies["PostgreSQL"]
    for _ in range(6):
        proxy.cut_after(chance.randint(500, 6000), "downstream")
        time.sleep(chance.uniform(0.2, 0.6))  # the fault's own rhythm
        proxy.cure()
    yield


def network(service: str, toxic: Callable[[Proxy], None], *, off_the_group: bool = False) -> Injected:
    """Return a fault that applies the toxic to the network between the programs and a service."""

    @contextlib.contextmanager
    def network_fault(fleet: Fleet, chance: random.Random) -> Iterator[None]:
        proxy = fleet.services.proxies[service]
        with fleet.cutting(*fleet.replicas) if off_the_group else contextlib.nullcontext():
            toxic(proxy)
        try:
            yield
        finally:
            proxy.cure()

    return network_fault


def providers(**fault: object) -> Injected:
    """Return a fault in which providers fail like this for some time, with a few of their answers or with all."""

    @contextlib.contextmanager
    def provider_fault(fleet: Fleet, chance: random.Random) -> Iterator[None]:
        fleet.providers_well({**fault, "probability": chance.choice([SMALL_PROBABILITY, SMALL_PROBABILITY, 1.0])})
        try:
            yield
        finally:
            fleet.providers_well()

    return provider_fault


def _network_faults() -> Iterator[Fault]:
    toxics: dict[str, tuple[Callable[[Proxy], None], bool]] = {
        "slow network": (lambda proxy: proxy.delay(200, 100), False),
        "RST": (lambda proxy: proxy.reset(), True),
        "black hole": (lambda proxy: proxy.silence(), True),
        "64-byte slices": (lambda proxy: proxy.slice(64, 50), False),
        "refused connections": (lambda proxy: proxy.refuse(), True),
    }
    for service in ("Kafka", "PostgreSQL", "providers"):
        for name, (toxic, cuts) in toxics.items():
            of_providers = service == "providers"
            yield Fault(
                f"{service}: {name}",
                network(service, toxic, off_the_group=cuts and service == "Kafka"),
                (3, 7),
                cuts_calls=of_providers,
                dead_letters=of_providers,
                may_join=service != "Kafka",
            )


def _provider_faults() -> Iterator[Fault]:
    kinds: dict[str, dict[str, object]] = {
        "429 with Retry-After": {"kind": "status", "status": 429, "retry_after": 1},
        "503": {"kind": "status", "status": 503},
        "hang": {"kind": "hang"},
        "close": {"kind": "close"},
        "junk": {"kind": "junk"},
        "slow drip": {"kind": "drip"},
    }
    for name, fault in kinds.items():
        yield Fault(f"providers: {name}", providers(**fault), (3, 6), dead_letters=True, may_join=True)


PROCESSES = [
    Fault("replica killed", replica_killed, (0, 3)),
    Fault("replica stopped", replica_stopped, (0, 3)),
    # Kafka's session timeout is 10 seconds.
    Fault("replica paused", replica_paused, (14, 14), cuts_calls=True),
    Fault("scaled up and down", scaled_up_and_down, (3, 6)),
    Fault("scaled while PostgreSQL is away", scaled_without_postgresql, (8, 14)),
    Fault("rolling restart", rolling_restart, (0, 0)),
    Fault("all replicas killed", all_replicas_killed, (0, 3)),
    Fault("all replicas stopped", all_replicas_stopped, (0, 3)),
    Fault("broker killed", broker_killed, (0, 5), restarts_broker=True),
    Fault("broker paused", broker_paused, (3, 8)),
    Fault("PostgreSQL killed", postgresql_killed, (1, 5)),
    Fault("PostgreSQL stopped at once", postgresql_stopped_at_once, (1, 5)),
    Fault("connections terminated", connections_terminated, (0, 0), may_join=True),
    Fault("tables locked", tables_locked, (2, 6)),
    Fault("database read-only", database_read_only, (2, 6)),
]
STEADY = [
    Fault(name, inject, (STEADY_SECONDS, STEADY_SECONDS), tasks=tasks, steady=steady)
    for name, inject, tasks, steady in (
        ("steady: replica restarted", replica_restarted, 8_000, Steady(0.6, 1.5)),
        ("steady: replica stopped", replica_stopped, 8_000, Steady(0.6, 1.0, nothing_repeated=True)),
        ("steady: replica added", replica_added, 8_000, Steady(0.95, 1.0, nothing_repeated=True)),
        (
            "steady: rolling restart",
            rolling_restart,
            16_000,
            Steady(None, 1.0, nothing_repeated=True, lasts_seconds=4 * STEADY_SECONDS),
        ),
    )
]
STORM = Fault("storm", storm(kills=6, stops=6), (0, 0), tasks=40_000, restarts_broker=True)
THREE_BROKERS = [
    Fault(
        name,
        inject,
        (STEADY_SECONDS, STEADY_SECONDS),
        restarts_broker=True,
        steady=Steady(lasts_seconds=4 * STEADY_SECONDS),
    )
    for name, inject in (
        ("leader killed", broker_of_three_killed(lambda fleet, cluster: cluster.leader(fleet.imports, 0))),
        ("coordinator killed", broker_of_three_killed(lambda fleet, cluster: cluster.coordinator(fleet.group))),
        ("controller killed", broker_of_three_killed(lambda fleet, cluster: cluster.controller())),
        ("brokers restarted", brokers_restarted),
    )
]
"""Only with three brokers. The bare consumer of the same run shows what Kafka's own protocol takes."""
NETWORK = [*_network_faults(), Fault("PostgreSQL: answers cut", commits_cut, (0, 0), may_join=True)]
PROVIDERS = list(_provider_faults())
FAULTS = {fault.name: fault for fault in [*PROCESSES, *NETWORK, *PROVIDERS, *STEADY, STORM]}
FAULTS_OF_THREE_BROKERS = {fault.name: fault for fault in THREE_BROKERS}

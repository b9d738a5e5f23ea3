"""What the facts about a Kafka and a PostgreSQL mean for the service's promises. Pure: nothing is requested here."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.settings import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR
from shared.topics import DAY_MS, TASKS_DAYS

NO_LIMIT = -1
"""Kafka's value for a limit that is not set."""


class Finding(NamedTuple):
    """A promise that cannot be kept, or a fact that may not be read."""

    where: str
    what: str
    to_do: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.to_do}"


@dataclass(frozen=True)
class Topic:
    """A topic as Kafka describes it."""

    partitions: int
    replication_factor: int
    """Replicas of its partition that has the fewest."""
    configuration: Mapping[str, str] | None
    """The values in effect, the brokers' defaults included; None: they may not be read."""

    def number(self, name: str) -> int | None:
        """Return a setting that is a number; None if it may not be read, or if this kind of broker does not have it."""
        value = (self.configuration or {}).get(name, "")
        return int(value) if value.removeprefix("-").isdecimal() else None


@dataclass(frozen=True)
class TopicNames:
    """The service's topics."""

    tasks: str
    results: str
    dead_letters: str


@dataclass(frozen=True)
class Database:
    """A PostgreSQL as it describes itself."""

    fsync: str
    synchronous_commit: str
    """As the role and the database set it, before the service does."""
    synchronous_standby_names: str
    standbys: int
    """Servers that replicate all of it at the moment."""
    replicas: int
    """Processors that have leases."""
    shares_sessions: bool
    """Whether connections that are open at the same time use one session: a pooler in transaction mode."""


def kafka_findings(names: TopicNames, topics: Mapping[str, Topic | None], replicas: int | None) -> list[Finding]:
    """Return what Kafka cannot promise.

    Args:
        names: the service's topics.
        topics: name -> what is known about it, of those that exist. None: it may not be described.
        replicas: processors that share the import topic's partitions; None if that is not known.
    """
    known = {name: topic for name, topic in topics.items() if topic is not None}
    hidden = [name for name in topics if name not in known or known[name].configuration is None]
    found = [*_losses(known)]
    if hidden:
        what = f"the settings of {', '.join(hidden)} may not be read, so nothing is known about them"
        found.insert(0, Finding("Kafka", what, "grant DescribeConfigs on them to the processor"))
    if (tasks := known.pop(names.tasks, None)) is not None:
        found += [*_retention(names.tasks, tasks), *_sizes(names.tasks, tasks, known)]
        if replicas is not None and tasks.partitions < replicas:
            what = (
                f"{names.tasks} has {tasks.partitions} partitions for {replicas} processors: "
                f"{replicas - tasks.partitions} of them have no work"
            )
            found.append(Finding("Kafka", what, "add partitions, or run fewer processors"))
    return found


def _losses(topics: Mapping[str, Topic]) -> Iterator[Finding]:
    """Yield how Kafka may lose records that it has acknowledged."""
    if few := _with(topics, lambda topic: topic.replication_factor, lambda factor: factor < REPLICATION_FACTOR):
        yield Finding(
            "Kafka",
            f"fewer than {REPLICATION_FACTOR} replicas ({few}): if a broker fails, records are lost or unavailable",
            f"run {REPLICATION_FACTOR} brokers and add replicas (kafka-reassign-partitions.sh)",
        )
    if few := _with(topics, lambda topic: topic.number("min.insync.replicas"), lambda few: few < MIN_INSYNC_REPLICAS):
        yield Finding(
            "Kafka",
            f"min.insync.replicas below {MIN_INSYNC_REPLICAS} ({few}): a record that only one broker has counts as "
            "written",
            f"set it to {MIN_INSYNC_REPLICAS}, where there are {REPLICATION_FACTOR} replicas",
        )
    unclean = [
        name
        for name, topic in topics.items()
        if (topic.configuration or {}).get("unclean.leader.election.enable") == "true"
    ]
    if unclean:
        yield Finding(
            "Kafka",
            f"unclean leader election ({', '.join(unclean)}): a broker that lacks written records may become the "
            "leader, and they are lost",
            "set unclean.leader.election.enable=false",
        )


def _retention(name: str, tasks: Topic) -> Iterator[Finding]:
    retention_ms, retention_bytes = tasks.number("retention.ms"), tasks.number("retention.bytes")
    if retention_ms is not None and NO_LIMIT < retention_ms < TASKS_DAYS * DAY_MS:
        yield Finding(
            "Kafka",
            f"{name} keeps records for {retention_ms / DAY_MS:.3g} of {TASKS_DAYS} days: a task that waits longer is "
            "lost, and the ledger forgets those that are done",
            f"set retention.ms to {TASKS_DAYS * DAY_MS} or more",
        )
    if retention_bytes is not None and retention_bytes > NO_LIMIT:
        yield Finding(
            "Kafka",
            f"{name} keeps {retention_bytes} bytes of each partition: in a larger backlog, tasks are lost",
            f"set retention.bytes to {NO_LIMIT}",
        )


def _sizes(name: str, tasks: Topic, outcomes: Mapping[str, Topic]) -> Iterator[Finding]:
    largest = tasks.number("max.message.bytes")
    if largest is None:
        return
    if small := _with(outcomes, lambda topic: topic.number("max.message.bytes"), lambda size: size < largest):
        yield Finding(
            "Kafka",
            f"max.message.bytes below that of {name}, {largest} ({small}): the outcome of a large task is held",
            f"set it to {largest} or more",
        )


def database_findings(database: Database) -> Iterator[Finding]:
    """Yield what PostgreSQL cannot promise."""
    if database.fsync == "off":
        yield Finding(
            "PostgreSQL",
            "fsync is off: a crash of its machine loses committed rows or damages all of them",
            "set fsync = on",
        )
    if database.synchronous_commit == "off":
        yield Finding(
            "PostgreSQL",
            "synchronous_commit is off: the processor turns it on for itself, but what others commit may be lost in a "
            "crash",
            "set synchronous_commit = on",
        )
    is_local = database.synchronous_commit == "local"
    if database.standbys and (is_local or not database.synchronous_standby_names.strip()):
        yield Finding(
            "PostgreSQL",
            f"no commit waits for a standby ({database.standbys} connected): after a failover, rows of results that "
            "are out may be missing",
            "set synchronous_commit = on" if is_local else "set synchronous_standby_names",
        )
    if database.shares_sessions:
        yield Finding(
            "PostgreSQL",
            "a pooler in transaction mode: while its server connections are all in use, rows wait, and leases end, so "
            "that no provider is asked",
            "keep 2 server connections for each processor in the pool, or use session mode",
        )


def _with(topics: Mapping[str, Topic], value: Callable[[Topic], int | None], is_bad: Callable[[int], bool]) -> str:
    """Return the topics with a bad value, and the value, in words; empty if there is none."""
    values = {name: value(topic) for name, topic in topics.items()}
    return ", ".join(f"{name} {number}" for name, number in values.items() if number is not None and is_bad(number))


def shares_sessions(one: Collection[int], other: Collection[int]) -> bool:
    """Return whether two connections that were open at the same time have used a session in turns.

    Args:
        one: the server processes that have answered the first connection.
        other: those that have answered the second.
    """
    return len(set(one)) > 1 or len(set(other)) > 1 or not set(one).isdisjoint(other)

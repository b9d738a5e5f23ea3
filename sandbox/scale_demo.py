"""`make scale-demo`: 1, then 2, then 4 replicas work through a backlog, live on a terminal, else in lines."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sandbox.child import Child, NotReady
from sandbox.demo import Mismatch
from sandbox.stack import Stack, Step, running

TASKS = 600
"""Tasks in a backlog for each replica that drains it."""

LATENCY_MS = [300, 500]
"""The provider's latency. With exactly 400 ms, all of a replica's requests would be sent in one wave."""

CONCURRENT_REQUESTS = 32
"""Calls of one replica at the provider at a time: 32 of 0.4 s each are 80 tasks a second. Two cores easily do four
times that."""

PARTS = (1, 2, 4)
"""Replicas in each part of the demo."""

MEASURED_FROM, MEASURED_TO = 0.7, 0.2
"""The rate is measured between these shares of the backlog left: after the new replicas have warmed up, and before one
of them may run out of work."""

PARTITIONS = 12
SETTINGS = {
    "DADATA_CONCURRENT_REQUESTS": str(CONCURRENT_REQUESTS),
    "PROVIDER_TIMEOUT_SECONDS": "30",  # a stalled machine must not cause retries
    "IN_FLIGHT_MAX": "100",  # low enough to show waiting records too
}

PATIENCE_SECONDS = 120.0
ANSWER_SECONDS = 10.0
SCRAPE_SECONDS = 0.5
LINE_SECONDS = 2.0
"""Time between two lines if the output is not a terminal."""

BURST = 24
"""Tasks in one batch when the replicas are kept busy."""

BAR_CHARACTERS = 30
WAITING, IN_FLIGHT = "█", "▒"


@dataclass(frozen=True)
class Replica:
    """One replica's metrics. `waiting`: partition it owns -> records in Kafka that it has not taken yet."""

    waiting: Mapping[int, int] = field(default_factory=dict)
    in_flight: int = 0

    @staticmethod
    def read(metrics: str) -> "Replica":
        """Parse a replica's `/metrics`. A replica that owns no partition reports none."""
        waiting, in_flight = {}, 0
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                if sample.name == "integration_lag_records" and sample.labels["state"] == "waiting":
                    waiting[int(sample.labels["partition"])] = int(sample.value)
                elif sample.name == "integration_in_flight_records":
                    in_flight = int(sample.value)
        return Replica(dict(sorted(waiting.items())), in_flight)


@dataclass(frozen=True)
class Phase:
    """The measurements with one number of replicas."""

    replicas: int
    rate: float
    results_repeated: int
    calls_repeated: int


def scale_demo(console: Console, step: Step, tasks: int, partitions: int) -> None:
    """Run the demo.

    Args:
        console: console for the output.
        step: shows what starts and stops.
        tasks: tasks in a backlog for each replica that drains it.
        partitions: partitions of each topic. With fewer partitions than replicas, some replicas are idle.

    Raises:
        Mismatch: a promise is broken.
        sandbox.child.NotReady: the stack does not start, or a replica exits.
    """
    started_at = time.monotonic()
    settings = {**SETTINGS, "KAFKA_TOPIC_PARTITIONS": str(partitions)}
    stack = Stack(processors=1, simulated_only=True, settings=settings)
    with running(stack, step):
        with ExitStack() as closing:
            fleet = Fleet(stack, partitions, closing, console)
            phases = [fleet.drain(part, tasks) for part in range(len(PARTS))]
            fleet.until(lambda: fleet.outstanding == 0, "the last results")
        rows = int(stack.postgres.psql("tasks", "-At", "-c", "SELECT count(*) FROM integration_service"))
    console.print(phase_table(phases))
    if rows != fleet.sent or fleet.unknown or any(each.results_repeated or each.calls_repeated for each in phases):
        raise Mismatch(f"{fleet.sent:,} tasks became {rows:,} rows; {fleet.unknown} results belong to no task")
    console.print(
        f"\n[bold green]4 replicas did {phases[-1].rate / phases[0].rate:.1f} times as many tasks a second as one. "
        f"Scaling repeated no result and no call.[/bold green]\n"
        f"{rows:,} tasks, {rows:,} results, {rows:,} rows. "
        f"{time.monotonic() - started_at:.0f} s including starting and stopping.",
        highlight=False,
    )


class Fleet:
    """Drives the replicas: repeatedly sends tasks, reads results and metrics, and shows them."""

    def __init__(self, stack: Stack, partitions: int, closing: ExitStack, console: Console) -> None:
        """Open the connections and the display; `closing` closes them."""
        self.sent = self.unknown = 0
        """Tasks that were sent, and results of tasks that never were."""
        self._written_at: list[float] = []
        self._answered: Counter[int] = Counter()
        self._stack = stack
        self._partitions = partitions
        self._console = console
        moves = console.is_terminal and not console.is_dumb_terminal
        self._live = closing.enter_context(Live(console=console, auto_refresh=False, transient=True)) if moves else None
        self._client = closing.enter_context(httpx.Client(timeout=ANSWER_SECONDS, trust_env=False))
        connection = {"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0}
        self._producer = Producer(connection)
        self._consumer = Consumer({**connection, "group.id": "scale-demo", "enable.auto.commit": False})
        closing.callback(self._consumer.close)
        self._consumer.assign([TopicPartition("results", number, 0) for number in range(partitions)])
        self._replicas: list[Replica] = []
        self._scraped_at = self._line_at = self._part_at = 0.0
        self._repeated = (0, 0)
        wanted = {"remember_inputs": True, "latency_ms": LATENCY_MS}
        self._client.put(f"{stack.simulators_url}/_control", json=wanted).raise_for_status()

    @property
    def outstanding(self) -> int:
        """Number of tasks that were sent and have no result yet."""
        return self.sent - len(self._answered)

    def drain(self, part: int, tasks: int) -> Phase:
        """Scale up to the replicas of a part, and measure their rate on a backlog of `tasks` for each of them."""
        replicas, working = PARTS[part], len(self._stack.processors)
        for _ in range(replicas - working):
            self._stack.add_processor()
        who = f"{replicas} replica" if replicas == 1 else f"{replicas} replicas, each"
        self._console.print(
            f"\n[bold]Part {part + 1} of {len(PARTS)}:[/bold] {who} with at most {CONCURRENT_REQUESTS} calls at the "
            "provider",
            highlight=False,
        )
        self._part_at = time.time()
        self._replicas, self._scraped_at = [], 0.0  # the new replicas' partitions are not known yet
        # The running replicas are kept busy, so that the new ones join while there is work in flight.
        self.until(self._is_divided, f"{replicas} replicas to own partitions", busy=4 * CONCURRENT_REQUESTS * working)
        backlog = tasks * replicas
        self._send(backlog)
        self.until(lambda: self.outstanding <= backlog * MEASURED_TO, f"{replicas} replicas to drain a backlog")
        first, last = (self.sent - 1 - int(backlog * left) for left in (MEASURED_FROM, MEASURED_TO))
        times = sorted(self._written_at)
        rate = (last - first) / max(times[last] - times[first], 0.001)
        calls = self._client.get(f"{self._stack.simulators_url}/_requests").raise_for_status().json()["answered"]
        before, self._repeated = (
            self._repeated,
            (
                self._answered.total() - len(self._answered),
                sum(calls.values()) - len(calls),
            ),
        )
        return Phase(replicas, rate, *(now - then for now, then in zip(self._repeated, before, strict=True)))

    def until(self, condition: Callable[[], bool], what: str, *, busy: int = 0) -> None:
        """Poll until the condition holds, and send tasks whenever fewer than `busy` are outstanding.

        Raises:
            Mismatch: the condition does not hold in time.
            sandbox.child.NotReady: a replica has exited.
        """
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > give_up_at:
                raise Mismatch(f"waited {PATIENCE_SECONDS:g} seconds in vain for {what}")
            if self.outstanding < busy:
                self._send(BURST)
            for message in self._consumer.consume(1000, timeout=0.05):
                if message.error() is not None:
                    raise Mismatch(f"the results cannot be read: {message.error().str()}")
                task_id = json.loads(message.value())["task_id"]
                self.unknown += not 0 <= task_id < self.sent
                self._answered[task_id] += 1
                self._written_at.append(message.timestamp()[1] / 1000)
            if time.time() >= self._scraped_at + SCRAPE_SECONDS:
                self._show(time.time())

    def _show(self, now: float) -> None:
        self._scraped_at = now
        self._replicas = [self._scrape(url, child) for url, child in self._stack.processors.items()]
        since = max(now - 2.5, self._part_at)  # not the rate of the part before
        rate = sum(since <= written_at < now - 0.5 for written_at in self._written_at) / max(now - 0.5 - since, 0.5)
        if self._live is not None:
            shown = picture(self._replicas, rate, self.outstanding, now - self._part_at)
            self._live.update(shown, refresh=True)
        elif now >= self._line_at + LINE_SECONDS:
            self._line_at = now
            self._console.print(line(self._replicas, rate), highlight=False, soft_wrap=True)

    def _scrape(self, url: str, child: Child) -> Replica:
        if not child.running:
            raise NotReady(f"{child.name} has exited. {child.tail()}")
        try:
            return Replica.read(self._client.get(f"{url}/metrics").text)
        except httpx.TransportError:
            return Replica()  # it is starting

    def _is_divided(self) -> bool:
        owned = Counter(partition for replica in self._replicas for partition in replica.waiting)
        owners = sum(bool(replica.waiting) for replica in self._replicas)
        return owners == min(len(self._replicas), self._partitions) and owned == Counter(range(self._partitions))

    def _send(self, count: int) -> None:
        for task_id in range(self.sent, self.sent + count):
            task = {"task_id": task_id, "task_type": "phone", "data": f"8 9{task_id:09}"}
            self._producer.produce("tasks", json.dumps(task).encode(), partition=task_id % self._partitions)
        self.sent += count
        self._producer.flush(ANSWER_SECONDS)


def line(replicas: Sequence[Replica], rate: float) -> str:
    """Return the state as one line."""
    owners = " | ".join(numbers(replica.waiting) for replica in replicas)
    waiting = sum(sum(replica.waiting.values()) for replica in replicas)
    in_flight = sum(replica.in_flight for replica in replicas)
    return f"{rate:4.0f}/s  waiting {waiting:5,}  in flight {in_flight:4,}  partitions: {owners}"


def picture(replicas: Sequence[Replica], rate: float, left: int, seconds: float) -> RenderableType:
    """Return the state as a picture of at most 80 columns: a bar for each replica.

    Args:
        replicas: the replicas, oldest first.
        rate: tasks a second.
        left: tasks that have no result yet.
        seconds: since the part began.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("replica", "partitions", "waiting", "in flight"):
        table.add_column(column, justify="left" if column == "partitions" else "right", no_wrap=True)
    table.add_column(f"{WAITING} waiting {IN_FLIGHT} in flight", width=BAR_CHARACTERS)
    most = max([TASKS, *(sum(each.waiting.values()) + each.in_flight for each in replicas)])
    for number, replica in enumerate(replicas, 1):
        waiting = sum(replica.waiting.values())
        bar = "".join(
            sign * -(-count * BAR_CHARACTERS // most)
            for sign, count in ((WAITING, waiting), (IN_FLIGHT, replica.in_flight))
        )
        table.add_row(
            *(str(number), numbers(replica.waiting), f"{waiting:,}", f"{replica.in_flight:,}", bar[:BAR_CHARACTERS])
        )
    head = f"{rate:.0f} tasks a second, {left:,} tasks left, {seconds:.0f} s"
    return Group(Text(head, style="bold green"), table)


def numbers(partitions: Iterable[int]) -> str:
    """Return ascending partition numbers as text such as `0-5,7`."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(partitions), lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"


def phase_table(phases: Sequence[Phase]) -> Table:
    """Return a table of the measurements with each number of replicas."""
    table = Table()
    for column in ("replicas", "tasks a second", "times one", "results repeated", "calls repeated"):
        table.add_column(column, justify="right")
    for phase in phases:
        repeated = (str(phase.results_repeated), str(phase.calls_repeated))
        table.add_row(str(phase.replicas), f"{phase.rate:.1f}", f"{phase.rate / phases[0].rate:.2f}", *repeated)
    return table

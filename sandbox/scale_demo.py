"""`make scale-demo`: 1, then 2, then 4 replicas drain a backlog; then 4, 2 and 1 of them share a quota."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from sandbox.child import Child, NotReady
from sandbox.demo import Mismatch
from sandbox.scale_figures import Phase, Replica, Results, divided
from sandbox.scale_screen import Screen, View, phase_table
from sandbox.stack import Stack, Step, running

TASKS = 600
"""Tasks in a backlog for each replica that drains it."""

LATENCY_MS = [300, 500]
"""The provider's latency. With exactly 400 ms, all of a replica's requests would be sent in one wave."""

CONCURRENT_REQUESTS = 32
"""Requests in flight of each replica: 32 of 0.4 s each are 80 tasks a second. Two cores easily do four times that."""

MEASURED_FROM, MEASURED_TO = 0.7, 0.2
"""The rate is measured between these shares of the backlog left: after the new replicas have warmed up, and before one
of them may run out of work."""

QUOTA = 20
QUOTA_LATENCY_MS = 400
"""Constant: if a request takes longer than usual, its slot stays taken that much longer."""

QUOTA_SECONDS = 4.0
BUSY_WITH_QUOTA = 60
"""Fewest tasks outstanding while the quota is measured: three seconds' worth."""

PARTITIONS = 12
SETTINGS = {
    "DADATA_CONCURRENT_REQUESTS": str(CONCURRENT_REQUESTS),
    "PROVIDER_TIMEOUT_SECONDS": "30",  # a stalled machine must not cause retries
    "IN_FLIGHT_MAX": "100",  # low enough to show waiting records too
}

BURST = 24
"""Tasks in one batch when the fleet is kept busy."""

PATIENCE_SECONDS = 120.0
ANSWER_SECONDS = 10.0
SCRAPE_SECONDS = 0.5
WARM_UP_SECONDS = 1.5


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
            fleet = Fleet(stack, partitions, closing, Screen(console))
            scaled = [fleet.drain(replicas, tasks) for replicas in (1, 2, 4)]
            fleet.until(lambda: fleet.results.outstanding == 0, "the last results of the backlog")
            fleet.begin_quota()
            limited = [fleet.spend_quota(replicas) for replicas in (4, 2, 1)]
            fleet.until(lambda: fleet.results.outstanding == 0, "the last results within the quota")
            refused, calls_repeated = fleet.calls()
        rows = int(stack.postgres.psql("tasks", "-At", "-c", "SELECT count(*) FROM integration_service"))
    console.print(phase_table(f"Limit: {CONCURRENT_REQUESTS} requests in flight for each replica", scaled))
    console.print(phase_table(f"Limit: {QUOTA} requests a second for the whole fleet", limited))
    check(fleet.results, rows, calls_repeated)
    console.print(
        f"\n[bold green]{sentence(scaled, limited)}[/bold green]\n"
        f"{rows:,} tasks, {rows:,} results, {rows:,} rows. In the second part the provider allowed {QUOTA} requests "
        f"in any second and refused {refused}. {time.monotonic() - started_at:.0f} s including starting and stopping.",
        highlight=False,
    )


class Fleet:
    """Drives the replicas: repeatedly sends tasks, reads results and metrics, and shows them."""

    def __init__(self, stack: Stack, partitions: int, closing: ExitStack, screen: Screen) -> None:
        """Open the connections and the screen; `closing` closes them."""
        self.results = Results()
        self._stack = stack
        self._partitions = partitions
        self._screen = closing.enter_context(screen)
        self._client = closing.enter_context(httpx.Client(timeout=ANSWER_SECONDS, trust_env=False))
        connection = {"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0}
        self._producer = Producer(connection)
        self._consumer = Consumer({**connection, "group.id": "scale-demo", "enable.auto.commit": False})
        closing.callback(self._consumer.close)
        self._consumer.assign([TopicPartition("results", number, 0) for number in range(partitions)])
        self._title = ""
        self._replicas: list[Replica] = []
        self._done: list[Phase] = []
        self._scraped_at = 0.0
        self._repeated = (0, 0)
        self._control(latency_ms=LATENCY_MS)

    def drain(self, replicas: int, tasks: int) -> Phase:
        """Scale up to `replicas`, and measure their rate on a backlog of `tasks` for each of them."""
        working = len(self._stack.processors)
        for _ in range(replicas - working):
            self._stack.add_processor()
        self._begin(f"Replicas: {replicas} (of 1, 2, 4), {CONCURRENT_REQUESTS} requests in flight for each")
        # The running replicas are kept busy, so that the new ones join while there is work in flight.
        self.until(self._is_divided, f"{replicas} replicas to own partitions", busy=4 * CONCURRENT_REQUESTS * working)
        backlog = tasks * replicas
        self._send(backlog)
        self.until(lambda: self.results.outstanding <= backlog * MEASURED_TO, f"{replicas} replicas to drain a backlog")
        first, last = (self.results.sent - 1 - int(backlog * left) for left in (MEASURED_FROM, MEASURED_TO))
        return self._phase(replicas, self.results.rate_from_to(first, last))

    def begin_quota(self) -> None:
        """Replace the replicas by as many new ones that share a quota of the fleet."""
        count = len(self._stack.processors)
        self._done = []
        self._begin(f"Replicas: {count} new ones, {QUOTA} requests a second for all together")
        self._stack.stop_processors(count)
        self._control(latency_ms=QUOTA_LATENCY_MS, dadata_requests_per_second=QUOTA)
        for _ in range(count):
            self._stack.add_processor(DADATA_REQUESTS_PER_SECOND=str(QUOTA))

    def spend_quota(self, replicas: int) -> Phase:
        """Scale down to `replicas`, and measure how much of the fleet's quota they use."""
        self._begin(f"Replicas: {replicas} (of 4, 2, 1), {QUOTA} requests a second for all together")
        self._stack.stop_processors(len(self._stack.processors) - replicas)
        self.until(self._is_divided, f"{replicas} replicas to own partitions", busy=BUSY_WITH_QUOTA)
        begin = time.time() + WARM_UP_SECONDS
        end = begin + QUOTA_SECONDS
        self.until(lambda: time.time() >= end + WARM_UP_SECONDS, "time to pass", busy=BUSY_WITH_QUOTA)
        return self._phase(replicas, self.results.rate(begin, end))

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
            if self.results.outstanding < busy:
                self._send(BURST)
            self._turn()

    def calls(self) -> tuple[int, int]:
        """Return how many calls the provider refused over its limit, and how many others exceeded one for each task."""
        counts = self._asked()["providers"]["phone"]
        refused = int(counts.get("429", 0))
        return refused, int(counts["requests"]) - refused - self.results.sent

    def _turn(self) -> None:
        for message in self._consumer.consume(1000, timeout=0.05):
            if message.error() is not None:
                raise Mismatch(f"the results cannot be read: {message.error().str()}")
            self.results.came(json.loads(message.value())["task_id"], message.timestamp()[1] / 1000)
        now = time.time()
        if now >= self._scraped_at + SCRAPE_SECONDS:
            self._scraped_at = now
            self._replicas = [self._scrape(url, child) for url, child in self._stack.processors.items()]
            rate = self.results.rate(now - 2.5, now - 0.5)
            self._screen.show(View(self._title, self._partitions, self._replicas, rate, self._done), now)

    def _scrape(self, url: str, child: Child) -> Replica:
        if not child.running:
            raise NotReady(f"{child.name} has exited. {child.tail()}")
        try:
            return Replica.read(self._client.get(f"{url}/metrics").text)
        except httpx.TransportError:
            return Replica()  # it is starting

    def _begin(self, title: str) -> None:
        self._title = title
        self._replicas = []  # nothing is known of the new set of replicas yet
        self._scraped_at = 0.0

    def _is_divided(self) -> bool:
        return divided(self._replicas, self._partitions)

    def _send(self, count: int) -> None:
        for task_id in self.results.send(count):
            task = {"task_id": task_id, "task_type": "phone", "data": f"8 9{task_id:09}"}
            self._producer.produce("tasks", json.dumps(task).encode(), partition=task_id % self._partitions)
        self._producer.flush(ANSWER_SECONDS)

    def _phase(self, replicas: int, rate: float) -> Phase:
        answered = self._asked()["answered"]
        before, self._repeated = self._repeated, (self.results.repeated, sum(answered.values()) - len(answered))
        results_repeated, calls_repeated = (now - then for now, then in zip(self._repeated, before, strict=True))
        phase = Phase(replicas, rate, results_repeated, calls_repeated)
        self._done.append(phase)
        return phase

    def _asked(self) -> Any:
        return self._client.get(f"{self._stack.simulators_url}/_requests").raise_for_status().json()

    def _control(self, **settings: object) -> None:
        wanted = {"remember_inputs": True, **settings}
        self._client.put(f"{self._stack.simulators_url}/_control", json=wanted).raise_for_status()


def sentence(scaled: Sequence[Phase], limited: Sequence[Phase]) -> str:
    """Return the measured result as a sentence."""
    alone, *_, all_of_them = scaled
    rates = ", ".join(f"{phase.rate:.1f} with {phase.replicas}" for phase in limited)
    return (
        f"{all_of_them.replicas} replicas did {all_of_them.rate / alone.rate:.1f} times as many tasks a second as one. "
        f"Of a shared quota of {QUOTA} a second they used {rates}. Scaling repeated no result and no call."
    )


def check(results: Results, rows: int, calls_repeated: int) -> None:
    """Check that each task has exactly one result, one row and one call.

    Raises:
        Mismatch: one of them is missing, repeated or unknown.
    """
    if results.repeated or results.unknown or calls_repeated or rows != results.sent:
        raise Mismatch(
            f"{results.sent:,} tasks became {rows:,} rows; {results.repeated} results and {calls_repeated} calls "
            f"were repeated; {results.unknown} results belong to no task"
        )

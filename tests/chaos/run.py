"""One run: rounds of tasks with faults, each until everything is settled, and the history of the run."""

import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import psycopg

from sandbox.child import NotReady
from tests.chaos.faults import Fault
from tests.chaos.fleet import Fleet, Program
from tests.chaos.judge import STEADY_SECONDS, History, Round
from tests.chaos.services import FaultServices, wait_for
from tests.chaos.traffic import Traffic
from tests.chaos.watch import Watch

SETTLE_PATIENCE_SECONDS = 90.0
"""After this long a round counts as not settling by itself; all replicas are killed to see whether that helps."""

TOLD_SECONDS = 30.0

STARTING_SECONDS = 2.0
"""How long a steady flow of tasks lasts before it is watched."""

LATENCY_MS = [20, 150]

INPUTS = """
SELECT id, coalesce(data->>'source', substr(data #>> '{alternatives,0,message,text}', length('Вы спросили: ') + 1))
FROM integration_service
"""
"""Selects (id, input that the simulated provider received) of all rows."""


class Run:
    """One run with its own programs. Call every method from the main thread."""

    def __init__(
        self, services: FaultServices, seed: int, *, replicas: int, gateways: int = 1, **settings: str
    ) -> None:
        """Create topics and database; start nothing yet."""
        self.seed = seed
        self.history = History()
        self.notes: list[str] = []
        """Details for a person about rounds that did not settle."""
        # Letters only: digits would become part of a phone number.
        self.canary = "canary" + "".join(random.Random(uuid.uuid4().int).choices("bcdfghjkmnpqrstvwxz", k=12))
        self.fleet = Fleet(services, f"run-{uuid.uuid4().hex[:8]}", latency_ms=LATENCY_MS, **settings)
        self._programs = ["processor"] * replicas + ["gateway"] * gateways
        self._watch = Watch(self.fleet, self.history)
        self._traffic = Traffic(self.fleet, self.history, self._watch, self.canary)

    def start(self) -> None:
        """Start the programs and the watch.

        Raises:
            sandbox.child.NotReady: a program is not ready in time.
        """
        for package in self._programs:
            self.fleet.add(package)
        self.fleet.wait()
        self._wait(self.fleet.divided, "the partitions to be divided")
        self._watch.start()

    def play(self, tasks: int, *faults: Fault) -> Round:
        """Play one round: send tasks, inject the faults, wait until everything is settled."""
        number = len(self.history.rounds) + 1
        chance = random.Random(f"{self.seed}-{number}")
        seconds = [chance.uniform(*fault.seconds) for fault in faults]
        self.fleet.round = number
        first = len(self.history.tasks)
        answered = len(self._watch.answered)
        steady = next((fault.steady for fault in faults), None)
        if steady is None:
            self._traffic.send(number, tasks, sum(seconds) + 2, chance)
            under_way = answered + int(tasks * chance.uniform(0.02, 0.35))
            with contextlib.suppress(NotReady):  # then the round does not settle, which is recorded below
                self._wait(lambda: len(self._watch.answered) >= under_way, "tasks to be under way")
        else:
            self._traffic.send(number, tasks, steady.lasts_seconds + STARTING_SECONDS, chance, burst=0)
            self._hold(STARTING_SECONDS + STEADY_SECONDS)
        fault_at = time.time()
        with contextlib.ExitStack() as in_force:
            for fault, hold_seconds in zip(faults, seconds, strict=True):
                in_force.enter_context(fault.inject(self.fleet, chance))
                self._hold(hold_seconds)
        ended_at = time.time()
        settled_at = self._settle(first)
        settle_seconds = None if settled_at is None else settled_at - max(ended_at, self._traffic.acknowledged_at)
        round_ = Round(
            number,
            " + ".join(fault.name for fault in faults),
            restarts_broker=any(fault.restarts_broker for fault in faults),
            cuts_calls=any(fault.cuts_calls for fault in faults),
            dead_letters=any(fault.dead_letters for fault in faults),
            seconds_to_settle=None if settle_seconds is None else max(0.0, settle_seconds),
            steady=steady,
            fault_at=fault_at,
            over_at=min(ended_at, fault_at + (steady.lasts_seconds - STEADY_SECONDS if steady else 0)),
        )
        self.history.rounds.append(round_)
        return round_

    def finish(self) -> History:
        """Stop everything and return the whole history.

        Raises:
            sandbox.child.NotReady: a program that had ended by itself is not ready again in time.
        """
        self.fleet.wait()
        self._traffic.ask_later(TOLD_SECONDS)
        self.history.lag = self._watch.lag_at[1]
        self.history.leaks += self._leaks_in_metrics()
        self._watch.close()
        self._watch.check()
        self.fleet.stop(*self.fleet.replicas, *self.fleet.gateways)
        with psycopg.connect(self.fleet.conninfo) as connection:
            self.history.rows = connection.execute(INPUTS).fetchall()
        self.history.paid = self.fleet.services.paid()
        self.history.cuts = self.fleet.cuts
        self.history.exits = self.fleet.exits
        self.history.leaks += [f"the log {path.name}" for path in self.fleet.logs() if _holds(path, self.canary)]
        return self.history

    def close(self) -> None:
        """Stop everything, whatever state it is in."""
        self.fleet.end()
        self._traffic.close()
        self._watch.close()

    def _settle(self, first: int) -> float | None:
        """Return when everything sent was done and committed; None if that needed a restart of the replicas."""
        settled_at = time.time()

        def settled() -> bool:
            nonlocal settled_at
            if not self._traffic.sent():
                return False
            sent = self.history.tasks[first:]
            if any(task.outcome == "acknowledged" and task.task_id not in self._watch.answered for task in sent):
                return False
            asked_at, lag = self._watch.lag_at
            settled_at, fresh = asked_at, asked_at > self._traffic.acknowledged_at
            return fresh and lag == 0

        try:
            self._wait(settled, "everything to be settled", SETTLE_PATIENCE_SECONDS)
            # Not part of the time, because no task waits for it. But a rebalance must not reach into the next round.
            self._wait(self.fleet.divided, "the partitions to be divided", SETTLE_PATIENCE_SECONDS)
        except NotReady:
            self._note_what_is_stuck(first)
            self.fleet.kill(*[replica for replica in self.fleet.replicas if _answering(replica)])
            for replica in self.fleet.replicas:
                if replica.wanted:
                    replica.kill()
                self.fleet.start(replica)
            with contextlib.suppress(NotReady):  # tasks that are not done by then count as lost
                self._wait(settled, "everything to be settled with new processes", SETTLE_PATIENCE_SECONDS)
            return None
        return settled_at

    def _note_what_is_stuck(self, first: int) -> None:
        sent = self.history.tasks[first:]
        missing = [task for task in sent if task.outcome == "acknowledged" and task.task_id not in self._watch.answered]
        self.notes.append(
            f"round {len(self.history.rounds) + 1}: {len(missing)} of {len(sent)} tasks have no answer, lag "
            f"{self._watch.lag_at[1]}, first: {missing[:3]}"
        )
        for program in self.fleet.replicas + self.fleet.gateways:
            try:
                ready = httpx.get(f"{program.url}/health/ready", timeout=2, trust_env=False).text.strip()
                in_flight = program.in_flight() if program in self.fleet.replicas else 0
            except httpx.TransportError as error:
                ready, in_flight = repr(error), -1
            self.notes.append(f"{program.name}: {ready}, in flight {in_flight}\n{program.tail(8)}")

    def _hold(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.fleet.supervise()
            self._watch.check()
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))  # the fault lasts; this waits for nothing

    def _wait(self, condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        def meanwhile() -> None:
            self.fleet.supervise()
            self._watch.check()

        wait_for(condition, what, meanwhile, seconds)

    def _leaks_in_metrics(self) -> Iterator[str]:
        for program in self.fleet.replicas + self.fleet.gateways:
            if self.canary in httpx.get(f"{program.url}/metrics", trust_env=False).text:
                yield f"the metrics of {program.name}"


def schedule(faults: Sequence[Fault], rounds: int, joined: float, chance: random.Random) -> list[tuple[Fault, ...]]:
    """Return the faults of each round: all are equally frequent, in any order; some come with a second fault."""
    order: list[Fault] = []
    while len(order) < rounds:
        order += chance.sample(faults, len(faults))
    joinable = [fault for fault in faults if fault.may_join]
    drawn: list[tuple[Fault, ...]] = []
    for fault in order[:rounds]:
        others = [other for other in joinable if other is not fault and other.name.split(":")[0] not in fault.name]
        alone = fault.tasks is not None or not others
        drawn.append((fault,) if alone or chance.random() >= joined else (fault, chance.choice(others)))
    return drawn


def _answering(program: Program) -> bool:
    try:
        program.in_flight()
    except httpx.TransportError:
        return False
    return True


def _holds(path: Path, text: str) -> bool:
    with path.open(errors="replace") as lines:
        return any(text in line for line in lines)

"""The benchmark's cases. The programs of a case take turns in every round."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from bench import runs
from bench.figures import Figure, compared, wanted
from bench.runs import IN_PROCESS, OURS, Run, drain
from bench.services import BenchServices

LIMIT_IN_FLIGHT = 256
LATENCY_MS = 100
LIMIT = LIMIT_IN_FLIGHT / (LATENCY_MS / 1000)
"""Tasks a second that this latency allows with this many requests in flight."""

RIVALS = {
    "plain Quix": "bench.plain_quix",
    "FastStream": "bench.faststream_workers",
    "hand-written": "bench.hand_written",
}
SLOW_RIVALS = ("plain Quix", "FastStream")
"""Programs that are too slow for the whole backlog: they are measured for a limited time."""

TWELVE_FROM_SHARE = 0.1
"""Smallest scale with 12 replicas: in a quicker run their start would take longer than all the rest."""

Say = Callable[[str], None]
"""Shows a line of progress."""


@dataclass(frozen=True)
class Scale:
    """The size of a measurement."""

    rounds: int
    share: float
    """Share of the tasks and seconds of a full measurement."""

    def tasks(self, whole: int) -> int:
        """Return the number of tasks, out of `whole` in a full measurement."""
        return max(100, int(whole * self.share))

    def seconds(self, whole: float) -> float:
        """Return the number of seconds, out of `whole` in a full measurement."""
        return max(2.0, whole * self.share)


def side_by_side(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """One replica with 256 requests in flight at 100 ms, against what a user would write instead."""
    case = "256 in flight, 100 ms"
    results: dict[str, list[Run]] = {}
    for round_ in range(1, scale.rounds + 1):
        for name, module in {**RIVALS, "this service": OURS}.items():
            say(f"{case}: {name}, round {round_} of {scale.rounds}")
            seconds_max = scale.seconds(20) if name in SLOW_RIVALS else 600
            measured = drain(
                services, module, tasks=scale.tasks(120_000), in_flight=LIMIT_IN_FLIGHT, seconds_max=seconds_max
            )
            results.setdefault(name, []).append(measured)
    figures = []
    for name, measured_runs in results.items():
        rate = Figure(case, name, "tasks/s", [run.tasks_a_second for run in measured_runs])
        at_least = 0.9 if name == "this service" else None
        figures.append(compared(rate, LIMIT, f"of the limit, {LIMIT:,.0f}", at_least=at_least))
    costs = {
        name: Figure(case, name, "us of CPU a task", [run.cpu_us_a_task for run in measured_runs])
        for name, measured_runs in results.items()
    }
    by_hand = costs["hand-written"].median
    for name, cost in costs.items():
        figure = compared(cost, by_hand, "of hand-written")
        figures.append(wanted(figure, at_most=round(2 * by_hand)) if name == "this service" else figure)
    ours = results["this service"]
    for part in ("Kafka", "PostgreSQL", "provider", "program"):
        figures.append(Figure(case, "this service", f"cores: {part}", [run.cores[part] for run in ours]))
    late = Figure(case, "provider", "ms late, p99", [run.provider_late_ms for run in ours])
    return [*figures, wanted(late, at_most=LATENCY_MS / 10)]


def pipeline_alone(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """One replica with an in-process provider that answers immediately."""
    case = "provider in process, 0 ms"
    measured = []
    for round_ in range(1, scale.rounds + 1):
        say(f"{case}, round {round_} of {scale.rounds}")
        measured.append(drain(services, IN_PROCESS, tasks=scale.tasks(300_000), in_flight=5000))
    return [
        wanted(Figure(case, "this service", "tasks/s", [run.tasks_a_second for run in measured]), at_least=20_000),
        Figure(case, "this service", "us of CPU a task", [run.cpu_us_a_task for run in measured]),
    ]


def quota(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """A quota of 20 requests a second, enforced by a strict provider in any period of one second."""
    figures = []
    case = "quota of 20/s"
    fleets: list[tuple[int, int | None]] = [(1, None), (2, None), (4, None), (4, 1)]
    if scale.share >= TWELVE_FROM_SHARE:
        fleets.append((12, 1))
    for count, loaded in fleets:
        program = _replicas(count) if loaded is None else f"{_replicas(count)}, 1 has work"
        say(f"{case}: {program}")
        provider = services.strict_provider()
        url = provider[1]
        httpx.delete(f"{url}/_requests", trust_env=False).raise_for_status()
        httpx.put(
            f"{url}/_control", json={"dadata_requests_per_second": 20, "latency_ms": LATENCY_MS}, trust_env=False
        ).raise_for_status()
        run = drain(
            services,
            OURS,
            tasks=scale.tasks(600),
            in_flight=64,
            replicas=count,
            provider=provider,
            together=True,
            loaded=loaded,
            burst=20,  # the quota allows as many requests at once at the start
            DADATA_REQUESTS_PER_SECOND="20",
        )
        asked = httpx.get(f"{url}/_requests", trust_env=False).json()
        figures.append(wanted(Figure(case, program, "tasks/s", [run.tasks_a_second]), at_least=19.6))
        refused = float(asked["providers"]["phone"].get("429", 0))
        figures.append(wanted(Figure(case, program, "answers 429", [refused]), at_most=0))
    return figures


def replicas(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Two replicas against one, each with 64 requests in flight."""
    case = "64 in flight each, 100 ms"
    rates: dict[int, list[float]] = {1: [], 2: []}
    for round_ in range(1, scale.rounds + 1):
        for count, values in rates.items():
            say(f"{case}: {_replicas(count)}, round {round_} of {scale.rounds}")
            tasks = scale.tasks(20_000)
            run = drain(services, OURS, tasks=tasks, in_flight=64, replicas=count, together=True)
            values.append(run.tasks_a_second)
    one, two = (Figure(case, _replicas(count), "tasks/s", values) for count, values in rates.items())
    return [one, compared(two, one.median, "of one replica", at_least=1.9)]


def rest(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Latency of a REST call on top of its provider's 100 ms."""
    figures = []
    for callers, p50, p99 in ((1, 8, 20), (16, 10, 40)):
        case = f"REST over 100 ms, {callers} caller{'s' * (callers > 1)}"
        reports = []
        with runs.service(services, OURS) as url:
            runs.call(url, callers=callers, seconds=2)
            for round_ in range(1, scale.rounds + 1):
                say(f"{case}, round {round_} of {scale.rounds}")
                reports.append(runs.call(url, callers=callers, seconds=scale.seconds(20)))
        for name, at_most in (("p50", p50), ("p99", p99)):
            over = [report[f"{name}_ms"] - LATENCY_MS for report in reports]
            figures.append(wanted(Figure(case, "this service", f"ms over, {name}", over), at_most=at_most))
    return figures


def rest_sustained(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Requests a second of one gateway, against the same route without Kafka."""
    case = "REST, 64 callers, 0 ms"
    alone: list[float] = []
    whole: list[float] = []
    environment = {"KAFKA_IMPORT_TOPIC": "tasks", "KAFKA_RESULT_TOPIC": "results", "LOG_LEVEL": "ERROR"}
    with (
        runs.gateway(services, "bench.gateway_alone", environment) as alone_url,
        runs.service(services, IN_PROCESS, in_flight=5000) as url,
    ):
        for round_ in range(1, scale.rounds + 1):
            say(f"{case}, round {round_} of {scale.rounds}")
            for target, values in ((alone_url, alone), (url, whole)):
                values.append(runs.call(target, callers=64, seconds=scale.seconds(10))["requests_per_second"])
    limit = Figure(case, "gateway without Kafka", "requests/s", alone)
    sustained = Figure(case, "this service", "requests/s", whole)
    return [limit, compared(sustained, limit.median, "of without Kafka", at_least=0.6)]


def growth(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Cost of a task as the backlog, the partitions or the requests in flight grow."""
    figures = []
    for what, values in {
        "backlog": [scale.tasks(number) for number in (1_000, 10_000, 100_000, 1_000_000)],
        "partitions": [1, 12, 48],
        "in flight": [10, 256, 1000, 5000],
    }.items():
        for value in values:
            case = f"growth: {what}"
            say(f"{case} of {value:,}")
            if what == "backlog":
                measured = drain(services, IN_PROCESS, tasks=value, in_flight=5000, seconds_max=600)
            elif what == "partitions":
                measured = drain(services, OURS, tasks=scale.tasks(30_000), in_flight=256, partitions=value)
            else:
                tasks = scale.tasks(min(1000 * value // 10, 100_000))
                measured = drain(services, OURS, tasks=tasks, in_flight=value, IN_FLIGHT_MAX="5000")
            if measured.cpu_us_a_task:  # otherwise everything was done at the first check
                figures.append(Figure(case, f"{value:,}", "us of CPU a task", [measured.cpu_us_a_task]))
            figures.append(Figure(case, f"{value:,}", "tasks/s", [measured.tasks_a_second]))
    return figures


def idle(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """CPU of an idle processor, and the time from its start to its first result."""
    starts, cores = [], []
    for round_ in range(1, scale.rounds + 1):
        say(f"idle, round {round_} of {scale.rounds}")
        starts.append(drain(services, OURS, tasks=1, in_flight=64).start_seconds)
        environment = runs.program_environment(
            services, services.new_topic(), services.new_topic(), services.provider(LATENCY_MS)[1], 64
        )
        with runs.running(services, OURS, environment) as programs:
            time.sleep(3)  # the start does not count as idle
            before, seconds = runs.cpu_seconds({"program": programs}), scale.seconds(20)
            time.sleep(seconds)
            cores.append((runs.cpu_seconds({"program": programs})["program"] - before["program"]) / seconds)
    return [
        wanted(Figure("start to first result, 100 ms", "this service", "seconds", starts), at_most=3),
        wanted(Figure("idle", "this service", "cores", cores), at_most=0.02),
    ]


def _replicas(count: int) -> str:
    return f"{count} replicas" if count > 1 else "1 replica"


CASES = {
    "side-by-side": side_by_side,
    "pipeline": pipeline_alone,
    "quota": quota,
    "replicas": replicas,
    "rest": rest,
    "rest-sustained": rest_sustained,
    "growth": growth,
    "idle": idle,
}

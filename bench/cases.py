"""The benchmark's cases. The programs of a case take turns in every round."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from bench import floor, runs
from bench.figures import Figure, compared, wanted
from bench.runs import IN_PROCESS, OURS, Run, Served, drain
from bench.services import PARTITIONS, BenchServices
from sandbox.child import Child

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

OPEN_LOOP_CALLERS = 512
"""Connections for requests by the clock: more than are under way at once below the sustained rate."""

LARGE_FLEETS_FROM_SHARE = 0.1
"""Smallest scale with more than 4 replicas: in a quicker run their start would take longer than all the rest."""

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
    rates, costs = _rates_and_costs(case, results)
    for name in SLOW_RIVALS:
        figures += [compared(rates[name], LIMIT, f"of the limit, {LIMIT:,.0f}"), costs[name]]
    figures += _to_hand_written(rates, at_least=1)
    figures.append(compared(rates["this service"], LIMIT, f"of the limit, {LIMIT:,.0f}", at_least=0.95))
    figures += _to_hand_written(costs, at_most=0.9)
    for part in ("Kafka", "PostgreSQL", "provider", "program"):
        cores = [run.cores[part] for run in results["this service"]]
        figures.append(Figure(case, "this service", f"cores: {part}", cores))
    late = Figure(case, "provider", "ms late, p99", [run.provider_late_ms for run in results["this service"]])
    return [*figures, wanted(late, at_most=LATENCY_MS / 10)]


def _rates_and_costs(case: str, results: Mapping[str, list[Run]]) -> tuple[dict[str, Figure], dict[str, Figure]]:
    rates, costs = (
        {name: Figure(case, name, unit, [getattr(run, field) for run in of_it]) for name, of_it in results.items()}
        for unit, field in (("tasks/s", "tasks_a_second"), ("us of CPU a task", "cpu_us_a_task"))
    )
    return rates, costs


def pipeline_alone(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """One replica with an in-process provider that answers immediately, against Quix that only passes bytes on."""
    case = "provider in process, 0 ms"
    results: dict[str, list[Run]] = {"bytes passed on": [], "this service": []}
    for round_ in range(1, scale.rounds + 1):
        for (name, measured), module in zip(results.items(), ("bench.plain_quix_bytes", IN_PROCESS), strict=True):
            say(f"{case}: {name}, round {round_} of {scale.rounds}")
            measured.append(drain(services, module, tasks=scale.tasks(300_000), in_flight=5000))
    floor_, ours = (
        Figure(case, name, "tasks/s", [run.tasks_a_second for run in measured]) for name, measured in results.items()
    )
    cpu = [run.cpu_us_a_task for run in results["this service"]]
    return [
        floor_,
        compared(ours, floor_.median, "of bytes passed on", at_least=0.5),
        Figure(case, "this service", "us of CPU a task", cpu),
    ]


def quota(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """A quota of 20 requests a second, enforced by a strict provider in any period of one second."""
    figures = []
    case = "quota of 20/s"
    fleets: list[tuple[int, int | None]] = [(1, None), (2, None), (4, None), (4, 1)]
    if scale.share >= LARGE_FLEETS_FROM_SHARE:
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
    """More replicas against one, each with 16 requests in flight, so that this machine is not their limit."""
    case = "16 in flight each, 100 ms"
    counts = (1, 2, 4, 8) if scale.share >= LARGE_FLEETS_FROM_SHARE else (1, 2)
    results: dict[str, list[Run]] = {}
    for round_ in range(1, scale.rounds + 1):
        for count in counts:
            say(f"{case}: {_replicas(count)}, round {round_} of {scale.rounds}")
            tasks = scale.tasks(3_200 * count)
            measured = drain(services, OURS, tasks=tasks, in_flight=16, replicas=count, together=True)
            results.setdefault(_replicas(count), []).append(measured)
    (one, two, *more), (one_cpu, *costs) = (figures.values() for figures in _rates_and_costs(case, results))
    return [
        one,
        compared(two, one.median, "of one replica", at_least=1.9),
        *(compared(each, one.median, "of one replica") for each in more),
        one_cpu,
        *(compared(each, one_cpu.median, "of one replica", at_most=1.15) for each in costs),
    ]


def leases(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """What sharing a quota costs PostgreSQL and the replicas, while there is nothing to do."""
    case = "leases of a quota, idle"
    figures = []
    for count in (1, 4, 16) if scale.share >= LARGE_FLEETS_FROM_SHARE else (1, 2):
        say(f"{case}: {_replicas(count)}")
        _, provider_url = services.provider(LATENCY_MS)
        environment = runs.program_environment(
            services, services.new_topic(), services.new_topic(), provider_url, 64, DADATA_REQUESTS_PER_SECOND="20"
        )
        with runs.running(services, OURS, environment, count) as programs:
            group = environment["KAFKA_CONSUMER_GROUP"]
            programs[0].wait_until(partial(services.shares_partitions, group, count, PARTITIONS))
            cores = _idle_cores({"replica": programs, "PostgreSQL": [services.postgres]}, scale)
        cores["replica"] /= count
        figures += [Figure(case, _replicas(count), f"cores: {part}", [value]) for part, value in cores.items()]
    return figures


def rest(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Latency of a REST call on top of its provider's 100 ms, against one written by hand."""
    figures = []
    for callers, p50, p99 in ((1, 0.7, 1.0), (16, 0.6, 0.7)):
        case = f"REST over 100 ms, {callers} caller{'s' * (callers > 1)}"
        with _both(services, latency_ms=LATENCY_MS) as served:
            reports = _in_turns(scale, say, case, served, callers=callers)
        for unit, at_most in (("p50", p50), ("p99", p99)):
            over = {
                name: Figure(case, name, f"ms over, {unit}", [report[f"{unit}_ms"] - LATENCY_MS for report in measured])
                for name, measured in reports.items()
            }
            figures += _to_hand_written(over, at_most=at_most)
    return figures


def rest_sustained(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Requests a second of one gateway and one processor, against those written by hand."""
    case = "REST, 64 callers, 1 ms"
    with _both(services, latency_ms=1) as served:
        reports = _in_turns(scale, say, case, served, callers=64)
    rates, costs = (
        {name: Figure(case, name, unit, [report[key] for report in measured]) for name, measured in reports.items()}
        for unit, key in (("requests/s", "requests_per_second"), ("us of CPU a request", "cpu_us_a_request"))
    )
    environment = {"KAFKA_IMPORT_TOPIC": "tasks", "KAFKA_RESULT_TOPIC": "results", "LOG_LEVEL": "ERROR"}
    with runs.gateway(services, "bench.gateway_alone", environment) as alone:
        say(f"{case}: gateway without Kafka")
        report = runs.call(alone, callers=64, seconds=scale.seconds(10))
    for_information = Figure(case, "gateway without Kafka", "requests/s", [report["requests_per_second"]])
    return [*_to_hand_written(rates, at_least=1.5), *_to_hand_written(costs, at_most=0.6), for_information]


def rest_open_loop(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Latency of REST calls that are sent by the clock, at shares of the rate that both services sustain."""
    case = "REST by the clock, 1 ms"
    figures = []
    with _both(services, latency_ms=1) as served:
        sustained = min(
            runs.call(each, callers=64, seconds=scale.seconds(10))["requests_per_second"] for each in served.values()
        )
        for share in (0.25, 0.5, 0.75):
            rate = round(share * sustained)
            name_of_case = f"{case}, {share:.0%} of {sustained:,.0f}/s"
            reports = _in_turns(scale, say, name_of_case, served, callers=OPEN_LOOP_CALLERS, rate=rate)
            for unit, key in (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p99_9_ms")):
                latencies = {
                    name: Figure(name_of_case, name, f"ms, {unit}", [report[key] for report in measured])
                    for name, measured in reports.items()
                }
                figures += _to_hand_written(latencies)
    return figures


def rest_floor(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Latency of a lone REST call, against an echo over two topics with one row committed on the way.

    Once with a provider that answers at once, and once with one that takes its time, in which the machine falls asleep.
    """
    figures = []
    for latency_ms, module, at_most in ((0, IN_PROCESS, 2.0), (LATENCY_MS, OURS, None)):
        case = f"REST over {latency_ms} ms, 1 caller"
        ours: list[float] = []
        echoed: list[float] = []
        topics = services.new_topic(), services.new_topic()
        environment = runs.program_environment(services, *topics, "", 1, ECHO_AFTER_MS=str(latency_ms))
        with (
            runs.service(services, module, latency_ms=latency_ms) as served,
            runs.running(services, "bench.floor", environment),
            contextlib.closing(floor.Caller(services.kafka.bootstrap_servers, *topics, PARTITIONS)) as caller,
        ):
            for round_ in range(1, scale.rounds + 1):
                say(f"{case}, to the echo, round {round_} of {scale.rounds}")
                echoed.append(statistics.median(caller.latencies_ms(scale.seconds(10))) - latency_ms)
                ours.append(runs.call(served, callers=1, seconds=scale.seconds(10))["p50_ms"] - latency_ms)
        echo = Figure(case, "echo with a row", "ms over, p50", echoed)
        over = Figure(case, "this service", "ms over, p50", ours)
        figures += [echo, compared(over, echo.median, "of the echo", at_most=at_most)]
    return figures


@contextlib.contextmanager
def _both(services: BenchServices, *, latency_ms: float) -> Iterator[dict[str, Served]]:
    """Run a service written by hand and this one, both warmed up."""
    by_hand = "bench.hand_written_worker", "bench.hand_written_gateway"
    with (
        runs.service(services, *by_hand, latency_ms=latency_ms) as rival,
        runs.service(services, OURS, latency_ms=latency_ms) as ours,
    ):
        served = {"hand-written": rival, "this service": ours}
        for each in served.values():
            runs.call(each, callers=16, seconds=2)
        yield served


def _in_turns(
    scale: Scale, say: Say, case: str, served: Mapping[str, Served], *, callers: int, **how: float
) -> dict[str, list[dict[str, Any]]]:
    """Return the callers' reports of each round."""
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in served}
    for round_ in range(1, scale.rounds + 1):
        for name, each in served.items():
            say(f"{case}: {name}, round {round_} of {scale.rounds}")
            reports[name].append(runs.call(each, callers=callers, seconds=scale.seconds(20), **how))
    return reports


def _to_hand_written(figures: dict[str, Figure], **target: float) -> list[Figure]:
    """Return the figures of the hand-written program and of this service, the latter with its target."""
    by_hand, ours = figures["hand-written"], figures["this service"]
    return [by_hand, compared(ours, by_hand.median, "of hand-written", **target)]


def growth(services: BenchServices, scale: Scale, say: Say) -> list[Figure]:
    """Cost of a task as the backlog, the partitions or the records in flight grow, and memory of a record in flight."""

    def backlog(tasks: int) -> Run:
        # Few in flight: what is taken before the first result does not count, and would make a small backlog cheap.
        return drain(services, IN_PROCESS, tasks=tasks, in_flight=256, seconds_max=600, IN_FLIGHT_MAX="1000")

    def partitions(count: int) -> Run:
        return drain(services, OURS, tasks=scale.tasks(30_000), in_flight=256, partitions=count)

    def in_flight(count: int) -> Run:
        tasks = scale.tasks(min(100 * count, 200_000))
        requests = min(count, 5000)  # each has a connection; further records wait for their turn
        return drain(services, OURS, tasks=tasks, in_flight=requests, IN_FLIGHT_MAX=str(count))

    figures = []
    for grows, run, start, others in (
        ("backlog", backlog, scale.tasks(30_000), (scale.tasks(100_000), scale.tasks(1_000_000))),
        ("partitions", partitions, 1, (12, 48)),
        ("in flight", in_flight, 256, (10, 1000, 5000, 50_000)),
    ):
        case = f"growth: {grows}"
        results: dict[str, list[Run]] = {f"{value:,}": [] for value in (start, *others)}
        for round_ in range(1, scale.rounds + 1):
            for value in (start, *others):
                say(f"{case} of {value:,}, round {round_} of {scale.rounds}")
                results[f"{value:,}"].append(run(value))
        rates, costs = _rates_and_costs(case, results)
        first, *more = costs.values()
        figures += [*rates.values(), first]
        for cost, value in zip(more, others, strict=True):
            figures.append(compared(cost, first.median, "of the first", at_most=1.1 if value > start else None))
    return [*figures, _memory(services, scale, say)]


def _memory(services: BenchServices, scale: Scale, say: Say) -> Figure:
    # Not scaled: so many records must be there, and there must be the time to take them.
    few, many = 1000, 50_000
    measure = partial(drain, services, OURS, tasks=3 * many, in_flight=LIMIT_IN_FLIGHT, seconds_max=20)
    kib = []
    for round_ in range(1, scale.rounds + 1):
        peaks = []
        for count in (few, many):
            say(f"memory of {count:,} records in flight, round {round_} of {scale.rounds}")
            peaks.append(measure(IN_FLIGHT_MAX=str(count)).memory_bytes)
        kib.append((peaks[1] - peaks[0]) / (many - few) / 1024)
    return wanted(Figure("memory", f"{many:,} in flight", "KiB a record", kib), at_most=4)


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
            cores.append(_idle_cores({"program": programs}, scale)["program"])
    return [
        wanted(Figure("start to first result, 100 ms", "this service", "seconds", starts), at_most=3),
        wanted(Figure("idle", "this service", "cores", cores), at_most=0.02),
    ]


def _idle_cores(parts: Mapping[str, Sequence[Child]], scale: Scale) -> dict[str, float]:
    """Return the cores that each part uses while there is nothing to do."""
    time.sleep(3)  # the start does not count as idle
    before, seconds = runs.cpu_seconds(parts), scale.seconds(20)
    time.sleep(seconds)
    return {part: (spent - before[part]) / seconds for part, spent in runs.cpu_seconds(parts).items()}


def _replicas(count: int) -> str:
    return f"{count} replicas" if count > 1 else "1 replica"


CASES = {
    "side-by-side": side_by_side,
    "pipeline": pipeline_alone,
    "quota": quota,
    "replicas": replicas,
    "leases": leases,
    "rest": rest,
    "rest-sustained": rest_sustained,
    "rest-open-loop": rest_open_loop,
    "rest-floor": rest_floor,
    "growth": growth,
    "idle": idle,
}

"""Runs one program on a backlog and measures its speed and its CPU time."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.services import LOGS, PARTITIONS, PATIENCE_SECONDS, BenchServices
from sandbox.child import Child, free_port
from sandbox.services import ROOT, answers

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

WATCH_SECONDS = 0.05

OURS = "processor"
IN_PROCESS = "bench.in_process"


class Failed(Exception):
    """A program exited, or lost or repeated a task. The message says what happened."""


@dataclass(frozen=True)
class Run:
    """The measurements of one run."""

    tasks_a_second: float
    """Measured from the end of the initial burst to the last result."""
    cpu_us_a_task: float
    """User and system time of all replicas of the program."""
    cores: Mapping[str, float]
    """Cores that each part of the system used during the measurement."""
    provider_late_ms: float
    """99th percentile of the delay that the provider itself added to its latency."""
    start_seconds: float
    """Time from the program's start to its first result."""
    memory_bytes: int
    """Most memory that the replicas had in RAM."""


def drain(
    services: BenchServices,
    module: str,
    *,
    tasks: int,
    in_flight: int,
    latency_ms: float = 100,
    partitions: int = PARTITIONS,
    replicas: int = 1,
    seconds_max: float = PATIENCE_SECONDS,
    provider: tuple[Child, str] | None = None,
    together: bool = False,
    loaded: int | None = None,
    burst: int = 1,
    **settings: str,
) -> Run:
    """Start the program's replicas on a backlog, and measure until it is done or `seconds_max` have passed.

    Args:
        services: Kafka, PostgreSQL and providers.
        module: the program.
        tasks: tasks in the backlog.
        in_flight: most requests that each replica has in flight.
        latency_ms: latency of the provider, if `provider` is not given.
        partitions: partitions of each topic.
        replicas: replicas of the program.
        seconds_max: time after which the program is stopped.
        provider: the provider to use instead of the default one.
        together: whether to send the tasks only after the replicas share the partitions.
        loaded: partitions that get these tasks; by default all.
        burst: results that arrive at once at the start; they do not count for the rate.
        settings: further environment variables of the program.

    Raises:
        Failed: the program exited, or lost or repeated a task.
    """
    provider = provider or services.provider(latency_ms)
    import_topic = services.new_topic(partitions) if together else services.backlog(tasks, partitions)
    result_topic = services.new_topic(partitions)
    environment = program_environment(services, import_topic, result_topic, provider[1], in_flight, **settings)
    started_at = time.monotonic()
    with running(services, module, environment, replicas) as programs:
        parts: dict[str, list[Child]] = {
            "program": programs,
            "Kafka": [*services.brokers],
            "PostgreSQL": [services.postgres],
            "provider": [provider[0]],
        }

        def wait(records: int, seconds: float) -> int:
            give_up_at = time.monotonic() + seconds
            while (there := services.records(result_topic, partitions)) < records and time.monotonic() < give_up_at:
                for program in programs:
                    if not program.running:
                        raise Failed(f"{program.name} has exited. {program.tail()}")
                time.sleep(WATCH_SECONDS)
            return there

        if together:
            group = environment["KAFKA_CONSUMER_GROUP"]
            for program in programs:
                program.wait_until(lambda: services.shares_partitions(group, replicas, partitions))
            services.send(import_topic, tasks, loaded or partitions)
        first = wait(1, PATIENCE_SECONDS)
        first_at, cpu = time.monotonic(), cpu_seconds(parts)
        last = wait(tasks, seconds_max)
        seconds, cpu_then = time.monotonic() - first_at, cpu_seconds(parts)
        memory_bytes = sum(map(peak_memory, programs))
        late_ms = httpx.get(f"{provider[1]}/figures", trust_env=False).json().get("late_ms_p99", 0.0)
    task_ids, times_ms = services.results(result_topic, partitions)
    if len(set(task_ids)) != len(task_ids) or (last == tasks and len(task_ids) != tasks):
        raise Failed(f"{module}: {len(task_ids)} results for {tasks} tasks, {len(set(task_ids))} of them distinct")
    services.forget(result_topic, environment["POSTGRES_DB"])
    times_ms.sort()
    spent = {part: cpu_then[part] - cpu[part] for part in parts}
    return Run(
        tasks_a_second=(len(times_ms) - burst) / max(1, times_ms[-1] - times_ms[burst - 1]) * 1000,
        cpu_us_a_task=spent["program"] / max(1, last - first) * 1e6,
        cores={part: used / seconds for part, used in spent.items()},
        provider_late_ms=late_ms,
        start_seconds=first_at - started_at,
        memory_bytes=memory_bytes,
    )


def program_environment(
    services: BenchServices, import_topic: str, result_topic: str, provider_url: str, in_flight: int, **settings: str
) -> dict[str, str]:
    """Return a program's environment variables, with a new database."""
    return {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": services.kafka.bootstrap_servers,
        "KAFKA_IMPORT_TOPIC": import_topic,
        "KAFKA_RESULT_TOPIC": result_topic,
        "KAFKA_CONSUMER_GROUP": services.new_name(),
        "DADATA_URL": provider_url,
        "DADATA_API_KEY": "key",
        "DADATA_SECRET_KEY": "secret",
        "DADATA_CONCURRENT_REQUESTS": str(in_flight),
        "DADATA_REQUESTS_PER_SECOND": "0",
        "DADATA_NEW_CONNECTIONS_PER_MINUTE": "0",
        "LOG_LEVEL": "ERROR",
        **services.new_database(),
        **settings,
    }


@contextlib.contextmanager
def running(
    services: BenchServices, module: str, environment: Mapping[str, str], replicas: int = 1
) -> Iterator[list[Child]]:
    """Run replicas of a program while the context lasts. Does not wait until they are ready."""
    name = services.new_name()
    programs = []
    for number in range(1, replicas + 1):
        port = str(free_port())
        programs.append(
            Child(
                f"{module} {number}",
                [sys.executable, "-m", module],
                LOGS / f"{module}-{name}-{number}.log",
                environment={"PROCESSOR_HTTP_PORT": port, "GATEWAY_HOST": "127.0.0.1", **environment},
                folder=ROOT,
            )
        )
    try:
        for program in programs:
            program.start()
        yield programs
    finally:
        for program in programs:
            program.stop()


@dataclass(frozen=True)
class Served:
    """Programs that serve REST."""

    url: str
    programs: Sequence[Child]


@contextlib.contextmanager
def gateway(services: BenchServices, module: str, environment: Mapping[str, str]) -> Iterator[Served]:
    """Run a gateway while the context lasts, from when it is ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(services, module, {**environment, "GATEWAY_PORT": str(port)}) as [program]:
        program.wait_until(lambda: answers(f"{url}/health/ready"))
        yield Served(url, [program])


@contextlib.contextmanager
def service(
    services: BenchServices, module: str, gateway_module: str = "gateway", *, latency_ms: float, in_flight: int = 256
) -> Iterator[Served]:
    """Run a gateway and a processor while the context lasts, from when a task has passed through both."""
    _, provider_url = services.provider(latency_ms)
    environment = program_environment(services, services.new_topic(), services.new_topic(), provider_url, in_flight)
    with (
        running(services, module, environment) as processors,
        gateway(services, gateway_module, environment) as served,
    ):
        call(served, callers=1, requests=1)
        yield Served(served.url, [*served.programs, *processors])


def call(served: Served, *, callers: int, **end: float) -> dict[str, Any]:
    """Let callers send tasks by REST, for `seconds` or up to `requests`, and return their report.

    The report also has `cpu_us_a_request` of the programs.

    Raises:
        Failed: a request did not get its own result.
    """
    options = [part for name, value in {"callers": callers, **end}.items() for part in (f"--{name}", str(value))]
    parts = {"programs": served.programs}
    before = cpu_seconds(parts)["programs"]
    called = subprocess.run(
        [sys.executable, "-m", "bench.callers", "--url", f"{served.url}/tasks", *options],
        check=False,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    if called.returncode != 0:
        raise Failed(f"the callers of {served.url} report: {called.stdout}")
    report: dict[str, Any] = json.loads(called.stdout)
    report["cpu_us_a_request"] = (cpu_seconds(parts)["programs"] - before) / report["requests"] * 1e6
    return report


def peak_memory(program: Child) -> int:
    """Return the most memory that the program has had in RAM, in bytes."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    [kib] = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024


def cpu_seconds(parts: Mapping[str, Sequence[Child]]) -> dict[str, float]:
    """Return the CPU seconds of each part, including its subprocesses, from /proc."""
    stats: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has exited meanwhile
            continue
    of_child = {child.pid: part for part, children in parts.items() for child in children}
    spent = dict.fromkeys(parts, 0.0)
    for pid, fields in stats.items():
        above = pid
        while above not in of_child and above in stats:
            above = int(stats[above][1])  # proc(5): the parent
        if above in of_child:
            # Its own time, and that of its children that have exited.
            spent[of_child[above]] += sum(map(int, fields[11:15])) / TICKS_A_SECOND
    return spent

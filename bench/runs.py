"""One run of one program over a backlog: how fast, and at what cost."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.services import LOGS, PARTITIONS, PATIENCE_SECONDS, ROOT, Services
from sandbox.child import Child, free_port

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

WATCH_SECONDS = 0.1


class Failed(Exception):
    """A program did not do what it is measured by. The message says what and where its log is."""


@dataclass(frozen=True)
class Run:
    """What came out of one run."""

    tasks_a_second: float
    """From the first result to the last."""
    cpu_us_a_task: float
    """Of the program's replicas, user and system time."""
    cores: Mapping[str, float]
    """How many cores each part of the machine's load took meanwhile."""
    provider_late_ms_p99: float
    start_seconds: float
    """From the program's start to its first result."""


@dataclass(frozen=True)
class Program:
    """What is run, as `python -m module`, and with what settings beside those that every program gets."""

    module: str
    settings: Mapping[str, str]


OURS = Program("processor", {"DADATA_REQUESTS_PER_SECOND": "0"})
IN_PROCESS = Program("bench.in_process", {"DADATA_REQUESTS_PER_SECOND": "0"})


def run(
    services: Services,
    program: Program,
    *,
    tasks: int,
    in_flight: int,
    latency_ms: float = 100,
    partitions: int = PARTITIONS,
    replicas: int = 1,
    seconds_max: float = PATIENCE_SECONDS,
) -> Run:
    """Start the program's replicas on a backlog and measure until it is done, or for so many seconds.

    Raises:
        Failed: the program ended, or did a task twice or not at all.
    """
    import_topic = services.backlog(tasks, partitions)
    result_topic = services.new_topic()
    database = services.new_database()
    provider, url = services.provider(latency_ms)
    environment = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": services.kafka.bootstrap_servers,
        "KAFKA_IMPORT_TOPIC": import_topic,
        "KAFKA_RESULT_TOPIC": result_topic,
        "KAFKA_CONSUMER_GROUP": services.new_name(),
        "DADATA_URL": url,
        "DADATA_API_KEY": "key",
        "DADATA_SECRET_KEY": "secret",
        "DADATA_CONCURRENT_REQUESTS": str(in_flight),
        "LOG_LEVEL": "WARNING",
        **database,
        **program.settings,
    }
    children = [
        Child(
            f"{program.module} {number}",
            [sys.executable, "-m", program.module],
            LOGS / f"{result_topic}-{number}.log",
            environment={**environment, "PROCESSOR_HTTP_PORT": str(free_port())},
            folder=ROOT,
        )
        for number in range(1, replicas + 1)
    ]
    parts: dict[str, list[Child]] = {
        "program": children,
        "Kafka": [services.kafka],
        "PostgreSQL": [services.postgres],
        "provider": [provider],
    }
    started_at = time.monotonic()
    try:
        for child in children:
            child.start()
        _wait_for(services, result_topic, replicas, children, PATIENCE_SECONDS)
        first_at, first, cpu = time.monotonic(), services.records(result_topic), _cpu(parts)
        _wait_for(services, result_topic, tasks, children, seconds_max)
        last_at, last, cpu_then = time.monotonic(), services.records(result_topic), _cpu(parts)
    finally:
        for child in children:
            child.stop()
    task_ids, times_ms = services.results(result_topic)
    if len(set(task_ids)) != len(task_ids) or (last == tasks and len(task_ids) != tasks):
        raise Failed(f"{program.module}: {len(task_ids)} results of {tasks} tasks, {len(set(task_ids))} different ones")
    services.forget(result_topic, database["POSTGRES_DB"])
    times_ms.sort()
    spent = {part: cpu_then[part] - cpu[part] for part in parts}
    return Run(
        tasks_a_second=(len(times_ms) - 1) / max(0.001, (times_ms[-1] - times_ms[0]) / 1000),
        cpu_us_a_task=spent["program"] / max(1, last - first) * 1e6,
        cores={part: seconds / (last_at - first_at) for part, seconds in spent.items()},
        provider_late_ms_p99=0.0,
        start_seconds=first_at - started_at,
    )


def _wait_for(services: Services, topic: str, records: int, children: list[Child], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while services.records(topic) < records and time.monotonic() < give_up_at:
        for child in children:
            if not child.running:
                raise Failed(f"{child.name} has ended. {child.tail()}")
        time.sleep(WATCH_SECONDS)


def _cpu(parts: Mapping[str, list[Child]]) -> dict[str, float]:
    """Return the seconds of CPU that each part and all that it started has used."""
    stats: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    of_child = {child.pid: part for part, children in parts.items() for child in children}
    spent = dict.fromkeys(parts, 0.0)
    for pid, fields in stats.items():
        while pid not in of_child and pid in stats:
            pid = int(stats[pid][1])  # proc(5): the parent
        if pid in of_child:
            # The time of its own, and of its children that have ended.
            spent[of_child[pid]] += sum(map(int, fields[11:15])) / TICKS_A_SECOND
    return spent

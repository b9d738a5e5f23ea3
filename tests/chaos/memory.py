"""Memory growth of a processor over very many tasks: one replica, and providers that answer at once."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from sandbox.child import NotReady
from tests.chaos.fleet import PARTITIONS, Fleet
from tests.chaos.services import FaultServices

WARM_TASKS = 50_000
"""Tasks before the first measurement that counts: everything that is loaded only once is loaded by then."""
AHEAD_TASKS = 50_000
"""Most tasks that are sent and not done."""
BATCH_TASKS = 10_000
SILENT_SECONDS = 60.0
"""The run is abandoned after this long without a result."""


@dataclass(frozen=True)
class Growth:
    """Resident memory at the first measurement that counts and at the end."""

    first_done: int
    first_bytes: int
    last_done: int
    last_bytes: int
    seconds: float

    @property
    def per_cent(self) -> float:
        """Growth from the first measurement to the end, in per cent."""
        return (self.last_bytes / self.first_bytes - 1) * 100


def memory(services: FaultServices, tasks: int, progress: Callable[[int, int], None]) -> Growth:
    """Run this many tasks through one processor.

    Raises:
        NotReady: no more results arrive.
    """
    fleet = Fleet(services, "memory", latency_ms=0, LOG_LEVEL="INFO", DADATA_CONCURRENT_REQUESTS="256")
    services.control(latency_ms=0)  # inputs are not remembered: only the processor's memory counts
    producer = Producer({"bootstrap.servers": services.kafka.bootstrap_servers, "linger.ms": 20})
    consumer = Consumer({"bootstrap.servers": services.kafka.bootstrap_servers, "group.id": "memory-watch"})
    results = [TopicPartition(fleet.results, number) for number in range(PARTITIONS)]
    try:
        replica = fleet.add("processor")
        fleet.wait()
        started_at = moved_at = time.monotonic()
        sent = done = told = 0
        first: tuple[int, int] | None = None
        while done < tasks:
            if sent < tasks and sent - done < AHEAD_TASKS:
                sent += _send(producer, fleet.imports, sent, min(BATCH_TASKS, tasks - sent))
            before = done
            done = sum(consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in results)
            if done != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > SILENT_SECONDS:
                raise NotReady(f"{done} of {tasks} tasks are done, and no more come. {replica.tail()}")
            if first is None and done >= min(WARM_TASKS, tasks // 2):
                first = done, resident_bytes(replica.pid)
            if done >= told + WARM_TASKS:
                told = done
                progress(done, resident_bytes(replica.pid))
            producer.poll(0.2)
        return Growth(
            *(first or (done, resident_bytes(replica.pid))),
            done,
            resident_bytes(replica.pid),
            time.monotonic() - started_at,
        )
    finally:
        consumer.close()
        fleet.end()


def resident_bytes(pid: int) -> int:
    """Return the resident memory of the process, from proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kibibytes) * 1024


def _send(producer: Producer, topic: str, first: int, tasks: int) -> int:
    for number in range(first, first + tasks):
        task = {"task_id": number, "task_type": "phone", "data": f"8 916 {number % 10_000_000:07}"}
        producer.produce(topic, json.dumps(task).encode())
        producer.poll(0)
    if producer.flush(60):
        raise NotReady("Kafka does not take the tasks")
    return tasks

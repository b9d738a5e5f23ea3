"""`make dump`: writes dump.sql from a real run of the whole stack, always with simulated providers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psycopg
from confluent_kafka import Producer

from sandbox.demo import REPLY_SECONDS, Mismatch, wait_for_rows
from sandbox.dump_tasks import tasks
from sandbox.postgres import program
from sandbox.services import ROOT
from sandbox.stack import Stack, Step, running
from shared.messages import IDEMPOTENCY_KEY_HEADER

DUMP = ROOT / "dump.sql"

OF_RUNNING_REPLICAS = ("leases", "circuits", "lent_deadlines")
"""Tables whose rows mean something only while the processors run."""

BY_REST = 12
"""How many tasks are sent by REST. They come last, because their partitions are not the same in every run."""

KEYS_EVERY = 12
"""One in so many tasks on Kafka has an idempotency key. All by REST have one."""

TOPIC_IDS = {
    "SELECT min(topic_id) FROM ledger": "VTbfvdINTHeZaIcu5R3Zxg",
    "SELECT min(topic_id) FROM redriven": "b1Q0ZkXyR7Om2sW8nTtLJA",
}
"""What the dump has in place of the topics' ids, which Kafka draws anew for each run."""


def dump(step: Step) -> Path:
    """Run the tasks, dump the database, and return the file.

    Raises:
        sandbox.child.NotReady: the stack does not start.
        sandbox.demo.Mismatch: an outcome is missing.
    """
    numbered = list(enumerate(tasks(), 1))
    on_kafka, (unlucky, *by_rest) = numbered[:-BY_REST], numbered[-BY_REST:]
    # Real answers would be personal data, and would cost money.
    stack = Stack(processors=1, simulated_only=True, settings={"PROVIDER_ATTEMPTS": "2"})
    with running(stack, step), Traffic(stack) as traffic:
        traffic.simulate(latency_ms=1)
        with step(f"Sending {len(on_kafka)} tasks on Kafka"):
            for numbered_task in on_kafka:  # one by one, so that the ids are always the same
                traffic.send(*numbered_task)
                traffic.wait_for_row()
        with step("Sending a task while its provider is away, and putting back its dead letter"):
            traffic.simulate(latency_ms=1, faults=[{"kind": "status", "status": 503}])
            traffic.post(*unlucky, status=503)
            traffic.simulate(latency_ms=1)
            traffic.redrive()
            traffic.wait_for_row()
        with step(f"Sending {len(by_rest)} tasks by REST"):
            for numbered_task in [*by_rest, by_rest[-1]]:  # the last one twice, with the same key
                traffic.post(*numbered_task)
        with step("Writing dump.sql"):
            new = DUMP.with_suffix(".new")
            new.write_text(_dumped(stack))
            new.rename(DUMP)
    return DUMP


class Traffic:
    """The producer of the tasks, and what it waits for."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._producer = Producer({"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0, "linger.ms": 0})
        self._client = httpx.Client(timeout=REPLY_SECONDS, trust_env=False)
        self._connection = psycopg.connect(stack.postgres.conninfo("tasks"), autocommit=True)
        self._rows = 0

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._client.close()

    def simulate(self, **settings: Any) -> None:
        """Set the behaviour of the providers."""
        self._client.put(f"{self._stack.simulators_url}/_control", json=settings).raise_for_status()

    def send(self, task_id: int, task: tuple[str, str]) -> None:
        """Produce a task to the import topic. Its key decides on the partition, always in the same way."""
        headers = {} if task_id % KEYS_EVERY else {IDEMPOTENCY_KEY_HEADER: _idempotency_key(task_id)}
        self._producer.produce("tasks", _json(task_id, task), key=str(task_id), headers=headers)
        self._producer.flush(REPLY_SECONDS)

    def post(self, task_id: int, task: tuple[str, str], status: int = 200) -> None:
        """Send a task by REST, and wait for its reply."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": _idempotency_key(task_id)}
        reply = self._client.post(f"{self._stack.gateway_url}/tasks", content=_json(task_id, task), headers=headers)
        if reply.status_code != status:
            raise Mismatch(f"the reply to task {task_id} has status {reply.status_code}: {reply.text}")

    def wait_for_row(self) -> None:
        """Wait until there is one more row."""
        self._rows += 1
        wait_for_rows(lambda: self._connection.execute("SELECT FROM integration_service").rowcount, self._rows)

    def redrive(self) -> None:
        """Put back the dead letter."""
        command = [sys.executable, "-m", "processor", "redrive"]
        environment = {"PATH": os.environ["PATH"], **self._stack.environment}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _json(task_id: int, task: tuple[str, str]) -> bytes:
    task_type, data = task
    return json.dumps({"task_id": task_id, "task_type": task_type, "data": data}).encode()


def _idempotency_key(task_id: int) -> str:
    return f"order-{4000 + task_id}"


def _dumped(stack: Stack) -> str:
    options = ["--no-owner", "--no-privileges", "-d", stack.postgres.conninfo("tasks")]
    options += [f"--exclude-table-data={table}" for table in OF_RUNNING_REPLICAS]
    text = subprocess.run([program("pg_dump"), *options], check=True, text=True, stdout=subprocess.PIPE).stdout
    for query, topic_id in TOPIC_IDS.items():
        text = text.replace(stack.postgres.psql("tasks", "-At", "-c", query).strip(), topic_id)
    # pg_dump's newer minor versions wrap a dump in \restrict, which an older psql does not know. Its newer major
    # versions set transaction_timeout, which an older server does not know.
    return re.sub(r"^(\\(un)?restrict .*|SET transaction_timeout = 0;)\n", "", text, flags=re.MULTILINE)

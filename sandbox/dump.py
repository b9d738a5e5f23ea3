"""`make dump`: writes dump.sql from a real run of the whole stack, always with simulated providers."""

import json
import re
import subprocess
import time
from pathlib import Path

from confluent_kafka import Producer

from sandbox.child import NotReady
from sandbox.demo import BY_KAFKA, BY_REST, by_rest
from sandbox.postgres import program
from sandbox.services import ROOT
from sandbox.stack import Stack, Step, running

DUMP = ROOT / "dump.sql"

OF_RUNNING_REPLICAS = ("leases", "circuits", "lent_deadlines")
"""Tables whose rows mean something only while the processors run."""
ROWS_SECONDS = 60.0


def dump(step: Step) -> Path:
    """Run the demo's tasks, dump the database, and return the file.

    Raises:
        sandbox.child.NotReady: the stack does not start, or rows are missing.
    """
    # Real answers would be personal data, and would cost money.
    stack = Stack(processors=1, simulated_only=True)
    with running(stack, step):
        with step("Sending tasks of all three types"):
            by_rest(stack)
            producer = Producer({"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0})
            for task_id, task_type, data in BY_KAFKA:
                producer.produce(
                    "tasks", json.dumps({"task_id": task_id, "task_type": task_type, "data": data}).encode()
                )
            producer.flush(ROWS_SECONDS)
            give_up_at = time.monotonic() + ROWS_SECONDS
            count = "SELECT count(*) FROM integration_service"
            while int(stack.postgres.psql("tasks", "-At", "-c", count)) < len(BY_REST) + len(BY_KAFKA):
                if time.monotonic() > give_up_at:
                    raise NotReady(f"not all rows were written within {ROWS_SECONDS:g} seconds")
                time.sleep(0.1)
        with step("Writing dump.sql"):
            options = ["--no-owner", "--no-privileges", "-d", stack.postgres.conninfo("tasks")]
            options += [f"--exclude-table-data={table}" for table in OF_RUNNING_REPLICAS]
            text = subprocess.run([program("pg_dump"), *options], check=True, text=True, stdout=subprocess.PIPE).stdout
            new = DUMP.with_suffix(".new")
            new.write_text(_for_any_psql(text))
            new.rename(DUMP)
    return DUMP


def _for_any_psql(text: str) -> str:
    # pg_dump's newer minor versions wrap a dump in \restrict, which an older psql does not know. Its newer major
    # versions set transaction_timeout, which an older server does not know.
    return re.sub(r"^(\\(un)?restrict .*|SET transaction_timeout = 0;)\n", "", text, flags=re.MULTILINE)

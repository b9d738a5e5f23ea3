"""The command `python -m processor audit`: a table with what to do, exit code."""

import asyncio
import logging
import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.table import Table

from processor.audit.audit import findings
from processor.audit.findings import Finding
from processor.audit.postgres import NoAnswer
from processor.console import console, write_out
from processor.settings import ProcessorSettings
from shared.kafka_trouble import Reason
from shared.logs import configure_logs


def audit(settings: ProcessorSettings) -> int:
    """Print what Kafka and PostgreSQL cannot promise, and return the exit code.

    It is 0 if they can keep every promise, 1 if not, and 2 after one line if one of them does not answer.
    """
    configure_logs(settings.log_level, settings.log_format)
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.setLevel(logging.CRITICAL)  # an error is printed in one line, at the end
    reason = Reason()
    admin = AdminClient({**settings.kafka_connection(), "error_cb": reason.note}, logger=librdkafka)
    try:
        found = asyncio.run(findings(settings, admin))
    except (KafkaException, NoAnswer) as error:
        why = str(error)
        if isinstance(error, KafkaException):
            admin.poll(0)  # calls error_cb with the reason, if librdkafka has one
            why = f"Kafka does not answer: {reason.explained(error.args[0])}"
        print(f"processor audit: {why}", file=sys.stderr)  # noqa: T201 - for the person who called it
        return 2
    if not found:
        write_out("Kafka and PostgreSQL can keep every promise.\n")
        return 0
    printed = console(sys.stdout)
    with printed.capture() as captured:
        printed.print(table(found))
    write_out(f"{captured.get()}{len(found)} found\n")
    return 1


def table(found: list[Finding]) -> Table:
    """Return a row for each finding."""
    table = Table(box=None, pad_edge=False)
    table.add_column("where", no_wrap=True, style="bold")
    table.add_column("found", ratio=3)
    table.add_column("to do", ratio=2, style="green")
    for finding in found:
        table.add_row(*finding)
    return table

"""`make demo`: sends tasks of all three types by REST and straight onto Kafka, and shows their results.

Then a task by REST overtakes a backlog, unless that would cost money.
"""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress
from rich.table import Table
from rich.text import Text

from sandbox.stack import ANSWERS, Stack, Step, running
from sandbox.user_settings import provider_keys

REPLY_SECONDS = 60.0

BY_REST = [
    (1, "phone", "8 916 823 34 54"),
    (2, "email", "serega@yandex/ru"),
    (3, "gpt", "To be, or not to be: that is the question."),
    (4, "phone", "раб 846)231.60.14 *139"),
]
BY_KAFKA = [
    (5, "phone", "+7 (985) 123-45-67"),
    (6, "email", "Info@Example.com"),
    (7, "gpt", "Что такое Kafka?"),
    (8, "phone", "not a phone at all"),
]
BROKEN = b'{"task_id": 9, "task_type": "fax"'

BACKLOG = range(101, 201)
"""The task_ids of the backlog: five seconds of work at the quota."""

OVERTAKING = {"task_id": 10, "task_type": "phone", "data": "8 495 123 45 67"}

REQUESTS_PER_SECOND = 20
"""DaData's quota, which the simulators enforce while the backlog waits. It is the processor's default, too."""


@dataclass
class Reply:
    """The reply to one task."""

    way: str
    task_id: int
    task_type: str
    row_id: int
    milliseconds: float


class Mismatch(Exception):
    """The service broke a promise; the message says which."""


def demo(console: Console, step: Step) -> None:
    """Run the demo.

    Raises:
        Mismatch: a reply, a row or a dead letter is missing or wrong.
        sandbox.child.NotReady: the stack does not start.
    """
    started_at = time.monotonic()
    settings = {**provider_keys(os.environ), "DADATA_REQUESTS_PER_SECOND": str(REQUESTS_PER_SECOND)}
    with running(Stack(processors=2, settings=settings), step) as stack:
        console.print()
        paid = [task_id for task_id, task_type, _ in BY_REST + BY_KAFKA if not stack.is_free(task_type)]
        if paid:
            console.print(
                f"[bold]Real keys are set for {' and '.join(stack.real)}:[/bold] {len(paid)} calls are paid for.",
                highlight=False,
            )
        else:
            console.print(
                "Providers are simulated and answer in 100 ms: no call is paid for, and no data leaves this machine.",
                soft_wrap=True,
            )
        with Topics(stack) as topics:
            sent_at = time.monotonic()
            with step(f"Sending {len(BY_REST)} tasks by REST, {len(BY_KAFKA)} on Kafka, and a broken one each way"):
                broken_sent = topics.send(BROKEN)
                replies = by_rest(stack) + topics.by_kafka()
                refused = httpx.post(
                    f"{stack.gateway_url}/tasks", content=BROKEN, headers={"Content-Type": "application/json"}
                )
                dead_letter = topics.dead_letter(broken_sent)
            seconds = time.monotonic() - sent_at
            rows = stored_rows(stack)
            check(replies, rows, refused)
            console.print(reply_table(replies))
            console.print(row_table(rows))
            console.print(f"{ANSWERS} ORDER BY id;", style="dim", highlight=False, markup=False, soft_wrap=True)
            show_broken(console, refused, dead_letter)
            overtaken_in = overtake(console, step, stack, topics)
    overtaken = "" if overtaken_in is None else f", then a backlog overtaken in {overtaken_in:.1f} s"
    console.print(
        f"\n[bold green]{len(replies)} tasks, {len(replies)} replies, {len(rows)} rows, 1 dead letter[/bold green] "
        f"in {seconds:.1f} s{overtaken};\n"
        f"{time.monotonic() - started_at:.0f} s including starting and stopping everything.\n"
        "Next: [bold]make up[/bold] leaves the same stack running and prints links to its try-it page, its REST and\n"
        "Kafka documentation and its metrics, and a line that shows answers. [bold]make scale-demo[/bold] shows how it "
        "scales.",
        highlight=False,
        soft_wrap=True,
    )


def by_rest(stack: Stack) -> list[Reply]:
    """Post all tasks at once, each from its own thread."""

    def post(task_id: int, task_type: str, data: str) -> Reply:
        sent_at = time.monotonic()
        answer = client.post("/tasks", json={"task_id": task_id, "task_type": task_type, "data": data})
        if answer.status_code != 200:
            raise Mismatch(f"the reply to task {task_id} has status {answer.status_code}: {answer.text}")
        row_id = answer.json()["id"]
        return Reply("REST", task_id, task_type, row_id, (time.monotonic() - sent_at) * 1000)

    with (
        httpx.Client(base_url=stack.gateway_url, timeout=REPLY_SECONDS) as client,
        ThreadPoolExecutor(len(BY_REST)) as callers,
    ):
        return list(callers.map(post, *zip(*BY_REST, strict=True)))


class Topics:
    """The three topics, used as any producer of tasks uses them."""

    def __init__(self, stack: Stack) -> None:
        connection = {"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0}
        self._producer = Producer({**connection, "linger.ms": 0})
        self._consumer = Consumer({**connection, "group.id": "demo", "enable.auto.commit": False})

    def __enter__(self) -> "Topics":
        known = self._consumer.list_topics(timeout=10).topics
        partitions = [
            TopicPartition(topic, number) for topic in ("results", "tasks-dlt") for number in known[topic].partitions
        ]
        for partition in partitions:
            partition.offset = self._consumer.get_watermark_offsets(partition, timeout=10)[1]
        self._consumer.assign(partitions)
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def send(self, value: bytes) -> float:
        """Produce a record to the import topic, and return the time."""
        self._producer.produce("tasks", value)
        self._producer.flush(REPLY_SECONDS)
        return time.monotonic()

    def send_backlog(self) -> None:
        """Send a backlog of phones. Their keys spread them over the partitions."""
        for task_id in BACKLOG:
            task = {"task_id": task_id, "task_type": "phone", "data": f"8 9{task_id:09}"}
            self._producer.produce("tasks", json.dumps(task).encode(), key=str(task_id))
        self._producer.flush(REPLY_SECONDS)

    def by_kafka(self) -> list[Reply]:
        """Send all tasks and read their results."""
        sent_at = time.monotonic()
        expected = {task_id: task_type for task_id, task_type, _ in BY_KAFKA}
        for task_id, task_type, data in BY_KAFKA:
            self._producer.produce(
                "tasks", json.dumps({"task_id": task_id, "task_type": task_type, "data": data}).encode()
            )
        self._producer.flush(REPLY_SECONDS)
        replies: list[Reply] = []
        while expected:
            message = self._next("results", sent_at)
            result = json.loads(message.value())
            task_type = expected.pop(result["task_id"], "")
            if task_type:  # the topic also has the results of the REST calls
                milliseconds = (time.monotonic() - sent_at) * 1000
                replies.append(Reply("Kafka", result["task_id"], task_type, result["id"], milliseconds))
        return replies

    def dead_letter(self, sent_at: float) -> Any:
        """Return the dead letter of the broken task."""
        partitions = self._consumer.list_topics("tasks-dlt", timeout=10).topics["tasks-dlt"].partitions
        self._consumer.assign([TopicPartition("tasks-dlt", number, 0) for number in partitions])
        message = self._next("tasks-dlt", sent_at)
        if message.value() != BROKEN:
            raise Mismatch("the dead letter is not the broken task, byte for byte")
        return message

    def _next(self, topic: str, since: float) -> Any:
        while time.monotonic() - since < REPLY_SECONDS:
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None and message.topic() == topic:
                return message
        raise Mismatch(f"no record arrived on the topic {topic} within {REPLY_SECONDS:g} seconds")


def stored_rows(stack: Stack) -> list[tuple[int, str, str | None]]:
    """Return the rows: (id, task type, phone number or e-mail address or text; None if the data had none in it)."""
    with psycopg.connect(stack.postgres.conninfo("tasks")) as connection:
        return connection.execute(f"{ANSWERS} ORDER BY id".encode()).fetchall()


def check(replies: list[Reply], rows: list[tuple[int, str, str | None]], refused: httpx.Response) -> None:
    """Compare the replies with the rows, and check that the broken task was refused.

    Raises:
        Mismatch: they differ.
    """
    answered = {reply.row_id: reply.task_type for reply in replies}
    stored = {row_id: task_type for row_id, task_type, _ in rows}
    if answered != stored:
        raise Mismatch(f"the replies are {answered}, but the rows are {stored}")
    if refused.status_code != 422:
        raise Mismatch(f"the reply to the broken task has status {refused.status_code}, not 422")


def reply_table(replies: list[Reply]) -> Table:
    """Return the replies as a table."""
    table = Table(title="Replies", title_justify="left")
    for column in ("sent by", "task_id", "task_type", "id", "ms"):
        table.add_column(column, justify="right" if column in ("task_id", "id", "ms") else "left")
    for reply in replies:
        numbers = (str(reply.row_id), f"{reply.milliseconds:.0f}")
        table.add_row(reply.way, str(reply.task_id), reply.task_type, *numbers)
    return table


def row_table(rows: list[tuple[int, str, str | None]]) -> Table:
    """Return the rows as a table."""
    table = Table(title="Answers, in the table integration_service in PostgreSQL", title_justify="left")
    table.add_column("id", justify="right")
    table.add_column("task_type")
    table.add_column("answer")
    for row_id, task_type, answer in rows:
        table.add_row(str(row_id), task_type, Text("nothing recognised" if answer is None else answer))
    return table


def show_broken(console: Console, refused: httpx.Response, dead_letter: Any) -> None:
    """Show how the broken task was handled by REST and on Kafka."""
    console.print(f"\n[bold]The broken task[/bold] {BROKEN.decode()}", highlight=False)
    console.print(
        f"  by REST: refused, {refused.status_code} {refused.json()['detail']}", highlight=False, soft_wrap=True
    )
    console.print(f"  on Kafka: sent to {dead_letter.topic()} byte for byte, with these headers:", highlight=False)
    for name, value in dead_letter.headers():
        console.print(f"    {name}: {value.decode()}", highlight=False, markup=False, soft_wrap=True)


def overtake(console: Console, step: Step, stack: Stack, topics: Topics) -> float | None:
    """Show how a task that somebody waits for overtakes a backlog, and return the seconds that its reply took.

    Return None, and do nothing, if the backlog would cost money.

    Raises:
        Mismatch: it does not overtake the backlog, or a task of the backlog becomes no row.
    """
    if "DADATA" not in stack.simulated:
        return None
    quota = {"dadata_requests_per_second": REQUESTS_PER_SECOND}
    with (
        psycopg.connect(stack.postgres.conninfo("tasks"), autocommit=True) as connection,
        httpx.Client(timeout=REPLY_SECONDS, trust_env=False) as client,
    ):
        client.put(f"{stack.simulators_url}/_control", json=quota).raise_for_status()
        before = len(stored_rows(stack))

        def stored() -> int:
            [(count,)] = connection.execute("SELECT count(*) FROM integration_service").fetchall()
            return int(count) - before

        console.print(
            "\n[bold]A task that overtakes the backlog[/bold], "
            f"while DaData permits {REQUESTS_PER_SECOND} requests a second",
            highlight=False,
            soft_wrap=True,
        )
        with step(f"Sending {len(BACKLOG)} phones on Kafka, then 1 by REST"):
            topics.send_backlog()
            wait_for_rows(stored, 1)
            sent_at = time.monotonic()
            answer = client.post(f"{stack.gateway_url}/tasks", json=OVERTAKING)
            seconds = time.monotonic() - sent_at
            left = len(BACKLOG) + 1 - stored()
        if answer.status_code != 200:
            raise Mismatch(f"the reply to task {OVERTAKING['task_id']} has status {answer.status_code}: {answer.text}")
        if left <= 0:
            raise Mismatch(f"the reply to task {OVERTAKING['task_id']} came after the whole backlog")
        for line in (
            f"  by REST: {answer.text} after {1000 * seconds:.0f} ms",
            f"  on Kafka: {left} of the {len(BACKLOG)} tasks sent before it were still waiting",
        ):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        with (
            step("Working off the backlog"),
            Progress(
                BarColumn(), MofNCompleteColumn(), console=console, transient=True, disable=not console.is_interactive
            ) as progress,
        ):
            bar = progress.add_task("", total=len(BACKLOG))
            wait_for_rows(stored, len(BACKLOG) + 1, lambda count: progress.update(bar, completed=count - 1))
    return seconds


def wait_for_rows(stored: Callable[[], int], wanted: int, show: Callable[[int], None] = lambda _: None) -> None:
    """Wait until as many rows are stored, and show how many there are meanwhile.

    Raises:
        Mismatch: there are fewer in the end.
    """
    give_up_at = time.monotonic() + REPLY_SECONDS
    while (count := stored()) < wanted:
        if time.monotonic() > give_up_at:
            raise Mismatch(f"{count} rows, not {wanted}, were stored within {REPLY_SECONDS:g} seconds")
        show(count)
        time.sleep(0.05)

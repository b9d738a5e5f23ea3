"""The tasks of a run: most go directly to Kafka, which acknowledges each; a small share goes by REST."""

import itertools
import json
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from confluent_kafka import KafkaError, Message, Producer

from shared.brokers import Brokers
from tests.chaos.fleet import SETTINGS, Fleet
from tests.chaos.judge import History, Task
from tests.chaos.watch import Watch

BY_REST = 0.03
REFUSED_BY_REST = 0.1
"""Share of the REST requests that the gateway must refuse."""
BURST = 0.7
"""Share of a round that is sent at once, so that processors have much in flight; the rest is sent one by one."""
TYPES = ("phone", "email", "gpt")
TYPE_WEIGHTS = (80, 15, 5)
CALLERS = 24
CALLER_SECONDS = float(SETTINGS["REPLY_TIMEOUT_SECONDS"]) + 30


class Traffic:
    """Sends tasks from its own threads and records the outcome of each."""

    def __init__(self, fleet: Fleet, history: History, watch: Watch, canary: str) -> None:
        """Connect; send nothing yet."""
        self.acknowledged_at = 0.0
        """Time of Kafka's last acknowledgement of a task."""
        self._fleet = fleet
        self._history = history
        self._watch = watch
        self._canary = canary
        self._numbers = itertools.count()
        self._client = httpx.Client(timeout=CALLER_SECONDS, trust_env=False)
        self._callers = ThreadPoolExecutor(CALLERS + 1)
        self._sending: list[Future[None]] = []
        self._locations: list[tuple[int, str]] = []
        self._leaving = threading.Event()

    def send(
        self, round_number: int, tasks: int, seconds: float, chance: random.Random, *, burst: float = BURST
    ) -> None:
        """Start sending a round's tasks: this share of them at once, the others spread over this many seconds."""
        by_rest, by_kafka = [], []
        for _ in range(tasks):
            task_id = next(self._numbers)
            task_type = chance.choices(TYPES, TYPE_WEIGHTS)[0]
            body = {"task_id": task_id, "task_type": task_type, "data": self._data(task_id, task_type)}
            (by_rest if chance.random() < BY_REST else by_kafka).append(body)
        self._sending = [self._callers.submit(self._produce, round_number, by_kafka, seconds, burst)]
        for number, body in enumerate(by_rest):
            if chance.random() < REFUSED_BY_REST:
                body["task_id"] = float(body["task_id"])
            prefer = chance.choice(["", "respond-async"])
            gateway = chance.choice(self._fleet.gateways).url
            at = time.monotonic() + (0 if burst else seconds * number / len(by_rest))
            self._sending.append(self._callers.submit(self._post, round_number, gateway, body, prefer, at))

    def sent(self) -> bool:
        """Return whether all tasks are sent and every outcome is known; re-raise an error that stopped a sender."""
        if all(sending.done() for sending in self._sending):
            for sending in self._sending:
                sending.result()
            return True
        return False

    def ask_later(self, seconds: float) -> None:
        """Poll the gateway for the replies that requests did not get; record those it still lacks after this time."""
        give_up_at = time.monotonic() + seconds
        open_ = self._locations
        while open_:
            open_ = [(task_id, url) for task_id, url in open_ if not self._told(task_id, url)]
            if time.monotonic() > give_up_at:
                break
        self._history.untold += [task_id for task_id, _ in open_]
        self._locations = []

    def close(self) -> None:
        """Stop, and drop tasks that are not sent yet."""
        self._leaving.set()
        self._callers.shutdown(cancel_futures=True)
        self._client.close()

    def _data(self, task_id: int, task_type: str) -> str:
        if task_type == "email":
            return f"{self._canary}.{task_id}@example.com"
        return f"{self._canary} {task_id}"

    def _produce(self, round_number: int, bodies: list[dict[str, object]], seconds: float, burst: float) -> None:
        brokers = Brokers()
        producer = Producer(
            {
                "bootstrap.servers": self._fleet.services.kafka.bootstrap_servers,
                "enable.idempotence": True,  # a record that is retried after an outage is stored once
                "linger.ms": 5,
                "log_level": 0,
                **brokers.properties,
            }
        )
        waiting = set(range(len(bodies)))
        at_once = int(len(bodies) * burst)
        began_at, pause_seconds = time.monotonic(), seconds / max(1, len(bodies) - at_once)
        for number, body in enumerate(bodies):

            def note(error: KafkaError | None, message: Message, number: int = number) -> None:
                waiting.discard(number)
                self._note(round_number, bodies[number], "open" if error else "acknowledged", message)

            producer.produce(self._fleet.imports, json.dumps(body).encode(), on_delivery=note)
            producer.poll(0)
            if number >= at_once:
                due_at = began_at + pause_seconds * (number - at_once)
                while (wait_seconds := due_at - time.monotonic()) > 0:
                    producer.poll(wait_seconds)
        while waiting and not self._leaving.is_set():
            producer.poll(0.1)
            if brokers.forgotten:  # undelivered records keep the outcome "open"
                producer.purge()

    def _post(self, round_number: int, url: str, body: dict[str, object], prefer: str, at: float) -> None:
        if self._leaving.wait(max(0.0, at - time.monotonic())):
            return
        headers = {"Prefer": prefer} if prefer else {}
        task_id = int(str(body["task_id"]).partition(".")[0])
        try:
            answer = self._client.post(f"{url}/tasks", json=body, headers=headers)
        except httpx.TransportError:
            self._note(round_number, body, "open")
            return
        if self._canary in answer.text or self._canary in str(answer.headers):
            self._history.leaks.append(f"the answer {answer.status_code} to a POST")
        match answer.status_code:
            case 200:
                self._watch.replied(task_id, answer.json()["id"])
                self._note(round_number, body, "acknowledged")
            case 202 | 504:
                self._locations.append((task_id, f"{url}{answer.headers['Location']}"))
                self._note(round_number, body, "acknowledged")
            case 422:
                self._note(round_number, body, "refused")
            case 503 if answer.json()["error_code"] == "kafka_unavailable":
                self._note(round_number, body, "open")
            case 503 if answer.json()["error_code"] == "provider_unavailable":
                self._note(round_number, body, "acknowledged")
            case status:
                raise AssertionError(f"POST /tasks was answered {status}: {answer.text}")

    def _told(self, task_id: int, url: str) -> bool:
        answer = self._client.get(url)
        if answer.status_code == 200:
            self._watch.replied(task_id, answer.json()["id"])
        return answer.status_code in (200, 503)

    def _note(self, round_number: int, body: dict[str, object], outcome: str, message: Message | None = None) -> None:
        task_id = int(str(body["task_id"]).partition(".")[0])
        position: tuple[int, ...] = ()
        if message is not None and outcome == "acknowledged":
            self.acknowledged_at = time.time()
            if message.offset() is not None:  # else an acknowledgement was lost, and Kafka says only that it has it
                position = (message.partition(), message.offset())
        self._history.tasks.append(Task(task_id, round_number, str(body["data"]), outcome, *position))

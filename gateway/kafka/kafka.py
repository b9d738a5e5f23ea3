"""The gateway's side of Kafka as one object: tasks out, replies in, and the topics."""

import asyncio
import logging
import threading
from collections.abc import Callable

from gateway.kafka.replies_in import Replied, RepliesIn
from gateway.kafka.tasks_out import TasksOut
from gateway.kafka.topics import Topics
from gateway.settings import GatewaySettings
from shared.topics import new_topics

logger = logging.getLogger("gateway.kafka")


class Kafka:
    """Sends tasks to the import topic and reads all replies from the result and the dead-letter topic."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Store the parameters; nothing is opened."""
        connection = settings.kafka_connection()
        self.import_topic = settings.kafka_import_topic
        self.topics = Topics(connection, new_topics(settings), self.import_topic)
        self.tasks_out = TasksOut(connection, self.import_topic, self.topics)
        self.replies_in = RepliesIn(connection, settings.kafka_dead_letter_topic, self.topics)
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Start the threads. Call it on the event loop on which `replied` and `forget_until` are to be called."""
        loop = asyncio.get_running_loop()
        self.tasks_out.start(loop)
        self.replies_in.start(loop, replied, forget_until)
        for name, work in (
            ("deliveries", self.tasks_out.poll),
            ("replies", self.replies_in.poll),
            ("topics", self.topics.watch),
        ):
            thread = threading.Thread(target=self._log_failure, args=(work,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Send the tasks that are still queued, and end the threads. Blocks for a few seconds at most."""
        self.tasks_out.close()
        self._closing.set()
        self.topics.describe_now()
        for thread in self._threads:
            thread.join(2)
        self.replies_in.close()

    def dead(self) -> list[str]:
        """Return the threads that have ended although they must not, in words."""
        return [f"the thread of {thread.name}" for thread in self._threads if not thread.is_alive()]

    def missing(self) -> list[str]:
        """Return what is missing before a task may be sent, in words."""
        return self.topics.absent or ([] if self.replies_in.positioned else ["the reply consumer's position"])

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Send a task: see `TasksOut.send`."""
        return self.tasks_out.send(value, headers)

    def _log_failure(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._closing)
        except Exception:
            logger.exception("a thread has failed: the gateway is not live any more")

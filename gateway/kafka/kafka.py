"""Tasks out, replies in and the topics, as one."""

import asyncio
import logging
import threading
from collections.abc import Callable

from gateway.kafka.replies_in import Replied, RepliesIn
from gateway.kafka.tasks_out import TasksOut
from gateway.kafka.topics import Topics

logger = logging.getLogger("gateway.kafka")


class Kafka:
    """Sends tasks to the import topic and reads all replies from the result and the dead-letter topic."""

    def __init__(
        self,
        connection: dict[str, str],
        *,
        import_topic: str,
        dead_letter_topic: str,
        topics: dict[str, dict[str, str]],
        partitions: int,
        remembered_seconds: float,
        remembered_max: int,
    ) -> None:
        """Store how to reach Kafka; nothing is opened.

        Args:
            connection: librdkafka's connection properties.
            import_topic: where tasks go.
            dead_letter_topic: where those go that fail.
            topics: every topic's name -> configuration, should it have to be made.
            partitions: of a topic that has to be made.
            remembered_seconds: how far back replies are read at the start.
            remembered_max: how many of them at most.
        """
        self.import_topic = import_topic
        self.topics = Topics(connection, topics, import_topic=import_topic, partitions=partitions)
        self.tasks_out = TasksOut(connection, import_topic, self.topics)
        self.replies_in = RepliesIn(
            connection,
            dead_letter_topic,
            self.topics,
            remembered_seconds=remembered_seconds,
            remembered_max=remembered_max,
        )
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Start the threads. Call it on the event loop that `replied` and `forget_until` are to be called on."""
        loop = asyncio.get_running_loop()
        self.tasks_out.start(loop)
        self.replies_in.start(loop, replied, forget_until)
        for name, work in (
            ("deliveries", self.tasks_out.poll),
            ("replies", self.replies_in.poll),
            ("topics", self.topics.watch),
        ):
            thread = threading.Thread(target=self._loudly, args=(work,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Send what is still to be sent, and end the threads. Blocks for a few seconds at most."""
        self.tasks_out.close()
        self._closing.set()
        self.topics.describe_now()
        for thread in self._threads:
            thread.join(2)
        self.replies_in.close()

    def dead(self) -> list[str]:
        """Return what has ended that must not end: nothing, while all is well."""
        return [f"the thread of {thread.name}" for thread in self._threads if not thread.is_alive()]

    def missing(self) -> list[str]:
        """Return what is missing before a task may be sent: nothing, while all is well."""
        return self.topics.absent or ([] if self.replies_in.positioned else ["the reply consumer's position"])

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Send a task, and return a future that is done when Kafka has it and fails with NotTaken where it has not.

        Raises:
            gateway.kafka.tasks_out.NotTaken: the producer's queue is full, or it is broken and about to be replaced.
        """
        return self.tasks_out.send(value, headers)

    def _loudly(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._closing)
        except Exception:
            logger.exception("a thread has ended that must not: the gateway is not live any more")

"""Watches Kafka's own ids of the topics: a topic that is created again under its name has another id.

A consumer does not notice: librdkafka continues in the new topic at the old one's offset if that exists. But it does
not do so at once. Its request for records, which waits at the broker, fails when the topic is deleted, and the next one
follows FETCH_BACK_OFF_SECONDS later. So if Kafka has confirmed the id within less than that, and records were requested
all the time since then, a record that arrives now belongs to the topic with that id. Otherwise Kafka is asked after the
record has arrived.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from shared.back_off import BackOff
from shared.kafka_trouble import KafkaTrouble
from shared.topics import ADMIN_REQUEST_SECONDS

logger = logging.getLogger(__name__)

FETCH_BACK_OFF_SECONDS = 0.5
"""The consumer's `fetch.error.backoff.ms` must not be less."""

VALID_SECONDS = 0.4
"""How long after its request an answer counts for records that arrive: less than FETCH_BACK_OFF_SECONDS."""

LOOK_SECONDS = 0.25
"""Between two requests while records come: an answer is valid until the next one, even if that is slow."""

IDLE_SECONDS = 10.0
"""How long after the last record Kafka is asked as often."""

IDLE_LOOK_SECONDS = 1.0
"""Between two requests after that."""

PAUSE_SECONDS = 0.02
"""Pause after an answer: under load one answer serves many records."""

PATIENCE_SECONDS_FIRST = 1.0
PATIENCE_SECONDS_MAX = 8.0
"""Timeout of a request: the next one may go to a broker that does not hang. Doubled each time."""

RETRY_SECONDS = 0.5
"""Between a request that failed and the next."""

STEADY_SECONDS = 2.0
"""How long all answers must agree before a change is accepted. They may come from different brokers, and one that hung
may still describe the old topic. Records wait meanwhile."""


async def ids_of(admin: AdminClient, names: Collection[str]) -> dict[str, str]:
    """Return name -> Kafka's own id of the topics that exist. A topic that is created again has another id.

    Raises:
        KafkaException: Kafka does not answer.
    """
    asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=ADMIN_REQUEST_SECONDS)
    ids = {}
    for name, answer in asked.items():
        try:
            ids[name] = str((await asyncio.wrap_future(answer)).topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return ids


class TopicIds:
    """Requests the ids again and again. Lives on the event loop."""

    def __init__(
        self, names: Collection[str], ask: Callable[[Collection[str]], Awaitable[Mapping[str, str]]], cluster_id: str
    ) -> None:
        """Store how to request the ids; none is known yet.

        Args:
            names: of the topics.
            ask: returns name -> id of the topics that exist. Raises KafkaException.
            cluster_id: of their Kafka cluster.
        """
        self.cluster_id = cluster_id
        self.known: Mapping[str, str] = {}
        """Name -> id by the last answer; a new object only if something has changed. May be read from any thread."""
        self.missing: list[str] = []
        """The topics that do not exist, in words. May be read from any thread."""
        self._names = tuple(names)
        self._ask = ask
        self._told: Mapping[str, str] | None = None
        self._told_since = -STEADY_SECONDS
        self._next: asyncio.Future[None] | None = None
        self._confirmed_at = -VALID_SECONDS
        """When the last request was made whose answer was `known`."""
        self._record_at = -IDLE_SECONDS
        self._asked: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._trouble = KafkaTrouble(logger, "waiting for Kafka")

    @classmethod
    def watched(cls, admin: AdminClient, names: Collection[str], loop: asyncio.AbstractEventLoop) -> "TopicIds":
        """Watch the topics' ids on a loop that runs in another thread. Blocks until they are known."""
        cluster_id = admin.list_topics(next(iter(names)), timeout=ADMIN_REQUEST_SECONDS).cluster_id
        topic_ids = cls(names, partial(ids_of, admin), cluster_id)
        asyncio.run_coroutine_threadsafe(topic_ids.watch(), loop)
        asyncio.run_coroutine_threadsafe(topic_ids.first_answer(), loop).result()
        return topic_ids

    def is_known(self, requested_since: float) -> bool:
        """Return whether a record that has just arrived belongs to the topic as it is in `known`.

        Kafka is asked more often for a while after that.

        Args:
            requested_since: since when the record's consumer has requested records without a break, on the monotonic
                clock.
        """
        self._record_at = time.monotonic()
        return self._confirmed_at >= max(requested_since, self._record_at - VALID_SECONDS)

    def next_answer(self) -> "asyncio.Future[None]":
        """Return a future that is done once `known` comes from a request made after this call.

        A record taken before belongs to the topic with that id, if the assignment that fetched it knew the same id:
        ids are never used again. Do not cancel the future: others may wait for it too.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._next

    async def first_answer(self) -> None:
        """Wait until the ids are known."""
        await self.next_answer()

    async def watch(self) -> None:
        """Request the ids, at once if something waits for the next answer. While Kafka is away everything waits."""
        patience = BackOff(PATIENCE_SECONDS_FIRST, PATIENCE_SECONDS_MAX)
        patience_seconds = patience.next_seconds()
        while True:
            if not self._asked:
                with contextlib.suppress(TimeoutError):
                    is_idle = time.monotonic() - self._record_at >= IDLE_SECONDS
                    async with asyncio.timeout(IDLE_LOOK_SECONDS if is_idle else LOOK_SECONDS):
                        await self._wanted.wait()
            self._wanted.clear()
            if self._next is not None:
                self._asked.append(self._next)
                self._next = None
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(patience_seconds):
                    found = await self._ask(self._names)
            except TimeoutError:
                patience_seconds = patience.next_seconds()
            except KafkaException as error:
                self._trouble.tell(error.args[0].name(), error.args[0].str())
                await asyncio.sleep(RETRY_SECONDS)
            else:
                patience.reset()
                patience_seconds = patience.next_seconds()
                if self._learn(found):
                    self._confirmed_at = asked_at
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    self._confirmed_at = -VALID_SECONDS
                    await asyncio.sleep(RETRY_SECONDS)

    def _learn(self, found: Mapping[str, str]) -> bool:
        """Process an answer; False if it does not prove which topics exist now."""
        now = time.monotonic()
        missing = [f"the topic {name}" for name in self._names if name not in found]
        if found != self._told and (self.known or missing):  # else it is the first answer
            self._told_since = now
        self._told = found
        if now - self._told_since < STEADY_SECONDS:
            return False
        self.missing = missing
        if missing:
            self._trouble.tell_missing(missing)
            return False
        if found != self.known:
            self.known = found
        if self._trouble.end():
            logger.info("Kafka answers")
        for asked in self._asked:
            asked.set_result(None)
        self._asked.clear()
        return True

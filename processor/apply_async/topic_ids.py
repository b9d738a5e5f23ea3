"""Watches Kafka's own ids of the topics: a topic that is recreated under its name has another id.

Nobody tells a consumer so: librdkafka fetches by name, and goes on in the new topic at the old one's offset wherever
that has as many records.
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

LOOK_SECONDS = 1.0
"""Between two questions while nobody waits for an answer."""

PAUSE_SECONDS_EACH = 0.002
PAUSE_SECONDS_MAX = 0.02
"""After an answer, for each record that waited for it: a lone one is answered at once, and under load one answer is for
many."""

PATIENCE_SECONDS_FIRST = 1.0
PATIENCE_SECONDS_MAX = 8.0
"""After which a question is asked again: the next one may go to a broker that does not hang. Doubled each time."""

RETRY_SECONDS = 0.5
"""Between a question that was not answered and the next."""

STEADY_SECONDS = 2.0
"""How long all answers must be the same before a change is believed. Each may be another broker's, and one that hung
may still tell of the topic before. Records wait meanwhile."""


async def ids_of(admin: AdminClient, names: Collection[str]) -> dict[str, str]:
    """Return name -> Kafka's own id of those topics that are there. A topic that is made again has another.

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
    """Asks for the ids again and again. Lives on the event loop."""

    def __init__(
        self, names: Collection[str], ask: Callable[[Collection[str]], Awaitable[Mapping[str, str]]], cluster_id: str
    ) -> None:
        """Store how to request the ids; none is known yet.

        Args:
            names: of the topics.
            ask: answers name -> id of those that are there. Raises KafkaException.
            cluster_id: of the Kafka cluster that has them.
        """
        self.cluster_id = cluster_id
        self.known: Mapping[str, str] = {}
        """Name -> id by the last answer; another object only where something has changed. Any thread."""
        self.missing: list[str] = []
        """The topics that are not there, in words. Any thread."""
        self._names = tuple(names)
        self._ask = ask
        self._told: Mapping[str, str] | None = None
        self._told_since = -STEADY_SECONDS
        self._next: asyncio.Future[None] | None = None
        self._records = 0
        self._asked: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._trouble = KafkaTrouble(logger, "waiting for Kafka")

    @classmethod
    def watched(cls, admin: AdminClient, names: Collection[str], loop: asyncio.AbstractEventLoop) -> "TopicIds":
        """Watch the topics' ids on a loop that runs in another thread. Blocks until Kafka has told them."""
        cluster_id = admin.list_topics(next(iter(names)), timeout=ADMIN_REQUEST_SECONDS).cluster_id
        topic_ids = cls(names, partial(ids_of, admin), cluster_id)
        asyncio.run_coroutine_threadsafe(topic_ids.watch(), loop)
        asyncio.run_coroutine_threadsafe(topic_ids.first_answer(), loop).result()
        return topic_ids

    def next_answer(self, records: int = 1) -> "asyncio.Future[None]":
        """Return a future that is done once `known` is by a question that was asked after this call.

        A record that was taken before is of the topic with that id, where it was fetched by an assignment that knew the
        same id, as no topic gets an earlier one's back. Do not cancel it: others may wait for it too.

        Args:
            records: how many wait for it.
        """
        self._records += records
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._next

    async def first_answer(self) -> None:
        """Return as soon as the ids are known."""
        await self.next_answer()

    async def watch(self) -> None:
        """Ask, at once where somebody waits for the next answer. While Kafka is away everybody waits."""
        patience = BackOff(PATIENCE_SECONDS_FIRST, PATIENCE_SECONDS_MAX)
        patience_seconds = patience.next_seconds()
        while True:
            if not self._asked:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), LOOK_SECONDS)
            self._wanted.clear()
            if self._next is not None:
                self._asked.append(self._next)
                self._next = None
            records, self._records = self._records, 0
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
                if not self._learn(found):
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    await asyncio.sleep(min(records * PAUSE_SECONDS_EACH, PAUSE_SECONDS_MAX))

    def _learn(self, found: Mapping[str, str]) -> bool:
        """Take note of an answer; False where it does not tell for sure what the topics are now."""
        now = time.monotonic()
        missing = [f"the topic {name}" for name in self._names if name not in found]
        if found != self._told and (self.known or missing):  # else it is the first answer, and all that there is
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

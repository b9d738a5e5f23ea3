"""The same by hand, for speed: asyncio, aiokafka, aiohttp and asyncpg, with nothing in between.

    python -m bench.hand_written      # the environment is the processor's own; it knows phones only

DADATA_CONCURRENT_REQUESTS workers keep as many calls in flight all the time; rows are written by group commit; results
go out after their rows are committed, and no offset is committed past an unfinished record. So it is at least once and
loses nothing. Beside the service it gives up

- identity: there is no ledger, so a crash pays, writes and answers again what was in flight or not yet committed, with
  new ids; so does a rebalance that calls outlast; and there are no idempotency keys;
- dead letters: a task that is none, that DaData refuses, or that keeps failing, is a line in the log;
- patience: an outage of DaData uses up the tries of every task; one of PostgreSQL, or one answer that it refuses, ends
  the program, for a supervisor to start it again;
- quotas: a rate over the fleet, Retry-After, a circuit breaker.
"""

import asyncio
import logging
import random
import signal
from collections import deque
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from bench.rival import ATTEMPTS, NEW_ID, PHONE_PATH, TIMEOUT_SECONDS, WORTH_ANOTHER_TRY, Settings

logger = logging.getLogger(__name__)

BATCH_ROWS_MAX = 1000
COMMIT_SECONDS = 1.0
DRAIN_SECONDS = 5.0
"""How long a rebalance waits for what is in flight."""

# The ids are drawn first: RETURNING alone does not say which of several rows an id belongs to.
INSERT = f"""
WITH rows AS (
    SELECT {NEW_ID} AS id, data, number FROM unnest($1::jsonb[]) WITH ORDINALITY AS t (data, number)
), stored AS (
    INSERT INTO integration_service (id, data, task_type) SELECT id, data, 'phone' FROM rows
)
SELECT id FROM rows ORDER BY number
"""


class PassedOver(Exception):
    """There will be no result for this record. The message says why."""


class Progress:
    """How far one partition may be committed. Invariant: every offset below `committable` is finished."""

    def __init__(self) -> None:
        self.committable: int | None = None
        self._taken: deque[int] = deque()
        self._finished: set[int] = set()

    @property
    def in_flight(self) -> bool:
        return bool(self._taken)

    def take(self, offset: int) -> None:
        self._taken.append(offset)

    def finish(self, offset: int) -> None:
        self._finished.add(offset)
        while self._taken and self._taken[0] in self._finished:
            self._finished.remove(self._taken[0])
            self.committable = self._taken.popleft() + 1


class Taken(NamedTuple):
    """A record on its way."""

    record: ConsumerRecord
    progress: Progress


class Answered(NamedTuple):
    """A record whose provider has answered; `answer` is JSON text."""

    taken: Taken
    task_id: int
    answer: str


class Enricher(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reader -> workers -> writer, and a committer beside them."""

    def __init__(
        self,
        settings: Settings,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        dadata: aiohttp.ClientSession,
        postgres: asyncpg.Connection,
    ) -> None:
        self._concurrent_requests = settings.dadata_concurrent_requests
        self._import_topic, self._result_topic = settings.kafka_import_topic, settings.kafka_result_topic
        self._consumer, self._producer, self._dadata, self._postgres = consumer, producer, dadata, postgres
        self._taken: asyncio.Queue[Taken | None] = asyncio.Queue(self._concurrent_requests)
        self._answered: asyncio.Queue[Answered | None] = asyncio.Queue(BATCH_ROWS_MAX)
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}

    async def run(self, stopped: asyncio.Event) -> None:
        """Work until stopped, and then until nothing is in flight. Any error that is not one record's ends it."""
        self._consumer.subscribe([self._import_topic], listener=self)
        async with asyncio.TaskGroup() as group:
            committer = group.create_task(self._commit_now_and_then())
            group.create_task(self._write())
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._concurrent_requests):
                    workers.create_task(self._work())
                await self._read(stopped)
                for _ in range(self._concurrent_requests):
                    await self._taken.put(None)
            await self._answered.put(None)
            committer.cancel()
        await self._commit()

    async def _read(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            records = await self._consumer.getmany(timeout_ms=200, max_records=self._concurrent_requests)
            for partition, several in records.items():
                progress = self._progress.setdefault(partition, Progress())
                for record in several:
                    progress.take(record.offset)
                    await self._taken.put(Taken(record, progress))

    async def _work(self) -> None:
        while (taken := await self._taken.get()) is not None:
            try:
                task_id, data = _decode(taken.record.value)
                answer = await self._call(data)
            except PassedOver as reason:
                logger.warning("Passed over, partition %d offset %d: %s", *taken.record[1:3], reason)
                taken.progress.finish(taken.record.offset)
            else:
                await self._answered.put(Answered(taken, task_id, answer))

    async def _call(self, data: str) -> str:
        body = orjson.dumps([data])
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt) if attempt else 0)
            try:
                async with self._dadata.post(PHONE_PATH, data=body) as response:
                    if response.status == 200:
                        return _answer(await response.read())
                    if response.status not in WORTH_ANOTHER_TRY:
                        raise PassedOver(f"DaData answered {response.status}")
            except (aiohttp.ClientError, TimeoutError):
                continue
        raise PassedOver(f"no answer from DaData in {ATTEMPTS} attempts")

    async def _write(self) -> None:
        """Write what has gathered while the last batch was written, and answer it."""
        while (first := await self._answered.get()) is not None:
            batch = [first]
            while len(batch) < BATCH_ROWS_MAX and not self._answered.empty():
                if (next_one := self._answered.get_nowait()) is None:
                    self._answered.put_nowait(None)  # comes back as the first
                    break
                batch.append(next_one)
            rows = await self._postgres.fetch(INSERT, [answered.answer for answered in batch])
            sent = [
                await self._producer.send(
                    self._result_topic,
                    orjson.dumps({"task_id": answered.task_id, "id": row[0]}),
                    key=answered.taken.record.key,
                    headers=list(answered.taken.record.headers),
                )
                for answered, row in zip(batch, rows, strict=True)
            ]
            for answered, acknowledged in zip(batch, sent, strict=True):
                await acknowledged
                answered.taken.progress.finish(answered.taken.record.offset)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        offsets = {
            partition: progress.committable
            for partition, progress in self._progress.items()
            if progress.committable not in (None, self._committed.get(partition))
        }
        if offsets:
            try:
                await self._consumer.commit(offsets)
                self._committed |= offsets
            except KafkaError as error:
                logger.warning("Not committed: %s", type(error).__name__)  # next time, or the next owner repeats them

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Finish what is in flight, where that does not take too long. Part of aiokafka's listener."""
        give_up_at = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while any(progress.in_flight for progress in self._progress.values()):
            if asyncio.get_running_loop().time() > give_up_at:
                break
            await asyncio.sleep(0.02)
        await self._commit()
        self._progress, self._committed = {}, {}

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Part of aiokafka's listener."""


def _decode(value: bytes | None) -> tuple[int, str]:
    try:
        match orjson.loads(value or b""):
            case {"task_id": int(task_id), "task_type": "phone", "data": str(data)}:
                return task_id, data
    except orjson.JSONDecodeError:
        pass
    raise PassedOver("no phone task")


def _answer(body: bytes) -> str:
    try:
        [answer] = orjson.loads(body)
    except ValueError:
        raise PassedOver("DaData's answer is not an array of one") from None
    return orjson.dumps(answer).decode()


async def main() -> None:
    """Run until SIGTERM."""
    settings = Settings()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    postgres = await asyncpg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        database=settings.postgres_db,
    )
    async with (
        aiohttp.ClientSession(
            settings.dadata_url,
            connector=aiohttp.TCPConnector(limit=settings.dadata_concurrent_requests),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=settings.dadata_headers(),
            skip_auto_headers=["Accept-Encoding", "User-Agent"],
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        ) as dadata,
        AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group_id=settings.kafka_consumer_group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer,
        AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all") as producer,
    ):
        await Enricher(settings, consumer, producer, dadata, postgres).run(stopped)
    await postgres.close()


if __name__ == "__main__":
    uvloop.run(main())

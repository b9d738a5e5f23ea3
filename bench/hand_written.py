"""The comparison program written by hand for speed: asyncio, aiokafka, aiohttp and asyncpg, without a framework.

    python -m bench.hand_written      # takes the processor's environment variables; phone tasks only

DADATA_CONCURRENT_REQUESTS workers keep as many calls in flight all the time. Rows are written by group commit, results
are sent after their rows are committed, and no offset is committed past an unfinished record. So it delivers at least
once and loses only the tasks that it logs. Compared with the service, it lacks

- identity: there is no ledger, so after a crash the tasks that were in flight or not yet committed are paid for,
  written and answered again with new ids; the same happens if calls outlast a rebalance; and there are no idempotency
  keys;
- dead letters: a record that is not a task, or that DaData refuses, or that keeps failing, is only a line in the log;
- outages: an outage of DaData uses up the attempts of every task; an outage of PostgreSQL, or one answer that
  PostgreSQL refuses, ends the program, so that a supervisor has to restart it;
- quotas: a rate limit of the whole fleet, Retry-After, a circuit breaker.
"""

import asyncio
import logging
import random
import signal
from collections import deque
from typing import Any

import aiohttp
import asyncpg
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from bench.rival import ATTEMPTS, NEW_ID, PHONE_PATH, STATEMENT_SECONDS, TIMEOUT_SECONDS, WORTH_ANOTHER_TRY, Settings

logger = logging.getLogger(__name__)

BATCH_ROWS_MAX = 1000
COMMIT_SECONDS = 1.0
DRAIN_SECONDS = 5.0  # how long a rebalance waits for records in flight
LINGER_MS = 5  # librdkafka's default; meanwhile the next batch of rows collects

# The ids are drawn first: RETURNING alone does not guarantee the order of the rows.
INSERT = f"""
WITH rows AS (
    SELECT {NEW_ID} AS id, data, number FROM unnest($1::jsonb[]) WITH ORDINALITY AS t (data, number)
), stored AS (
    INSERT INTO integration_service (id, data, task_type) SELECT id, data, 'phone' FROM rows
)
SELECT id FROM rows ORDER BY number
"""


class PassedOver(Exception):
    """The record gets no result. The message is the reason."""


class Progress:
    """Committable offset of one partition. Invariant: every offset below `committable` is finished."""

    def __init__(self) -> None:
        self.in_flight: deque[int] = deque()
        self.committable: int | None = None
        self._finished: set[int] = set()

    def finish(self, offset: int) -> None:
        self._finished.add(offset)
        while self.in_flight and self.in_flight[0] in self._finished:
            self._finished.remove(self.in_flight[0])
            self.committable = self.in_flight.popleft() + 1


class Enricher(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reader -> workers -> writer, and a committer beside them. None ends a queue."""

    def __init__(
        self,
        settings: Settings,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        dadata: aiohttp.ClientSession,
        postgres: asyncpg.Pool,
    ) -> None:
        self._settings = settings
        self._consumer, self._producer, self._dadata, self._postgres = consumer, producer, dadata, postgres
        self._taken: asyncio.Queue[tuple[ConsumerRecord, Progress] | None]
        self._taken = asyncio.Queue(settings.dadata_concurrent_requests)
        self._answered: asyncio.Queue[tuple[ConsumerRecord, Progress, int, str] | None]
        self._answered = asyncio.Queue(BATCH_ROWS_MAX)
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}

    async def run(self, stopped: asyncio.Event) -> None:
        """Run until stopped, then finish what is in flight. An error that does not concern one record ends the run."""
        self._consumer.subscribe([self._settings.kafka_import_topic], listener=self)
        async with asyncio.TaskGroup() as group:
            committer = group.create_task(self._commit_now_and_then())
            group.create_task(self._write())
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._settings.dadata_concurrent_requests):
                    workers.create_task(self._work())
                await self._read(stopped)
                for _ in range(self._settings.dadata_concurrent_requests):
                    await self._taken.put(None)
            await self._answered.put(None)
            committer.cancel()
        await self._commit()

    async def _read(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            taken = await self._consumer.getmany(timeout_ms=200, max_records=self._settings.dadata_concurrent_requests)
            for partition, records in taken.items():
                progress = self._progress.setdefault(partition, Progress())
                progress.in_flight.extend(record.offset for record in records)
                for record in records:
                    await self._taken.put((record, progress))

    async def _work(self) -> None:
        while (taken := await self._taken.get()) is not None:
            record, progress = taken
            try:
                task_id, data = _decode(record.value)
                answer = await self._call(data)
            except PassedOver as reason:
                logger.warning("Skipped, partition %d, offset %d: %s", record.partition, record.offset, reason)
                progress.finish(record.offset)
            else:
                await self._pass_on(record, progress, task_id, answer)

    async def _pass_on(self, record: ConsumerRecord, progress: Progress, task_id: int, answer: str) -> None:
        await self._answered.put((record, progress, task_id, answer))

    async def _call(self, data: str) -> str:
        """Return DaData's answer as JSON text."""
        body = orjson.dumps([data])
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._dadata.post(PHONE_PATH, data=body) as response:
                    if response.status == 200:
                        [answer] = orjson.loads(await response.read())
                        return orjson.dumps(answer).decode()
                    if response.status not in WORTH_ANOTHER_TRY:
                        raise PassedOver(f"DaData answered {response.status}")
            except (aiohttp.ClientError, TimeoutError, ValueError):  # no answer, or not a JSON array of one record
                pass
            await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise PassedOver(f"no answer from DaData in {ATTEMPTS} attempts")

    async def _write(self) -> None:
        """Write the answers that have collected while the last batch was written, and send their results."""
        while (first := await self._answered.get()) is not None:
            batch = [first]
            while len(batch) < BATCH_ROWS_MAX and not self._answered.empty():
                if (another := self._answered.get_nowait()) is None:
                    self._answered.put_nowait(None)  # for the outer loop
                    break
                batch.append(another)
            rows = await self._postgres.fetch(INSERT, [answer for _, _, _, answer in batch])
            sent = []
            for (record, _, task_id, _), row in zip(batch, rows, strict=True):
                value = orjson.dumps({"task_id": task_id, "id": row["id"]})
                topic, headers = self._settings.kafka_result_topic, list(record.headers)
                sent.append(await self._producer.send(topic, value, key=record.key, headers=headers))
            for (record, progress, _, _), acknowledged in zip(batch, sent, strict=True):
                await acknowledged
                progress.finish(record.offset)

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
                logger.warning(
                    "Not committed: %s", type(error).__name__
                )  # retried at the next commit; otherwise the next owner repeats them

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Wait a limited time for records in flight. Part of aiokafka's listener."""
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
    raise PassedOver("not a phone task")


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing: no statement here changes the session."""


async def main(enricher: type[Enricher] = Enricher, *, connections: int = 1, linger_ms: int = LINGER_MS) -> None:
    """Run until SIGTERM, with this many connections to PostgreSQL."""
    settings = Settings()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    kafka = settings.kafka_bootstrap_servers
    async with (
        asyncpg.create_pool(
            **settings.postgres_connection(),
            command_timeout=STATEMENT_SECONDS,
            min_size=connections,
            max_size=connections,
            reset=_keep,  # the default asks PostgreSQL once more after each statement
        ) as postgres,
        aiohttp.ClientSession(
            settings.dadata_url,
            connector=aiohttp.TCPConnector(limit=settings.dadata_concurrent_requests),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={**settings.dadata_headers(), "Accept-Encoding": "identity"},  # answers are small
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        ) as dadata,
        AIOKafkaConsumer(
            bootstrap_servers=kafka,
            group_id=settings.kafka_consumer_group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer,
        AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=linger_ms) as producer,
    ):
        await enricher(settings, consumer, producer, dadata, postgres).run(stopped)


if __name__ == "__main__":
    uvloop.run(main())

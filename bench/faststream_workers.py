"""The comparison program with FastStream: one handler with a worker for each call in flight.

    python -m bench.faststream_workers      # takes the processor's environment variables; phone tasks only

It uses FastStream's aiokafka broker, because the confluent one passes every record through a thread. FastStream can
run several workers in one process only if records are acknowledged before they are handled. Compared with the service,
it lacks

- durability: a crash loses the tasks in flight, because their offsets may be committed already; a clean stop loses the
  one or two that wait for a worker; an outage of PostgreSQL loses all tasks that arrive meanwhile; an outage of DaData
  loses the tasks that use up their attempts;
- dead letters: a failed task is only a line in the log;
- identity: there is no ledger and there are no idempotency keys; a redelivered record is paid for and written again;
- the record's headers byte for byte: FastStream decodes them as UTF-8, keeps one of each name, and adds its own.

With AckPolicy.NACK_ON_ERROR it would lose nothing, but have only one call in flight for each partition.
"""

import asyncio
import json
import logging
import random
from typing import Any, Literal

import aiohttp
import asyncpg
import uvloop
from aiohttp import ClientResponseError, ClientTimeout
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream.kafka.message import KafkaMessage
from pydantic import BaseModel

from bench.rival import ATTEMPTS, NEW_ID, PHONE_PATH, STATEMENT_SECONDS, TIMEOUT_SECONDS, WORTH_ANOTHER_TRY, Settings

INSERT = f"INSERT INTO integration_service (id, data, task_type) VALUES ({NEW_ID}, $1, 'phone') RETURNING id"


class Task(BaseModel):
    """A record's value."""

    task_id: int
    task_type: Literal["phone"]
    data: str


async def main() -> None:
    """Run until SIGTERM."""
    settings = Settings()
    workers = settings.dadata_concurrent_requests
    broker = KafkaBroker(settings.kafka_bootstrap_servers, acks="all", log_level=logging.DEBUG)

    async with (
        aiohttp.ClientSession(
            settings.dadata_url,
            connector=aiohttp.TCPConnector(limit=workers),
            headers=settings.dadata_headers(),
            timeout=ClientTimeout(total=TIMEOUT_SECONDS),
            raise_for_status=True,
        ) as dadata,
        asyncpg.create_pool(
            **settings.postgres_connection(),
            command_timeout=STATEMENT_SECONDS,
            reset=_nothing_to_reset,
        ) as postgres,
    ):

        async def call(data: str) -> dict[str, Any]:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    async with dadata.post(PHONE_PATH, json=[data]) as response:
                        [answer] = await response.json()
                        return dict(answer)
                except (aiohttp.ClientError, TimeoutError) as error:
                    if attempt == ATTEMPTS or not _worth_another_try(error):
                        raise
                await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
            raise AssertionError("unreachable")

        @broker.subscriber(
            settings.kafka_import_topic,
            group_id=settings.kafka_consumer_group,
            auto_offset_reset="earliest",
            max_workers=workers,
        )
        @broker.publisher(settings.kafka_result_topic)
        async def handle(task: Task) -> KafkaResponse:
            # Not an argument, as FastStream's manual shows: that goes through a thread, which halves the speed.
            record: KafkaMessage = broker.context.get_local("message")
            answer = await call(task.data)
            row_id = await postgres.fetchval(INSERT, json.dumps(answer))
            assert not isinstance(record.raw_message, tuple)  # only subscribers with batch=True get tuples
            return KafkaResponse(
                {"task_id": task.task_id, "id": row_id}, key=record.raw_message.key, headers=record.headers
            )

        await FastStream(broker).run()


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, ClientResponseError):
        return error.status in WORTH_ANOTHER_TRY
    return True


async def _nothing_to_reset(connection: Any) -> None:
    """Save a round trip for each task: an autocommitted statement leaves nothing to reset."""


if __name__ == "__main__":
    uvloop.run(main())

"""The same with FastStream: a handler with as many workers as calls shall be in flight.

    python -m bench.faststream_workers      # the environment is the processor's own; it knows phones only

aiokafka is under it: FastStream's confluent broker goes through a thread for every record that it reads. FastStream has
workers in one process only where records are acknowledged before they are handled. Beside the service that gives up

- tasks: a crash loses those in flight, of which the offsets may be committed already; a clean stop the one or two that
  wait for a worker; an outage of PostgreSQL all that come meanwhile, one of DaData those that outlast their tries;
- dead letters: what fails is a line in the log;
- identity: there is no ledger and there are no idempotency keys; a record that comes again is paid and written again;
- the record's headers byte for byte: FastStream reads them as UTF-8 text, one of each name, and adds some of its own.

With AckPolicy.NACK_ON_ERROR it would lose nothing, and have one call in flight for each partition.
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
            # Not as an argument, as FastStream's manual has it: that goes through a thread, and halves the speed.
            record: KafkaMessage = broker.context.get_local("message")
            answer = await call(task.data)
            row_id = await postgres.fetchval(INSERT, json.dumps(answer))
            assert not isinstance(record.raw_message, tuple)  # that is for subscribers with batch=True
            return KafkaResponse(
                {"task_id": task.task_id, "id": row_id}, key=record.raw_message.key, headers=record.headers
            )

        await FastStream(broker).run()


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, ClientResponseError):
        return error.status in WORTH_ANOTHER_TRY
    return True


async def _nothing_to_reset(connection: Any) -> None:
    """Save a round trip a task: a statement that commits by itself leaves nothing behind."""


if __name__ == "__main__":
    uvloop.run(main())

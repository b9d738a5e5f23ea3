"""The worker behind `bench.hand_written_gateway`: every record is a task of its own, from its call to its result.

    python -m bench.hand_written_worker      # takes the processor's environment variables; phone tasks only

It waits for nothing that other records do, so a lone record is quick. Otherwise it is `bench.hand_written`, and lacks
what that lacks.
"""

import orjson
import uvloop
from aiokafka import ConsumerRecord

from bench.hand_written import Enricher, Progress, main
from bench.rival import NEW_ID

CONNECTIONS = 10  # asyncpg's default

INSERT = f"INSERT INTO integration_service (id, data, task_type) VALUES ({NEW_ID}, $1::jsonb, 'phone') RETURNING id"


class OneByOne(Enricher):
    """Writes each row and sends each result alone."""

    async def _pass_on(self, record: ConsumerRecord, progress: Progress, task_id: int, answer: str) -> None:
        row_id = await self._postgres.fetchval(INSERT, answer)
        value = orjson.dumps({"task_id": task_id, "id": row_id})
        topic, headers = self._settings.kafka_result_topic, list(record.headers)
        await self._producer.send_and_wait(topic, value, key=record.key, headers=headers)
        progress.finish(record.offset)


if __name__ == "__main__":
    uvloop.run(main(OneByOne, connections=CONNECTIONS, linger_ms=0))

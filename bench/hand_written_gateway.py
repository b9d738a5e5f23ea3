"""The comparison gateway, written by hand: FastAPI, and aiokafka with a correlation id and a topic of replies.

    python -m bench.hand_written_gateway      # takes the gateway's environment variables

Compared with the service, it lacks

- the rest of a request's life: a caller that does not wait or asks again later; a task that fails is a 504 after a
  minute, because nothing tells the gateway about it;
- idempotency keys, so a caller that repeats a request pays twice;
- limits of callers, of bodies and of waiting requests; tokens; problem documents; metrics, logs and traces;
- outages: a request that comes while Kafka is unavailable waits until the caller has had enough.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from pydantic_settings import BaseSettings

REPLY_SECONDS = 60.0
CORRELATION_ID = "correlation_id"


class Settings(BaseSettings):
    """The gateway's environment variables that apply here."""

    kafka_bootstrap_servers: str
    kafka_import_topic: str
    kafka_result_topic: str
    gateway_host: str
    gateway_port: int


class Task(BaseModel):
    """The body of a request."""

    task_id: int
    task_type: Literal["phone", "email", "gpt"]
    data: str


class Replies:
    """The requests that wait, by their correlation ids."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    @contextlib.contextmanager
    def expected(self, correlation_id: str) -> Iterator["asyncio.Future[bytes]"]:
        """Yield the future reply."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = reply
        try:
            yield reply
        finally:
            del self._waiting[correlation_id]

    async def read(self) -> None:
        """Hand each reply to its request, until cancelled."""
        async for record in self._consumer:
            correlation_id = dict(record.headers).get(CORRELATION_ID, b"").decode()
            waiting = self._waiting.get(correlation_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(record.value)


def application(settings: Settings) -> FastAPI:
    """Return the application, which connects to Kafka when it starts."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        kafka = settings.kafka_bootstrap_servers
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0) as producer,
            AIOKafkaConsumer(settings.kafka_result_topic, bootstrap_servers=kafka) as consumer,
        ):
            await consumer.seek_to_end()
            app.state.producer, app.state.replies = producer, Replies(consumer)
            reading = asyncio.create_task(app.state.replies.read())
            yield
            reading.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/tasks")
    async def post_task(task: Task, request: Request) -> Response:
        correlation_id = str(uuid.uuid4())
        with request.app.state.replies.expected(correlation_id) as reply:
            value, headers = task.model_dump_json().encode(), [(CORRELATION_ID, correlation_id.encode())]
            await request.app.state.producer.send_and_wait(settings.kafka_import_topic, value, headers=headers)
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    return Response(await reply, media_type="application/json")
            except TimeoutError:
                raise HTTPException(504) from None

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    settings = Settings()
    uvicorn.run(
        application(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )

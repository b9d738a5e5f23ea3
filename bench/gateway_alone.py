"""`python -m bench.gateway_alone`: the gateway as it is, but for Kafka: how fast its route is by itself."""

import asyncio
import signal
from collections.abc import Callable

import orjson

from gateway.kafka.kafka import Kafka
from gateway.kafka.replies_in import Replied
from gateway.replies import Reply
from gateway.service import Untraced, serve
from gateway.settings import GatewaySettings
from shared.logs import configure_logs
from shared.messages import CORRELATION_ID_HEADER
from shared.settings import read_settings


class WithoutKafka(Kafka):
    """Has every task at once, and every reply in the event loop's next turn."""

    def __init__(self) -> None:
        """There is nothing to note."""

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Note who gets the replies."""
        self._loop = asyncio.get_running_loop()
        self._replied = replied

    def close(self) -> None:
        """There is nothing to end."""

    def dead(self) -> list[str]:
        """Nothing ends."""
        return []

    def missing(self) -> list[str]:
        """Nothing is missing."""
        return []

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Reply to the task."""
        sent: asyncio.Future[None] = self._loop.create_future()
        sent.set_result(None)
        correlation_id = dict(headers)[CORRELATION_ID_HEADER].decode()
        reply = Reply(b'{"task_id":%d,"id":1}' % orjson.loads(value)["task_id"])
        self._loop.call_soon(self._replied, [(correlation_id, reply)])
        return sent


if __name__ == "__main__":
    settings = read_settings(GatewaySettings)
    configure_logs(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn, which takes it over, raises it again after a stop
    serve(settings, WithoutKafka(), Untraced())

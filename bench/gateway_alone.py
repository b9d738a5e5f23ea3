"""`python -m bench.gateway_alone`: the gateway with Kafka replaced, to measure the speed of its route alone."""

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
    """Accepts every task immediately, and replies in the next iteration of the event loop."""

    def __init__(self) -> None:
        """Skip the real client's constructor."""

    def start(self, replied: Replied, forget_until: Callable[[float], None]) -> None:
        """Store the callback for replies."""
        self._loop = asyncio.get_running_loop()
        self._replied = replied

    def close(self) -> None:
        """Do nothing: no client or thread was started."""

    def dead(self) -> list[str]:
        """Return nothing: there are no threads."""
        return []

    def missing(self) -> list[str]:
        """Return nothing: no topics are needed."""
        return []

    def send(self, value: bytes, headers: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Reply to the task with its own task_id."""
        sent: asyncio.Future[None] = self._loop.create_future()
        sent.set_result(None)
        correlation_id = dict(headers)[CORRELATION_ID_HEADER].decode()
        reply = Reply(b'{"task_id":%d,"id":1}' % orjson.loads(value)["task_id"])
        self._loop.call_soon(self._replied, [(correlation_id, reply)])
        return sent


if __name__ == "__main__":
    settings = read_settings(GatewaySettings)
    configure_logs(settings.log_level, settings.log_format)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again after its own handler has stopped it
    serve(settings, WithoutKafka(), Untraced())

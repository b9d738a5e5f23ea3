"""State that all routes share."""

import asyncio
from dataclasses import dataclass

from gateway.access.callers import CallerLimit
from gateway.access.tokens import Tokens
from gateway.kafka.kafka import Kafka
from gateway.replies import Replies, Reply
from gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """The gateway's parts, as `request.app.state.gateway`: FastAPI's Depends would cost a third of a request."""

    settings: GatewaySettings
    kafka: Kafka
    replies: Replies[asyncio.Future[Reply]]
    tokens: Tokens | None
    """None: anyone may send tasks, and get the result of any task."""
    caller_limit: CallerLimit | None

"""Common properties of the gateway's Kafka clients."""

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

UNHEARD = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""Discards librdkafka's log: its errors come to error_cb as well, or out of poll if a client has failed for good."""

POLL_SECONDS = 0.1
"""How long one poll may take, and so how late a thread may notice a stop."""

RETRY_SECONDS = 0.5
"""Between two attempts while Kafka does not answer or something is missing."""


def client_properties(connection: dict[str, str], on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return the librdkafka properties that every client has."""
    return {
        **connection,
        "client.id": "integration-service-gateway",
        "logger": UNHEARD,
        "socket.nagle.disable": True,
        "socket.timeout.ms": 10_000,  # after which a silent connection is closed
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "error_cb": on_error,
    }

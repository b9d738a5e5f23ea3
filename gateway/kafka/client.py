"""Common properties of the gateway's Kafka clients."""

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

UNHEARD = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""What librdkafka logs comes to error_cb, too, or out of poll where a client has failed for good, and is told there."""

POLL_SECONDS = 0.1
"""How long a thread that waits for Kafka does not notice a stop."""

RETRY_SECONDS = 0.5
"""Between two attempts, while Kafka does not answer or something is missing."""


def client_properties(connection: dict[str, str], on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return librdkafka's properties of every client."""
    return {
        **connection,
        "client.id": "integration-service-gateway",
        "logger": UNHEARD,
        "socket.nagle.disable": True,
        "socket.timeout.ms": 10_000,  # a connection that went silent is given up after that
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "error_cb": on_error,
    }

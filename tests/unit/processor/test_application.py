"""What the processor logs about an error of its consumer."""

import logging
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from processor.application import KafkaConsumerException, goes_on

CANARY = "canary-7d1f"
APP = SimpleNamespace(operator=None)


def kafka_error(code, text):
    return KafkaConsumerException(KafkaError(code, text))


@pytest.mark.parametrize(
    ("error", "message", "on", "said"),
    [
        (
            kafka_error(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down"),
            None,
            True,
            "reading from Kafka: 2/2 brokers are down; look at KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL",
        ),
        (RuntimeError(CANARY), None, True, "reading from Kafka fails"),
        (kafka_error(KafkaError._FATAL, "fenced"), None, False, "this replica cannot go on: fenced"),
        (RuntimeError(CANARY), object(), False, "a record cannot be read"),
    ],
)
def test_an_error_of_the_consumer_is_one_line_in_words(caplog, error, message, on, said):
    with caplog.at_level(logging.DEBUG):
        assert goes_on(APP, error, message) == on

    [line] = caplog.records
    assert line.getMessage() == said

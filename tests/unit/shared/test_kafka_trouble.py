"""The reason why a program cannot use Kafka is logged once, in words for an operator."""

import logging

import pytest

from shared.kafka_trouble import KafkaTrouble


@pytest.fixture
def trouble():
    return KafkaTrouble(logging.getLogger("test"), "Kafka")


def test_a_reason_is_told_with_what_to_look_at_and_nothing_that_follows_from_it(trouble, caplog):
    for _ in range(3):
        trouble.tell("_AUTHENTICATION", "login refused")
        trouble.tell("_ALL_BROKERS_DOWN", "1/1 brokers are down")
        trouble.tell("_TIMED_OUT", "timed out")

    assert caplog.messages == [
        "Kafka: login refused; look at KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
    ]


def test_a_reason_is_told_also_where_it_comes_late(trouble, caplog):
    trouble.tell("_TIMED_OUT", "timed out")
    trouble.tell("_ALL_BROKERS_DOWN", "1/1 brokers are down")
    trouble.tell("_RESOLVE", "no such host")

    assert caplog.messages == ["Kafka: timed out", "Kafka: no such host; look at KAFKA_BOOTSTRAP_SERVERS"]


def test_a_refused_certificate_is_one_reason_whatever_librdkafka_calls_it(trouble, caplog):
    trouble.tell("_TRANSPORT", "certificate verify failed (in state SSL_HANDSHAKE)")
    trouble.tell("_SSL", "SSL handshake failed: certificate verify failed")

    [told] = caplog.messages
    assert "look at KAFKA_SSL_CA_LOCATION" in told


def test_what_is_missing_is_told_again_only_when_it_is_something_else(trouble, caplog):
    for missing in (["a", "b"], ["a", "b"], ["b"], ["b"]):
        trouble.tell_missing(missing)

    assert caplog.messages == ["Kafka: missing: a, b", "Kafka: missing: b"]


def test_after_its_end_the_same_trouble_is_told_again(trouble, caplog):
    assert not trouble.end()
    for _ in range(2):
        trouble.tell("_TIMED_OUT", "timed out")
        trouble.tell_missing(["a"])
        assert trouble.end()

    assert caplog.messages == ["Kafka: timed out", "Kafka: missing: a"] * 2

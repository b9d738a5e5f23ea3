"""The reason why a program cannot use Kafka is logged once, in words for an operator."""

import logging
from types import SimpleNamespace

import pytest

from shared.kafka_trouble import KafkaTrouble, Reason


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


@pytest.mark.parametrize(
    ("name", "text", "look_at"),
    [
        (
            "_TRANSPORT",
            "ssl://kafka:9093: Receive failed: sslv3 alert bad certificate: SSL alert number 42",
            "_KEY_LOC",
        ),
        (
            "_SSL",
            "SSL handshake failed: tlsv13 alert certificate required: SSL alert number 116 (after 2ms)",
            "_KEY_LOC",
        ),
        ("_AUTHENTICATION", "Failed to acquire SASL OAUTHBEARER token: Could not resolve host", "_TOKEN_ENDPOINT_URL"),
        ("_AUTHENTICATION", 'SASL authentication error: {"status":"invalid_token"} (after 3ms)', "_SCOPE and _EXT"),
    ],
)
def test_what_is_wrong_with_a_certificate_or_a_token_is_told_once_with_its_settings(
    trouble, caplog, name, text, look_at
):
    for _ in range(2):
        trouble.tell(name, text)
        trouble.tell("_ALL_BROKERS_DOWN", "1/1 brokers are down")

    [told] = caplog.messages
    assert told.startswith(f"Kafka: {text}; look at KAFKA_S") and look_at in told


def test_an_alert_about_something_else_is_not_about_the_certificate(trouble, caplog):
    trouble.tell("_SSL", "SSL handshake failed: tlsv1 alert protocol version: SSL alert number 70")

    assert "KAFKA_SSL_KEY_LOCATION" not in caplog.text


def test_what_a_token_endpoint_answers_is_told_in_one_line(trouble, caplog):
    trouble.tell("_AUTHENTICATION", 'Failed to acquire SASL OAUTHBEARER token: {\n  "error": "invalid_client"\n}\n')

    assert caplog.messages[0].startswith(
        'Kafka: Failed to acquire SASL OAUTHBEARER token: { "error": "invalid_client" }; look at '
    )


def test_a_commands_reason_is_the_root_cause_or_else_the_first_error():
    def error(name):
        return SimpleNamespace(name=lambda: name, str=lambda: f"text of {name}")

    reason = Reason()
    assert reason.explained(error("_TIMED_OUT")) == "text of _TIMED_OUT"
    for name in ("_TRANSPORT", "_ALL_BROKERS_DOWN"):
        reason.note(error(name))
    assert reason.explained(error("_TIMED_OUT")) == "text of _TRANSPORT"
    for name in ("_RESOLVE", "_TRANSPORT"):
        reason.note(error(name))
    assert reason.explained(error("_TIMED_OUT")) == "text of _RESOLVE; look at KAFKA_BOOTSTRAP_SERVERS"


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

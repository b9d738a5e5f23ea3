"""The AsyncAPI document: it is valid, follows the settings, and reveals no broker's address and no user."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from gateway.documents.asyncapi import asyncapi_document
from gateway.settings import GatewaySettings
from processor.outcome import dead_letter
from processor.record import Record
from shared.messages import ErrorCode
from tests.documented import assert_fits, resolved

SPECIFICATION = Path(__file__).parents[3] / "vendor" / "asyncapi-specs" / "3.0.0.json"


@pytest.fixture
def make(monkeypatch):
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def make(**settings):
        for name, value in {"KAFKA_IMPORT_TOPIC": "tasks.in", "KAFKA_RESULT_TOPIC": "out", **settings}.items():
            monkeypatch.setenv(name, value)
        return json.loads(json.dumps(asyncapi_document("Integration service", "1.0.0", GatewaySettings())))

    return make


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "KAFKA_SASL_USERNAME": "canary-user",
            "KAFKA_SASL_PASSWORD": "canary-password",
        },
        {
            "KAFKA_PUBLIC_BOOTSTRAP_SERVERS": "kafka-1.example.com:9092,kafka-2.example.com:9092",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://canary.example.com/token",
            "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "canary-user",
            "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "canary-password",
        },
    ],
    ids=["plain", "sasl", "oauth, with public addresses"],
)
def test_the_document_is_valid_asyncapi_3_0(make, settings):
    specification = Draft7Validator(json.loads(SPECIFICATION.read_text()))
    document = make(**settings)

    specification.validate(document)

    assert document["asyncapi"] == "3.0.0"
    assert not specification.is_valid({**document, "channels": {"tasks": {"address": 1}}})


def test_every_reference_leads_somewhere(make):
    document = make()

    def references(part):
        if isinstance(part, dict):
            if "$ref" in part:
                yield part
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                yield from references(inner)

    found = list(references(document))
    assert len(found) > 10
    assert all(resolved(part, document) for part in found)


def test_the_channels_are_the_topics_of_the_settings(make):
    channels = make(KAFKA_DEAD_LETTER_TOPIC="dead")["channels"]

    assert {name: channel["address"] for name, channel in channels.items()} == {
        "tasks": "tasks.in",
        "results": "out",
        "deadLetters": "dead",
    }
    assert all(channel["bindings"]["kafka"]["topic"] == channel["address"] for channel in channels.values())
    assert make(KAFKA_DEAD_LETTER_TOPIC="")["channels"]["deadLetters"]["address"] == "tasks.in-dlt"


def test_every_operation_uses_messages_of_its_channels_and_each_request_has_both_replies(make):
    document = make()
    operations = document["operations"]

    for operation in operations.values():
        for side in (operation, operation.get("reply", operation)):
            messages = resolved(side["channel"], document)["messages"]
            assert side["messages"]
            for message in side["messages"]:
                assert message["$ref"].rpartition("/")[2] in messages
    replies = {operation["reply"]["channel"]["$ref"] for operation in operations.values() if "reply" in operation}
    assert replies == {"#/channels/results", "#/channels/deadLetters"}


def test_every_example_fits_its_message(make):
    document = make()

    for name, message in document["components"]["messages"].items():
        assert message["examples"], name
        for example in message["examples"]:
            assert_fits(example["payload"], message["payload"], document)
            assert_fits(example.get("headers", {}), message["headers"], document)
    codes = {
        example["name"]
        for name in ("failedTask", "noTask")
        for example in document["components"]["messages"][name]["examples"]
    }
    assert codes == {code.value for code in ErrorCode}


def test_the_headers_of_a_dead_letter_are_those_that_the_processor_writes(make):
    document = make()
    schema = document["components"]["messages"]["failedTask"]["headers"]
    record = Record("tasks.in", 3, 42, b"value", b"key", 1_700_000_000_000, [])

    letter = dead_letter(record, "topic-id", ErrorCode.TASK_REJECTED, "why")
    written = {name: text.decode() for name, text in letter.headers}

    assert list(written) == schema["required"]
    assert_fits(written, schema, document)


def test_the_document_gives_kafkas_public_addresses_if_there_are_any(make):
    servers = make(KAFKA_BOOTSTRAP_SERVERS="canary-host:1", KAFKA_PUBLIC_BOOTSTRAP_SERVERS="localhost:9092")["servers"]

    assert servers["kafka"]["host"] == "localhost:9092"
    assert "variables" not in servers["kafka"]
    assert "canary" not in json.dumps(servers)


def test_the_document_tells_how_to_log_in_and_neither_where_nor_as_whom(make, tmp_path):
    ca_folder = tmp_path / "canary"
    ca_folder.mkdir()

    document = make(
        KAFKA_BOOTSTRAP_SERVERS="canary-host:1",
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        KAFKA_SASL_USERNAME="canary-user",
        KAFKA_SASL_PASSWORD="canary-password",
        KAFKA_SSL_CA_LOCATION=str(ca_folder),
        SECRET_KEY="canary-key",
    )

    server = document["servers"]["kafka"]
    assert (server["protocol"], server["security"][0]["type"]) == ("kafka-secure", "scramSha512")
    assert server["host"] == "{bootstrapServers}"
    assert "Ask the operators" in server["variables"]["bootstrapServers"]["description"]
    assert "canary" not in json.dumps(document)

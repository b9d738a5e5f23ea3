"""The topics that the service creates itself, in a real Kafka."""

import re
import shlex
import subprocess

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from processor.topics import Topics
from sandbox.kafka import install
from shared.settings import Settings
from shared.topics import DEAD_LETTERS_DAYS, TASKS_DAYS, new_topics
from tests.conftest import ROOT, until

DAY_MS = 24 * 60 * 60 * 1000


def made_by_the_processor(start, connection, topics):
    new = new_topics(Settings(**topics))
    Topics({"bootstrap.servers": connection}).ensure(new, dict.fromkeys(new.configurations, ("WRITE",)))


def made_by_the_gateway(start, connection, topics):
    start("gateway", topics)


@pytest.mark.parametrize("made_by", [made_by_the_processor, made_by_the_gateway])
def test_personal_data_stays_for_days_in_topics_that_the_service_makes(start, topics, made_by):
    names = {
        "KAFKA_IMPORT_TOPIC": f"{topics.name}-made",
        "KAFKA_RESULT_TOPIC": f"{topics.name}-made-results",
        "KAFKA_DEAD_LETTER_TOPIC": f"{topics.name}-made-dlt",
    }

    made_by(start, topics.kafka.bootstrap_servers, names)

    days = [TASKS_DAYS, TASKS_DAYS, DEAD_LETTERS_DAYS]
    assert kept(topics, names.values()) == {
        name: {"retention.ms": of * DAY_MS, "segment.ms": DAY_MS} for name, of in zip(names.values(), days, strict=True)
    }


def test_more_replicas_than_there_are_brokers_are_waited_for_and_said_in_one_line(start, topics):
    settings = {
        "KAFKA_IMPORT_TOPIC": f"{topics.name}-made",
        "KAFKA_RESULT_TOPIC": f"{topics.name}-made-results",
        "KAFKA_TOPIC_REPLICATION_FACTOR": 3,
    }
    gateway = start("gateway", settings, wait=False)

    until(lambda: "cannot be created" in gateway.log_text(), "the topics to be refused")
    assert gateway.answers("/health/ready", 503)
    [line] = [line for line in gateway.log_text().splitlines() if '"warning"' in line and "Kafka: " in line]
    assert "replication factor" in line.lower()


def test_topics_that_are_there_get_the_same_days_by_the_readmes_command(topics):
    [command] = re.findall(r"kafka-configs\.sh (.* --add-config .*)", (ROOT / "docs" / "personal-data.md").read_text())
    arguments = shlex.split(command.replace("kafka:9094", topics.kafka.bootstrap_servers))
    arguments[arguments.index("--topic") + 1] = topics.name

    jars = [install(), install(ROOT / "tests" / "clients" / "kafka-tools-pom.xml")]
    path = ":".join(f"{folder}/*" for folder in jars)
    tool = ["java", "-cp", path, "org.apache.kafka.tools.ConfigCommand", *arguments]
    subprocess.run(tool, check=True, timeout=120)

    assert kept(topics, [topics.name]) == {topics.name: {"retention.ms": TASKS_DAYS * DAY_MS, "segment.ms": DAY_MS}}


def kept(topics, names):
    """Return topic name -> how long it keeps records (retention.ms) and writes to a segment (segment.ms)."""
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    return {
        resource.name: {name: int(answer.result(30)[name].value) for name in ("retention.ms", "segment.ms")}
        for resource, answer in topics.admin.describe_configs(asked).items()
    }

"""The topics that the service makes itself, in a real Kafka."""

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from processor.topics import Topics
from shared.settings import DEAD_LETTERS_DAYS, TASKS_DAYS, Settings

DAY_MS = 24 * 60 * 60 * 1000


def made_by_the_processor(start, connection, topics):
    settings = Settings(**topics)
    Topics({"bootstrap.servers": connection}).ensure(settings.kafka_topics(), 1)


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

    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names.values()]
    kept = {
        resource.name: {name: int(answer.result(30)[name].value) for name in ("retention.ms", "segment.ms")}
        for resource, answer in topics.admin.describe_configs(asked).items()
    }
    days = [TASKS_DAYS, TASKS_DAYS, DEAD_LETTERS_DAYS]
    assert kept == {
        name: {"retention.ms": of * DAY_MS, "segment.ms": DAY_MS} for name, of in zip(names.values(), days, strict=True)
    }

"""A program reads its settings once, whole, or says in one line which one is wrong."""

import pytest

from processor.settings import ProcessorSettings
from shared.settings import WrongSettings, read_settings

REQUIRED = {"KAFKA_IMPORT_TOPIC": "import", "KAFKA_RESULT_TOPIC": "results", "POSTGRES_PASSWORD": "canary-secret"}


@pytest.fixture
def settings(monkeypatch):
    for name in ProcessorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("POSTGRES_NAME", raising=False)

    def read(**environment):
        for name, value in {**REQUIRED, **environment}.items():
            monkeypatch.setenv(name, value)
        return read_settings(ProcessorSettings)

    return read


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_setting_is_named(settings, name):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: ""})

    assert str(wrong.value) == f"{name}: is required"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_IMPORT_TOPIC", "no spaces"),
        ("KAFKA_RESULT_TOPIC", "х" * 3),
        ("KAFKA_RESULT_TOPIC", "import"),
        ("KAFKA_DEAD_LETTER_TOPIC", "results"),
        ("KAFKA_TOPIC_PARTITIONS", "0"),
        ("DADATA_API_KEY", "canary-secret\nX-Injected: 1"),
        ("DADATA_SECRET_KEY", "canary-secret 1"),
        ("YANDEXGPT_API_KEY", "канарейка canary-secret"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SSL_CA_LOCATION", "/canary-secret.pem"),
        ("KAFKA_SSL_CA_LOCATION", __file__),
        ("POSTGRES_SSLROOTCERT", "/canary-secret.pem"),
        ("POSTGRES_SSLROOTCERT", __file__),
        ("POSTGRES_PORT", "canary-secret"),
        ("TASK_TYPES", "phone,fax"),
        ("TASK_TYPES", ","),
        ("DADATA_URL", "canary-secret"),
        ("PROVIDER_ATTEMPTS", "0"),
        ("DRAIN_SECONDS", "51"),
        ("LOG_LEVEL", "canary-secret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary-secret:4318"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_that_does_not_repeat_it(settings, name, value):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: value})

    assert name in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert "canary-secret" not in str(wrong.value)


def test_the_dead_letter_topic_is_named_after_the_import_topic(settings):
    assert settings().kafka_dead_letter_topic == "import-dlt"
    assert settings(KAFKA_DEAD_LETTER_TOPIC="morgue").kafka_dead_letter_topic == "morgue"


def test_an_empty_value_counts_as_not_set(settings):
    read = settings(DADATA_API_KEY="", KAFKA_GROUP_INSTANCE_ID="", PROVIDER_ATTEMPTS="")

    assert (read.dadata_api_key, read.kafka_group_instance_id, read.provider_attempts) == (None, None, 5)


@pytest.mark.parametrize(
    ("environment", "database"),
    [
        ({}, "postgres"),
        ({"POSTGRES_NAME": "tasks"}, "tasks"),
        ({"POSTGRES_DB": "", "POSTGRES_NAME": "tasks"}, "tasks"),
        ({"POSTGRES_DB": "main", "POSTGRES_NAME": "tasks"}, "main"),
    ],
)
def test_postgres_name_is_read_where_postgres_db_is_not_set(settings, environment, database):
    assert settings(**environment).postgres_db == database


@pytest.mark.parametrize(
    ("task_types", "group"),
    [
        ("phone,email,gpt", "integration-service"),
        ("gpt, phone ,email", "integration-service"),
        ("gpt", "integration-service-gpt"),
        ("email,phone", "integration-service-phone-email"),
    ],
)
def test_processors_that_share_the_task_types_out_are_groups_of_their_own(settings, task_types, group):
    assert settings(TASK_TYPES=task_types).consumer_group() == group


def test_no_secret_shows_when_settings_are_printed(settings):
    read = settings(
        DADATA_API_KEY="canary-secret",
        DADATA_SECRET_KEY="canary-secret",
        YANDEXGPT_API_KEY="canary-secret",
        KAFKA_SASL_PASSWORD="canary-secret",
    )

    assert "canary-secret" not in repr(read)

"""Which of a user's settings `make up` uses, and when a provider is real."""

from pathlib import Path

import pytest

from sandbox.user_settings import for_the_stack, is_simulated, user_settings

EXAMPLE = Path(__file__).parents[3] / ".env.example"
DADATA = {"DADATA_API_KEY": "key", "DADATA_SECRET_KEY": "secret"}


@pytest.fixture
def environment(monkeypatch):
    """Set an environment of these variables only."""

    def set_environment(**variables):
        monkeypatch.setattr("os.environ", variables)

    set_environment()
    return set_environment


def test_the_environment_takes_precedence_over_the_file_and_an_empty_value_counts_as_not_set(environment, tmp_path):
    (tmp_path / ".env").write_text(
        "LOG_LEVEL=DEBUG\nexport SECRET_KEY='a b' # mine\nTASK_TYPES=\n"
        "DRAIN_SECONDS=7\nOTEL_SERVICE_NAME=mine\nEDITOR=vi\n"
    )
    environment(LOG_LEVEL="ERROR", DRAIN_SECONDS="", HOME="/home/me", SECRET_KEY_FILE="/key")

    assert user_settings(tmp_path / ".env") == {
        "LOG_LEVEL": "ERROR",
        "SECRET_KEY": "a b",
        "DRAIN_SECONDS": "7",
        "OTEL_SERVICE_NAME": "mine",
        "SECRET_KEY_FILE": "/key",
    }


def test_without_a_file_the_environment_alone_counts(environment, tmp_path):
    environment(TASK_TYPES="gpt")

    assert user_settings(tmp_path / ".env") == {"TASK_TYPES": "gpt"}


def test_of_the_example_environment_nothing_but_the_secret_key_fits_the_stack(environment):
    assert for_the_stack(user_settings(EXAMPLE)).keys() == {"SECRET_KEY"}


def test_real_keys_are_used_with_their_address_and_addresses_of_the_stack_are_not():
    real = {**DADATA, "DADATA_URL": "https://proxy.example", "DADATA_CONCURRENT_REQUESTS": "5"}
    others = {"KAFKA_SASL_PASSWORD_FILE": "/x", "POSTGRES_HOST": "db", "GATEWAY_PORT": "80", "YANDEXGPT_API_KEY": "key"}

    assert for_the_stack({**real, **others}) == real


@pytest.mark.parametrize(
    ("settings", "simulated"),
    [
        ({}, True),
        ({"DADATA_API_KEY": "key"}, True),
        (DADATA, False),
        ({"DADATA_API_KEY_FILE": "/key", "DADATA_SECRET_KEY": "secret"}, False),
        (dict.fromkeys(DADATA, "sandbox"), True),
        ({**DADATA, "DADATA_URL": "http://simulators:8090"}, True),
        ({**DADATA, "DADATA_URL": "https://cleaner.dadata.ru"}, False),
    ],
)
def test_a_provider_is_real_only_with_all_its_keys_and_not_with_those_of_the_example(settings, simulated):
    assert is_simulated("DADATA", settings) == simulated

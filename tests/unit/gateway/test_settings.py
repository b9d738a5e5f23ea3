"""The gateway's settings, and the values that are refused."""

from pathlib import Path

import pytest

from gateway.settings import SECRET_KEY_EXAMPLE, GatewaySettings
from shared.settings import WrongSettings, read_settings


@pytest.fixture
def settings(monkeypatch):
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def read(**environment):
        for name, value in {"KAFKA_IMPORT_TOPIC": "import", "KAFKA_RESULT_TOPIC": "results", **environment}.items():
            monkeypatch.setenv(name, value)
        return read_settings(GatewaySettings)

    return read


def test_a_gateway_needs_no_more_than_the_names_of_its_topics(settings):
    read = settings()

    assert (read.gateway_host, read.gateway_port, read.gateway_auth) == ("0.0.0.0", 8000, "none")
    assert (read.reply_timeout_seconds, read.waiting_replies_max) == (60.0, 10_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "0"),
        ("GATEWAY_PORT", "65536"),
        ("GATEWAY_AUTH", "canary-secret"),
        ("REPLY_TIMEOUT_SECONDS", "0"),
        ("REPLY_TIMEOUT_SECONDS", "nan"),
        ("REPLY_TIMEOUT_SECONDS", "inf"),
        ("WAITING_REPLIES_MAX", "0"),
        ("CALLER_REQUESTS_PER_MINUTE", "-1"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_that_does_not_repeat_it(settings, name, value):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: value})

    assert name in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert "canary-secret" not in str(wrong.value)


@pytest.mark.parametrize(
    ("secret_key", "problem"),
    [
        ("", "SECRET_KEY: is required with GATEWAY_AUTH=required"),
        ("canary-secret", "SECRET_KEY: has fewer than 32 bytes"),
        ("canary-secret" + "x" * 18, "SECRET_KEY: has fewer than 32 bytes"),
        (SECRET_KEY_EXAMPLE, "SECRET_KEY: is the example's"),
    ],
)
def test_a_gateway_that_checks_tokens_takes_no_key_that_can_be_guessed(settings, secret_key, problem):
    with pytest.raises(WrongSettings) as wrong:
        settings(GATEWAY_AUTH="required", SECRET_KEY=secret_key)

    assert str(wrong.value).startswith(problem)
    assert "canary-secret" not in str(wrong.value)


@pytest.mark.parametrize("secret_key", ["x" * 32, "я" * 16])
def test_a_key_of_32_bytes_is_long_enough(settings, secret_key):
    assert settings(GATEWAY_AUTH="required", SECRET_KEY=secret_key).gateway_auth == "required"


@pytest.mark.parametrize("secret_key", ["", "short", SECRET_KEY_EXAMPLE])
def test_a_gateway_that_checks_no_tokens_takes_any_key(settings, secret_key):
    assert settings(SECRET_KEY=secret_key).gateway_auth == "none"


def test_the_example_environment_has_the_key_that_is_refused():
    example = (Path(__file__).parents[3] / ".env.example").read_text()

    assert f"\nSECRET_KEY={SECRET_KEY_EXAMPLE}\n" in example


def test_the_secret_key_does_not_show_when_settings_are_printed(settings):
    assert "canary-secret" not in repr(settings(SECRET_KEY="canary-secret"))

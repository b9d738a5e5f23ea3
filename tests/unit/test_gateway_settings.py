"""What a gateway is set to, and what is refused."""

import pytest

from gateway.settings import GatewaySettings
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
    ],
)
def test_a_wrong_setting_is_named_in_one_line_that_does_not_repeat_it(settings, name, value):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: value})

    assert name in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert "canary-secret" not in str(wrong.value)


def test_a_gateway_that_is_told_to_check_tokens_does_not_run_without_checking_them(settings):
    with pytest.raises(WrongSettings, match="GATEWAY_AUTH"):
        settings(GATEWAY_AUTH="required", SECRET_KEY="canary-secret")


def test_the_secret_key_does_not_show_when_settings_are_printed(settings):
    assert "canary-secret" not in repr(settings(SECRET_KEY="canary-secret"))

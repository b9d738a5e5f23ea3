"""The service's settings that a user has, in the environment or in `.env`, and which providers they pay for."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, DotEnvSettingsSource

from gateway.settings import GatewaySettings
from processor.enrich.task_types import ACCOUNTS, TABLE
from processor.settings import ProcessorSettings

PROVIDER_KEYS = {account.name.upper(): account.keys for account in ACCOUNTS}
"""Beginning of the names of an account's settings -> those of its keys."""

PROVIDER_OF: Mapping[str, str] = {task_type: entry.account.name.upper() for task_type, entry in TABLE.items()}
"""Task type -> beginning of the names of its account's settings."""

_EXAMPLE_KEY, _EXAMPLE_URL = "sandbox", "http://simulators:8090"
"""In .env.example: the keys, and the compose file's simulators."""

_SETTINGS = {name.upper() for name in GatewaySettings.model_fields | ProcessorSettings.model_fields} | {"POSTGRES_NAME"}

_OF_THE_STACK = (
    *(
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_PUBLIC_BOOTSTRAP_SERVERS",
        "KAFKA_IMPORT_TOPIC",
        "KAFKA_RESULT_TOPIC",
        "KAFKA_DEAD_LETTER_TOPIC",
    ),
    *("KAFKA_SECURITY_", "KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_HTTPS_", "POSTGRES_"),
    *("KAFKA_TOPIC_REPLICATION_FACTOR", "KAFKA_TOPIC_MIN_INSYNC_REPLICAS", "KAFKA_GROUP_INSTANCE_ID"),
    *("GATEWAY_HOST", "GATEWAY_PORT", "PROCESSOR_HTTP_PORT"),
)
"""Beginnings of the settings that fit the user's Kafka, PostgreSQL and ports, but not the stack's."""


def user_settings(file: Path) -> dict[str, str]:
    """Return the settings in the environment and in `file`, which may not exist.

    The environment takes precedence. An empty value counts as not set.
    """
    in_file = DotEnvSettingsSource(BaseSettings, file, case_sensitive=True).env_vars
    return {
        name: value
        for source in (in_file, os.environ)
        for name, value in source.items()
        if value and (name.removesuffix("_FILE") in _SETTINGS or name.startswith("OTEL_"))
    }


def provider_keys(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the providers' keys alone. Real ones turn on paid calls."""
    return {name: settings[name] for names in PROVIDER_KEYS.values() for name in names if settings.get(name)}


def for_the_stack(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings without those that the stack itself decides."""
    simulated = tuple(f"{provider}_" for provider in PROVIDER_KEYS if is_simulated(provider, settings))
    keys_and_addresses = {name for names in PROVIDER_KEYS.values() for name in names}
    keys_and_addresses |= {f"{provider}_URL" for provider in PROVIDER_KEYS}
    return {
        name: value
        for name, value in settings.items()
        if not name.startswith(_OF_THE_STACK)
        and not (name.removesuffix("_FILE") in keys_and_addresses and name.startswith(simulated))
    }


def is_simulated(provider: str, settings: Mapping[str, str]) -> bool:
    """Return whether the settings lack a provider's real keys, or are those of .env.example. Real keys cost money."""
    keys = [settings.get(name) or settings.get(f"{name}_FILE") for name in PROVIDER_KEYS[provider]]
    return not all(keys) or _EXAMPLE_KEY in keys or settings.get(f"{provider}_URL") == _EXAMPLE_URL

"""The table of task types: the provider and the account of each. See docs/add-a-task-type.md for adding one."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from processor.enrich.enrich import Lane
from processor.enrich.errors import Provider
from processor.enrich.gate import Gate
from processor.enrich.providers.dadata import dadata
from processor.enrich.providers.wire import Wire
from processor.enrich.providers.yandexgpt import yandexgpt
from processor.enrich.quota import MINUTE, MINUTE_MARGIN_SECONDS, AtOnce, Rate
from processor.settings import ProcessorSettings
from shared.messages import TaskType

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a provider. Its task types share one gate, and therefore one quota."""

    name: str
    """Name in metrics and in /health/ready."""
    keys: tuple[str, ...]
    """Names of the settings that hold the account's keys."""
    look_at: str
    """Names of the settings to look at if the provider rejects everything."""
    gate: Callable[[ProcessorSettings], dict[str, Any]]
    """Returns the gate's options."""


class TaskTypeEntry(NamedTuple):
    """A row of the table."""

    name: str
    """Name of the provider in metrics and spans."""
    account: Account
    provider: Callable[[ProcessorSettings, Wire], Provider]


def _dadata_gate(settings: ProcessorSettings) -> dict[str, Any]:
    rate, new = settings.dadata_requests_per_second, settings.dadata_new_connections_per_minute
    return {
        "quota": Rate(rate) if rate else None,
        "connections": Rate(new, MINUTE, MINUTE_MARGIN_SECONDS, settings.provider_timeout_seconds) if new else None,
        "requests_max": settings.dadata_concurrent_requests,
        "longest_seconds": settings.provider_timeout_seconds,
    }


def _yandexgpt_gate(settings: ProcessorSettings) -> dict[str, Any]:
    at_once, longest_seconds = settings.yandexgpt_concurrent_requests, settings.yandexgpt_timeout_seconds
    return {
        "quota": AtOnce(at_once, longest_seconds),
        "requests_max": at_once,
        "longest_seconds": longest_seconds,
    }


def _dadata(path: str, answer_field: str) -> Callable[[ProcessorSettings, Wire], Provider]:
    def provider(settings: ProcessorSettings, wire: Wire) -> Provider:
        assert settings.dadata_api_key and settings.dadata_secret_key  # the account's keys
        return dadata(
            path,
            answer_field,
            url=settings.dadata_url,
            api_key=settings.dadata_api_key,
            secret_key=settings.dadata_secret_key,
            prepare=partial(wire.prepare, timeout_seconds=settings.provider_timeout_seconds),
        )

    return provider


def _yandexgpt(settings: ProcessorSettings, wire: Wire) -> Provider:
    assert settings.yandexgpt_api_key and settings.yandexgpt_folder_id  # the account's keys
    return yandexgpt(
        url=settings.yandexgpt_url,
        api_key=settings.yandexgpt_api_key,
        folder_id=settings.yandexgpt_folder_id,
        model=settings.yandexgpt_model,
        prepare=partial(wire.prepare, timeout_seconds=settings.yandexgpt_timeout_seconds),
    )


DADATA = Account("dadata", ("DADATA_API_KEY", "DADATA_SECRET_KEY"), "DADATA_URL", _dadata_gate)
YANDEXGPT = Account(
    "yandexgpt",
    ("YANDEXGPT_API_KEY", "YANDEXGPT_FOLDER_ID"),
    "YANDEXGPT_MODEL, YANDEXGPT_FOLDER_ID and YANDEXGPT_URL",
    _yandexgpt_gate,
)

TABLE: Mapping[TaskType, TaskTypeEntry] = {
    "phone": TaskTypeEntry("dadata_phone", DADATA, _dadata("phone", "phone")),
    "email": TaskTypeEntry("dadata_email", DADATA, _dadata("email", "email")),
    "gpt": TaskTypeEntry("yandexgpt", YANDEXGPT, _yandexgpt),
}
ACCOUNTS = tuple(dict.fromkeys(entry.account for entry in TABLE.values()))


def provider_gates(settings: ProcessorSettings, storable: Callable[[], bool]) -> dict[str, Gate]:
    """Return account name -> its gate. `storable` returns whether another answer could be stored."""
    return {
        account.name: Gate(account.name, look_at=account.look_at, storable=storable, **account.gate(settings))
        for account in ACCOUNTS
    }


def lanes(settings: ProcessorSettings, wire: Wire, gates: Mapping[str, Gate]) -> dict[TaskType, Lane]:
    """Return task type -> its provider and gate.

    An account without keys is logged once; its tasks are refused without a request.
    """
    missing = {}
    for account in ACCOUNTS:
        if not all(getattr(settings, key.lower()) for key in account.keys):
            keys = " and ".join(account.keys)
            types = " and ".join(task_type for task_type, entry in TABLE.items() if entry.account is account)
            logger.warning("%s are not set: tasks of %s are dead-lettered as provider_refused_account", keys, types)
            missing[account.name] = keys
    return {
        task_type: Lane(
            name,
            None if account.name in missing else provider(settings, wire),
            gates[account.name],
            missing.get(account.name, ""),
        )
        for task_type, (name, account, provider) in TABLE.items()
    }

"""What is left of DaData's balance and of the day's requests, for metrics."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from processor.enrich.gate import Gate
from processor.metrics import BALANCE, REMAINING_TODAY

logger = logging.getLogger(__name__)

ASK_SECONDS = 600.0
"""Between two requests."""

LOOK_SECONDS = 1.0
"""Between two checks whether it is up to this replica."""

TIMEOUT_SECONDS = 5.0

NAME = "dadata"


async def watch_dadata(
    url: str, api_key: SecretStr, secret_key: SecretStr, *, gate: Gate, is_mine: Callable[[], bool]
) -> None:
    """Ask for the balance and the day's use, until cancelled or until the server has no such service.

    Args:
        url: base URL of the requests for tasks.
        api_key: as for tasks.
        secret_key: as for tasks.
        gate: of the tasks, whose quota of new connections the request takes one of.
        is_mine: whether it is up to this replica. One of the fleet asks.
    """
    base = "https://dadata.ru" if urlsplit(url).hostname == "cleaner.dadata.ru" else url.rstrip("/")
    headers = {"Authorization": f"Token {api_key.get_secret_value()}", "X-Secret": secret_key.get_secret_value()}
    connections, ask_at = gate.connections, 0.0
    while True:
        now = time.monotonic()
        if not is_mine():
            BALANCE.clear()
            REMAINING_TODAY.clear()
            ask_at = 0.0
        elif ask_at <= now < gate.valid_until and (connections is None or not connections.wait_seconds(now)):
            ask_at = now + ASK_SECONDS
            opening = None if connections is None else connections.begin(now)
            try:
                async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                    balance = await _number(client, f"{base}/api/v2/profile/balance", "balance")
                    remaining = await _number(client, f"{base}/api/v2/stat/daily", "remaining", "clean")
            except (httpx.HTTPError, ValueError) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.NOT_FOUND:
                    return
                logger.debug("DaData's balance is not known: %s", type(error).__name__)
            else:
                BALANCE.labels(NAME).set(balance)
                REMAINING_TODAY.labels(NAME).set(remaining)
            finally:
                if connections is not None and opening is not None:
                    connections.sent(opening, time.monotonic())
        await asyncio.sleep(LOOK_SECONDS)


async def _number(client: httpx.AsyncClient, url: str, *names: str) -> float:
    response = await client.get(url)
    response.raise_for_status()
    value: Any = response.json()
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no number {names[-1]}")
    return float(value)

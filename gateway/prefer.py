"""The header Prefer (RFC 7240): how long a caller wants to wait for the result."""

import re
from collections.abc import Iterable

WAIT_DIGITS_MAX = 9
"""Digits of `wait=N` that are read; they suffice for a wait without end."""

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
"""One preference of the list. Commas separate them, except in quotes."""


def preferred_wait_seconds(lines: Iterable[str]) -> float | None:
    """Return after how many seconds the caller wants a 202 instead of the result; None without a preference.

    `respond-async` alone means at once; `wait=N` means after N seconds. Everything else is ignored. If a preference
    comes twice, the first one counts.

    Args:
        lines: the values of all Prefer headers of the request.
    """
    preferences: dict[str, str] = {}
    for preference in _PREFERENCE.findall(",".join(lines)):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = preferences.get("wait", "")
    if wait.isascii() and wait.isdigit():
        return float(wait[:WAIT_DIGITS_MAX])
    return 0.0 if "respond-async" in preferences else None

"""Reads the header Prefer (RFC 7240): how long a caller wants to wait for the result."""

import re
from collections.abc import Iterable

WAIT_DIGITS_MAX = 9
"""Of `wait=N`; a longer number is as good as for ever."""

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
"""One of the list, which commas separate; those in quotes do not."""


def preferred_wait_seconds(lines: Iterable[str]) -> float | None:
    """Return after how many seconds the caller wants a 202 in place of the result; None where it prefers nothing.

    `respond-async` alone is at once, and with `wait=N` after N seconds. What cannot be understood is ignored, and of a
    preference that comes twice the first one counts.

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

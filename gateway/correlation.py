"""Correlation ids, one for each request: UUIDs that contain the time of creation (RFC 9562, version 7)."""

import os
import re
import uuid

FUTURE_SECONDS_MAX = 60.0
"""Tolerated clock difference: another replica's clock may be this far ahead of ours."""

_VERSION_7 = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""Not uuid.UUID, which accepts other spellings and takes three times as long, for every reply of every gateway."""


def new_correlation_id(now: float) -> str:
    """Return a new id. `now` is in seconds since 1970."""
    milliseconds = int(now * 1000).to_bytes(6, "big")
    number = int.from_bytes(milliseconds + os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=number))


def made_at(correlation_id: str) -> float | None:
    """Return when the id was made, in seconds since 1970, or None if no gateway can have made it."""
    found = _VERSION_7.fullmatch(correlation_id)
    return int(found[1] + found[2], 16) / 1000 if found else None

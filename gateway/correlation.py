"""Correlation ids, one for each request: UUIDs that contain the time of creation (RFC 9562, version 7)."""

import os
import uuid

from shared.messages import CORRELATION_ID

FUTURE_SECONDS_MAX = 60.0
"""Tolerated clock difference: another replica's clock may be this far ahead of ours."""


def new_correlation_id(now: float) -> str:
    """Return a new id. `now` is in seconds since 1970."""
    milliseconds = int(now * 1000).to_bytes(6, "big")
    number = int.from_bytes(milliseconds + os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=number))


def made_at(correlation_id: str) -> float | None:
    """Return when the id was made, in seconds since 1970, or None if no gateway can have made it."""
    found = CORRELATION_ID.fullmatch(correlation_id)
    return int(found[1] + found[2], 16) / 1000 if found else None

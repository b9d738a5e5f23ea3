"""The id of one request, made by the gateway: a UUID that tells when it was made (RFC 9562, version 7)."""

import os
import uuid

FUTURE_SECONDS_MAX = 60.0
"""How far another replica's clock may be ahead of ours."""


def new_correlation_id(now: float) -> str:
    """Return a new id.

    Args:
        now: seconds since 1970.
    """
    milliseconds = int(now * 1000).to_bytes(6, "big")
    number = int.from_bytes(milliseconds + os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=number))


def made_at(correlation_id: str) -> float | None:
    """Return when the id was made, in seconds since 1970, or None where no gateway can have made it."""
    try:
        made = uuid.UUID(correlation_id)
    except ValueError:
        return None
    if str(made) != correlation_id or made.version != 7:
        return None
    return (made.int >> 80) / 1000

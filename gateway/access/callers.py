"""Limits a caller's requests per minute.

Each gateway counts by itself: behind N of them a caller has up to N times as many.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from math import ceil
from typing import NamedTuple

WINDOW_SECONDS = 60

IPV6_NETWORK_BITS = 64
"""What one subscriber is given at least: its single addresses are a caller's free choice (RFC 6177)."""


class Allowance(NamedTuple):
    """A caller's remaining requests after this one."""

    granted: bool
    remaining: int
    reset_seconds: int
    """Until the minute is over and all of it is there again."""


class CallerLimit:
    """Counts each caller's requests in minutes that begin with the first. What is over is forgotten."""

    def __init__(self, requests_per_minute: int) -> None:
        """Start with nobody counted."""
        # Here, as it takes 40 ms to import and the limit is off by default.
        from limits import RateLimitItemPerMinute
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._limit = RateLimitItemPerMinute(requests_per_minute)
        self._storage = MemoryStorage()
        # Its own thread would go through all callers every 10 ms, half a CPU of 65,536 of them: it is told that one is
        # alive, and what is over is forgotten here.
        self._storage.timer = threading.main_thread()  # type: ignore[assignment]
        self._storage.expirations = OrderedDict()  # the first is over first, as all minutes are equally long
        self._counts = FixedWindowRateLimiter(self._storage)
        self.policy = f'"caller";q={requests_per_minute};w={WINDOW_SECONDS}'
        """The header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""

    def take(self, caller: str) -> Allowance:
        """Count a request, unless it is one too many."""
        self._forget(time.time())
        granted = self._counts.hit(self._limit, caller)
        reset_at, remaining = self._counts.get_window_stats(self._limit, caller)
        return Allowance(granted, remaining, max(1, ceil(reset_at - time.time())))

    def _forget(self, now: float) -> None:
        """Forget callers whose minute is over: two at most, as no more than one comes with a request."""
        for _ in range(2):
            first, over_at = next(iter(self._storage.expirations.items()), ("", now + 1))
            if over_at > now:
                return
            self._storage.clear(first)


def caller_at(address: str) -> str:
    """Return the caller at an IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 4:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_NETWORK_BITS), strict=False))

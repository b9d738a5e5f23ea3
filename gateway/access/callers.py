"""Limits a caller's requests per minute.

Each gateway counts by itself: behind N of them a caller has up to N times as many.
"""

import ipaddress
from collections import OrderedDict
from math import ceil
from typing import NamedTuple

WINDOW_SECONDS = 60

IPV6_NETWORK_BITS = 64
"""Size of the smallest network that one subscriber gets: within it a caller chooses addresses freely (RFC 6177)."""


class Allowance(NamedTuple):
    """A caller's remaining requests after this one."""

    granted: bool
    remaining: int
    reset_seconds: int
    """Until the minute is over and the full number is available again."""


class CallerLimit:
    """Counts each caller's requests in minutes that begin with the first one. Pure: no clock, one owner.

    Invariant: no caller is granted more than `requests_per_minute` between two resets, and only callers whose minute
    is not over are kept.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._requests_per_minute = requests_per_minute
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # caller -> end of its minute, requests in it
        self.policy = f'"caller";q={requests_per_minute};w={WINDOW_SECONDS}'
        """The header RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10)."""

    def take(self, caller: str, now: float) -> Allowance:
        """Count a request unless it exceeds the limit; `now` is in seconds of a clock that never goes back."""
        while self._counts and next(iter(self._counts.values()))[0] <= now:  # all minutes are equally long
            self._counts.popitem(last=False)
        reset_at, count = self._counts.get(caller, (now + WINDOW_SECONDS, 0))
        granted = count < self._requests_per_minute
        count += granted
        self._counts[caller] = reset_at, count
        return Allowance(granted, self._requests_per_minute - count, max(1, ceil(reset_at - now)))


def caller_at(address: str) -> str:
    """Return the caller at an IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 4:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_NETWORK_BITS), strict=False))

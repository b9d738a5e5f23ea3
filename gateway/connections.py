"""How many connections there may be, how much each may send and how long it may take, and which goes for another."""

import logging
import resource
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from gateway.problems import LINGER_SECONDS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What callers may ask of the gateway. Those of bytes and lines hold to within what one read takes, 256 KB."""

    connections_max: int
    header_bytes_max: int = 16 * 1024
    header_lines_max: int = 100
    header_seconds: float = 10.0
    """From a connection's or a request's first moment until its headers are there."""
    body_seconds: float = 30.0
    """From there until its body is."""
    rest_seconds: float = LINGER_SECONDS
    """How long more is read and thrown away once the answer is out."""
    reader_seconds: float = 60.0
    """How long a caller may leave more of its answers unread than the network holds."""
    unfinished_bytes_max: int = 64 * 1024 * 1024
    """What has come of all requests that are not there whole."""
    pipelined_max: int = 8
    """Requests that are sent ahead of the answer to the one before."""


SPARE_CONNECTIONS = 1_000
"""More than may wait for their reply: for health checks, pages, refusals, and those who have not sent all yet."""

SPARE_FILES = 256
"""What the process opens besides: Kafka's connections above all."""

SEND_BUFFER_BYTES = 128 * 1024
"""Of a connection, in the kernel, which would else take megabytes for each caller who does not read."""

REFUSALS = {
    "bad_request": (400, "this is not HTTP/1.1"),
    "request_timeout": (
        408,
        f"the headers must come within {Limits.header_seconds:g} seconds, and the body within {Limits.body_seconds:g}",
    ),
    "headers_too_large": (
        431,
        f"more than {Limits.header_bytes_max} bytes or {Limits.header_lines_max} lines of headers",
    ),
    "overloaded": (503, "too many connections, too much of unfinished requests, or the gateway stops"),
}
"""What is answered where there is no request to answer: the error_code's status and detail."""


def connections_max(waiting_replies_max: int) -> int:
    """Return how many connections there may be at once, and let the process open as many files as it may."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    wanted = waiting_replies_max + SPARE_CONNECTIONS
    possible = max(files_max - SPARE_FILES, 1)
    if wanted > possible:
        logger.warning(
            "WAITING_REPLIES_MAX=%d: only %d connections at once are possible; raise the limit of open files "
            "(ulimit -n, in Docker ulimits.nofile) from %d to %d",
            waiting_replies_max,
            possible,
            files_max,
            wanted + SPARE_FILES,
        )
    return min(wanted, possible)


Awaited = Literal["headers", "body", "rest", "request", "reader"]
"""What a caller is waited for: to send headers, a body, the rest of one that nobody wants, or the next request, or to
read its answer. No Enum: Python 3.11 takes 0.1 us to look up a member, and a request needs ten."""


class Connection(Protocol):
    """One connection, as far as it is told to go."""

    connections: set[Any]
    """All that there are."""

    def refuse(self, error_code: str) -> None:
        """Answer with the error, and close."""

    def cut(self, reason: str) -> None:
        """Close without an answer."""


class Connections:
    """All connections, and which of them goes where there is no room for all.

    Where the gateway waits for a caller, the connection may go, the one first that has been waited for longest; where
    the caller waits for the gateway, it never does. So no flood of callers who send or read slowly, or not at all,
    keeps a request out that comes whole.
    """

    def __init__(self, limits: Limits) -> None:
        """Begin without any."""
        self.limits = limits
        self.waiting: OrderedDict[Connection, None] = OrderedDict()
        """Those whose callers are waited for, longest first."""
        self.seconds: dict[Awaited, float] = {
            "headers": limits.header_seconds,
            "body": limits.body_seconds,
            "rest": limits.rest_seconds,
            "reader": limits.reader_seconds,
        }
        self._unfinished: OrderedDict[Connection, int] = OrderedDict()
        self.unfinished_bytes = 0

    def make_room(self, newcomer: "Connection") -> None:
        """Close others until there is room for the new connection, or refuse it."""
        while len(newcomer.connections) > self.limits.connections_max:
            longest = next(iter(self.waiting))
            if longest is newcomer:
                newcomer.refuse("overloaded")
                break
            longest.cut("made_room")

    def hold(self, connection: "Connection", size: int) -> None:
        """Count bytes of a request that is not there whole; where there are too many, refuse those begun first."""
        self._unfinished[connection] = self._unfinished.get(connection, 0) + size
        self.unfinished_bytes += size
        while self.unfinished_bytes > self.limits.unfinished_bytes_max:
            next(iter(self._unfinished)).refuse("overloaded")

    def release(self, connection: "Connection") -> None:
        """Count the connection's bytes no more."""
        self.unfinished_bytes -= self._unfinished.pop(connection, 0)

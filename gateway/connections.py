"""The connections to the gateway: how many there may be, how much each may send, and how long it may take for it.

uvicorn's HTTP/1.1 with limits, of which it has none for headers, slow callers, and floods.
"""

import asyncio
import logging
import resource
import time
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.correlation import new_correlation_id
from gateway.metrics import CONNECTIONS_REFUSED
from gateway.problems import LINGER_SECONDS, Problem
from shared.messages import REQUEST_ID_HEADER

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
    "overloaded": (503, "too many connections, or too much of unfinished requests"),
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
        self.seconds = {
            _Awaited.HEADERS: limits.header_seconds,
            _Awaited.BODY: limits.body_seconds,
            _Awaited.REST: limits.rest_seconds,
            _Awaited.READER: limits.reader_seconds,
        }
        self._unfinished: OrderedDict[Connection, int] = OrderedDict()
        self.unfinished_bytes = 0

    def protocol(self, **uvicorns: Any) -> "Connection":
        """Return what serves a new connection. For uvicorn's `http`."""
        return Connection(self, **uvicorns)

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


class _Awaited(Enum):
    """What of a caller is waited for."""

    HEADERS = auto()
    BODY = auto()
    REST = auto()  # of a body that nobody wants
    REQUEST = auto()  # the next one: uvicorn keeps the time of these
    READER = auto()  # to read what is written


class _Part(Enum):
    """Which part of a request is coming."""

    HEADERS = auto()
    BODY = auto()


class _Refused(Exception):
    """Raised in the parser's callbacks, which ends the parsing."""

    def __init__(self, error_code: str) -> None:
        super().__init__(error_code)
        self.error_code = error_code


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's, and a clock for as long as its caller is waited for.

    A request that comes in one piece, as most do, sets no clock.
    """

    def __init__(self, all_connections: Connections, **uvicorns: Any) -> None:
        """Part of asyncio's protocol, like all that follows up to `refuse`."""
        super().__init__(**uvicorns)
        self._all = all_connections
        self._limits = all_connections.limits
        self._current: RequestResponseCycle | None = None  # uvicorn's own `cycle` is of the last request that came
        self._part: _Part | None = None
        self._awaited: _Awaited | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._bytes = 0  # that have come since the request began and are not of its body, or since the body's last
        self._deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        self._all.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._current is not None and not self._current.response_complete:  # uvicorn tells the last one only
            self._current.disconnected = True
            self._current.message_event.set()
        self._wait_for(None)
        self._all.release(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._bytes = len(data) if self._part is None else self._bytes + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # there is none: the request is answered, and what follows it is not HTTP
            self.cycle.keep_alive = False
            self._deaf = True
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause.error_code if isinstance(cause, _Refused) else "bad_request")
            return
        if self._part is not None and (
            self._bytes > self._limits.header_bytes_max or len(self.headers) > self._limits.header_lines_max
        ):
            self.refuse("headers_too_large")
            return
        if self.pipeline or (self._part is not None and not self._is_rest()):
            self._all.hold(self, len(data))
        self._look()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part = _Part.HEADERS

    def on_headers_complete(self) -> None:
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + len(": \r\n")
        if size > self._limits.header_bytes_max or len(self.headers) > self._limits.header_lines_max:
            raise _Refused("headers_too_large")
        super().on_headers_complete()
        if len(self.pipeline) > self._limits.pipelined_max:
            raise _Refused("overloaded")
        self._part = _Part.BODY
        self._bytes -= size
        self.headers = []  # the request has its own; what comes behind a body are no headers (RFC 9110, section 6.5.1)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part, self._bytes = None, 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def timeout_keep_alive_handler(self) -> None:
        # uvicorn's closes, which waits without end for a caller who does not read the last of its answer.
        self.transport.abort()

    def refuse(self, error_code: str) -> None:
        """Hear no more, and answer with the error where it cannot be taken for the answer to another request."""
        CONNECTIONS_REFUSED[error_code].inc()
        self._all.release(self)
        is_rest, cycle = self._is_rest(), self.cycle
        self._deaf, self._part = True, None
        state: dict[str, Any] = {}
        if self.pipeline or is_rest:
            self.transport.abort()
            return
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # it is being answered, and what is refused came behind it
                cycle.keep_alive = False
                self._look()
                return
            state = cycle.scope["state"]
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self.cycle = None  # type: ignore[assignment] # as uvicorn has it before the first
        self._answer(error_code, state)
        self._look()

    def cut(self, reason: str) -> None:
        """Close without an answer, unless there was one already."""
        if not self._deaf:
            CONNECTIONS_REFUSED[reason].inc()
        self.connections.discard(self)
        self._wait_for(None)
        self.loop.call_soon(self.transport.abort)  # a refusal may have been written in this very turn of the loop

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_rest(self) -> bool:
        return self._part is _Part.BODY and self.cycle.response_complete

    def _answer(self, error_code: str, state: dict[str, Any]) -> None:
        """Write the error, as gateway/app.py would, and that it is the last."""
        status, detail = REFUSALS[error_code]
        correlation_id = state.get("correlation_id") or new_correlation_id(time.time())
        logger.debug("refused", extra={"error_code": error_code, "correlation_id": correlation_id})
        answer = Problem(status, error_code, detail).response(correlation_id)
        headers = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            (b"x-correlation-id", correlation_id.encode()),
            (b"connection", b"close"),
        ]
        if state.get("request_id") is not None:
            headers.append((REQUEST_ID_HEADER.lower().encode(), state["request_id"]))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + bytes(answer.body))
        self.transport.write_eof()  # and not closed yet: see LingeringResponse

    def _look(self) -> None:
        """Note who waits for whom now."""
        awaited: _Awaited | None
        if self.flow.write_paused or self.transport.is_closing():
            awaited = _Awaited.READER
        elif self._is_answering() and (self._part is None or self.pipeline):
            awaited = None
        elif self._deaf or self._is_rest():
            awaited = _Awaited.REST
        elif self._part is _Part.BODY:
            awaited = _Awaited.BODY
        elif self._part is None and self.timeout_keep_alive_task is not None:
            awaited = _Awaited.REQUEST
        else:
            awaited = _Awaited.HEADERS
        if awaited is _Awaited.REST or (self._part is None and not self.pipeline):
            self._all.release(self)
        if awaited is not self._awaited:
            self._wait_for(awaited)

    def _wait_for(self, awaited: _Awaited | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._all.waiting.pop(self, None)
        self._awaited = awaited
        if awaited is None:
            return
        self._all.waiting[self] = None
        if awaited is _Awaited.REQUEST:
            return
        if awaited is not _Awaited.READER:
            self._unset_keepalive_if_required()
        self._clock = self.loop.call_later(self._all.seconds[awaited], self._late)

    def _late(self) -> None:
        if self._awaited is _Awaited.BODY or (self._awaited is _Awaited.HEADERS and self._bytes):
            self.refuse("request_timeout")
        else:
            self.cut("answer_not_read" if self._awaited is _Awaited.READER else "request_timeout")

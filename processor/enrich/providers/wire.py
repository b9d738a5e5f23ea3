"""A small HTTP/1.1 client for providers: keep-alive connections on the event loop, parsed by httptools.

It has only what a JSON API needs. With 256 requests in flight, httpx's own pool makes 150 a second, aiohttp takes 80 us
of CPU a request more than this, and pyreqwest, whose thread waits for Python's lock, answers 10 ms later
(docs/decisions.md).
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol, cast

import httptools
import httpx

from processor.enrich.errors import Line, NotNow, ProviderError, ProviderUnavailable, UnusableAnswer

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Larger answers are rejected: none is documented, and memory must stay bounded."""

HEADERS_MAX = 200
"""Answers with more are rejected: in memory, a header takes many times the bytes in which it was sent."""

KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept. DaData allows 60 new connections a minute."""

CLOSED = "the connection was closed before the end of the answer"

CONTINUES = range(100, 200)
"""Statuses that are followed by another answer (RFC 9110, section 15.2)."""


class Response(Protocol):
    """The part of httpx.Response that is used, so that an httpx.Response can be passed instead."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


Send = Callable[[bytes, Line], Awaitable[Response]]
"""Sends the prepared request with this body, once. Raises ProviderUnavailable if no complete answer comes in time,
UnusableAnswer if the answer is too large, NotNow if the request was not sent."""

Prepare = Callable[[httpx.Request], Send]
"""Prepares the request's method, URL and headers."""


class Idle:
    """The idle connections to one server. The one that was idle for the shortest time is used first."""

    def __init__(self) -> None:
        """Start without connections."""
        self._connections: list[Connection] = []

    def __len__(self) -> int:
        return len(self._connections)

    def ready(self) -> bool:
        """Return whether there is a connection to use."""
        oldest = time.monotonic() - KEEP_ALIVE_SECONDS
        while self._connections:
            connection = self._connections[-1]
            if connection.reusable and connection.idle_since > oldest:
                return True
            self._connections.pop().close()
        return False

    def take(self) -> "Connection | None":
        """Return a connection, which is then in use; None if one must be opened."""
        return self._connections.pop() if self.ready() else None

    def put(self, connection: "Connection | None") -> None:
        """Keep the connection, if it can be used again."""
        if connection is not None and connection.reusable:
            connection.idle_since = time.monotonic()
            self._connections.append(connection)

    def close(self) -> None:
        """Close all."""
        while self._connections:
            self._connections.pop().close()


class Wire:
    """Makes requests over given connections. No cookies, redirects, retries, compression, or proxies.

    TLS trusts the system's CAs, or the file in SSL_CERT_FILE. Lives on the event loop.
    """

    def __init__(self) -> None:
        """Open nothing."""
        self._tls = ssl.create_default_context()

    def prepare(self, request: httpx.Request, timeout_seconds: float) -> Send:
        """Return the function that sends the request; the body of `request` is ignored.

        Args:
            request: gives method, URL and headers.
            timeout_seconds: limit from the start of connecting to the last byte of the answer.
        """
        url = request.url
        host, tls = url.raw_host.decode(), url.scheme == "https"
        port = url.port or (443 if tls else 80)
        headers = {"user-agent": "integration-service", "accept-encoding": "identity", **request.headers}
        headers.pop("content-length", None)
        lines = [f"{request.method} {url.raw_path.decode()} HTTP/1.1", *map(": ".join, headers.items())]
        assert not any("\n" in line or "\r" in line for line in lines), "a line break in a header"
        head = "\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n"

        async def send(body: bytes, line: Line) -> Response:
            try:
                async with asyncio.timeout(timeout_seconds):
                    connection: Connection | None = line.connection
                    if connection is None:
                        line.connection = connection = await _connect(host, port, self._tls if tls else None)
                    elif not connection.reusable:
                        raise NotNow  # the server has closed it since it was taken
                    line.sent()
                    return await connection.ask(head % len(body) + body)
            except TimeoutError:
                raise ProviderUnavailable(f"no answer within {timeout_seconds:g} seconds") from None
            except OSError as error:  # includes the errors of TLS and of name resolution
                raise ProviderUnavailable(_in_words(error)) from None

        return send


def _in_words(error: OSError) -> str:
    # Not the error's own text: it may have addresses, and a certificate's.
    match error:
        case socket.gaierror():
            return "its host name cannot be resolved"
        case ConnectionRefusedError():
            return "it refuses connections"
        case ssl.SSLCertVerificationError():
            return "its TLS certificate is not accepted"
        case ssl.SSLError():
            return "no TLS connection can be made"
        case ConnectionError():
            return CLOSED
        case _:
            return "it cannot be reached" + (f": {os.strerror(error.errno)}" if error.errno else "")


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> "Connection":
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port, ssl=tls)
    return connection


class _Response(NamedTuple):
    status_code: int
    headers: Mapping[str, str]
    content: bytes


class Connection(asyncio.Protocol):
    """One connection, with one request at a time. The parser calls the methods named `on_`."""

    idle_since = 0.0
    _ends_with_connection = False
    _answer: "asyncio.Future[Response] | None" = None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._answer is None and not self._transport.is_closing()

    def close(self) -> None:
        """Close the connection at once, even during a request."""
        self._transport.abort()

    async def ask(self, request: bytes) -> Response:
        """Send the request and return the answer. If there is none, the connection is closed.

        Raises:
            ProviderUnavailable: the answer is not HTTP, is truncated, or is too large in any other way.
            UnusableAnswer: the answer is a 200 whose body is too large.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._bytes_left = ANSWER_BYTES_MAX
        self.on_message_begin()
        self._transport.write(request)
        try:
            return await answer
        except BaseException:
            self.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # there is no request
            return
        self._bytes_left -= len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError):
            self._fail("the answer is not HTTP")
        if self._bytes_left < 0:
            reason = f"the answer has more than {ANSWER_BYTES_MAX} bytes"
            large = self._body and self._parser.get_status_code() == 200
            self._fail(reason, UnusableAnswer if large else ProviderUnavailable)

    def connection_lost(self, error: Exception | None) -> None:
        if self._ends_with_connection and error is None:
            self.on_message_complete()
        self._fail(CLOSED)

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.close()  # there is no request
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._ends_with_connection = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) == HEADERS_MAX:
            self._fail(f"the answer has more than {HEADERS_MAX} headers")
            return
        self._headers[name.decode("ascii").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Determine how the body ends (RFC 9112, section 6.3)."""
        self._ends_with_connection = not self._headers.keys() & {"content-length", "transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Deliver the answer, unless it only announces another."""
        status = self._parser.get_status_code()
        if self._answer is None or status in CONTINUES:
            return
        answer, self._answer = self._answer, None
        if not self._parser.should_keep_alive():
            self._transport.close()
        if not answer.done():
            answer.set_result(_Response(status, self._headers, b"".join(self._body)))

    def _fail(self, reason: str, error: type[ProviderError] = ProviderUnavailable) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error(reason))
        self.close()

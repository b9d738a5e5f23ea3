"""HTTP/1.1 for uvicorn: its own, on httptools, without two of its weaknesses."""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Most bytes that are read of a request's line and headers."""


class Http1(HttpToolsProtocol):
    """Limits the size of a request's head, and reads a request that offers another protocol as if it did not.

    httptools drops the body of such a request. Every POST of Java's HttpClient offers HTTP/2, unless told otherwise.
    """

    transport: asyncio.Transport
    _head_bytes = 0
    """Bytes read since the last head or piece of a body was complete."""

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            if self._should_upgrade():
                self._read_again(data[end.args[0] :])
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse()

    def on_headers_complete(self) -> None:
        """Part of httptools' protocol."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of httptools' protocol."""
        self._head_bytes = 0
        super().on_body(body)

    def _should_upgrade(self) -> bool:
        return any(name == b"upgrade" for name, _ in self.headers)

    def _read_again(self, rest: bytes) -> None:
        """Read the head again without its offer, and then what follows it."""
        scope = self.scope
        lines = [f"{scope['method']} {self.url.decode('latin-1')} HTTP/{scope['http_version']}".encode("latin-1")]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self) -> None:
        waiting = self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)
        if waiting:  # the answer that is due comes first, and is the last one on this connection
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        elif not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

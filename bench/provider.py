"""A simulator of DaData's phone endpoint for benchmarks. It is as cheap as Python allows, so that callers are measured.

    python -m bench.provider --port 8090 --latency-ms 100

It parses HTTP with httptools and answers every POST with a phone after the latency. Unlike sandbox/simulators.py it
does not check requests. GET /figures returns the number of answers and the 99th percentile of their lateness: if that
is close to zero, the provider was not the bottleneck.
"""

import argparse
import asyncio
import json
from collections import deque
from typing import cast

import httptools
import uvloop

LATENESS_MAX = 100_000
"""The lateness of this many of the latest answers is kept."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

_ANSWER = (
    '[{"source":%s,"type":"Мобильный","phone":"+7 916 823-34-54","country_code":"7","city_code":"916",'
    '"number":"8233454","extension":null,"provider":"ПАО \\"Мобильные ТелеСистемы\\"","country":"Россия",'
    '"region":"Москва и Московская область","city":null,"timezone":"UTC+3","qc_conflict":0,"qc":0}]'
).encode()


class Provider:
    """State that all connections share."""

    def __init__(self, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.answered = 0
        self.late_seconds: deque[float] = deque(maxlen=LATENESS_MAX)

    def figures(self) -> bytes:
        """Return the body of `GET /figures`."""
        late = sorted(self.late_seconds) or [0.0]
        return json.dumps(
            {"answered": self.answered, "late_ms_p99": round(late[int(len(late) * 0.99)] * 1000, 1)}
        ).encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection. Callers do not pipeline: they send the next request after the answer."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._url = b""

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Callback of httptools."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Callback of httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """Callback of httptools."""
        body, url = self._body, self._url
        self._body = self._url = b""
        if url == b"/figures":
            self._write(self._provider.figures())
        elif not body:
            self._write(b'{"status":"ok"}')
        elif self._provider.latency_seconds:
            due = self._loop.time() + self._provider.latency_seconds
            self._loop.call_at(due, self._answer, body, due)
        else:
            self._answer(body, self._loop.time())

    def _answer(self, body: bytes, due: float) -> None:
        self._provider.answered += 1
        self._provider.late_seconds.append(self._loop.time() - due)
        self._write(_ANSWER % body[1:-1])  # the one element of the array in the request

    def _write(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_HEAD % len(body) + body)


async def serve(port: int, latency_ms: float) -> None:
    """Serve until cancelled."""
    provider = Provider(latency_ms / 1000)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(provider), "127.0.0.1", port, backlog=8192
    )
    await server.serve_forever()


def main() -> None:
    """Run the provider from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.provider", description="A provider that uses little CPU.")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on (default: %(default)s)")
    parser.add_argument("--latency-ms", type=float, default=100, help="latency of answers (default: %(default)s)")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.latency_ms))


if __name__ == "__main__":
    main()

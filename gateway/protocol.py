"""One connection: uvicorn's HTTP/1.1 with the limits that it has not, on headers, slow callers and floods."""

import asyncio
import logging
import time
from typing import Any, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.connections import REFUSALS, Awaited, Connections
from gateway.correlation import new_correlation_id
from gateway.metrics import CONNECTIONS_REFUSED
from gateway.problems import Problem
from shared.messages import REQUEST_ID_HEADER

logger = logging.getLogger(__name__)

_REFUSED = {reason: CONNECTIONS_REFUSED.labels(reason) for reason in (*REFUSALS, "made_room", "answer_not_read")}


class Connection(HttpToolsProtocol):
    """uvicorn's, and a clock for as long as the caller is waited for. A request in one piece, as most are, sets none.

    Invariant: it is in `waiting` of all connections just while the gateway waits for its caller, and then a clock runs.
    """

    def __init__(self, all_connections: Connections, **uvicorns: Any) -> None:
        """Called by uvicorn; up to `refuse` all is called by it or by httptools."""
        super().__init__(**uvicorns)
        self._all = all_connections
        self._limits = all_connections.limits
        self._current: RequestResponseCycle | None = None  # uvicorn's own `cycle` is of the last request that came
        self._part: Literal["headers", "body"] | None = None
        self._awaited: Awaited | None = None
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
            self._parse(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause.error_code if isinstance(cause, _Refused) else "bad_request")
            return
        if self._part is not None and self._is_too_much(self._bytes):
            self.refuse("headers_too_large")
            return
        if self.pipeline or (self._part is not None and not self._is_rest()):
            self._all.hold(self, len(data))
        self._look()

    def _parse(self, data: bytes) -> None:
        """Parse, and ignore every offer of another protocol (RFC 9110, section 7.8).

        The parser skips the body of a request that offers one, and stops behind its headers. A new parser starts with
        the same headers without the offer, and goes on with what follows them.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part = "headers"

    def on_headers_complete(self) -> None:
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + len(": \r\n")
        if self._is_too_much(size):
            raise _Refused("headers_too_large")
        if self.parser.get_http_version() not in ("1.0", "1.1"):  # llhttp knows others, whose bodies end otherwise
            raise _Refused("bad_request")
        if self.parser.get_method() == b"CONNECT":
            raise _Refused("bad_request")
        if self.parser.should_upgrade():  # `_parse` starts it again
            return
        super().on_headers_complete()
        if len(self.pipeline) > self._limits.pipelined_max:
            raise _Refused("overloaded")
        self._part = "body"
        self._bytes -= size
        self.headers = []  # the request has its own; what comes behind a body are no headers (RFC 9110, section 6.5.1)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._bytes = 0

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
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

    def shutdown(self) -> None:
        """Part of uvicorn's protocol: a stop waits for answers, and for no caller who has not sent all."""
        if self._awaited == "body":
            self.refuse("overloaded")
        else:
            super().shutdown()

    def refuse(self, error_code: str) -> None:
        """Hear no more, and answer with the error where it cannot be taken for the answer to another request."""
        _REFUSED[error_code].inc()
        self._all.release(self)
        is_rest, cycle = self._is_rest(), self.cycle
        self._deaf, self._part = True, None
        state: dict[str, Any] = {}
        if self.pipeline or is_rest or self.transport.is_closing():
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
            _REFUSED[reason].inc()
        self.connections.discard(self)  # now, as make_room counts them; connection_lost comes later
        self._wait_for(None)
        self.transport.abort()

    def _is_too_much(self, header_bytes: int) -> bool:
        return header_bytes > self._limits.header_bytes_max or len(self.headers) > self._limits.header_lines_max

    def _is_rest(self) -> bool:
        return self._part == "body" and self.cycle.response_complete

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
        awaited: Awaited | None
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self.flow.write_paused or self.transport.is_closing():
            awaited = "reader"
        elif is_answering and (self._part is None or self.pipeline):
            awaited = None
        elif self._part is None and self.timeout_keep_alive_task is not None:
            awaited = "request"
        elif self._deaf or (self._part == "body" and not is_answering):
            awaited = "rest"
        elif self._part == "body":
            awaited = "body"
        else:
            awaited = "headers"
        if awaited == "rest" or (self._part is None and not self.pipeline):
            self._all.release(self)
        if awaited != self._awaited:
            self._wait_for(awaited)

    def _wait_for(self, awaited: Awaited | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._all.waiting.pop(self, None)
        self._awaited = awaited
        if awaited is None:
            return
        self._all.waiting[self] = None
        if awaited == "request":
            return
        if awaited != "reader":
            self._unset_keepalive_if_required()
        self._clock = self.loop.call_later(self._all.seconds[awaited], self._late)

    def _late(self) -> None:
        if self._awaited == "body" or (self._awaited == "headers" and self._bytes):
            self.refuse("request_timeout")
        else:
            self.cut("answer_not_read" if self._awaited == "reader" else "request_timeout")


class _Refused(Exception):
    """Raised in the parser's callbacks, which ends the parsing."""

    def __init__(self, error_code: str) -> None:
        super().__init__(error_code)
        self.error_code = error_code

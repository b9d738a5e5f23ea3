"""HTTP as real servers speak it, over real connections: valid answers, and when a connection is reused."""

import asyncio
import contextlib
import errno
import re
import socket
import ssl
import subprocess

import httpx
import pytest

from processor.enrich.errors import NotNow, ProviderError, ProviderUnavailable, UnusableAnswer
from processor.enrich.providers import wire
from processor.enrich.providers.wire import ANSWER_BYTES_MAX, Idle, Wire
from sandbox.child import free_port
from tests.conftest import PATIENCE_SECONDS

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next script, which is pieces of bytes; None closes the connection."""

    def __init__(self, *scripts, tls=None):
        self.scripts = list(scripts)
        self.tls = tls
        self.requests = []
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/path?query=1"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                for piece in self.scripts.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # each piece is a packet


class Line:
    """A request's connection: an idle one, or None, so that one is opened. It is idle again after the with block."""

    def __init__(self, idle, sent=lambda: None):
        self._idle = idle
        self.connection = idle.take()
        self.sent = sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._idle.put(self.connection)


def talk(*scripts, calls=1, timeout_seconds=PATIENCE_SECONDS, between=None, tls=None):
    """Make `calls` calls one after the other; return the server and each call's answer or error."""

    async def main():
        async with Server(*scripts, tls=tls) as server:
            send = Wire().prepare(httpx.Request("POST", server.url, headers={"X-Key": "secret"}), timeout_seconds)
            answers = []
            with contextlib.closing(Idle()) as idle:
                for number in range(calls):
                    try:
                        with Line(idle) as line:
                            answers.append(await send(b"body %d" % number, line))
                    except ProviderError as error:
                        answers.append(error)
                    if between is not None:
                        await between()
        return server, answers

    return asyncio.run(main())


def test_a_request_is_sent_whole():
    server, [answer] = talk([OK])

    [(head, body)] = server.requests
    assert head.startswith(b"POST /path?query=1 HTTP/1.1\r\n")
    assert b"\r\nhost: 127.0.0.1:" in head.lower()
    assert b"\r\nx-key: secret\r\n" in head.lower()
    assert head.lower().count(b"\r\naccept-encoding: identity\r\n") == head.lower().count(b"accept-encoding") == 1
    assert body == b"body 0"
    assert (answer.status_code, answer.content) == (200, b"ok")


@pytest.mark.parametrize(
    "script",
    [
        [bytes([byte]) for byte in OK],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK],
        [b"HTTP/1.1 200 OK\r\n\r\no", b"k", None],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", None],
    ],
    ids=["byte by byte", "chunked", "100 before", "103 before", "until the end", "HTTP/1.0", "Connection: close"],
)
def test_an_answer_is_read_however_it_comes(script):
    _, answers = talk(script, [OK], calls=2)

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"ok")] * 2


def test_headers_are_found_by_their_names_in_lower_case():
    _, [answer] = talk([b"HTTP/1.1 429 Too Many\r\nRETRY-After: 7\r\nX-Name: \xd0\xaf\r\nContent-Length: 0\r\n\r\n"])

    assert (answer.status_code, answer.headers["retry-after"], answer.content) == (429, "7", b"")


@pytest.mark.parametrize(
    "script",
    [
        [None],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", None],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\no", None],
        [b"HTTP/1.1 200 OK\r\nContent-", None],
        [b"HTTP/1.1 100 Continue\r\n\r\n", None],
        [b"\x16\x03\x01 no HTTP at all"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
        [b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX-Na\xffme: x\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\n"] + [b"X-Endless: " + b"x" * 65536 + b"\r\n"] * 70,
    ],
    ids=lambda script: repr(script)[:60],
)
def test_what_is_no_whole_answer_is_none_and_the_next_call_gets_a_connection_of_its_own(script):
    server, [error, answer] = talk(script, [OK], calls=2)

    assert isinstance(error, ProviderUnavailable) and error.retryable
    assert re.fullmatch(r"the (connection|answer) [a-z0-9 ]+|the answer is not HTTP", str(error))
    assert answer.content == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(("status", "kind"), [(b"200 OK", UnusableAnswer), (b"503 Busy", ProviderUnavailable)])
def test_a_body_that_is_too_large_is_told_by_its_status(status, kind):
    server, [error, answer] = talk([b"HTTP/1.1 " + status + b"\r\n\r\n"] + [b"x" * 65536] * 70, [OK], calls=2)

    assert type(error) is kind
    assert answer.content == b"ok"
    assert server.connections == 2


def test_an_answer_may_be_as_large_as_allowed():
    body = b"x" * (ANSWER_BYTES_MAX - 1000)
    _, [answer] = talk([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body])

    assert answer.content == body


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used():
    server, answers = talk([OK, None], [OK], calls=2, between=lambda: asyncio.sleep(0.05))

    assert [answer.content for answer in answers] == [b"ok", b"ok"]
    assert server.connections == 2


def test_a_connection_on_which_something_came_that_nobody_asked_for_is_not_used():
    server, answers = talk([OK, OK], [OK], calls=2, between=lambda: asyncio.sleep(0.05))

    assert [answer.content for answer in answers] == [b"ok", b"ok"]
    assert server.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used(monkeypatch):
    monkeypatch.setattr("processor.enrich.providers.wire.KEEP_ALIVE_SECONDS", 0.0)

    server, answers = talk([OK], [OK], calls=2)

    assert [answer.content for answer in answers] == [b"ok", b"ok"]
    assert server.connections == 2


def test_a_call_has_its_time_limit_and_ends_with_its_connection():
    server, [error, answer] = talk([b"HTTP/1.1 200 OK\r\n"], [OK], calls=2, timeout_seconds=0.5)

    assert "within 0.5 seconds" in str(error)
    assert answer.content == b"ok"
    assert server.connections == 2


def prepared(url, timeout_seconds=PATIENCE_SECONDS):
    return Wire().prepare(httpx.Request("POST", url), timeout_seconds)


def test_sent_is_called_once_when_the_connection_is_open_and_before_a_byte_of_the_request():
    accepted = []

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(Idle()) as idle:
            listener.settimeout(PATIENCE_SECONDS)

            def sent():
                assert line.connection.reusable
                connection, _ = listener.accept()  # its client has opened it: it waits in the backlog
                accepted.append(connection)
                connection.setblocking(False)
                with pytest.raises(BlockingIOError):
                    connection.recv(1)

            send = prepared(f"http://127.0.0.1:{listener.getsockname()[1]}")
            with Line(idle, sent) as line:
                assert line.connection is None
                asking = asyncio.ensure_future(send(b"body", line))
                while not accepted:
                    await asyncio.sleep(0.01)
                [connection] = accepted
                with connection:
                    request = b""
                    while not request.endswith(b"body"):
                        request += await asyncio.get_running_loop().sock_recv(connection, 65536)
                    await asyncio.get_running_loop().sock_sendall(connection, OK)
                    return await asking

    answer = asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))

    assert answer.content == b"ok"
    assert len(accepted) == 1


def test_sent_is_called_for_each_request_over_a_connection():
    calls = []

    async def main():
        async with Server([OK], [OK], [OK]) as server:
            send = prepared(server.url)
            with contextlib.closing(Idle()) as idle:
                for number in range(3):
                    with Line(idle, lambda: calls.append(len(server.requests))) as line:
                        await send(b"%d" % number, line)
        return server

    server = asyncio.run(main())

    assert calls == [0, 1, 2]
    assert server.connections == 1


@pytest.mark.parametrize("requests_before", [0, 1], ids=["new connection", "idle connection"])
def test_if_sent_raises_nothing_is_sent_and_the_connection_can_be_used_again(requests_before):
    def refuse():
        raise NotNow

    async def main():
        async with Server([OK], [OK]) as server:
            send = prepared(server.url)
            with contextlib.closing(Idle()) as idle:
                for number in range(requests_before):
                    with Line(idle) as line:
                        await send(b"%d" % number, line)
                with pytest.raises(NotNow), Line(idle, refuse) as line:
                    await send(b"refused", line)
                assert len(idle) == 1
                await asyncio.sleep(0.05)  # time for bytes to arrive
                assert len(server.requests) == requests_before
                with Line(idle) as line:
                    answer = await send(b"sent", line)
        return server, answer

    server, answer = asyncio.run(main())

    assert answer.content == b"ok"
    assert [body for _, body in server.requests][requests_before:] == [b"sent"]
    assert server.connections == 1


def test_without_a_connection_sent_is_not_called():
    calls = []

    async def main():
        idle = Idle()
        with Line(idle, lambda: calls.append(1)) as line:
            await prepared(f"http://127.0.0.1:{free_port()}")(b"", line)

    with pytest.raises(ProviderUnavailable, match="it refuses connections"):
        asyncio.run(main())

    assert calls == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "its host name cannot be resolved"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "192.0.2.1"), "it refuses connections"),
        (ConnectionResetError(errno.ECONNRESET, "192.0.2.1"), "the connection was closed before the end of the answer"),
        (ssl.SSLCertVerificationError(1, "CN=192.0.2.1"), "its TLS certificate is not accepted"),
        (ssl.SSLError(1, "wrong version number"), "no TLS connection can be made"),
        (OSError(errno.EHOSTUNREACH, "192.0.2.1"), "it cannot be reached: No route to host"),
        (OSError("Multiple exceptions: 192.0.2.1, 192.0.2.2"), "it cannot be reached"),
    ],
    ids=lambda error: repr(error)[:30],
)
def test_each_kind_of_failure_is_said_in_words_without_the_name_of_an_exception(monkeypatch, error, said):
    async def fail(*_):
        raise error

    monkeypatch.setattr(wire, "_connect", fail)

    with pytest.raises(ProviderUnavailable) as raised, Line(Idle()) as line:
        asyncio.run(prepared("http://provider.test")(b"", line))

    assert str(raised.value) == said


def test_a_request_is_not_sent_over_a_connection_that_was_closed_after_it_was_taken():
    calls = []

    async def main():
        async with Server([OK, None]) as server:
            send = prepared(server.url)
            idle = Idle()
            with Line(idle) as line:
                await send(b"first", line)
            with Line(idle, lambda: calls.append(1)) as line:
                assert line.connection is not None
                await asyncio.sleep(0.05)  # the server closes it
                with pytest.raises(NotNow):
                    await send(b"second", line)
            assert len(idle) == 0

    asyncio.run(main())

    assert calls == []


def test_the_connection_that_was_idle_for_the_shortest_time_is_used_first():
    async def main():
        async with Server(*[[OK]] * 3) as server:
            send = prepared(server.url)
            with contextlib.closing(Idle()) as idle:
                with Line(idle) as first, Line(idle) as second:
                    await asyncio.gather(send(b"1", first), send(b"2", second))
                older, newer = second.connection, first.connection  # the inner block ends first
                assert len(idle) == 2
                assert idle.ready() and idle.take() is newer
                assert idle.ready() and idle.take() is older
                assert not idle.ready() and idle.take() is None
                idle.put(older)
                idle.put(newer)
            assert len(idle) == 0
            assert not (older.reusable or newer.reusable)

    asyncio.run(main())


def certificate_for(name, folder):
    """Return the file of a certificate that no client trusts yet, and the server's TLS context for it."""
    key, file = str(folder / "key.pem"), str(folder / "certificate.pem")
    subject = ["-subj", "/CN=provider", "-addext", f"subjectAltName={name}"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file, *subject],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, key)
    return file, tls


@pytest.fixture
def certificate(tmp_path):
    return certificate_for("IP:127.0.0.1", tmp_path)


def test_a_server_with_a_trusted_certificate_is_talked_to_over_one_connection(certificate, monkeypatch):
    file, tls = certificate
    monkeypatch.setenv("SSL_CERT_FILE", file)

    server, answers = talk([OK], [OK], calls=2, tls=tls)

    assert [answer.content for answer in answers] == [b"ok", b"ok"]
    assert server.connections == 1


def test_a_server_with_a_certificate_that_is_not_trusted_is_told_nothing(certificate):
    server, [error] = talk([OK], tls=certificate[1])

    assert isinstance(error, ProviderUnavailable) and str(error) == "its TLS certificate is not accepted"
    assert server.requests == []

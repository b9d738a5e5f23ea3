"""Malformed and hostile answers of a provider, over real connections: each is refused, and nothing breaks."""

import asyncio
import contextlib
import gzip
import json
import math
import tracemalloc
import zlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from processor.enrich.enrich import Enrich, Lane
from processor.enrich.errors import ProviderError, ProviderUnavailable, UnexpectedAnswer, UnusableAnswer
from processor.enrich.gate import Gate, Ticket
from processor.enrich.providers.wire import ANSWER_BYTES_MAX, Idle, Wire
from shared.messages import Task
from tests.conftest import PATIENCE_SECONDS
from tests.integration.test_calls import CANARY, provider_of
from tests.integration.test_wire import Line, certificate_for

PHONE = json.dumps([{"source": "8 916", "phone": "+7 916", "qc": 0}]).encode()


def whole(body, *headers, status=b"200 OK"):
    """Return a complete answer with this body."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


@contextlib.asynccontextmanager
async def served(pieces, *, ask_first=True, tls=None):
    """Send pieces of bytes, or an endless iterator of them, to every client, then close the connection."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            if ask_first:
                await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
        for writer in connections:
            writer.close()


def ask(pieces, kind="phone", timeout_seconds=PATIENCE_SECONDS, wire=None, **options):
    """Return the provider's answer, or its error after checking that it repeats nothing of the task and the answer."""
    loud = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loud.append(context))
        async with served(pieces, **options) as (url, _), asyncio.timeout(PATIENCE_SECONDS):
            provider = provider_of(kind, url, partial((wire or Wire()).prepare, timeout_seconds=timeout_seconds))
            with contextlib.closing(Idle()) as idle, Line(idle) as line:
                try:
                    return await provider(CANARY, line)
                except ProviderError as error:
                    return error

    answer = asyncio.run(main())
    assert loud == []
    assert isinstance(answer, dict) or not ("canary" in str(answer) or answer.__cause__)
    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
RUBBISH = {
    "nothing": [],
    "a lone line break": [b"\r\n"],
    "the preface of HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "frames of HTTP/2": [b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d"],
    "HTTP/0.9": [PHONE],
    "HTTP/9.9": [whole(PHONE).replace(b"HTTP/1.1", b"HTTP/9.9")],
    "a status of letters": [whole(PHONE, status=b"OK")],
    "a status of six digits": [whole(PHONE, status=b"200200 OK")],
    "a length below zero": [HEAD + b"Content-Length: -1\r\n\r\n" + PHONE],
    "a length beyond 64 bits": [HEAD + b"Content-Length: 99999999999999999999\r\n\r\n" + PHONE],
    "a length that is none": [HEAD + b"Content-Length: 0x10\r\n\r\n" + PHONE],
    "a length too long": [HEAD + b"Content-Length: %d\r\n\r\n" % (len(PHONE) + 1) + PHONE],
    "a length too short": [HEAD + b"Content-Length: %d\r\n\r\n" % (len(PHONE) - 1) + PHONE],
    "two lengths": [whole(PHONE, b"Content-Length: 1")],
    "a length and chunks": [whole(b"0\r\n\r\n", b"Transfer-Encoding: chunked")],
    "chunks of an absurd size": [CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n" + PHONE],
    "a chunk that is cut": [CHUNKED + b"FFFF\r\n" + PHONE],
    "a chunk of a size below zero": [CHUNKED + b"-1\r\n" + PHONE],
    "a chunk without its end": [CHUNKED + b"%x\r\n%sxx" % (len(PHONE), PHONE)],
    "an encoding that does not end": [HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + PHONE],
    "headers folded": [HEAD + b"X-A: 1\r\n 2\r\nContent-Length\t: 2\r\n\r\n[]"],
    "a header without a name": [HEAD + b": x\r\n\r\n" + PHONE],
    "a NUL in a header": [HEAD + b"X-A: \0\r\n\r\n" + PHONE],
    "too many headers": [HEAD + b"".join(b"x%d:\r\n" % number for number in range(1000)) + b"\r\n" + PHONE],
    "no body by its status": [b"HTTP/1.1 204 No Content\r\n\r\n", PHONE],
    "no UTF-8": [whole(b'[{"qc":0,"phone":"\xff"}]')],
    "two values": [whole(PHONE + PHONE)],
    "gzip that is cut": [whole(gzip.compress(PHONE)[:-9], b"Content-Encoding: gzip")],
    "gzip that is broken": [whole(gzip.compress(PHONE)[:20] + b"xxxx", b"Content-Encoding: gzip")],
    "gzip that is none": [whole(PHONE, b"Content-Encoding: gzip")],
    "deflate that is none": [whole(PHONE, b"Content-Encoding: deflate")],
    "JSON that is cut": [whole(PHONE[:-5])],
    "HTML": [whole(b"<html><body>canary</body></html>", b"Content-Type: text/html")],
}  # fmt: skip

FINAL = b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_FINAL","message":{"role":"assistant"}}]}}'
UNUSABLE = {
    "100,000 brackets": [whole(b"[" * 100_000 + b"]" * 100_000)],
    "10**5000": [whole(b'[{"qc":1' + b"0" * 5000 + b"}]")],
    "1e400": [whole(b'[{"qc":0,"more":1e400}]')],
    "NaN": [whole(b'[{"qc":NaN}]')],
    "half a surrogate pair": [whole(b'[{"qc":0,"phone":"\\ud83d"}]')],
    "a 400 in a 200": [whole(b'{"family":"CLIENT_ERROR","reason":"Bad Request","message":"canary"}')],
    "an error in a 200": [whole(b'{"error":{"grpcCode":3,"httpCode":400,"message":"canary"}}')],
    "no record": [whole(b"[]")],
    "two records": [whole(b"[%b,%b]" % (PHONE[1:-1], PHONE[1:-1]))],
    "a FINAL without text": [whole(FINAL)],
    "no final alternative": [whole(b'{"result":{"alternatives":[]}}')],
    "a wrong type": [whole(b'[{"qc":true,"phone":7}]')],
    "UTF-16": [whole(PHONE.decode().encode("utf-16"), b"Content-Type: application/json; charset=utf-16")],
    "1e200000": [whole(b'[{"qc":0,"more":1e200000}]')],
    "U+0000 in a value": [whole(b'[{"qc":0,"phone":"\\u0000"}]')],
    "U+0000 in a key": [whole(b'[{"qc":0,"more":{"a\\u0000":1}}]')],
    "Brotli": [whole(b"\x0b\x02\x80[]\x03", b"Content-Encoding: br")],
    "Zstandard": [whole(b"\x28\xb5\x2f\xfd", b"Content-Encoding: zstd")],
    "gzip twice": [whole(gzip.compress(gzip.compress(PHONE)), b"Content-Encoding: gzip, gzip")],
    "a large body": [whole(b" " * (2 * ANSWER_BYTES_MAX) + PHONE)],
    "a gzip bomb": [whole(gzip.compress(b" " * (16 * ANSWER_BYTES_MAX) + PHONE), b"Content-Encoding: gzip")],
}  # fmt: skip
READABLE = {
    "gzip": [whole(gzip.compress(PHONE), b"Content-Encoding: gzip")],
    "x-gzip": [whole(gzip.compress(PHONE), b"Content-Encoding: X-GZip")],
    "deflate": [whole(zlib.compress(PHONE), b"Content-Encoding: deflate")],
    "deflate without zlib's header": [whole(zlib.compress(PHONE, wbits=-15), b"Content-Encoding: deflate")],
    "identity": [whole(PHONE, b"Content-Encoding: identity")],
    "a byte order mark": [whole(b"\xef\xbb\xbf" + PHONE)],
    "both": [whole(gzip.compress(b"\xef\xbb\xbf" + PHONE), b"Content-Encoding: gzip")],
    "another charset": [whole(PHONE, b"Content-Type: application/json; charset=windows-1251")],
}


def calls_for(pieces, kind):
    """Call the provider like a task with five attempts; return the number of calls, and the answer or the error."""

    async def main():
        async with served(pieces) as (url, connections), asyncio.timeout(PATIENCE_SECONDS):
            provider = provider_of(kind, url, partial(Wire().prepare, timeout_seconds=PATIENCE_SECONDS))

            async def ask(data, _):
                # The server closes the connection after each answer, so each call opens one.
                with contextlib.closing(Idle()) as idle, Line(idle) as line:
                    return await provider(data, line)

            gate = Gate("test", quota=None, requests_max=1)
            gate.valid_until = math.inf
            task = Task(task_id=1, task_type=kind, data=CANARY)
            try:
                enrich = Enrich({kind: Lane(kind, ask, gate)}, attempts_max=5)
                outcome = await enrich(task, Ticket(), NoTurn())
            except ProviderError as error:
                outcome = error
            return len(connections), outcome

    return asyncio.run(main())


class NoTurn:
    def begin(self):
        pass

    def end(self):
        pass


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_SECONDS_FIRST", 0.0)
    monkeypatch.setattr("processor.enrich.enrich.BACK_OFF_JITTER_SECONDS", 0.0)


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("kind", ["phone", "gpt"])
@pytest.mark.usefixtures("no_waiting")
def test_an_answer_that_will_not_change_is_paid_for_twice_at_most(kind, name):
    calls, error = calls_for(UNUSABLE[name], kind)

    code = "internal_error" if name.startswith("U+0000") else "provider_unavailable"
    assert (calls, isinstance(error, UnusableAnswer), error.code) == (2, True, code)
    assert "canary" not in str(error)


@pytest.mark.parametrize("name", ["HTML", "gzip that is cut", "JSON that is cut", "a chunk that is cut", "nothing"])
@pytest.mark.usefixtures("no_waiting")
def test_what_may_pass_is_asked_for_at_every_attempt(name):
    calls, error = calls_for(RUBBISH[name], "phone")

    assert (calls, type(error)) == (5, ProviderUnavailable)


@pytest.mark.parametrize("pieces", READABLE.values(), ids=READABLE)
def test_an_answer_that_can_be_read_all_the_same_is_paid_for_once(pieces):
    assert calls_for(pieces, "phone") == (1, json.loads(PHONE)[0])


@pytest.mark.parametrize(
    "more",
    [
        "[" * 190 + "]" * 190,
        '{"a":' * 190 + "1" + "}" * 190,
        "9" * 4000,
        "-" + "9" * 4000,
        "1.7976931348623157e308",
        "5e-324",
        "1e-400",
        f'"{"x" * (ANSWER_BYTES_MAX - 1000)}"',
        f'{{"{"x" * (ANSWER_BYTES_MAX - 1000)}":1}}',
        f"[{'0,' * (ANSWER_BYTES_MAX // 2 - 1000)}0]",
        f'["{"я" * 1_000_000}"]',
        '{"a":1,"a":2}',
        '"\\uffff\\ufffe\\ufdd0\\u0001\\u007f\\ud83d\\ude00\\\\u0000"',
        '{"":{"":[]}}',
    ],
    ids=lambda more: more[:20],
)
def test_what_is_taken_for_an_answer_postgresql_stores(database, more):
    answer = ask([whole(b'[{"qc":0,"more":%b}]' % more.encode())])
    assert isinstance(answer, dict)

    [(stored,)] = database.query("SELECT %s::jsonb -> 'qc'", to_json(answer).decode())

    assert stored == 0


@pytest.mark.parametrize("pieces", RUBBISH.values(), ids=RUBBISH)
@pytest.mark.parametrize("kind", ["phone", "gpt"])
def test_rubbish_is_no_answer_and_may_be_asked_for_again(kind, pieces):
    error = ask(pieces, kind)

    assert isinstance(error, UnexpectedAnswer) if b" 204 " in b"".join(pieces) else error.retryable


def test_a_header_that_is_nobodys_business_changes_nothing():
    [answer] = json.loads(PHONE)

    assert ask([whole(PHONE, b"Set-Cookie: canary=1; Domain=*", b"X-A: " + b"x" * 60_000)]) == answer
    assert ask([whole(b'[{"qc":1,"qc":0,"phone":"7"}]')]) == {"qc": 0, "phone": "7"}


@pytest.mark.parametrize(
    "piece",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"X-A: 1\r\n" * 1000, b"x: " + b"y" * 60_000],
    ids=["announcements", "headers", "one header"],
)
def test_an_answer_without_an_end_is_left_at_the_limit(piece):
    def endless():
        yield HEAD if piece[:1] in b"Xx" else b""
        while True:
            yield piece

    assert isinstance(ask(endless()), ProviderUnavailable)


def test_a_slow_drip_is_left_when_the_time_is_over_however_it_goes_on():
    async def main():
        async def drip(_, writer):
            with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
                for byte in whole(PHONE, b"X-A: " + b"a" * 1000):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)

        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            provider = provider_of("phone", url, partial(Wire().prepare, timeout_seconds=0.3))
            with pytest.raises(ProviderUnavailable, match="no answer within"), Line(Idle()) as line:
                await provider(CANARY, line)

    asyncio.run(main())


@pytest.mark.parametrize("status", [b"301", b"302", b"307", b"308"])
def test_where_a_redirect_leads_nobody_is_asked(status):
    async def main():
        async with served([whole(PHONE)]) as (inner, reached):
            answer = whole(b"", b"Location: " + inner.encode(), status=status + b" Elsewhere")
            return await asyncio.to_thread(ask, [answer]), reached

    error, reached = asyncio.run(main())

    assert isinstance(error, UnexpectedAnswer)
    assert reached == []


def test_an_answer_before_the_request_breaks_nothing():
    assert isinstance(ask([whole(PHONE)], ask_first=False), dict | ProviderError)


def test_a_trusted_certificate_for_another_name_is_told_nothing(tmp_path, monkeypatch):
    file, tls = certificate_for("DNS:elsewhere.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", file)

    error = ask([whole(PHONE)], tls=tls)

    assert isinstance(error, ProviderUnavailable) and str(error) == "its TLS certificate is not accepted"


def test_over_tls_too_an_answer_before_the_request_breaks_nothing(tmp_path, monkeypatch):
    file, tls = certificate_for("IP:127.0.0.1", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", file)

    assert isinstance(ask([whole(PHONE)], tls=tls, ask_first=False), dict | ProviderError)


WIRE = Wire()  # shared, because setting up TLS takes longer than everything else
PIECES = st.sampled_from(
    [
        *(HEAD, CHUNKED, b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", PHONE, whole(PHONE)),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\0", b"\xff"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(answer=st.lists(PIECES | st.binary(max_size=40), max_size=8))
def test_whatever_bytes_come_they_are_an_answer_or_a_failure_that_may_pass(answer):
    asked = ask(answer, timeout_seconds=0.5, wire=WIRE)

    assert isinstance(asked, dict | ProviderError)


def test_what_is_thrown_away_does_not_stay_in_memory():
    bombs = [
        HEAD + b"".join(b"x%d:\r\n" % number for number in range(400_000)),
        whole(b"[" * ANSWER_BYTES_MAX),
        whole(gzip.compress(b" " * (16 * ANSWER_BYTES_MAX) + PHONE), b"Content-Encoding: gzip"),
        CHUNKED + b"1\r\nx\r\n" * (ANSWER_BYTES_MAX // 6 + 1),
    ]
    tracemalloc.start()
    try:
        for bomb in bombs:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert isinstance(ask([bomb], wire=WIRE), ProviderUnavailable | UnusableAnswer)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 5 * ANSWER_BYTES_MAX
    finally:
        tracemalloc.stop()

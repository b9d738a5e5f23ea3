"""One suite over all providers with the real transport, against the simulators over real HTTP."""

import asyncio
import contextlib
import threading
from functools import partial

import pytest
from pydantic import SecretStr

from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    Misconfigured,
    ProviderUnavailable,
    TaskRejected,
    UnexpectedAnswer,
    UnusableAnswer,
)
from processor.enrich.providers.dadata import dadata
from processor.enrich.providers.wire import ANSWER_BYTES_MAX, Idle, Wire
from processor.enrich.providers.yandexgpt import yandexgpt
from sandbox.child import free_port
from tests.conftest import PATIENCE_SECONDS, until
from tests.integration.test_wire import Line

CANARY = "8 916 823 34 54 canary-7d1f"
KEYS = ("key-3c9a", "secret-3c9a")


def provider_of(kind, url, prepare, key=KEYS[0]):
    """Return the provider as the processor creates it."""
    if kind == "gpt":
        return yandexgpt(
            url=url, api_key=SecretStr(key), folder_id="folder", model="yandexgpt-lite/latest", prepare=prepare
        )
    return dadata(kind, kind, url=url, api_key=SecretStr(key), secret_key=SecretStr(KEYS[1]), prepare=prepare)


@contextlib.asynccontextmanager
async def opened(kind, url, timeout_seconds=PATIENCE_SECONDS, **options):
    """Yield the provider as a function of the data, over connections that are closed at the end."""
    provider = provider_of(kind, url, partial(Wire().prepare, timeout_seconds=timeout_seconds), **options)

    async def ask(data):
        with Line(idle) as line:
            return await provider(data, line)

    with contextlib.closing(Idle()) as idle:
        yield ask


def ask(kind, url, data=CANARY, within_seconds=PATIENCE_SECONDS, **options):
    """Call the provider once."""

    async def main():
        async with opened(kind, url, **options) as provider, asyncio.timeout(within_seconds):
            return await provider(data)

    return asyncio.run(main())


def refused(error_type, kind, url, **options):
    """Call the provider, check that it raises the error with no task data or key in its text, and return the error."""
    with pytest.raises(error_type) as raised:
        ask(kind, url, **options)
    assert not any(word in str(raised.value) for word in ("canary", *KEYS))
    return raised.value


@pytest.fixture(params=["phone", "email", "gpt"])
def kind(request):
    return request.param


def test_a_phone_is_cleaned(simulators):
    assert ask("phone", simulators.url, "8 916 823 34 54")["phone"] == "+7 916 823-34-54"


def test_an_email_is_cleaned(simulators):
    assert ask("email", simulators.url, "serega@yandex/ru")["email"] == "serega@yandex.ru"


def test_a_prompt_is_answered(simulators):
    answer = ask("gpt", simulators.url, "Столица России?")

    assert answer["alternatives"][0]["message"]["text"] == "Вы спросили: Столица России?"
    assert answer.keys() == {"alternatives", "usage", "modelVersion"}


@pytest.mark.parametrize("data", ["Ёлка 🌲 中文", 'кавычки " и \\ и \n', "8" * 10_000], ids=ascii)
def test_any_text_arrives_as_it_is(simulators, kind, data):
    ask(kind, simulators.url, data)

    assert simulators.requests()["answered"] == {data: 1}


STATUSES = {
    400: TaskRejected,
    401: AccountRefused,
    402: AccountRefused,
    403: AccountRefused,
    404: Misconfigured,
    405: Misconfigured,
    408: ProviderUnavailable,
    413: InputRejected,
    414: InputRejected,
    415: Misconfigured,
    418: UnexpectedAnswer,
    422: TaskRejected,
    429: ProviderUnavailable,
    500: ProviderUnavailable,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderUnavailable,
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_the_error_that_says_what_to_do(simulators, kind, status):
    simulators.control(faults=[{"kind": "status", "status": status}])

    error = refused(STATUSES[status], kind, simulators.url)

    assert type(error) is STATUSES[status]
    assert str(status) in str(error)
    assert simulators.calls(kind) == 1
    if isinstance(error, ProviderUnavailable):
        assert error.retryable
        assert error.retry_after_seconds is None


def test_status_501_is_not_worth_asking_again(simulators, kind):
    simulators.control(faults=[{"kind": "status", "status": 501}])

    assert not refused(ProviderUnavailable, kind, simulators.url).retryable


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_a_provider_asks_for_is_passed_on(simulators, kind, status):
    simulators.control(faults=[{"kind": "status", "status": status, "retry_after": 7}])

    assert refused(ProviderUnavailable, kind, simulators.url).retry_after_seconds == 7


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(simulators, kind, status):
    async def redirect(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {simulators.url}{path}\r\nContent-Length: 0\r\n\r\n"
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    async def main():
        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with opened(kind, f"http://127.0.0.1:{port}") as provider, asyncio.timeout(PATIENCE_SECONDS):
                await provider(CANARY)

    with pytest.raises(UnexpectedAnswer, match=str(status)):
        asyncio.run(main())

    assert simulators.calls(kind) == 0


def test_a_wrong_key_is_the_accounts_fault(simulators, kind):
    error = refused(AccountRefused, kind, simulators.url, key="wrong")

    assert "token" not in str(error), "DaData's own text repeats the key"


@pytest.mark.parametrize("fault", ["close", "cut", "junk", "wrong_shape", "huge", "nul"])
def test_an_answer_that_is_none_can_be_asked_for_again(simulators, kind, fault):
    simulators.control(faults=[{"kind": fault, "times": 1}])

    async def main():
        async with opened(kind, simulators.url) as provider, asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises((ProviderUnavailable, UnusableAnswer)) as raised:
                await provider(CANARY)
            await provider(CANARY)  # the connection can be reused or was replaced
        return raised.value

    error = asyncio.run(main())

    assert isinstance(error, UnusableAnswer) == (fault in ("wrong_shape", "huge", "nul"))
    assert "canary" not in str(error)
    assert simulators.requests()["providers"][kind][f"fault_{fault}"] == 1


def test_an_answer_that_is_too_large_is_not_read_to_its_end(simulators, kind):
    simulators.control(faults=[{"kind": "huge"}])

    assert str(ANSWER_BYTES_MAX) in str(refused(UnusableAnswer, kind, simulators.url))


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_an_answer_that_does_not_end_is_left_when_the_time_is_over(simulators, kind, fault):
    simulators.control(faults=[{"kind": fault, "times": 1}])

    async def main():
        async with opened(kind, simulators.url, timeout_seconds=1) as provider:
            with pytest.raises(ProviderUnavailable, match="no answer within 1 seconds"):
                await provider(CANARY)
            await provider(CANARY)  # the slot is free again

    asyncio.run(main())

    assert simulators.requests()["providers"][kind][f"fault_{fault}"] == 1


def test_the_content_filter_rejects_the_input(simulators):
    simulators.control(faults=[{"kind": "content_filter"}])

    refused(InputRejected, "gpt", simulators.url)


def test_a_retired_model_rejects_the_task_and_may_reject_all(simulators):
    simulators.control(yandexgpt_retired_models=["yandexgpt-lite/latest"])

    assert type(refused(TaskRejected, "gpt", simulators.url)) is TaskRejected


def test_a_truncated_answer_is_an_answer(simulators):
    simulators.control(faults=[{"kind": "truncated"}])

    assert ask("gpt", simulators.url)["alternatives"][0]["status"] == "ALTERNATIVE_STATUS_TRUNCATED_FINAL"


def test_no_connection_can_be_tried_again(kind):
    error = refused(ProviderUnavailable, kind, f"http://127.0.0.1:{free_port()}")

    assert error.retryable
    assert str(error) == "it refuses connections"


def test_a_host_that_does_not_exist_can_be_tried_again(kind):
    error = refused(ProviderUnavailable, kind, "http://provider.invalid")

    assert error.retryable
    assert str(error) == "its host name cannot be resolved"


def test_a_server_that_speaks_no_tls_can_be_tried_again(simulators, kind):
    error = refused(ProviderUnavailable, kind, simulators.url.replace("http:", "https:"))

    assert str(error) == "no TLS connection can be made"


def heard(kind, scheme="http"):
    """Return the request's head as a server receives it; the server closes the connection without an answer."""
    heads = []

    async def listen(reader, writer):
        with contextlib.closing(writer):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())

    async def main():
        async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
            async with opened(kind, f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}") as provider:
                with pytest.raises(ProviderUnavailable):
                    await provider(CANARY)

    asyncio.run(main())
    [head] = heads
    return head


def test_yandexgpt_is_told_on_the_wire_to_keep_nothing():
    assert "\r\nx-data-logging-enabled: false\r\n" in heard("gpt")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("written", [str.upper, str.lower])
def test_proxies_and_passwords_of_the_environment_are_ignored(simulators, kind, monkeypatch, tmp_path, name, written):
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login canary password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for no_proxy in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(no_proxy, raising=False)
    with Relay(simulators.url) as proxy:
        monkeypatch.setenv(written(name), proxy.url)

        ask(kind, simulators.url)
        refused(ProviderUnavailable, kind, simulators.url.replace("http:", "https:"))
        authorization = [line for line in heard(kind).split("\r\n") if line.startswith("authorization:")]

    assert proxy.connections == 0
    assert simulators.calls(kind) == 1
    assert authorization == [f"authorization: {'api-key' if kind == 'gpt' else 'token'} {KEYS[0]}"]


class Relay:
    """A TCP relay to the simulators that counts the connections it accepts."""

    def __init__(self, url):
        self._target = url.removeprefix("http://").split(":")
        self.connections = 0
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        assert self._serving.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._take, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._serving.set()
            await self._stop.wait()

    async def _take(self, reader, writer):
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))


async def _copy(reader, writer):
    with contextlib.closing(writer):
        while data := await reader.read(65536):
            writer.write(data)


def test_a_hundred_calls_one_after_the_other_open_one_connection(simulators, kind):
    simulators.control(latency_ms=0)

    async def main(url):
        async with opened(kind, url) as provider:
            for number in range(100):
                await provider(f"8 916 {number}")

    with Relay(simulators.url) as relay:
        asyncio.run(main(relay.url))

    assert relay.connections == 1
    assert simulators.calls(kind) == 100


def test_there_are_no_more_connections_than_there_were_calls_at_once(simulators, kind):
    async def main(url):
        async with opened(kind, url) as provider:
            for _ in range(10):
                await asyncio.gather(*(provider(f"8 916 {number}") for number in range(5)))

    with Relay(simulators.url) as relay:
        asyncio.run(main(relay.url))

    assert relay.connections == 5
    assert simulators.calls(kind) == 50
    assert simulators.requests()["most_in_flight"][kind] <= 5


def test_a_call_that_is_cancelled_is_over_for_the_provider_too(simulators, kind):
    simulators.control(faults=[{"kind": "hang", "times": 1}])

    async def main():
        async with opened(kind, simulators.url, timeout_seconds=3) as provider:
            hanging = asyncio.ensure_future(provider(CANARY))
            await asyncio.to_thread(until, lambda: simulators.calls(kind) == 1, "the request has arrived")
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            async with asyncio.timeout(PATIENCE_SECONDS):
                await provider(CANARY)

    asyncio.run(main())

    assert simulators.calls(kind) == 2

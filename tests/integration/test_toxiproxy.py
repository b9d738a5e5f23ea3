"""The effects of sandbox/toxiproxy.py on connections, seen by a client of an echo server."""

import contextlib
import socket
import threading

import pytest

from sandbox import toxiproxy as toxiproxy_module
from sandbox.child import free_port
from sandbox.toxiproxy import GoMissing, install

ANSWER_SECONDS = 0.5


@pytest.fixture
def echo_port():
    def serve():
        with contextlib.suppress(OSError):  # the listener is closed: the test is over
            while True:
                connection, _ = server.accept()
                threading.Thread(target=echo, args=(connection,)).start()

    def echo(connection):
        with connection, contextlib.suppress(ConnectionError):  # the tests cut connections
            while data := connection.recv(65536):
                connection.sendall(data)

    with socket.create_server(("127.0.0.1", free_port())) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def proxy(toxiproxy, echo_port):
    proxy = toxiproxy.proxy(f"echo-{echo_port}", free_port(), echo_port)
    yield proxy
    proxy.refuse()


def ask(proxy, connection=None, size=100):
    """Send `size` bytes and return the echo, or the name of what happens instead."""
    try:
        with contextlib.ExitStack() as closing:
            if connection is None:
                connection = closing.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(b"x" * size)
            answer = b""
            while len(answer) < size and (more := connection.recv(65536)):
                answer += more
            return answer
    except OSError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("toxic", "seen"),
    [
        (lambda proxy: proxy.delay(2000), "TimeoutError"),
        (lambda proxy: proxy.reset(), "ConnectionResetError"),
        (lambda proxy: proxy.silence(), "TimeoutError"),
        (lambda proxy: proxy.slice(64), b"x" * 100),
        (lambda proxy: proxy.cut_after(3, "downstream"), b"xxx"),
        (lambda proxy: proxy.refuse(), "ConnectionRefusedError"),
    ],
    ids=["delay", "reset", "silence", "slice", "cut after", "refuse"],
)
def test_a_toxic_is_in_force_until_it_is_cured(proxy, toxic, seen):
    assert ask(proxy) == b"x" * 100

    toxic(proxy)

    assert ask(proxy) == seen
    proxy.cure()
    assert ask(proxy) == b"x" * 100


def test_a_connection_that_is_there_is_cut_as_well(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        assert ask(proxy, connection) == b"x" * 100

        proxy.reset()

        assert ask(proxy, connection) in (b"", "ConnectionResetError", "BrokenPipeError")


def test_without_go_it_is_said_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(toxiproxy_module.shutil, "which", lambda _: None)

    with pytest.raises(GoMissing, match="Go, which is not installed"):
        install()

    assert list(tmp_path.iterdir()) == []

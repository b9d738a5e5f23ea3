"""The ports and the data of what the local stack starts."""

import shutil
import socket

import pytest

from sandbox.child import PORTS, port_or_free
from sandbox.services import Services


def test_a_port_is_given_if_nothing_listens_on_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        other = port_or_free(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()  # the server's side closes first, and so keeps the port for a while
            assert client.recv(1) == b""

    assert PORTS[0] <= other <= PORTS[1]
    assert port_or_free(port) == port


def test_a_port_is_not_given_if_something_listens_on_it_with_ipv6_only(monkeypatch):
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        address = server.getsockname()
        found = [(socket.AF_INET6, socket.SOCK_STREAM, 0, "", address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)

        assert port_or_free(address[1]) != address[1]


def test_what_is_written_while_the_data_is_deleted_is_deleted_too(tmp_path, monkeypatch):
    services = Services(tmp_path / "data", tmp_path / "logs")
    services.folder.mkdir()
    delete, late = shutil.rmtree, iter(["postgres"])

    def delete_and_write(folder, **options):
        delete(folder, **options)
        for name in late:
            (folder / name).mkdir(parents=True)
            break

    monkeypatch.setattr(shutil, "rmtree", delete_and_write)

    services.delete()

    assert not services.folder.exists()

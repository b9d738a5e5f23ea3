"""nginx with the project's edge/ configuration in front of gateways, and callers that send raw bytes to it."""

import contextlib
import http.client
import re
import shutil
import socket
import tempfile
from pathlib import Path

import httpx

from sandbox.child import Child, accepts, free_port

EDGE = Path(__file__).parents[1] / "edge"
PATIENCE_SECONDS = 20

HEALTH = b"GET /health/live HTTP/1.1\r\nHost: gateway\r\n\r\n"
BODY = b'{"task_id": 1, "task_type": "phone", "data": "canary-7d1f"}'
HEAD = b"POST /tasks HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
POST = HEAD + b"Content-Length: %d\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
TASK = POST % len(BODY) + BODY
LARGE_PAGE = b"GET /assets/vendor/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: gateway\r\n\r\n"


class ProgramMissing(Exception):
    """A program is not installed. The message says how to install it."""


def find_program(name, package):
    """Return the path of a program that this package of Debian brings.

    Raises:
        ProgramMissing: it is not installed.
    """
    path = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if path is None:
        raise ProgramMissing(
            f"{name} is missing: tools/install.sh tests installs it (on Debian: apt-get install {package})"
        )
    return path


def find_nginx():
    return find_program("nginx", "nginx-light")


class Edge(Child):
    """nginx with edge/nginx.conf and edge/default.conf.template, filled in as nginx's image does it."""

    def __init__(self, folder, gateway, *, resolver="127.0.0.1", connections_per_address=20_000, faster=(), tls=""):
        """Write the configuration into the folder.

        Args:
            folder: for everything that nginx writes.
            gateway: host:port.
            resolver: address of the DNS server that knows the host.
            connections_per_address: limit of one address's connections that carry a request.
            faster: pairs of a text in the configuration and its replacement, which has a shorter time, for quick tests.
            tls: content of edge/tls/tls.conf.
        """
        self.port = free_port()
        (folder / "conf.d").mkdir()
        (folder / "tls").mkdir()
        (folder / "tls" / "tls.conf").write_text(tls)
        filled = {
            "EDGE_PORT": f"127.0.0.1:{self.port}",
            "EDGE_GATEWAY": gateway,
            "EDGE_RESOLVER": resolver,
            "EDGE_CONNECTIONS_PER_ADDRESS": str(connections_per_address),
            "REPLY_TIMEOUT_SECONDS": "60",
        }
        server = re.sub(r"\$\{(\w+)\}", lambda name: filled[name[1]], (EDGE / "default.conf.template").read_text())
        for value, shorter in faster:
            assert value in server
            server = server.replace(value, shorter)
        (folder / "conf.d" / "default.conf").write_text(server.replace("/etc/nginx/tls", f"{folder}/tls"))
        main = (EDGE / "nginx.conf").read_text().replace(" /tmp/", f" {folder}/")
        (folder / "nginx.conf").write_text(main.replace("/etc/nginx/conf.d", f"{folder}/conf.d"))
        command = [find_nginx(), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
        super().__init__("nginx", command, folder / "nginx.log", folder=folder)


@contextlib.contextmanager
def running_edge(gateway, **options):
    """Run nginx in front of the gateway at host:port until the block ends. The options are those of Edge."""
    with tempfile.TemporaryDirectory(prefix="edge-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers, which are not root, must read it
        edge = Edge(folder, gateway, **options)
        try:
            edge.start()
            edge.wait_until(lambda: accepts(edge.port))
            yield edge
        finally:
            edge.stop()


class Caller:
    """A socket to the edge or to a gateway."""

    def __init__(self, port, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *parts):
        """Send each part as its own packet. Ignore that the peer has closed the connection."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                self.socket.sendall(part)
        return self

    def answer(self):
        """Return the next answer."""
        status_line = self.file.readline()
        assert status_line, "closed without an answer"
        headers = http.client.parse_headers(self.file)
        content = self.file.read(int(headers["content-length"]))
        return httpx.Response(int(status_line.split()[1]), headers=headers.items(), content=content)

    def is_closed(self):
        """Wait until the peer closes the connection or sends data, and return whether it sent nothing."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:  # the peer had not read everything
            return True

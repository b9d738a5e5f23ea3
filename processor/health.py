"""The processor's HTTP port: health and metrics, for orchestrators and Prometheus."""

import json
import threading
from collections.abc import Callable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

REQUEST_SECONDS = 5.0
"""After this long a client that sends nothing is disconnected."""

Missing = Callable[[], list[str]]
"""Returns what is missing, in words; empty if healthy."""


def serve_health(port: int, *, live: Missing, ready: Missing, shown: Callable[[], dict[str, Any]]) -> None:
    """Serve `/health/live`, `/health/ready` and `/metrics` from a daemon thread, for as long as the process lives.

    A provider that does not answer is shown, but does not cause a 503: another processor would fare no better. Records
    that are held do not cause one either: the others go on.

    Args:
        port: port to listen on.
        live: what is missing so that only a restart helps.
        ready: what is missing so that no records are processed.
        shown: returns the fields of `/health/ready` besides `status` and `missing`.

    Raises:
        OSError: the port is in use.
    """
    metrics = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        match environ["PATH_INFO"]:
            case "/health/live":
                return _answer(start_response, live(), {})
            case "/health/ready":
                return _answer(start_response, ready(), shown())
            case "/metrics":
                return metrics(environ, start_response)
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"see /health/live, /health/ready and /metrics\n"]

    server = make_server("", port, application, _Server, _Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


def _answer(start_response: Any, missing: list[str], more: dict[str, Any]) -> list[bytes]:
    start_response("503 Service Unavailable" if missing else "200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"status": "missing" if missing else "ok", "missing": missing, **more}).encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without the base class's DNS lookup of this machine's name, which can take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "processor", self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send only the status's standard text, because the base class repeats the request."""
        super().send_error(code)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Log nothing: probes come every few seconds."""

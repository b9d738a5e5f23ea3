"""The processor's HTTP port: health and metrics, for orchestrators and Prometheus."""

import json
import threading
from collections.abc import Callable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

REQUEST_SECONDS = 5.0
"""After which a client that sends nothing is hung up on."""

Missing = Callable[[], list[str]]
"""Answers what is missing, in words; nothing is well."""


def serve_health(port: int, *, live: Missing, ready: Missing, shown: Callable[[], dict[str, Any]]) -> None:
    """Answer `/health/live`, `/health/ready` and `/metrics` from a daemon thread, for as long as the process lives.

    A provider that does not answer is shown and is no reason for 503: another processor would be no better off. Neither
    are records that are held: the others go on.

    Args:
        port: where to listen.
        live: what is missing for the process to go on; a restart would help.
        ready: what is missing for it to work.
        shown: answers what `/health/ready` has besides `status` and `missing`.

    Raises:
        OSError: the port is taken.
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
                return [b"/health/live, /health/ready and /metrics are here\n"]

    server = make_server("", port, application, _Server, _Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


def _answer(start_response: Any, missing: list[str], more: dict[str, Any]) -> list[bytes]:
    start_response("503 Service Unavailable" if missing else "200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"status": "missing" if missing else "ok", "missing": missing, **more}).encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, as the base class does: that can take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "processor", self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in the status's own words: the base class repeats the request."""
        super().send_error(code)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Log nothing: a probe every few seconds is no news."""

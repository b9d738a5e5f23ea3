"""The composition root: Kafka, the application and uvicorn's server, in one process."""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from gateway.app import create_app, stop_waiting
from gateway.http1 import Http1
from gateway.kafka.kafka import Kafka
from gateway.kafka.tasks_out import SEND_SECONDS_MAX
from gateway.metrics import CONNECTIONS
from gateway.settings import GatewaySettings
from shared.command_line import refuse
from shared.garbage import keep_what_exists
from shared.logs import configure_logs

logger = logging.getLogger("gateway")

SHUTDOWN_SECONDS = 8.0
"""How long requests may wait for their reply during a stop. Then they are answered that it is still to come."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than a load balancer's usual minute, so that it closes first."""

SPARE_FILES = 1_000
"""Files that the process opens in addition to one for each waiting request: health checks, pages, Kafka."""


class Untraced:
    """Stands in for TracedGateway where traces are off."""

    kafka = Kafka

    def app(self, app: Any) -> Any:
        """Return the application as it is."""
        return app

    def close(self) -> None:
        """Close nothing."""


def main(settings: GatewaySettings) -> None:
    """Run the gateway; exits with 0 after a stop, 2 if it cannot listen at its address."""
    configure_logs(settings.log_level, settings.log_format)
    traced = spans(settings)
    serve(settings, traced.kafka(settings), traced)


def spans(settings: GatewaySettings) -> Any:
    """Return the parts that make spans of requests and tasks. If traces are off, OpenTelemetry is not imported."""
    if settings.otel_exporter_otlp_endpoint is None:
        return Untraced()
    from gateway.traces import TracedGateway

    return TracedGateway()


def serve(settings: GatewaySettings, kafka: Kafka, traced: Any) -> None:
    """Serve until SIGTERM; exits with 2 if it cannot listen at the address."""
    try:
        listener = socket.create_server(
            (settings.gateway_host, settings.gateway_port),
            family=socket.AF_INET6 if ":" in settings.gateway_host else socket.AF_INET,
            backlog=2048,
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
        reason = error.strerror if isinstance(error, OSError) else "is not a host"
        refuse("gateway", f"GATEWAY_HOST and GATEWAY_PORT: {settings.gateway_host}:{settings.gateway_port}: {reason}")
    if settings.gateway_auth == "none":
        logger.warning("GATEWAY_AUTH=none: anyone who reaches this gateway may send tasks")
    app = create_app(settings, kafka)
    allow_open_files(settings.waiting_replies_max + SPARE_FILES)
    server = Server(
        server_configuration(settings, traced.app(app)), stop_waiting=lambda: stop_waiting(app), traced=traced
    )
    CONNECTIONS.set_function(lambda: len(server.server_state.connections))
    logger.info("started: http://%s:%d", settings.gateway_host, settings.gateway_port)
    keep_what_exists()  # each collection of it would stop all requests for 50 ms (measured)
    server.run(sockets=[listener])


def server_configuration(settings: GatewaySettings, app: Any) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=Http1,
        ws="none",
        log_config=None,
        log_level="error",  # its warnings are about callers' mistakes
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(SEND_SECONDS_MAX) + 1,
    )


def allow_open_files(wanted: int) -> None:
    """Let the process open as many files as the system allows, and log if that is fewer than wanted."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    if files_max < wanted:
        logger.warning(
            "WAITING_REPLIES_MAX needs %d open files, and the limit is %d: raise it "
            "(ulimit -n, in Docker ulimits.nofile)",
            wanted,
            files_max,
        )


class Server(uvicorn.Server):
    """uvicorn's server, which lets waiting requests end during a stop."""

    def __init__(self, config: uvicorn.Config, *, stop_waiting: Callable[[], None], traced: Any) -> None:
        """Serve. `stop_waiting` is called SHUTDOWN_SECONDS after a stop begins; `traced` is closed at its end."""
        super().__init__(config)
        self._stop_waiting = stop_waiting
        self._traced = traced

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more requests, and let those under way end."""
        logger.info("stopping")
        asyncio.get_running_loop().call_later(SHUTDOWN_SECONDS, self._stop_waiting)
        await super().shutdown(sockets)
        await asyncio.to_thread(self._traced.close)  # here, because uvicorn's run does not return after a signal
        logger.info("stopped")

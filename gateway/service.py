"""The composition root: Kafka, the application and uvicorn's server, in one process."""

import asyncio
import gc
import logging
import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from gateway.app import create_app, stop_waiting
from gateway.kafka.kafka import Kafka
from gateway.kafka.tasks_out import SEND_SECONDS_MAX
from gateway.metrics import CONNECTIONS
from gateway.replies import REMEMBERED_MAX, REMEMBERED_SECONDS
from gateway.settings import GatewaySettings
from shared.command_line import refuse
from shared.logs import configure_logs
from shared.topics import topic_configurations

logger = logging.getLogger("gateway")

SHUTDOWN_SECONDS = 8.0
"""How long requests may go on waiting for their reply during a stop. Then they are told that it is still to come."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than a load balancer's usual minute, so that it closes first."""

SPARE_FILES = 1_000
"""Files that the process opens besides one for each waiting request: health checks, pages, Kafka's connections."""

COLLECT_OBJECTS = 10_000
"""New objects between two looks for garbage in cycles: Python's 700 are less than one turn of a busy event loop makes,
and requests leave none."""


class Untraced:
    """Puts nothing around the gateway: traces are off."""

    kafka = Kafka

    def app(self, app: Any) -> Any:
        """Return the application as it is."""
        return app

    def close(self) -> None:
        """Close nothing."""


def main(settings: GatewaySettings) -> None:
    """Run the gateway; exits with 0 after a stop, 2 where it cannot listen at its address."""
    configure_logs(settings.log_level, settings.log_format)
    traced = spans(settings)
    kafka = traced.kafka(
        settings.kafka_connection(),
        import_topic=settings.kafka_import_topic,
        dead_letter_topic=settings.kafka_dead_letter_topic,
        topics=topic_configurations(settings),
        partitions=settings.kafka_topic_partitions,
        remembered_seconds=REMEMBERED_SECONDS,
        remembered_max=REMEMBERED_MAX,
    )
    serve(settings, kafka, traced)


def spans(settings: GatewaySettings) -> Any:
    """Return what makes spans of requests and tasks. Where traces are off OpenTelemetry is not even imported."""
    if settings.otel_exporter_otlp_endpoint is None:
        return Untraced()
    from gateway.traces import TracedGateway

    return TracedGateway()


def serve(settings: GatewaySettings, kafka: Kafka, traced: Any) -> None:
    """Serve until SIGTERM; exits with 2 where the address cannot be listened at."""
    try:
        listener = socket.create_server(
            (settings.gateway_host, settings.gateway_port),
            family=socket.AF_INET6 if ":" in settings.gateway_host else socket.AF_INET,
            backlog=2048,
        )
    except (OSError, UnicodeError) as error:  # the latter of what can be no host's name
        reason = error.strerror if isinstance(error, OSError) else "is no host"
        refuse("gateway", f"GATEWAY_HOST and GATEWAY_PORT: {settings.gateway_host}:{settings.gateway_port}: {reason}")
    if settings.gateway_auth == "none":
        logger.warning("GATEWAY_AUTH=none: whoever reaches this gateway may send tasks")
    app = create_app(settings, kafka)
    allow_open_files(settings.waiting_replies_max + SPARE_FILES)
    server = Server(
        server_configuration(settings, traced.app(app)), stop_waiting=lambda: stop_waiting(app), traced=traced
    )
    CONNECTIONS.set_function(lambda: len(server.server_state.connections))
    logger.info("started: http://%s:%d", settings.gateway_host, settings.gateway_port)
    # What is there now stays: to go through it again and again stops all requests for 50 ms each time (measured).
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS)
    server.run(sockets=[listener])


def server_configuration(settings: GatewaySettings, app: Any) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="h11",  # httptools drops the body of a request that offers HTTP/2, as every POST of Java's client does
        ws="none",
        log_config=None,
        log_level="error",  # its warnings are about what callers send
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(SEND_SECONDS_MAX) + 1,
    )


def allow_open_files(wanted: int) -> None:
    """Let the process open as many files as the system allows, and log it where they are fewer than wanted."""
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
    """uvicorn's server, which in a stop does not cut off the requests that wait longest."""

    def __init__(self, config: uvicorn.Config, *, stop_waiting: Callable[[], None], traced: Any) -> None:
        """Serve, call `stop_waiting` when SHUTDOWN_SECONDS of a stop are over, and close `traced` at last."""
        super().__init__(config)
        self._stop_waiting = stop_waiting
        self._traced = traced

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and let those that are there end."""
        logger.info("stopping")
        asyncio.get_running_loop().call_later(SHUTDOWN_SECONDS, self._stop_waiting)
        await super().shutdown(sockets)
        await asyncio.to_thread(self._traced.close)  # here, as uvicorn's run does not return from a signal
        logger.info("stopped")

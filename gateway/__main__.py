"""`python -m gateway`: serves the REST interface until SIGTERM."""

import signal
import sys

# Before the imports, which take a while: a stop at any moment from the first is a clean one. uvicorn takes the signals
# over while it serves, and gives them back when it has stopped.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

import argparse
import logging
import socket

import uvicorn

from gateway.app import create_app
from gateway.settings import GatewaySettings
from shared.logs import configure_logs
from shared.settings import WrongSettings, read_settings

logger = logging.getLogger("gateway")

SHUTDOWN_SECONDS = 10
"""How long a stop waits for requests that wait for their reply."""

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than a load balancer's usual minute, so that it closes first."""


def main() -> None:
    """Run the gateway; exits with 0 after a stop, 2 where a setting is missing or wrong."""
    argparse.ArgumentParser(
        prog="python -m gateway",
        description="Takes tasks by REST, puts them on the import topic and answers with their results. Settings come "
        "from the environment: see README.md.",
    ).parse_args()
    try:
        settings = read_settings(GatewaySettings)
    except WrongSettings as error:
        sys.exit(_wrong(str(error)))
    configure_logs(settings.log_level, settings.log_format)
    try:
        listener = socket.create_server(
            (settings.gateway_host, settings.gateway_port),
            family=socket.AF_INET6 if ":" in settings.gateway_host else socket.AF_INET,
            backlog=2048,
        )
    except OSError as error:
        address = f"{settings.gateway_host}:{settings.gateway_port}"
        sys.exit(_wrong(f"GATEWAY_HOST and GATEWAY_PORT: {address}: {error.strerror}"))
    if settings.gateway_auth == "none":
        logger.warning("GATEWAY_AUTH=none: whoever reaches this gateway may send tasks")
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            loop="uvloop",
            http="httptools",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    logger.info("started: http://%s:%d", settings.gateway_host, settings.gateway_port)
    try:
        server.run(sockets=[listener])
    finally:  # uvicorn raises the signal again that stopped it
        logger.info("stopped")


def _wrong(problem: str) -> int:
    print(f"gateway: {problem}", file=sys.stderr)  # noqa: T201 - before there is a log, for a person
    return 2


if __name__ == "__main__":
    main()

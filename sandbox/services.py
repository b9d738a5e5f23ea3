"""The one place that starts real services: Kafka, PostgreSQL, and Python modules beside them."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from sandbox.child import Child, free_port
from sandbox.kafka import Kafka, KafkaCluster
from sandbox.postgres import Postgres

ROOT = Path(__file__).parents[1]

DELETE_SECONDS = 10.0
"""How long the deletion of the data is repeated while something still writes to it."""


class Services:
    """Kafka, PostgreSQL and modules for the sandbox, the benchmark and the fault runs, all on 127.0.0.1 only."""

    def __init__(
        self,
        folder: Path,
        logs: Path,
        *,
        outlive: bool = False,
        proxied_port: int | None = None,
        brokers: int = 1,
        kafka_port: int | None = None,
        postgres_port: int | None = None,
    ) -> None:
        """Choose ports without starting anything.

        Args:
            folder: for the data.
            logs: folder for the logs.
            outlive: whether the services keep running after this process ends.
            proxied_port: port at which clients reach a single broker through a proxy.
            brokers: number of Kafka's brokers: 1, or odd.
            kafka_port: port of a single broker; None chooses one.
            postgres_port: PostgreSQL's port; None chooses one.
        """
        self.folder = folder
        self.logs = logs
        self.kafka: Kafka | KafkaCluster
        if brokers == 1:
            self.kafka = Kafka(folder, logs, outlive=outlive, proxied_port=proxied_port, port=kafka_port)
            self.brokers: list[Kafka] = [self.kafka]
        else:
            self.kafka = KafkaCluster(folder, logs, brokers=brokers)
            self.brokers = self.kafka.brokers
        self.postgres = Postgres(folder, logs, outlive=outlive, port=postgres_port)
        self.children: list[Child] = []
        """Everything that was started, in this order."""
        self._outlive = outlive

    def start_servers(self, database: str, user: str, password: str) -> None:
        """Start Kafka and PostgreSQL, and create a database with the schema and a role that may use it.

        Raises:
            sandbox.child.NotReady: one of them does not become ready.
        """
        servers: list[Kafka | Postgres] = [*self.brokers, self.postgres]
        for server in servers:
            self.children.append(server)
            server.start_soon()
        self.postgres.wait()
        self.postgres.create_database(database)
        self.postgres.apply_schema(database)
        self.postgres.create_processor(user, password)
        for broker in self.brokers:
            broker.wait()

    def start_module(self, name: str, *arguments: str, environment: Mapping[str, str] = {}) -> Child:
        """Start `python -m ARGUMENTS` without waiting for it; its log is NAME.log."""
        child = Child(
            name,
            [sys.executable, "-m", *arguments],
            self.logs / f"{name}.log",
            environment={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
            folder=ROOT,
            outlive=self._outlive,
        )
        self.children.append(child)
        child.start()
        return child

    def start_provider(self, module: str, path: str, *options: str, port: int | None = None) -> tuple[Child, str]:
        """Start a simulated provider, wait until its path answers, and return it with its URL."""
        port = port or free_port()
        url = f"http://127.0.0.1:{port}"
        child = self.start_module(module, module, "--port", str(port), *options)
        child.wait_until(lambda: answers(f"{url}{path}"))
        return child, url

    def start_simulators(self, *options: str, port: int | None = None) -> tuple[Child, str]:
        """Start the provider simulators, wait until they answer, and return them with their URL."""
        return self.start_provider("sandbox.simulators", "/health", *options, port=port)

    def stop(self) -> None:
        """Stop everything, the newest first so that each program can finish its work."""
        for child in reversed(self.children):
            child.resume()
            child.stop()

    def delete(self) -> None:
        """Stop everything, and delete the data."""
        self.stop()
        give_up_at = time.monotonic() + DELETE_SECONDS
        # If Ctrl-C has ended initdb, the server that it had started still writes for a moment.
        while self.folder.exists() and time.monotonic() < give_up_at:
            shutil.rmtree(self.folder, ignore_errors=True)
            time.sleep(0.02)


def new_folder(name: str) -> Path:
    """Return a new folder for data. PostgreSQL does not run as root, so it cannot be in a checkout below /root."""
    folder = Path(tempfile.mkdtemp(prefix=f"integration-service-{name}-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with 200."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False

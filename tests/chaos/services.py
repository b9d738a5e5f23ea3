"""The services of the fault runs: real Kafka and PostgreSQL, simulated providers, and a proxy in front of each."""

import contextlib
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from rich.console import Console

from sandbox.child import NotReady, free_port
from sandbox.kafka import Kafka, KafkaCluster
from sandbox.services import ROOT, Services, new_folder
from sandbox.toxiproxy import Proxy, Toxiproxy

DATABASE_USER = "integration_processor"
READY_SECONDS = 60.0
ANSWER_SECONDS = 2.0


class FaultServices(Services):
    """Kafka, PostgreSQL and the providers' simulators. The programs reach each but three brokers through a proxy."""

    def __init__(self, folder: Path, *, brokers: int = 1) -> None:
        """Choose ports; start nothing yet."""
        super().__init__(folder, folder / "logs", proxied_port=free_port(), brokers=brokers)
        self.toxiproxy = Toxiproxy(self.logs)
        self.proxies: dict[str, Proxy] = {}
        self.password = secrets.token_urlsafe(16)

    def start(self) -> None:
        """Start everything and wait until it is ready. Call this from the main thread.

        Raises:
            sandbox.child.NotReady: something is not ready in time.
        """
        self.children.append(self.toxiproxy)
        self.toxiproxy.start()
        self.start_servers("tasks", DATABASE_USER, self.password)
        _, url = self.start_simulators()
        self.simulators_client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        upstream_ports = {
            "PostgreSQL": (free_port(), self.postgres.port),
            "providers": (free_port(), int(url.rpartition(":")[2])),
        }
        if isinstance(self.kafka, Kafka):
            upstream_ports["Kafka"] = (self.kafka.proxied_port or free_port(), self.kafka.upstream_port)
        self.proxies = {name: self.toxiproxy.proxy(name, *ports) for name, ports in upstream_ports.items()}

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's addresses for the programs."""
        proxy = self.proxies.get("Kafka")
        return self.kafka.bootstrap_servers if proxy is None else f"127.0.0.1:{proxy.port}"

    def close(self) -> None:
        """Stop everything, whatever state it is in, and close the clients."""
        if isinstance(self.kafka, KafkaCluster):
            self.kafka.stop()
        self.stop()
        if self.proxies:
            self.simulators_client.close()
        self.toxiproxy.close()

    def control(self, **settings: object) -> None:
        """Set the behaviour of the simulated providers."""
        self.simulators_client.put("/_control", json=settings).raise_for_status()

    def paid(self) -> Counter[str]:
        """Return how often each input was answered and so paid for."""
        return Counter(self.counts().json()["answered"])

    def counts(self) -> httpx.Response:
        """Return the simulators' counts. Parsing them takes a while."""
        return self.simulators_client.get("/_requests").raise_for_status()


@contextlib.contextmanager
def running(services: FaultServices) -> Iterator[FaultServices]:
    """Run the services until the block ends; nothing is left running, even if it raises."""
    try:
        services.start()
        yield services
    finally:
        services.close()


def run_alone(name: str, console: Console, work: Callable[[FaultServices], bool], *, brokers: int = 1) -> int:
    """Do the work with its own services, and return the exit code of the program: 0 if `work` returns true.

    Otherwise the logs of all programs are kept in .sandbox/NAME.
    """
    kept = ROOT / ".sandbox" / name
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job starts with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    folder = new_folder(name)
    well = False
    try:
        starting = console.status("Starting Kafka, PostgreSQL, providers and proxies")
        with starting, running(FaultServices(folder, brokers=brokers)) as services:
            well = work(services)
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return 130
    except NotReady as error:
        console.print(f"[bold red]Failed:[/bold red] {error}", highlight=False)
        return 1
    finally:
        if not well:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder / "logs", kept, dirs_exist_ok=True)
            console.print(f"Logs: {kept}", highlight=False, soft_wrap=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


def wait_for(
    condition: Callable[[], object],
    what: str,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = READY_SECONDS,
) -> None:
    """Wait until the condition returns something true, and call `meanwhile` between attempts.

    Raises:
        NotReady: the condition is not met within this time.
    """
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise NotReady(f"not within {seconds:g} seconds: {what}")
        meanwhile()
        time.sleep(0.05)

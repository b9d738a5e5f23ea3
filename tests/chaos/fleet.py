"""The programs of one fault run: processors and gateways that come and go, with topics and a database of their own."""

import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.child import STOP_SECONDS, Child, free_port
from sandbox.stack import answers
from shared.topics import DEAD_LETTER_BYTES_MAX
from tests.chaos.judge import Cut, Exit
from tests.chaos.services import ANSWER_SECONDS, DATABASE_USER, ROOT, Services, wait_for

PARTITIONS = 12

SETTINGS = {
    "DADATA_REQUESTS_PER_SECOND": "0",
    "DADATA_CONCURRENT_REQUESTS": "32",
    "IN_FLIGHT_MAX": "500",
    # A provider that hangs is given up soon, so that a fault of seconds is over in seconds.
    "PROVIDER_TIMEOUT_SECONDS": "2",
    "YANDEXGPT_TIMEOUT_SECONDS": "3",
    "REPLY_TIMEOUT_SECONDS": "30",
    "LOG_LEVEL": "DEBUG",
}


class Program(Child):
    """A processor or a gateway."""

    wanted = False
    """Whether it ought to be running: whoever ends it on purpose says so first."""

    url = ""

    def ready(self) -> bool:
        """Tell whether it says that it is ready."""
        return answers(f"{self.url}/health/ready")

    def in_flight(self) -> int:
        """Return how many records it has taken and not finished.

        Raises:
            httpx.TransportError: it does not answer.
        """
        metrics = httpx.get(f"{self.url}/metrics", timeout=ANSWER_SECONDS, trust_env=False).text
        [found] = re.findall(r"^integration_in_flight_records (\S+)$", metrics, re.M)
        return int(float(found))


class Fleet:
    """The programs of one run with topics and a database of their own. Everything is called from the main thread."""

    def __init__(self, services: Services, name: str, *, latency_ms: object = 100, **settings: str) -> None:
        """Make topics and database; no program is started.

        Args:
            services: what the programs work with; started.
            name: of the run; differs from every other's at these services.
            latency_ms: how long the providers take, or [least, most].
            settings: what the programs find in their environment besides SETTINGS.
        """
        self.services = services
        self.name = name
        self.imports, self.results, self.dead_letters = f"{name}-tasks", f"{name}-results", f"{name}-tasks-dlt"
        self.group = f"{name}-group"
        self.latency_ms = latency_ms
        self.replicas: list[Program] = []
        self.gateways: list[Program] = []
        self.exits: list[Exit] = []
        self.cuts: list[Cut] = []
        self.round = 0
        self._settings = settings
        self._numbers = Counter[str]()
        self._admin = AdminClient({"bootstrap.servers": services.kafka.bootstrap_servers, "log_level": 0})
        new = [NewTopic(topic, PARTITIONS) for topic in (self.imports, self.results)]
        larger = {"max.message.bytes": str(DEAD_LETTER_BYTES_MAX)}
        new.append(NewTopic(self.dead_letters, PARTITIONS, config=larger))
        for made in self._admin.create_topics(new).values():
            made.result(30)
        services.postgres.create_database(name, template="postgres")
        services.simulators_client.delete("/_requests").raise_for_status()
        self.providers_well()

    @property
    def conninfo(self) -> str:
        """libpq's connection string past the proxy, as administrator."""
        return self.services.postgres.conninfo(self.name)

    def providers_well(self, *faults: dict[str, object]) -> None:
        """Let the providers answer as they should, or with these faults only."""
        self.services.control(latency_ms=self.latency_ms, remember_inputs=True, faults=list(faults))

    def add(self, package: str) -> Program:
        """Start one more processor or gateway; it may not be ready yet."""
        self._numbers[package] += 1
        port = free_port()
        name = f"{package}-{self._numbers[package]}"
        program = Program(
            name,
            [sys.executable, "-m", package],
            self.services.logs / f"{self.name}-{name}.log",
            environment={**self._environment(), "PROCESSOR_HTTP_PORT": str(port), "GATEWAY_PORT": str(port)},
            folder=ROOT,
        )
        program.url = f"http://127.0.0.1:{port}"
        (self.replicas if package == "processor" else self.gateways).append(program)
        self.start(program)
        return program

    def start(self, program: Program) -> None:
        """Start a program of the fleet, again or for the first time."""
        program.start()
        program.wanted = True

    def wait(self) -> None:
        """Wait until all programs are ready.

        Raises:
            sandbox.child.NotReady: one is not.
        """
        for program in self.replicas + self.gateways:
            wait_for(program.ready, f"{program.name} to be ready. {program.tail()}", self.supervise)

    def divided(self) -> bool:
        """Tell whether Kafka has divided the partitions among all processors, and none comes or goes."""
        try:
            group = self._admin.describe_consumer_groups([self.group])[self.group].result(ANSWER_SECONDS)
        except (KafkaException, TimeoutError):
            return False
        shares = [len(member.assignment.topic_partitions) for member in group.members]
        whole = len(shares) == len(self.replicas) and all(shares) and sum(shares) == PARTITIONS
        return group.state == ConsumerGroupState.STABLE and whole

    def kill(self, *programs: Program) -> None:
        """Kill processors at once, and note what they had in flight."""
        self.note_cuts(programs)
        for program in programs:
            program.wanted = False
            program.kill()

    def stop(self, *programs: Program) -> None:
        """Stop programs cleanly, all at once; one that does not end with code 0 counts as an unasked exit."""
        for program in programs:
            program.wanted = False
            program.resume()
        for program in programs:
            program.send_signal(signal.SIGTERM)
        for program in programs:
            give_up_at = time.monotonic() + STOP_SECONDS
            while program.running and time.monotonic() < give_up_at:
                time.sleep(0.02)
            program.kill()  # where it has not ended
            if program.returncode != 0:
                self.exits.append(Exit(self.round, program.name, program.returncode))

    def remove(self, *programs: Program) -> None:
        """Stop processors cleanly, for good."""
        self.stop(*programs)
        self.replicas = [replica for replica in self.replicas if replica not in programs]

    def note_cuts(self, programs: Iterable[Program]) -> None:
        """Note what these processors have in flight at the moment in which they are killed or cut off."""
        now = time.time()
        self.cuts += [Cut(self.round, now, program.in_flight()) for program in programs]

    def pick(self, chance: random.Random) -> Program:
        """Return one of the processors."""
        return chance.choice(self.replicas)

    def supervise(self) -> None:
        """Note programs that ended by themselves, and start them again as an orchestrator would."""
        for program in self.replicas + self.gateways:
            if program.wanted and not program.running:
                self.exits.append(Exit(self.round, program.name, program.returncode))
                program.start()

    def end(self) -> None:
        """End all programs, whatever state they are in."""
        for program in self.replicas + self.gateways:
            program.wanted = False
            program.kill()

    def logs(self) -> list[Path]:
        """Return the logs of everything: of the programs and of the services."""
        return sorted(self.services.logs.glob("*.log"))

    def _environment(self) -> dict[str, str]:
        proxies = self.services.proxies
        providers = f"http://127.0.0.1:{proxies['providers'].port}"
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{proxies['Kafka'].port}",
            "KAFKA_IMPORT_TOPIC": self.imports,
            "KAFKA_RESULT_TOPIC": self.results,
            "KAFKA_CONSUMER_GROUP": self.group,
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(proxies["PostgreSQL"].port),
            "POSTGRES_USER": DATABASE_USER,
            "POSTGRES_PASSWORD": self.services.password,
            "POSTGRES_DB": self.name,
            "DADATA_API_KEY": "key",
            "DADATA_SECRET_KEY": "secret",
            "DADATA_URL": providers,
            "YANDEXGPT_API_KEY": "key",
            "YANDEXGPT_FOLDER_ID": "folder",
            "YANDEXGPT_URL": providers,
            "GATEWAY_HOST": "127.0.0.1",
            **SETTINGS,
            **self._settings,
        }

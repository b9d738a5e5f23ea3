"""The programs of one fault run: processors and gateways that come and go, with their own topics and database."""

import contextlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from sandbox.child import STOP_SECONDS, Child, accepts, free_port
from sandbox.services import ROOT, answers
from shared.topics import DEAD_LETTER_BYTES_MAX
from tests.chaos.judge import Cut, Exit
from tests.chaos.services import ANSWER_SECONDS, DATABASE_USER, FaultServices, wait_for

PARTITIONS = 12

SETTINGS = {
    "DADATA_REQUESTS_PER_SECOND": "0",
    "DADATA_NEW_CONNECTIONS_PER_MINUTE": "0",
    "DADATA_CONCURRENT_REQUESTS": "32",
    "IN_FLIGHT_MAX": "500",
    # Calls to a hanging provider time out soon, so that a fault of seconds is over in seconds.
    "PROVIDER_TIMEOUT_SECONDS": "2",
    "YANDEXGPT_TIMEOUT_SECONDS": "3",
    "REPLY_TIMEOUT_SECONDS": "30",
    "LOG_LEVEL": "DEBUG",
}


class Program(Child):
    """A processor or a gateway."""

    wanted = False
    """Whether it should be running. Set this to false before you stop it on purpose."""

    url = ""

    def ready(self) -> bool:
        """Return whether the program reports that it is ready."""
        return answers(f"{self.url}/health/ready")

    def in_flight(self) -> int:
        """Return the number of its records in flight.

        Raises:
            httpx.TransportError: the program does not answer.
        """
        if not accepts(int(self.url.rpartition(":")[2])):
            return 0  # it is about to start
        metrics = httpx.get(f"{self.url}/metrics", timeout=ANSWER_SECONDS, trust_env=False).text
        [found] = re.findall(r"^integration_in_flight_records (\S+)$", metrics, re.M)
        return int(float(found))


class Fleet:
    """The programs of one run with their own topics and database. Call every method from the main thread."""

    def __init__(self, services: FaultServices, name: str, *, latency_ms: object = 100, **settings: str) -> None:
        """Create topics and database; start no program yet.

        Args:
            services: services for the programs; already started.
            name: name of the run, unique at these services.
            latency_ms: latency of the providers, or [shortest, longest].
            settings: environment variables of the programs in addition to SETTINGS.
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
        self._admin = self._new_admin()
        new = [NewTopic(topic, PARTITIONS) for topic in (self.imports, self.results)]
        larger = {"max.message.bytes": str(DEAD_LETTER_BYTES_MAX)}
        new.append(NewTopic(self.dead_letters, PARTITIONS, config=larger))
        for made in self._admin.create_topics(new).values():
            made.result(30)
        services.postgres.create_database(name, template="tasks")
        services.simulators_client.delete("/_requests").raise_for_status()
        self.providers_well()

    @property
    def conninfo(self) -> str:
        """libpq connection string of the administrator, which bypasses the proxy."""
        return self.services.postgres.conninfo(self.name)

    def providers_well(self, *faults: dict[str, object]) -> None:
        """Let the providers answer normally, or with these faults only."""
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
            sandbox.child.NotReady: one is not ready in time.
        """
        for program in self.replicas + self.gateways:
            wait_for(program.ready, f"{program.name} to be ready. {program.tail()}", self.supervise)

    def divided(self) -> bool:
        """Return whether the group is stable and the partitions are divided among all processors."""
        try:
            group = self._admin.describe_consumer_groups([self.group])[self.group].result(ANSWER_SECONDS)
        except (KafkaException, TimeoutError):
            self._admin = self._new_admin()  # after its coordinator was restarted, a client may go on asking in vain
            return False
        shares = [len(member.assignment.topic_partitions) for member in group.members]
        whole = len(shares) == len(self.replicas) and all(shares) and sum(shares) == PARTITIONS
        return group.state == ConsumerGroupState.STABLE and whole

    def kill(self, *programs: Program) -> None:
        """Kill processors at once and record what they had in flight."""
        with self.cutting(*programs):
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
            program.kill()  # if it has not ended
            if program.returncode != 0:
                self.exits.append(Exit(self.round, program.name, program.returncode))

    def remove(self, *programs: Program) -> None:
        """Stop processors cleanly and do not start them again."""
        self.stop(*programs)
        self.replicas = [replica for replica in self.replicas if replica not in programs]

    @contextlib.contextmanager
    def cutting(self, *programs: Program) -> Iterator[None]:
        """Record what these processors have in flight when the block kills them or cuts them off."""
        in_flight = sum(program.in_flight() for program in programs)
        with psycopg.connect(self.conninfo) as connection:
            [(rows,)] = connection.execute("SELECT count(*) FROM integration_service")
        before = self.services.counts()
        yield
        at = time.time()
        after, counts = self.services.counts().json(), before.json()
        # A call that has come since may have been at a provider when the block cut.
        at_provider = sum(counts["in_flight"].values()) + _calls(after) - _calls(counts)
        unstored = len(counts["answered"]) - rows
        self.cuts.append(Cut(self.round, at, len(programs), in_flight, at_provider, unstored))

    def pick(self, chance: random.Random) -> Program:
        """Return a random processor."""
        return chance.choice(self.replicas)

    def supervise(self) -> None:
        """Record programs that ended by themselves and restart them, as an orchestrator would."""
        for program in self.replicas + self.gateways:
            if program.wanted and not program.running:
                self.exits.append(Exit(self.round, program.name, program.returncode, f". {program.tail()}"))
                program.start()

    def end(self) -> None:
        """Kill all programs, whatever state they are in."""
        for program in self.replicas + self.gateways:
            program.wanted = False
            program.kill()

    def logs(self) -> list[Path]:
        """Return the log files of the programs and of the services."""
        return sorted(self.services.logs.glob("*.log"))

    def _new_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.services.kafka.bootstrap_servers, "log_level": 0})

    def _environment(self) -> dict[str, str]:
        proxies = self.services.proxies
        providers = f"http://127.0.0.1:{proxies['providers'].port}"
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "KAFKA_BOOTSTRAP_SERVERS": self.services.bootstrap_servers,
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


def _calls(counts: dict[str, Any]) -> int:
    return sum(provider.get("requests", 0) for provider in counts["providers"].values())

"""The whole local stack: Kafka, PostgreSQL, the provider simulators, a gateway and some processors."""

import contextlib
import json
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from sandbox.child import Child, NotReady, free_port, port_or_free
from sandbox.kafka import install, jar_folder
from sandbox.services import ROOT, Services, answers, new_folder
from sandbox.user_settings import PROVIDER_KEYS, PROVIDER_OF, for_the_stack, is_simulated
from shared.messages import TASK_TYPES, TaskType

LOGS = ROOT / ".sandbox" / "logs"
ENVIRONMENT = ROOT / ".sandbox" / "env"
"""The settings of `make up`'s stack, for a shell. It holds passwords."""

DATABASE_USER = "integration_processor"

SIMULATOR_LATENCY_MS = 100

GATEWAY_PORT, KAFKA_PORT, POSTGRES_PORT = 8000, 9092, 5432
"""The ports of the README's examples."""

PROCESSOR_PORT, SIMULATORS_PORT = 8001, 8090
"""The port of the first processor; the others have the next ones."""

PROVIDERS = {"DADATA": "DaData", "YANDEXGPT": "YandexGPT"}
REDRIVE = ".venv/bin/python -m processor redrive --dry-run"
FAULT = {"kind": "status", "status": 503, "when": "fail"}

ANSWERS = (
    "SELECT id, task_type, coalesce(data->>'phone', data->>'email', data->'alternatives'->0->'message'->>'text') "
    "AS answer FROM integration_service"
)
"""Shows the stored answers of all task types."""

Step = Callable[[str], contextlib.AbstractContextManager[object]]
"""Shows the title of a step while its context lasts."""


class Stack(Services):
    """The local stack. Everything listens on 127.0.0.1 only."""

    def __init__(
        self,
        processors: int,
        *,
        outlive: bool = False,
        simulated_only: bool = False,
        settings: Mapping[str, str] = {},
    ) -> None:
        """Choose ports and passwords without starting anything.

        Args:
            processors: replicas of the processor at the start.
            outlive: whether the stack keeps running after this process ends. Then it has the ports of the README where
                they are free. Else all ports are random, so that stacks can run side by side.
            simulated_only: whether to ignore keys of real providers.
            settings: a user's settings; those that the stack itself decides, such as addresses, are ignored.
        """
        self._port: Callable[[int], int] = port_or_free if outlive else lambda _: free_port()
        super().__init__(
            new_folder("stack"),
            LOGS,
            outlive=outlive,
            kafka_port=self._port(KAFKA_PORT),
            postgres_port=self._port(POSTGRES_PORT),
        )
        gateway_port = self._port(GATEWAY_PORT)
        self.gateway_url = f"http://localhost:{gateway_port}"
        ports = {
            "gateway": (GATEWAY_PORT, gateway_port),
            "Kafka": (KAFKA_PORT, self.brokers[0].port),
            "PostgreSQL": (POSTGRES_PORT, self.postgres.port),
        }
        self.moved = {name: (usual, port) for name, (usual, port) in ports.items() if port != usual}
        """Service -> the README's port, and its own, which differs."""
        self.simulators_url = ""
        self.processors: dict[str, Child] = {}
        """The running replicas, oldest first, by the URL of their health and metrics."""
        self._processors_at_start = processors
        self._processors_started = 0
        self.settings = for_the_stack(settings)
        """The user's settings that are used."""
        self._processor_password = secrets.token_urlsafe(16)
        self.simulated = {
            provider for provider in PROVIDER_KEYS if simulated_only or is_simulated(provider, self.settings)
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of both programs."""
        simulated = {
            name: value
            for provider in self.simulated
            for name, value in {
                **dict.fromkeys(PROVIDER_KEYS[provider], "sandbox"),
                f"{provider}_URL": self.simulators_url,
            }.items()
        }
        # The simulators have no quota unless one is set.
        no_quota = {"DADATA_REQUESTS_PER_SECOND": "0", "DADATA_NEW_CONNECTIONS_PER_MINUTE": "0"}
        return {
            "LOG_FORMAT": "console",
            **(no_quota if "DADATA" in self.simulated else {}),
            **self.settings,
            **simulated,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_PUBLIC_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_IMPORT_TOPIC": "tasks",
            "KAFKA_RESULT_TOPIC": "results",
            "POSTGRES_HOST": self.postgres.host,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_USER": DATABASE_USER,
            "POSTGRES_PASSWORD": self._processor_password,
            "POSTGRES_DB": "tasks",
        }

    @property
    def shell_environment(self) -> dict[str, str]:
        """The environment variables of a command that uses the stack: of a program of ours, or of psql."""
        environment = self.environment
        own = {"PROCESSOR_HTTP_PORT": "0"}  # one more processor must not take the port of the first
        postgres = {
            "PGHOST": "POSTGRES_HOST",
            "PGPORT": "POSTGRES_PORT",
            "PGUSER": "POSTGRES_USER",
            "PGPASSWORD": "POSTGRES_PASSWORD",
            "PGDATABASE": "POSTGRES_DB",
        }
        return {**environment, **own, **{name: environment[same] for name, same in postgres.items()}}

    @property
    def task_types(self) -> list[TaskType]:
        """The task types that the processors handle."""
        named = [name.strip() for name in self.settings.get("TASK_TYPES", ",".join(TASK_TYPES)).split(",")]
        return [task_type for task_type in TASK_TYPES if task_type in named]

    @property
    def real(self) -> list[str]:
        """The names of the providers that are not simulated."""
        return [name for provider, name in PROVIDERS.items() if provider not in self.simulated]

    def is_free(self, task_type: str) -> bool:
        """Return whether tasks of the type cost no money."""
        return PROVIDER_OF[task_type] in self.simulated

    def start(self, step: Step) -> None:
        """Start everything, and wait until it is ready.

        Raises:
            sandbox.child.NotReady: a service does not become ready.
        """
        shutil.rmtree(LOGS, ignore_errors=True)
        if not jar_folder().exists():
            with step("Fetching Kafka (43 MB, the first time only)"):
                install()
        with step("Starting Kafka and PostgreSQL"):
            self.start_servers("tasks", DATABASE_USER, self._processor_password)
        if self.simulated:
            with step("Starting the provider simulators"):
                latency = ("--latency-ms", str(SIMULATOR_LATENCY_MS))
                _, self.simulators_url = self.start_simulators(*latency, port=self._port(SIMULATORS_PORT))
        with step(f"Starting the gateway and processors ({self._processors_at_start})"):
            programs = {self.gateway_url: self._start_program("gateway", self.gateway_url, "GATEWAY_PORT")}
            for _ in range(self._processors_at_start):
                self.add_processor()
            for url, program in (programs | self.processors).items():
                program.wait_until(partial(answers, f"{url}/health/ready"))

    def add_processor(self, **settings: str) -> None:
        """Start one more replica without waiting until it is ready.

        Args:
            settings: its further environment variables.
        """
        url = f"http://localhost:{self._port(PROCESSOR_PORT + self._processors_started)}"
        self._processors_started += 1
        name = f"processor-{self._processors_started}"
        self.processors[url] = self._start_program(name, url, "PROCESSOR_HTTP_PORT", **settings)

    def stop_processors(self, count: int) -> None:
        """Stop the newest replicas cleanly and in parallel.

        Raises:
            sandbox.child.NotReady: one of them did not exit with code 0.
        """
        stopped = [self.processors.popitem()[1] for _ in range(count)]
        for child in stopped:
            child.send_signal(signal.SIGTERM)
        for child in stopped:
            if child.stop() != 0:
                raise NotReady(f"{child.name} exited with code {child.returncode}. {child.tail()}")

    def _start_program(self, name: str, url: str, port_name: str, **settings: str) -> Child:
        own = {"GATEWAY_HOST": "127.0.0.1", port_name: url.rpartition(":")[2]}
        package = name.partition("-")[0]
        return self.start_module(name, package, environment={**self.environment, **own, **settings})

    def lines(self) -> list[tuple[str, str]]:
        """Return how to reach, use and watch the running stack: (name, value), or (heading, "")."""
        gateway = self.gateway_url
        postgres = f"psql '{self.postgres.conninfo('tasks')}'"
        simulators = f"curl -w '\\n' -X PUT {self.simulators_url}/_control --json"
        return [
            ("See a task's answer, by the id in its reply", ""),
            ("row 1", f"""{postgres} -c "{ANSWERS} WHERE id = 1\""""),
            ("Try it and read about it", ""),
            ("try-it page", f"{gateway}/"),
            ("REST documentation", f"{gateway}/docs"),
            ("OpenAPI document", f"{gateway}/openapi.json"),
            ("Kafka documentation", f"{gateway}/asyncapi"),
            ("AsyncAPI document", f"{gateway}/asyncapi.json"),
            ("Watch it", ""),
            ("gateway health", f"{gateway}/health/ready"),
            ("gateway metrics", f"{gateway}/metrics"),
            *(
                line
                for number, url in enumerate(self.processors, 1)
                for line in (
                    (f"processor {number} health", f"{url}/health/ready"),
                    (f"processor {number} metrics", f"{url}/metrics"),
                )
            ),
            ("logs", str(LOGS)),
            ("Connect to it", ""),
            ("gateway", gateway),
            ("Kafka", f"{self.kafka.bootstrap_servers}, topics tasks, results, tasks-dlt"),
            ("PostgreSQL", postgres),
            *((name, "simulated" if provider in self.simulated else "real") for provider, name in PROVIDERS.items()),
            ("Run a command with its settings, from this folder", ""),
            ("redrive", f"set -a; . {ENVIRONMENT.relative_to(ROOT)}; set +a; {REDRIVE}"),
            *(
                [
                    ("See a task fail after 5 attempts, which take some seconds", ""),
                    ("each with `fail` in its data", f"{simulators} '{json.dumps({'faults': [FAULT]})}'"),
                    ("none any more", f"""{simulators} '{{"faults": []}}'"""),
                ]
                if self.simulated
                else []
            ),
        ]


@contextlib.contextmanager
def running(stack: Stack, step: Step) -> Iterator[Stack]:
    """Run the stack while the context lasts, and stop all of it however the context ends."""
    try:
        stack.start(step)
        yield stack
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the stop
        with step("Stopping the stack"):
            stack.delete()

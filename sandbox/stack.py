"""The whole local stack: Kafka, PostgreSQL, the provider simulators, a gateway and some processors."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from sandbox.child import Child, NotReady, free_port
from sandbox.kafka import install, jar_folder
from sandbox.services import ROOT, Services, answers, new_folder

LOGS = ROOT / ".sandbox" / "logs"
STATE = ROOT / ".sandbox" / "state.json"

DATABASE_USER = "integration_processor"

SIMULATOR_LATENCY_MS = 100

Step = Callable[[str], contextlib.AbstractContextManager[object]]
"""Shows the title of a step while its context lasts."""


class Stack(Services):
    """The local stack. Everything listens on 127.0.0.1 only, on free ports."""

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
            outlive: whether the stack keeps running after this process ends.
            simulated_only: whether to ignore keys of real providers in the environment.
            settings: further environment variables of both programs.
        """
        super().__init__(new_folder("stack"), LOGS, outlive=outlive)
        self.gateway_url = f"http://127.0.0.1:{free_port()}"
        self.simulators_url = ""
        self.processors: dict[str, Child] = {}
        """The running replicas, oldest first, by the URL of their health and metrics."""
        self._processors_at_start = processors
        self._processors_started = 0
        self._settings = settings
        self._processor_password = secrets.token_urlsafe(16)
        self._keys = {} if simulated_only else real_keys()
        self.simulated = {provider for provider, names in PROVIDER_KEYS.items() if not all(map(self._keys.get, names))}

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
        if "DADATA" in self.simulated:
            simulated["DADATA_REQUESTS_PER_SECOND"] = "0"  # the simulators have no quota unless one is set
            simulated["DADATA_NEW_CONNECTIONS_PER_MINUTE"] = "0"
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_IMPORT_TOPIC": "tasks",
            "KAFKA_RESULT_TOPIC": "results",
            "POSTGRES_HOST": self.postgres.host,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_USER": DATABASE_USER,
            "POSTGRES_PASSWORD": self._processor_password,
            "POSTGRES_DB": "tasks",
            **self._keys,
            **simulated,
            **self._settings,
        }

    def start(self, step: Step) -> None:
        """Start everything, and wait until it is ready.

        Raises:
            sandbox.child.NotReady: a service does not become ready.
        """
        shutil.rmtree(LOGS, ignore_errors=True)
        if not jar_folder().exists():
            with step("Fetching Kafka (the first time only)"):
                install()
        with step("Starting Kafka and PostgreSQL"):
            self.start_servers("tasks", DATABASE_USER, self._processor_password)
        if self.simulated:
            with step("Starting the provider simulators"):
                _, self.simulators_url = self.start_simulators("--latency-ms", str(SIMULATOR_LATENCY_MS))
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
        self._processors_started += 1
        url = f"http://127.0.0.1:{free_port()}"
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
        own = {"GATEWAY_HOST": "127.0.0.1", port_name: url.rpartition(":")[2], "LOG_FORMAT": "console"}
        package = name.partition("-")[0]
        return self.start_module(name, package, environment={**self.environment, **own, **settings})

    def save(self) -> None:
        """Save what runs to a file, so that another process can call `stop_saved`."""
        STATE.parent.mkdir(exist_ok=True)
        state = {
            "folder": str(self.folder),
            "lines": self.lines(),
            "processes": [[child.pid, _started_at(child.pid)] for child in reversed(self.children)],
        }
        new = STATE.with_suffix(".new")
        new.touch(mode=0o600)  # it holds passwords
        new.write_text(json.dumps(state))
        new.rename(STATE)

    def lines(self) -> list[tuple[str, str]]:
        """Return how to reach and watch the running stack: (name, value), or (heading, "")."""
        gateway = self.gateway_url
        simulated = ", ".join(sorted(self.simulated))
        return [
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
            (GATEWAY, gateway),
            ("Kafka", f"{self.kafka.bootstrap_servers}, topics tasks, results, tasks-dlt"),
            ("PostgreSQL", f"psql '{self.postgres.conninfo('tasks')}'"),
            ("providers", f"simulated: {simulated}" if simulated else "real"),
        ]


GATEWAY = "gateway"

PROVIDER_KEYS = {
    "DADATA": ("DADATA_API_KEY", "DADATA_SECRET_KEY"),
    "YANDEXGPT": ("YANDEXGPT_API_KEY", "YANDEXGPT_FOLDER_ID"),
}


def real_keys() -> dict[str, str]:
    """Return the provider keys in the environment. With them, tasks cost money."""
    names = [name for keys in PROVIDER_KEYS.values() for name in keys]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def saved_lines() -> list[tuple[str, str]] | None:
    """Return the lines of the stack that `make up` left running, or None if there is none."""
    if not STATE.exists():
        return None
    state = json.loads(STATE.read_text())
    if not any(_started_at(pid) == started_at for pid, started_at in state["processes"]):
        return None
    return [(name, value) for name, value in state["lines"]]


def stop_saved(step: Step) -> bool:
    """Stop the stack that `make up` left running, and nothing else. Return whether there was one."""
    if not STATE.exists():
        return False
    state = json.loads(STATE.read_text())
    found = False
    with step("Stopping the stack"):
        for pid, started_at in state["processes"]:
            # The system may have given the pid to another process meanwhile.
            if _started_at(pid) == started_at:
                found = True
                os.kill(pid, signal.SIGTERM)
                give_up_at = time.monotonic() + 30
                while _started_at(pid) == started_at:
                    if time.monotonic() > give_up_at:
                        os.killpg(pid, signal.SIGKILL)
                    time.sleep(0.05)
    shutil.rmtree(state["folder"], ignore_errors=True)
    STATE.unlink()
    return found


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


def _started_at(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # proc(5): state, and starttime in clock ticks since boot

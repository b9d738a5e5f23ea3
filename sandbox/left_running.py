"""The stack that `make up` has left running: finds what has died and starts it again, and stops the rest."""

import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from sandbox.child import STOP_SECONDS, Child
from sandbox.services import ROOT, answers
from sandbox.stack import ENVIRONMENT, Stack

STATE = ROOT / ".sandbox" / "state.json"

POSTGRES = "PostgreSQL"


@dataclass
class LeftRunning:
    """A stack that outlives the process that started it."""

    folder: str
    """With the data of Kafka and PostgreSQL."""
    lines: list[tuple[str, str]]
    """How to use it: (name, value), or (heading, "")."""
    request: str
    """The command that sends a task."""
    settings: dict[str, str]
    """The user's settings that it was started with."""
    ready_urls: list[str]
    """What answers with 200 when everything is ready."""
    programs: list[dict[str, Any]]
    """The recipe, pid and time of start of each program, in the order of their start."""

    @classmethod
    def of(cls, stack: Stack, request: str) -> "LeftRunning":
        """Save what runs, so that another process finds it, and its settings, so that a shell can read them."""
        ready = [f"{url}/health/ready" for url in (stack.gateway_url, *stack.processors)]
        if stack.simulated:
            ready.append(f"{stack.simulators_url}/health")
        programs = [_as_started(child) for child in stack.children]
        left = cls(str(stack.folder), stack.lines(), request, dict(stack.settings), ready, programs)
        left._save()
        _write_for_owner(ENVIRONMENT, "".join(f"{n}={quote(value)}\n" for n, value in stack.shell_environment.items()))
        return left

    @classmethod
    def read(cls) -> "LeftRunning | None":
        """Return what was saved, or None."""
        if not STATE.exists():
            return None
        saved = json.loads(STATE.read_text())
        return cls(**saved | {"lines": [(name, value) for name, value in saved["lines"]]})

    @property
    def ended(self) -> list[Child]:
        """The programs that have ended, as children that are not started."""
        return [Child(**program["recipe"], outlive=True) for program in self.programs if not _runs(program)]

    @property
    def has_data(self) -> bool:
        """Whether its data is still there. Without it nothing can be restarted."""
        return Path(self.folder).exists()

    def restart(self) -> None:
        """Start what has ended again, with the same data and ports, and wait until everything is ready.

        Raises:
            sandbox.child.NotReady: something does not become ready.
        """
        started = []
        for number, program in enumerate(self.programs):
            if _runs(program):
                continue
            child = Child(**program["recipe"], outlive=True)
            if child.name == POSTGRES:  # left over from a kill; the system may have given the pid to another process
                (Path(self.folder) / "postgres" / "postmaster.pid").unlink(missing_ok=True)
            started.append(child)
            try:
                child.start()
            finally:
                if child.running:  # also after a Ctrl-C, so that `stop` finds it
                    self.programs[number] = _as_started(child)
                    self._save()
        for child in started:
            child.wait_until(lambda: all(map(answers, self.ready_urls)))

    def stop(self) -> None:
        """Stop all of it and nothing else, and delete its data."""
        for program in filter(_runs, reversed(self.programs)):
            _stop(program)
        shutil.rmtree(self.folder, ignore_errors=True)
        ENVIRONMENT.unlink(missing_ok=True)
        STATE.unlink(missing_ok=True)

    def _save(self) -> None:
        _write_for_owner(STATE, json.dumps(asdict(self)))


def _write_for_owner(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(file)


def _as_started(child: Child) -> dict[str, Any]:
    return {"recipe": child.recipe, "pid": child.pid, "started_at": _started_at(child.pid)}


def _runs(program: dict[str, Any]) -> bool:
    # The system may have given the pid to another process meanwhile.
    return bool(_started_at(program["pid"]) == program["started_at"])


def _stop(program: dict[str, Any]) -> None:
    os.kill(program["pid"], signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while _runs(program):
        if time.monotonic() > give_up_at:
            os.killpg(program["pid"], signal.SIGKILL)
        time.sleep(0.05)


def _started_at(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # proc(5): state, and starttime in clock ticks since boot

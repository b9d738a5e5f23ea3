"""Child processes: programs that run until they are stopped and write their output to a log file."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

STOP_SECONDS = 30.0
"""Time between SIGTERM and SIGKILL."""

READY_SECONDS = 180.0
"""Longest time that a program may take to become ready."""


class NotReady(Exception):
    """A program exited or timed out before it was ready. The message has its log's path and last lines."""


class Child:
    """One program. It and its subprocesses form a process group, so that none of them is left behind."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path | str,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | str | None = None,
        user: str | None = None,
        outlive: bool = False,
    ) -> None:
        """Configure the program without starting it.

        Args:
            name: the name shown in messages.
            command: program and arguments.
            log: file that its output is appended to.
            environment: the whole environment; None inherits this process's.
            folder: working directory.
            user: system user to run as; None keeps this process's. Needs root.
            outlive: whether it keeps running after this process ends, however that ends.
        """
        self.name = name
        self.log = Path(log)
        self._command = [str(part) for part in command]
        self._environment = environment
        self._folder = folder
        self._user = user
        self._outlive = outlive
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What another process needs to start the same program, as JSON: the arguments of a Child."""
        return {
            "name": self.name,
            "command": self._command,
            "log": str(self.log),
            "environment": None if self._environment is None else dict(self._environment),
            "folder": None if self._folder is None else str(self._folder),
            "user": self._user,
        }

    @property
    def pid(self) -> int:
        """The process id. The program must have been started."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not exited."""
        if self._process is None or self._process.returncode is not None:
            return False
        # Not Popen.poll: a Ctrl-C inside it can leave its lock taken, and the next call would wait for ever.
        try:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._process.pid, 0
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
        return not pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; minus the signal's number if a signal ended it; None while it runs."""
        return None if self.running or self._process is None else self._process.returncode

    def start(self) -> None:
        """Start it. Unless `outlive` is set, the kernel kills the program when the calling thread ends."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log, _interrupts_held():
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                user=self._user,
                start_new_session=True,
                preexec_fn=None if self._outlive else _end_with_parent,
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Wait until `ready` returns true.

        Raises:
            NotReady: the program exited, or the time is up.
        """
        give_up_at = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise NotReady(f"{self.name} has exited. {self.tail()}")
            if time.monotonic() > give_up_at:
                raise NotReady(f"{self.name} is not ready after {seconds:g} seconds. {self.tail()}")
            time.sleep(0.02)

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """Send SIGTERM, then SIGKILL if it does not exit in time. Return its exit code; None if it never started."""
        self.send_signal(signal.SIGTERM)
        if not self._ends_within(seconds):
            self.kill()
        return self.returncode

    def kill(self) -> None:
        """Kill it and all its subprocesses at once."""
        self._signal_group(signal.SIGKILL)
        self._ends_within(STOP_SECONDS)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal if it is running."""
        if self.running:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Suspend it: its sockets stay open and silent."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it after `pause`."""
        self._signal_group(signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """Return its log's path and last lines, to be shown to a person."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"The last lines of its log, {self.log}:", *text[-lines:]])

    def _ends_within(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.running and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return not self.running

    def _signal_group(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self.pid, number)


PORTS = (20_000, 32_000)
"""Range of free_port. Above 32768 an outgoing connection may take a port while its server restarts."""

_given_ports: set[int] = set()


def free_port() -> int:
    """Return a free port.

    No port is returned twice: the first caller may not listen on it yet.
    """
    while True:
        port = random.randint(*PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given_ports.add(port)
            return port


def port_or_free(port: int) -> int:
    """Return the port if nothing on this machine listens on it, else a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that a stop has left do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return free_port()  # something listens on IPv6 only, which clients of `localhost` may try first
    return port


def accepts(port: int) -> bool:
    """Return whether something on this machine accepts connections at the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    # A Ctrl-C after a program's start and before its pid is stored would leave it running, and one during a fork would
    # be swallowed by Python's hooks. To block the signal is not enough: another thread of this process would take it.
    if threading.current_thread() is not threading.main_thread():  # interrupts are raised in the main thread only
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(signal.Signals(came[0]))

"""A program that runs beside this one until it is stopped, with its output in a log file."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 30.0
"""After which a program that was asked to stop is killed."""

READY_SECONDS = 60.0
"""How long a program may take until it can be used."""


class NotReady(Exception):
    """A program ended or took too long before it could be used. The message says where its log is and how it ends."""


class Child:
    """One program. It and all that it starts form a process group, so that nothing of it is left over."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: str | None = None,
        outlive: bool = False,
    ) -> None:
        """Note what to run; nothing is started.

        Args:
            name: what a person calls it.
            command: program and arguments.
            log: file that its output is appended to.
            environment: the whole environment; None leaves it as it is here.
            folder: working folder.
            user: system user to run as, where we are root.
            outlive: whether it goes on when this process ends, however that ends.
        """
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._environment = environment
        self._folder = folder
        self._user = user
        self._outlive = outlive
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's id; it must have been started."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
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
        """Its exit code, negative for the signal that ended it; None while it runs."""
        return None if self.running or self._process is None else self._process.returncode

    def start(self) -> None:
        """Start it. Call it from a thread that lives on: the program ends with the thread, unless it may outlive it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log, _signals_held():
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                user=self._user,
                start_new_session=True,
                preexec_fn=_let_signals_through if self._outlive else _end_with_parent,
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Wait until `ready` answers true.

        Raises:
            NotReady: the program ended, or the time is over.
        """
        give_up_at = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise NotReady(f"{self.name} has ended. {self.tail()}")
            if time.monotonic() > give_up_at:
                raise NotReady(f"{self.name} is not ready after {seconds:g} seconds. {self.tail()}")
            time.sleep(0.02)

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """Ask it to end, kill it where it does not in time, and return its exit code; None where it was not started."""
        self.send_signal(signal.SIGTERM)
        if not self._ends_within(seconds):
            self.kill()
        return self.returncode

    def kill(self) -> None:
        """Kill it and all that it started, at once."""
        self._signal_group(signal.SIGKILL)
        self._ends_within(STOP_SECONDS)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self.running:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop it in its tracks: its sockets stay open and silent."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal_group(signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """Return where its log is and how it ends, for a person."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"Its log, {self.log}, ends so:", *text[-lines:]])

    def _ends_within(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.running and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return not self.running

    def _signal_group(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self.pid, number)


PORTS = (20_000, 32_000)
"""What free_port draws from. Above 32768 a client's own socket may take a port while its server restarts."""

_given_ports: set[int] = set()


def free_port() -> int:
    """Return a free port.

    None is given twice: who asked first may not listen yet.
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


def accepts(port: int) -> bool:
    """Tell whether something on this machine accepts connections at the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _let_signals_through()


_HELD = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    # Between a program's start and the note of its id a Ctrl-C would leave it running, unknown.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        _let_signals_through()


def _let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

"""Prometheus on this machine: the installed one, or else Debian's package, unpacked into the cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx

from sandbox.child import Child, NotReady, free_port
from sandbox.kafka import cache_folder

FETCH_SECONDS = 600
ANSWER_SECONDS = 10.0


class PrometheusMissing(NotReady):
    """Prometheus is not installed and cannot be fetched; the message names the package to install."""


class Prometheus(Child):
    """One Prometheus on 127.0.0.1, with a configuration and its data in `folder`."""

    def __init__(self, configuration: Path, folder: Path, log_folder: Path) -> None:
        """Choose its port without starting or fetching anything."""
        self.port = free_port()
        self._arguments = [
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=ANSWER_SECONDS, trust_env=False)
        super().__init__("Prometheus", [], log_folder / "prometheus.log")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            PrometheusMissing: it is not installed and cannot be fetched.
            sandbox.child.NotReady: it does not answer.
        """
        self._command = [str(install() / "prometheus"), *self._arguments]
        super().start()
        self.wait_until(self._answers)

    def close(self) -> None:
        """Stop it and close the connections to it."""
        self.stop()
        self._client.close()

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series that the expression yields now."""
        result = self._ask("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules, each with the result of its last evaluation."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def _ask(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def _answers(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def install() -> Path:
    """Fetch Prometheus unless it is available, and return the folder of `prometheus` and `promtool`.

    The package is unpacked, not installed: installing it would start a service. Safe to interrupt and to run twice.

    Raises:
        PrometheusMissing: it is not installed, and apt cannot fetch it.
    """
    found = shutil.which("promtool")
    if found is not None and shutil.which("prometheus") is not None:
        return Path(found).parent
    folder = cache_folder() / "prometheus"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix="prometheus-", dir=folder.parent))
        try:
            _fetch(fetched)
            if not folder.exists():  # another run may have been faster
                fetched.rename(folder)
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
    return folder / "usr" / "bin"


def _fetch(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise PrometheusMissing("Prometheus is not installed (on Debian: apt-get install prometheus)")
    downloading = _run(folder, "apt-get", "download", "prometheus")
    if downloading.returncode != 0 and os.geteuid() == 0:  # a new machine has no package lists yet
        _run(folder, "apt-get", "update")
        downloading = _run(folder, "apt-get", "download", "prometheus")
    if downloading.returncode != 0:
        raise PrometheusMissing(
            f"Prometheus is not installed and cannot be fetched (on Debian: apt-get install prometheus). apt said:\n"
            f"{downloading.stdout[-2000:]}"
        )
    [package] = folder.glob("prometheus_*.deb")
    _run(folder, "dpkg", "--extract", package, folder).check_returncode()
    package.unlink()


def _run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        text=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=FETCH_SECONDS,
    )

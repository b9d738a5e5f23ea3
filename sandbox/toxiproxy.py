"""Toxiproxy on this machine: TCP proxies whose connections can be delayed, cut, silenced or sliced while they run."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

import httpx

from sandbox.child import Child, NotReady, free_port
from sandbox.kafka import cache_folder

VERSION = "2.12.0"
MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
FETCH_SECONDS = 600
ANSWER_SECONDS = 10.0

Stream = Literal["upstream", "downstream"]
"""From the client to the server, or from the server to the client."""


class GoMissing(NotReady):
    """Toxiproxy is not there yet and there is no Go to build it with."""


class Toxiproxy(Child):
    """One process with any number of proxies, all on 127.0.0.1. What it was told ends with it."""

    def __init__(self, log_folder: Path) -> None:
        """Choose its port; nothing is started or fetched."""
        self.port = free_port()
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=ANSWER_SECONDS, trust_env=False)
        super().__init__("Toxiproxy", [], log_folder / "toxiproxy.log")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            GoMissing: it cannot be built here.
            sandbox.child.NotReady: it does not answer.
        """
        self._command = [str(install()), "-host", "127.0.0.1", "-port", str(self.port)]
        super().start()
        self.wait_until(self._answers)

    def close(self) -> None:
        """Stop it and forget the connections to it."""
        self.stop()
        self._client.close()

    def proxy(self, name: str, port: int, upstream_port: int) -> "Proxy":
        """Listen at `port` of 127.0.0.1 and pass everything on to `upstream_port`."""
        wanted = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream_port}"}
        self._client.post("/proxies", json={**wanted, "enabled": True}).raise_for_status()
        return Proxy(self._client, name, port)

    def _answers(self) -> bool:
        try:
            return self._client.get("/version").status_code == 200
        except httpx.TransportError:
            return False


class Proxy:
    """One proxy. A toxic is in force for the connections that are there and for new ones, until it is cured."""

    def __init__(self, client: httpx.Client, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._client = client
        self._path = f"/proxies/{name}"

    def delay(self, milliseconds: int, jitter_milliseconds: int = 0) -> None:
        """Let everything that the server says arrive later."""
        self._poison("latency", "downstream", latency=milliseconds, jitter=jitter_milliseconds)

    def reset(self) -> None:
        """Answer new connections with an RST; close those that are there as soon as something goes through them."""
        for stream in ("upstream", "downstream"):
            self._poison("reset_peer", stream, timeout=0)

    def silence(self) -> None:
        """Swallow everything in both directions; connections stay open, new ones are accepted. Cured, they are cut."""
        for stream in ("upstream", "downstream"):
            self._poison("timeout", stream, timeout=0)

    def slice(self, size: int, delay_microseconds: int = 0) -> None:
        """Let everything arrive in pieces of `size` bytes, in both directions."""
        for stream in ("upstream", "downstream"):
            self._poison("slicer", stream, average_size=size, size_variation=0, delay=delay_microseconds)

    def cut_after(self, size: int, stream: Stream) -> None:
        """Close each connection when `size` bytes went through it in that direction."""
        self._poison("limit_data", stream, bytes=size)

    def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        self._client.post(self._path, json={"enabled": False}).raise_for_status()

    def cure(self) -> None:
        """Take everything back: what goes through arrives again."""
        for toxic in self._client.get(f"{self._path}/toxics").raise_for_status().json():
            self._client.delete(f"{self._path}/toxics/{toxic['name']}").raise_for_status()
        self._client.post(self._path, json={"enabled": True}).raise_for_status()

    def _poison(self, kind: str, stream: Stream, **attributes: int) -> None:
        toxic: dict[str, Any] = {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._client.post(f"{self._path}/toxics", json=toxic).raise_for_status()


def install() -> Path:
    """Build it where it is not there yet, and return the program. Safe to interrupt and to run twice.

    Raises:
        GoMissing: Go is not installed.
        NotReady: Go cannot build it.
    """
    cache = cache_folder()
    built = cache / f"toxiproxy-{VERSION}"
    if built.exists():
        return built
    if shutil.which("go") is None:
        raise GoMissing("Toxiproxy is built with Go, which is not installed (on Debian: apt-get install golang-go)")
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="toxiproxy-", dir=cache))
    try:
        building = subprocess.run(
            ["go", "install", MODULE],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOBIN": str(folder)},
            timeout=FETCH_SECONDS,
        )
        if building.returncode != 0:
            raise NotReady(f"Toxiproxy cannot be built. Go says:\n{building.stdout[-2000:]}")
        (folder / "server").rename(built)  # replaces what another run built meanwhile: it is the same
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return built

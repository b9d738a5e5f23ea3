"""Toxiproxy on this machine: TCP proxies that can delay, cut, silence or slice their connections at run time."""

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
    """Toxiproxy is not built yet, and Go, which builds it, is not installed."""


class Toxiproxy(Child):
    """One process with any number of proxies, all on 127.0.0.1. Its proxies end with it."""

    def __init__(self, log_folder: Path) -> None:
        """Choose its port without starting or fetching anything."""
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
        """Stop it and close the connections to it."""
        self.stop()
        self._client.close()

    def proxy(self, name: str, port: int, upstream_port: int) -> "Proxy":
        """Listen on `port` of 127.0.0.1 and forward everything to `upstream_port`."""
        wanted = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream_port}"}
        self._client.post("/proxies", json={**wanted, "enabled": True}).raise_for_status()
        return Proxy(self._client, name, port)

    def _answers(self) -> bool:
        try:
            return self._client.get("/version").status_code == 200
        except httpx.TransportError:
            return False


class Proxy:
    """One proxy. A fault applies to existing and new connections until `cure`."""

    def __init__(self, client: httpx.Client, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._client = client
        self._path = f"/proxies/{name}"

    def delay(self, milliseconds: int, jitter_milliseconds: int = 0) -> None:
        """Delay everything that the server sends."""
        self._poison("latency", "downstream", latency=milliseconds, jitter=jitter_milliseconds)

    def reset(self) -> None:
        """Reset new connections; close existing ones as soon as data passes through them."""
        for stream in ("upstream", "downstream"):
            self._poison("reset_peer", stream, timeout=0)

    def silence(self) -> None:
        """Drop all data in both directions. Connections stay open and new ones are accepted; `cure` closes them."""
        for stream in ("upstream", "downstream"):
            self._poison("timeout", stream, timeout=0)

    def slice(self, size: int, delay_microseconds: int = 0) -> None:
        """Split all data into pieces of `size` bytes, in both directions."""
        for stream in ("upstream", "downstream"):
            self._poison("slicer", stream, average_size=size, size_variation=0, delay=delay_microseconds)

    def cut_after(self, size: int, stream: Stream) -> None:
        """Close each connection after `size` bytes in that direction."""
        self._poison("limit_data", stream, bytes=size)

    def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        self._client.post(self._path, json={"enabled": False}).raise_for_status()

    def cure(self) -> None:
        """Remove all faults: data passes again."""
        for toxic in self._client.get(f"{self._path}/toxics").raise_for_status().json():
            self._client.delete(f"{self._path}/toxics/{toxic['name']}").raise_for_status()
        self._client.post(self._path, json={"enabled": True}).raise_for_status()

    def _poison(self, kind: str, stream: Stream, **attributes: int) -> None:
        toxic: dict[str, Any] = {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._client.post(f"{self._path}/toxics", json=toxic).raise_for_status()


def install() -> Path:
    """Build Toxiproxy unless it is cached, and return the program. Safe to interrupt and to run twice.

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
            raise NotReady(f"Toxiproxy cannot be built. Go said:\n{building.stdout[-2000:]}")
        (folder / "server").rename(built)  # may replace an identical build of another run
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return built

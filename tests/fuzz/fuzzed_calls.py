"""REST calls of every kind, from schemathesis and with generated bodies: all answers match /openapi.json."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from shared.messages import InvalidTask, decode_task
from tests.chaos.fleet import Fleet
from tests.chaos.services import ROOT, FaultServices
from tests.documented import assert_documented
from tests.fuzz.fuzzed_records import canary_of, told
from tests.fuzz.records import value

CALLS_OF_AN_EXAMPLE = 20
"""Fewest calls that schemathesis makes per requested example: there are ten operations, and sequences of them."""

BODIES_SHARE = 0.1
"""Share of the calls with bodies that no JSON library would write."""

SECRET_KEY = "fuzzed-fuzzed-fuzzed-fuzzed-fuzzed-fuzzed"

CHECKS_OF_OURS = "positive_data_acceptance"
"""The check that valid_data_is_accepted in schemathesis_hooks.py replaces."""

RUN_SECONDS_MAX = 3600


def fuzz_calls(
    services: FaultServices, *, calls: int, seed: int, auth: bool, progress: Callable[[int], object] = lambda done: None
) -> list[str]:
    """Make at least this many calls, with bearer tokens or without, and return the failures."""
    settings = {"GATEWAY_AUTH": "required", "SECRET_KEY": SECRET_KEY} if auth else {}
    fleet = Fleet(services, f"calls-{seed}-{time.time_ns() % 1_000_000}", latency_ms=0, **settings)
    try:
        fleet.add("processor")
        gateway = fleet.add("gateway")
        fleet.wait()
        canary, token = canary_of(seed), _token() if auth else None
        done = int(calls * BODIES_SHARE)
        broken = _post_bodies(gateway.url, random.Random(seed), done, canary, token)
        progress(done)
        while done < calls and not broken:
            examples = max(5, (calls - done) // CALLS_OF_AN_EXAMPLE)
            made, broken = _schemathesis(services.folder, gateway.url, seed, examples, canary, token)
            done, seed = done + made, seed + 1
            progress(done)
        broken += [f"{program.name} is not ready" for program in (*fleet.replicas, gateway) if not program.ready()]
        return broken + list(told(fleet, canary, *([token, SECRET_KEY] if token else [])))
    finally:
        fleet.end()


def _token() -> str:
    made = subprocess.run(
        [sys.executable, "-m", "gateway", "token", "fuzz"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": SECRET_KEY},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def _post_bodies(url: str, chance: random.Random, calls: int, canary: str, token: str | None) -> list[str]:
    """POST values such as a record may have; the gateway must accept tasks and refuse everything else."""
    broken = []
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        document = client.get("/openapi.json").json()
        for _ in range(calls):
            body = value(chance, canary) or b""
            answer = client.post("/tasks", content=body)
            try:
                decode_task(body)
                expected = 200
            except InvalidTask:
                expected = 422
            if answer.status_code != expected or canary in f"{answer.text} {answer.headers}":
                broken.append(f"{answer.status_code} in place of {expected} for the body {body[:300]!r}: {answer.text}")
            assert_documented(document, answer)
    return broken


def _schemathesis(
    folder: Path, url: str, seed: int, examples: int, canary: str, token: str | None
) -> tuple[int, list[str]]:
    """Run schemathesis with all phases and checks; return the number of calls and the failures."""
    document, report = folder / "openapi.json", folder / "schemathesis.json"
    (folder / "schemathesis.toml").write_text("[cache]\nenabled = false\n")  # else it leaves .schemathesis/ behind
    document.write_bytes(httpx.get(f"{url}/openapi.json", trust_env=False).content)
    run = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run", document),
            *("--url", url, "--seed", str(seed), "--max-examples", str(examples)),
            *("--checks", "all", "--exclude-checks", CHECKS_OF_OURS),
            *("--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure"),
            *("--generation-database", "none"),
            *("--report", "json", "--report-json-path", report, "--no-color"),
            *(("--header", f"Authorization: Bearer {token}") if token else ()),
        ],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SCHEMATHESIS_HOOKS": "tests.fuzz.schemathesis_hooks",
            "FUZZ_CANARY": canary,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    if run.returncode == 0:
        counted = json.loads(report.read_text())
        assert counted["complete"] and not counted["operations"]["errored"], run.stdout
        return counted["test_cases"]["generated"], []
    return 0, [f"schemathesis, seed {seed}, {examples} examples:\n{run.stdout}"]

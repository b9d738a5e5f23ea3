"""The benchmark, run from its command line: every case is measured and reported."""

import json
import subprocess
import sys

import pytest

from bench.cases import CASES
from tests.conftest import ROOT


def bench(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        check=False, cwd=ROOT, text=True, capture_output=True, timeout=280, **options,
    )  # fmt: skip


@pytest.mark.parametrize("by_rest", [False, True])
def test_every_case_is_measured_and_told_as_json(by_rest):
    # `growth` only repeats runs like the others.
    cases = [name for name in CASES if name != "growth" and name.startswith("rest") == by_rest]

    done = bench("--json", "--rounds", "1", "--scale", "0.01", "--cases", *cases)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    others = {"echo with a row"} if by_rest else {"plain Quix", "FastStream", "bytes passed on"}
    assert {figure["program"] for figure in figures} >= {"this service", "hand-written", *others}
    for figure in figures:
        if figure["unit"] in ("tasks/s", "requests/s", "seconds"):
            assert figure["median"] > 0, figure
    assert "round 1 of 1" in done.stderr, "progress"


def test_the_table_is_for_people_and_nothing_else_is_on_stdout():
    done = bench("--rounds", "1", "--scale", "0.01", "--cases", "idle")

    assert done.returncode == 0, done.stderr
    assert "| start to first result" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_case_that_does_not_exist_is_an_error_that_names_those_that_do():
    done = bench("--cases", "speed")

    assert done.returncode == 2
    assert "side-by-side" in done.stderr

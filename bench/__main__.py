"""`python -m bench`: runs the benchmark and prints its results as a table or as JSON."""

import argparse
import contextlib
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Iterator

from rich.console import Console

from bench.cases import CASES, Say, Scale
from bench.figures import Figure, as_json, table
from bench.runs import Failed
from bench.services import BenchServices
from sandbox.child import NotReady

TABLE_WIDTH = 200
"""Width in characters, regardless of the terminal: a wrapped table is no longer valid Markdown."""


def main() -> None:
    """Run the benchmark. Exit with 1 if a program failed, but not if a figure misses its target."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compares the service with what a user would write instead, on its own Kafka and PostgreSQL. "
        "Progress goes to stderr, the table to stdout. Nothing else should run on the machine at the same time.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of each case that has rounds (default: %(default)s)"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="share of the full number of tasks and seconds, for a quick run (default: 1)",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=CASES,
        default=list(CASES),
        metavar="CASE",
        help=f"cases to run (default: all): {', '.join(CASES)}",
    )
    arguments = parser.parse_args()
    errors = Console(stderr=True)
    figures: list[Figure] = []
    try:
        with progress(errors) as say:
            say("starting Kafka and PostgreSQL")
            with BenchServices() as services:
                for name in arguments.cases:
                    figures += CASES[name](services, Scale(arguments.rounds, arguments.scale), say)
    except (Failed, NotReady) as error:
        errors.print(f"bench: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if figures:  # also those of the cases before one that failed
            _print(figures, in_json=arguments.json)


def _print(figures: list[Figure], *, in_json: bool) -> None:
    if in_json:
        print(json.dumps({"machine": machine(), "figures": as_json(figures)}, indent=1))
    else:
        Console(width=TABLE_WIDTH).print(table(figures))
        print(machine())


@contextlib.contextmanager
def progress(errors: Console) -> Iterator[Say]:
    """Show progress: one changing line on a terminal, otherwise a line for each step."""
    started_at = time.monotonic()

    def minutes() -> str:
        seconds = int(time.monotonic() - started_at)
        return f"{seconds // 60}:{seconds % 60:02}"

    if not errors.is_terminal:
        yield lambda text: errors.print(f"{minutes()} {text}", highlight=False)
        return
    with errors.status("") as status:
        yield lambda text: status.update(f"{minutes()} {text}")


def machine() -> str:
    """Return the date and a description of the machine."""
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{today}: {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; "
        "Kafka, PostgreSQL, providers and callers on the same machine"
    )


if __name__ == "__main__":
    main()

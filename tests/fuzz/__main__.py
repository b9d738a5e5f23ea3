"""`python -m tests.fuzz`: sends REST calls and records of every kind, drawn from a seed, and checks the outcomes."""

import argparse
import secrets
import sys
import time
from collections.abc import Callable

from rich.console import Console

from tests.chaos.services import FaultServices, run_alone
from tests.fuzz.fuzzed_calls import fuzz_calls
from tests.fuzz.fuzzed_records import fuzz_records

console = Console()


def main() -> int:
    """Run both kinds, or one, and return the exit code: 0 if no failure was found."""
    arguments = _arguments()
    return run_alone("fuzz", console, lambda services: _fuzz(services, arguments))


def _fuzz(services: FaultServices, arguments: argparse.Namespace) -> bool:
    seed, calls, records = arguments.seed, arguments.calls, arguments.records
    console.print(f"seed {seed}: {calls:,} REST calls, {records:,} records")
    found: list[str] = []
    for name, auth, share in (("without tokens", False, calls // 2), ("with tokens", True, calls - calls // 2)):
        if share:
            found += _timed(
                f"REST calls {name}",
                share,
                lambda tell, auth=auth, share=share: fuzz_calls(
                    services, calls=share, seed=seed, auth=auth, progress=tell
                ),
            )
    if records:
        found += _timed(
            "records", records, lambda tell: fuzz_records(services, records=records, seed=seed, progress=tell)
        )
    for text in found:
        console.print(f"found: {text}", highlight=False, markup=False, soft_wrap=True)
    if found:
        console.print(f"[bold red]{len(found)} found[/bold red]; again: --seed {seed}", highlight=False)
    else:
        console.print(f"[bold green]Nothing found[/bold green], seed {seed}.", highlight=False)
    return not found


def _timed(what: str, wanted: int, work: Callable[[Callable[[int], object]], list[str]]) -> list[str]:
    """Do the work with a progress line, then print how much was done."""
    started_at, done = time.monotonic(), 0
    with console.status(what) as status:

        def tell(number: int) -> None:
            nonlocal done
            done = number
            status.update(f"{number:,} of {wanted:,} {what}")

        found = work(tell)
    console.print(f"{done:,} {what}: {len(found)} found, {time.monotonic() - started_at:.0f} s", highlight=False)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Sends requests and records of every kind to a whole system of its own, and judges what comes.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=secrets.randbelow(1_000_000), help="of all that is left to chance (default: any)")
    add(
        "--calls", type=int, default=10_000, help="REST calls at least, half of them with tokens (default: %(default)s)"
    )
    add("--records", type=int, default=100_000, help="records on the import topic (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m sandbox`: the local stack from the command line; `make` calls it."""

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from rich.console import Console

from sandbox.child import NotReady
from sandbox.demo import Mismatch, demo
from sandbox.dump import dump
from sandbox.scale_demo import PARTITIONS, TASKS, scale_demo
from sandbox.up import down, up

console = Console()


def main() -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The local stack, without Docker.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "demo", help="start everything, send tasks of all three types, show their results, stop everything"
    )
    scale_parser = commands.add_parser(
        "scale-demo", help="start everything, work through a backlog with 1, 2 and 4 replicas, stop everything"
    )
    scale_parser.add_argument(
        "--tasks", type=backlog, default=TASKS, help="tasks in the backlog for each replica (default: %(default)s)"
    )
    scale_parser.add_argument(
        "--partitions",
        type=int,
        choices=range(1, 13),
        metavar="1..12",
        default=PARTITIONS,
        help="partitions of each topic (default: %(default)s)",
    )
    up_parser = commands.add_parser("up", help="start everything and leave it running")
    up_parser.add_argument("--processors", type=int, default=2, help="replicas of the processor (default: %(default)s)")
    commands.add_parser("down", help="stop what `up` left running")
    commands.add_parser("dump", help="write dump.sql from the database of a real run")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job starts with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        match arguments.command:
            case "demo":
                demo(console, step)
            case "scale-demo":
                scale_demo(console, step, arguments.tasks, arguments.partitions)
            case "up":
                up(console, step, arguments.processors)
            case "down":
                down(console, step)
            case "dump":
                console.print(f"Written: {dump(step)}")
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return 130
    except (NotReady, Mismatch, FileNotFoundError) as error:
        console.print(f"[bold red]Failed:[/bold red] {error}", highlight=False)
        return 1
    except subprocess.CalledProcessError as error:
        console.print(
            f"[bold red]Failed:[/bold red] {error.cmd[0]} exited with code {error.returncode}", highlight=False
        )
        return 1
    return 0


def backlog(text: str) -> int:
    """Parse `--tasks`: enough tasks to measure a rate, few enough to finish before the demo times out."""
    if not text.isdecimal() or not 100 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError("must be 100 to 10000")
    return int(text)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Show the step's title while it runs, and its duration when it is done."""
    started_at = time.monotonic()
    with console.status(title):
        yield
    console.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started_at:.1f} s[/dim]", highlight=False)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m processor redrive` as a person meets it: arguments, progress bar, the line at the end, exit code."""

import argparse
import logging
import signal
import sys
from datetime import UTC, datetime
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from processor.dead_letters import KafkaSilent
from processor.redrive import NotPutBack, Redrive, Report, Wanted
from processor.redriven import NotRemembered, Redriven
from processor.settings import ProcessorSettings
from shared.messages import ErrorCode


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, as the programs do it with settings."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `redrive` and its arguments to the program's commands."""
    parser = commands.add_parser(
        "redrive",
        help="put dead letters back on the import topic",
        description="Puts the dead letters that are there now back on the import topic, each once, however often it is "
        "called. A task that became a row meanwhile is answered with its id and not paid again. "
        "Settings come from the environment, as the processor's.",
    )
    parser.add_argument(
        "--reason", choices=[code.value for code in ErrorCode], metavar="CODE", help="only those with this error_code"
    )
    parser.add_argument(
        "--since",
        type=_milliseconds,
        metavar="TIME",
        help="only those written then or later: 2026-01-31, 2026-01-31T12:00, 2026-01-31T12:00+03:00; UTC without zone",
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="at most so many")
    parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")


def redrive(settings: ProcessorSettings, options: argparse.Namespace) -> int:
    """Put dead letters back and return the exit code: 0, or 1 after one line that says what is in the way."""
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # what is in the way is told in one line, at the end
    code = ErrorCode(options.reason) if options.reason else None
    wanted = Wanted(code, options.since, options.limit, options.dry_run)
    stopped = _signals()
    report = Report(wanted.dry_run)
    try:
        remembered = Redriven(settings.postgres_connection())
        try:
            with _progress() as progress:
                bar = progress.add_task("dead letters", total=None)
                Redrive(
                    settings,
                    wanted,
                    remembered,
                    report,
                    advance=lambda done, total: progress.update(bar, completed=done, total=total),
                    stopped=lambda: bool(stopped),
                ).run()
        finally:
            remembered.close()
    except (KafkaSilent, NotRemembered, NotPutBack) as error:
        print(f"processor redrive: {error}", file=sys.stderr)  # noqa: T201 - for the person who called it
        if report.put_back:
            print(report)  # noqa: T201 - for the person who called it
        return 1
    print(f"{report}{'; stopped before the end' if stopped else ''}")  # noqa: T201 - for the person who called it
    return 128 + signal.SIGINT if signal.SIGINT in stopped else 0


def _signals() -> list[int]:
    """Let a signal end the work after the batch at hand, a second one at once. Returns the signals that came."""
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return came


def _progress() -> Progress:
    # rich itself turns to the terminal's width and to NO_COLOR.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _milliseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("must be a time in ISO 8601, such as 2026-01-31T12:00") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:18]) > 0):
        raise argparse.ArgumentTypeError("must be a number of 1 or more")
    return int(text[:18])

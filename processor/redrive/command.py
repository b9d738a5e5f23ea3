"""The command `python -m processor redrive`: progress bar, table, summary line, exit code."""

import logging
import os
import signal
import sys
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from processor.redrive.letters import KafkaSilent
from processor.redrive.put_back import NotRemembered, Redriven
from processor.redrive.redrive import NotPutBack, Redrive, Report, Wanted, listed
from processor.settings import ProcessorSettings
from shared.command_line import has_colours
from shared.logs import configure_logs

PIPE_CHARACTERS_MAX = 1000
"""Width of a table that no terminal limits: what reads it wants a line a row."""


def redrive(settings: ProcessorSettings, wanted: Wanted) -> int:
    """Put dead letters back and return the exit code: 0, or 1 after one line that says what is in the way."""
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # what is in the way is told in one line, at the end
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
        if report.put_back:
            _tell(report)
        print(f"processor redrive: {error}", file=sys.stderr)  # noqa: T201 - for the person who called it
        return 1
    if stopped:
        _tell(report, ending="; stopped before the end")
    elif not report.looked_at:
        _tell(report, f"There are no dead letters on {settings.kafka_dead_letter_topic}.")
    else:
        _tell(report, "" if report.put_back else "There is nothing to put back.")
    return 128 + signal.SIGINT if signal.SIGINT in stopped else 0


def table(report: Report, *, for_person: bool) -> Table:
    """Return a row for each error code that was met, and their sum.

    Args:
        report: what became of the dead letters.
        for_person: it fits a terminal; else each row is one line, however long, for a script.
    """
    table = Table(box=box.SIMPLE if for_person else None, pad_edge=False, show_footer=True)
    numbers: dict[str, Any] = {"justify": "right", "max_width": 8 if for_person else None}
    table.add_column("error_code", "total", no_wrap=True, style="bold")
    table.add_column("what it means")
    table.add_column("looked at", str(report.looked_at), **numbers)
    table.add_column(report.verb, str(report.put_back.total()), style="green", **numbers)
    table.add_column("skipped", str(report.skipped.total()), style="yellow")
    for code in report.codes():
        put_back = report.put_back[code] if code else 0
        why = report.why_skipped(code)
        table.add_row(
            code or "none",
            code.meaning if code else "not this service's",
            str(put_back + why.total()),
            str(put_back),
            listed(why, "\n" if for_person else ", ") or "0",
        )
    return table


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
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=_console(sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _tell(report: Report, remark: str = "", ending: str = "") -> None:
    console = _console(sys.stdout)
    with console.capture() as told:
        if report.looked_at:
            console.print(table(report, for_person=sys.stdout.isatty()))
        if remark:
            console.print(remark, markup=False, soft_wrap=True)
    try:
        print(f"{told.get()}{report}{ending}", flush=True)  # noqa: T201 - for the person who called it
    except BrokenPipeError:
        # Who reads it has read enough, and the work is done. Python would write the rest at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(stream: TextIO) -> Console:
    # Said outright: rich by itself would write colours into a pipe where FORCE_COLOR is set.
    return Console(
        file=stream,
        color_system="auto" if has_colours(stream) else None,
        width=None if stream.isatty() else PIPE_CHARACTERS_MAX,
        highlight=False,
    )

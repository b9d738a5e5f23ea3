"""The command `python -m processor redrive`: progress bar, table, summary line, exit code."""

import logging
import signal
import sys
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from processor.console import console, write_out
from processor.redrive.letters import KafkaSilent
from processor.redrive.put_back import NotRemembered, Redriven
from processor.redrive.redrive import NotPutBack, Redrive, Report, Wanted, listed
from processor.settings import ProcessorSettings
from shared.logs import configure_logs


def redrive(settings: ProcessorSettings, wanted: Wanted) -> int:
    """Put dead letters back and return the exit code: 0, or 1 after one line that says what is in the way."""
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # an error is printed in one line, at the end
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
            _print(report)
        print(f"processor redrive: {error}", file=sys.stderr)  # noqa: T201 - for the person who called it
        return 1
    if stopped:
        _print(report, ending="; stopped before the end")
    elif not report.examined:
        _print(report, f"There are no dead letters on {settings.kafka_dead_letter_topic}.")
    else:
        _print(report, "" if report.put_back else "There is nothing to put back.")
    return 128 + signal.SIGINT if signal.SIGINT in stopped else 0


def table(report: Report) -> Table:
    """Return a row for each error code that was found, and their sum."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("error_code", "total", no_wrap=True, style="bold")
    table.add_column("examined", str(report.examined), justify="right")
    table.add_column(report.verb, str(report.put_back.total()), justify="right", style="green")
    table.add_column("skipped", str(report.skipped.total()), style="yellow")
    for code in report.codes():
        put_back = report.put_back[code] if code else 0
        skipped = report.skipped_by_reason(code)
        row = (code or "none", str(put_back + skipped.total()), str(put_back), listed(skipped) or "0")
        table.add_row(*row)
    return table


def _signals() -> list[int]:
    """Let a first signal end the work after the current batch, a second one at once. Returns the received signals."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return received


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console(sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _print(report: Report, remark: str = "", ending: str = "") -> None:
    printed = console(sys.stdout)
    with printed.capture() as captured:
        if report.examined:
            printed.print(table(report))
        if remark:
            printed.print(remark, markup=False, soft_wrap=True)
    write_out(f"{captured.get()}{report}{ending}\n")

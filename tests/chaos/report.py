"""The report of a verdict: a table on a terminal, plain columns in a pipe."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.judge import Line, Verdict

COLUMNS = (
    "fault",
    "times",
    "acknowledged",
    "lost",
    "rows doubled",
    "dead letters",
    "results repeated",
    "(allowed)",
    "paid calls repeated",
    "(allowed)",
    "unasked exits",
    "seconds to settle",
    "results kept",
    "longest gap",
    "(bare consumer)",
)
SHORT = {
    0: "fault",
    1: "n",
    2: "acked",
    3: "lost",
    4: "rows twice",
    6: "results again",
    8: "paid again",
    10: "exits",
    11: "settled",
    13: "gap",
}
"""For a terminal of 80 columns: index in COLUMNS -> short heading."""
WIDE_COLUMNS = 190


def show(verdict: Verdict, console: Console) -> None:
    """Print the table and the broken promises."""
    rows = [_cells(line) for line in [*verdict.lines, verdict.total]]
    if console.is_terminal:
        headings = dict(enumerate(COLUMNS)) if console.width >= WIDE_COLUMNS else SHORT
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(headings[0], min_width=16)
        for heading in list(headings.values())[1:]:
            table.add_column(heading, justify="right", min_width=max(map(len, heading.split())))
        for number, row in enumerate(rows, 1):
            table.add_row(*(row[column] for column in headings), end_section=number == len(rows) - 1)
        console.print(table)
    else:
        print("\n".join(plain(rows)))
    for text in verdict.violations:
        console.print(f"[bold red]broken:[/bold red] {text}", highlight=False, soft_wrap=True)


def plain(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the table's lines, with only spaces between the columns."""
    table = [COLUMNS, *rows]
    widths = [max(len(row[number]) for row in table) for number in range(len(COLUMNS))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]


def _cells(line: Line) -> tuple[str, ...]:
    settled = "never" if line.seconds_to_settle is None else f"{line.seconds_to_settle:.1f}"
    counts = (
        line.times,
        line.acknowledged,
        line.lost,
        line.rows_doubled,
        line.dead_letters,
        line.results_repeated,
        line.results_allowed,
        line.calls_repeated,
        line.calls_allowed,
        line.exits,
    )
    kept = "" if line.results_kept is None else f"{line.results_kept:.0%}"
    gaps = ("" if gap is None else f"{gap:.1f}" for gap in (line.gap_seconds, line.bare_gap_seconds))
    return (line.fault, *(f"{count:,}" for count in counts), settled, kept, *gaps)

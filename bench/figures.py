"""The benchmark's figures, with the values of all rounds, as a table or as JSON."""

import statistics
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured quantity of one program, with a value for each round."""

    case: str
    program: str
    unit: str
    values: list[float]
    share: float | None = None
    """The median divided by the value that `of` names."""
    of: str = ""
    wanted: str = ""
    reached: bool | None = None
    """Whether the target is reached; None if there is no target."""

    @property
    def median(self) -> float:
        """The median of the rounds, which a single disturbed round does not change."""
        return statistics.median(self.values)


def compared(
    figure: Figure, with_: float, of: str, *, at_least: float | None = None, at_most: float | None = None
) -> Figure:
    """Return the figure with its share of `with_`, and a target for this share."""
    if not with_:  # a quick look was over before anything was measured
        return figure
    share = figure.median / with_
    return _wanted(replace(figure, share=share, of=of), share, at_least, at_most)


def wanted(figure: Figure, *, at_least: float | None = None, at_most: float | None = None) -> Figure:
    """Return the figure with a target for its median."""
    return _wanted(figure, figure.median, at_least, at_most)


def _wanted(figure: Figure, value: float, at_least: float | None, at_most: float | None) -> Figure:
    if at_least is not None:
        return replace(figure, wanted=f"at least {at_least:,g}", reached=value >= at_least)
    if at_most is not None:
        return replace(figure, wanted=f"at most {at_most:,g}", reached=value <= at_most)
    return figure


def table(figures: list[Figure]) -> Table:
    """Return the figures as a Markdown table, which can be copied into a document as it is."""
    drawn = Table(box=box.MARKDOWN)
    for column in ("case", "program", "unit"):
        drawn.add_column(column, no_wrap=True)
    for column in ("median", "lowest to highest", "share", "wanted"):
        drawn.add_column(column, justify="right", no_wrap=True)
    drawn.add_column("reached", no_wrap=True)
    for figure in figures:
        drawn.add_row(
            figure.case,
            figure.program,
            figure.unit,
            _number(figure.median),
            "" if len(figure.values) == 1 else f"{_number(min(figure.values))} to {_number(max(figure.values))}",
            "" if figure.share is None else f"{figure.share:.2f} {figure.of}",
            figure.wanted,
            {True: "yes", False: "**no**", None: ""}[figure.reached],
        )
    return drawn


def as_json(figures: list[Figure]) -> list[dict[str, Any]]:
    """Return the figures in a form for JSON."""
    return [{**asdict(figure), "median": figure.median} for figure in figures]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"

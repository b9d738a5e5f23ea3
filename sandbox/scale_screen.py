"""The scale demo's output: a live picture on a terminal, otherwise a line every two seconds; tables at the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sandbox.scale_figures import Lag, Phase, Quota, Replica

LINE_SECONDS = 2.0
"""Time between two lines if the output is not a terminal."""

BAR_CHARACTERS = 15
COLOURS = ("cyan", "magenta", "yellow", "blue")
"""Colours of the replicas and of their partitions."""

WAITING, IN_FLIGHT, FINISHED = "█", "▒", "·"


@dataclass(frozen=True)
class View:
    """The state to show now."""

    title: str
    partitions: int
    replicas: Sequence[Replica]
    rate: float
    """Tasks a second."""
    done: Sequence[Phase] = ()

    @property
    def lags(self) -> dict[int, Lag]:
        """The lag of each partition, without those that are being reassigned."""
        return {partition: lag for replica in self.replicas for partition, lag in replica.partitions.items()}

    @property
    def quota(self) -> Quota:
        """The fleet's quota at DaData: the sum of its replicas' shares."""
        quotas = [replica.quotas.get("dadata", Quota()) for replica in self.replicas]
        return Quota(sum(quota.slots for quota in quotas), sum(quota.used for quota in quotas))


class Screen:
    """Shows successive views while the context lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        moves = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if moves else None
        self._title = ""
        self._most = 0
        self._line_at = 0.0
        self._owners = ""

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, view: View, now: float) -> None:
        """Show the view. Without a terminal it is skipped if the last line is too recent."""
        if view.title != self._title:
            self._title, self._most, self._line_at = view.title, 0, 0.0
        # Bars are scaled to the longest one since the title changed, so that they visibly get shorter.
        self._most = max(self._most, *(lag.committed for lag in view.lags.values()), 1)
        if self._live is not None:
            self._live.update(picture(view, self._most), refresh=True)
        elif now >= self._line_at + LINE_SECONDS:
            shown = [line(view)]
            if owners(view) != self._owners:
                shown.insert(0, owners(view))
            if not self._line_at:
                shown.insert(0, f"\n{view.title}")
            self._line_at, self._owners = now, owners(view)
            self._console.print("\n".join(shown), highlight=False, soft_wrap=True)


def line(view: View) -> str:
    """Return a view's figures in one line."""
    total = Lag.total(view.lags.values())
    quota = f"  quota {view.quota.used}/{view.quota.slots}" if view.quota.slots else ""
    return (
        f"{view.rate:6.0f}/s  waiting {total.waiting:5,}  in flight {total.in_flight:4,}  "
        f"uncommitted {total.finished:3,}{quota}"
    )


def owners(view: View) -> str:
    """Return in one line which partitions each replica owns."""
    return "  partitions: " + " | ".join(numbers(replica.partitions) for replica in view.replicas)


def numbers(partitions: Iterable[int]) -> str:
    """Return ascending partition numbers as text such as `0-5,7`."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(partitions), lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none yet"


def picture(view: View, most: int) -> RenderableType:
    """Return a view as a picture of at most 80 columns and 24 lines.

    Args:
        view: what to show.
        most: records in the longest bar.
    """
    colours = {
        partition: colour
        for replica, colour in zip(view.replicas, COLOURS, strict=False)
        for partition in replica.partitions
    }
    replicas = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    replicas.add_column("replica")
    replicas.add_column("owns partitions", width=22)
    replicas.add_column("in flight", justify="right")
    replicas.add_column("quota used", justify="right")
    for number, (replica, colour) in enumerate(zip(view.replicas, COLOURS, strict=False), 1):
        quota = replica.quotas.get("dadata", Quota())
        used = f"{quota.used} of {quota.slots}" if quota.slots else "no quota"
        replicas.add_row(str(number), numbers(replica.partitions), str(replica.in_flight), used, style=colour)

    partitions = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for _ in range(2):
        partitions.add_column(f"{'partition':<{BAR_CHARACTERS + 3}} {WAITING:>5} {IN_FLIGHT:>5} {FINISHED:>4}")
    rows = -(-view.partitions // 2)
    for row in range(rows):
        shown = [number for number in (row, row + rows) if number < view.partitions]
        partitions.add_row(*(_partition(n, view.lags.get(n), most, colours.get(n, "dim")) for n in shown))
    total = Lag.total(view.lags.values())
    done = "".join(f"   with {phase.replicas}: {phase.rate:.0f}" for phase in view.done)
    return Group(
        Text(),
        Text(view.title, style="bold"),
        Text.assemble((f"{view.rate:.0f} tasks a second", "bold green"), (done, "dim")),
        Text(),
        replicas,
        Text(),
        partitions,
        Text(
            f"{WAITING} waiting {total.waiting:,}   {IN_FLIGHT} in flight {total.in_flight:,}   "
            f"{FINISHED} finished, not committed {total.finished:,}\n"
            f"true lag {total.true:,}   committed lag {total.committed:,}"
            + (f"   quota used {view.quota.used} of {view.quota.slots}" if view.quota.slots else "")
        ),
    )


def _partition(number: int, lag: Lag | None, most: int, colour: str) -> Text:
    if lag is None:
        return Text(f"{number:>2} {'being reassigned':<{BAR_CHARACTERS + 17}}", style="dim")
    parts = ((lag.waiting, WAITING), (lag.in_flight, IN_FLIGHT), (lag.finished, FINISHED))
    bar = "".join(sign * -(-count * BAR_CHARACTERS // most) for count, sign in parts)[:BAR_CHARACTERS]
    text = f"{number:>2} {bar:<{BAR_CHARACTERS}} {lag.waiting:>5,} {lag.in_flight:>5,} {lag.finished:>4,}"
    return Text(text, style=colour)


def phase_table(title: str, phases: Sequence[Phase]) -> Table:
    """Return a table of the measurements with each number of replicas."""
    alone = next(phase.rate for phase in phases if phase.replicas == 1)
    table = Table(title=title, title_justify="left")
    for column in ("replicas", "tasks a second", "ratio", "results repeated", "calls repeated"):
        table.add_column(column, justify="right")
    for phase in phases:
        repeated = (str(phase.results_repeated), str(phase.calls_repeated))
        table.add_row(str(phase.replicas), f"{phase.rate:.1f}", f"{phase.rate / alone:.2f}" if alone else "", *repeated)
    return table

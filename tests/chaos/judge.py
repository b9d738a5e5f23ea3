"""Checks the history of a fault run against the promises: pure functions over what was sent, seen and stored.

The tasks of a run are sent in rounds, one fault each; everything that happens to a task counts for that fault.
"""

import bisect
import itertools
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from processor.store.rows import ROWS_WAITING_MAX

STEADY_SECONDS = 20.0
"""How long a steady flow of tasks is watched before a fault, and after it."""


@dataclass(frozen=True)
class Steady:
    """What a fault must leave of a steady flow of tasks, on a machine that does nothing else. None: only reported."""

    results_least: float | None = None
    """Results in the seconds after the fault's beginning, as a share of those in the seconds before it."""
    gap_seconds_max: float | None = None
    """Longest time between two results from the fault's beginning on."""
    nothing_repeated: bool = False
    lasts_seconds: float = 2 * STEADY_SECONDS
    """How long the tasks are sent."""


@dataclass(frozen=True)
class Round:
    """One fault and the tasks sent around it.

    `cuts_calls`: answers are lost in transit and calls are paid again. `restarts_broker`: see `_crashed`.
    """

    number: int
    fault: str
    restarts_broker: bool = False
    cuts_calls: bool = False
    dead_letters: bool = False
    seconds_to_settle: float | None = None
    steady: Steady | None = None
    fault_at: float = 0.0
    over_at: float = 0.0


@dataclass(frozen=True)
class Task:
    """One task. Refused: the answer says that nothing may remain of it. Open: it is unknown whether Kafka has it."""

    task_id: int
    round: int
    input: str
    outcome: Literal["acknowledged", "refused", "open"]
    partition: int = -1
    offset: int = -1


@dataclass(frozen=True)
class Answer:
    """A result on its topic, or a dead letter if `id` is None."""

    task_id: int
    id: int | None
    position: tuple[str, int, int]
    written_at: float
    read_at: float = 0.0


@dataclass(frozen=True)
class Cut:
    """Processors that were killed or cut off from their group at one moment, and what was under way just before."""

    round: int
    at: float
    """Time at which it was done."""
    processors: int
    in_flight: int
    """Records that they had read and not finished."""
    at_provider: int
    """Calls at the providers, of the whole fleet."""
    unstored: int
    """Answers that had no row yet, of the whole fleet."""

    @property
    def calls_allowed(self) -> int:
        """How many calls may be paid again: a processor asks no provider while a batch of answers waits for rows."""
        return self.at_provider + min(self.unstored, self.processors * ROWS_WAITING_MAX)


@dataclass(frozen=True)
class Exit:
    """A program that ended by itself, or did not end with code 0 when it was stopped."""

    round: int
    program: str
    code: int | None
    log: str = ""
    """The end of its log."""


@dataclass
class History:
    """Everything recorded in a run. Times are seconds since the epoch."""

    rounds: list[Round] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    read_by_a_bare_consumer_at: list[float] = field(default_factory=list)
    """When a group of one librdkafka consumer that only reads got the tasks, in order."""
    replies: list[tuple[int, int]] = field(default_factory=list)
    """(task_id, id) pairs that REST callers got."""
    untold: list[int] = field(default_factory=list)
    """Tasks answered with 202 or 504 for which the gateway still has no reply at the end."""
    rows: list[tuple[int, str]] = field(default_factory=list)
    """(id, input)."""
    ids_looked_up: int = 0
    ids_without_row: list[int] = field(default_factory=list)
    """Ids in a result or a reply that had no row when they were looked up."""
    paid: Counter[str] = field(default_factory=Counter)
    """Input -> number of the provider's answers to it."""
    cuts: list[Cut] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    committed: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    """(time of the answer, partition -> committed offset), in the order of the requests."""
    lag: int | None = None
    """Records not committed at the end, when everything is at rest."""
    leaks: list[str] = field(default_factory=list)
    """Places where the canary of the tasks was found but must not be."""


@dataclass(frozen=True)
class Line:
    """The effects of one fault, summed over its rounds."""

    fault: str
    times: int = 0
    acknowledged: int = 0
    lost: int = 0
    rows_doubled: int = 0
    ids_conflicting: int = 0
    dead_letters: int = 0
    results_repeated: int = 0
    results_allowed: int = 0
    calls_repeated: int = 0
    calls_allowed: int = 0
    exits: int = 0
    seconds_to_settle: float | None = 0.0
    results_kept: float | None = None
    """Of a steady flow: the smallest share of the results that a fault left."""
    gap_seconds: float | None = None
    """Of a steady flow: the longest time between two results."""
    bare_gap_seconds: float | None = None
    """The same of a bare consumer of the tasks."""


@dataclass(frozen=True)
class Verdict:
    """A line for each fault, their sum, and the broken promises."""

    lines: list[Line]
    total: Line
    violations: list[str]


def judge(history: History, settle_seconds_max: float | None = None) -> Verdict:
    """Judge a run. `settle_seconds_max` is enforced only if it is given, because a busy machine is slower."""
    of_rounds = _lines_of_rounds(history)
    crashed = _crashed(history)
    violations = [
        text for round_ in history.rounds for text in _broken_in_round(round_, of_rounds[round_.number], crashed)
    ]
    if settle_seconds_max is not None:
        violations += [
            f"round {round_.number}, {round_.fault}: settled after {round_.seconds_to_settle:.1f} seconds only"
            for round_ in history.rounds
            if round_.seconds_to_settle is not None and round_.seconds_to_settle > settle_seconds_max
        ]
        violations += [text for round_ in history.rounds for text in _unsteady(round_, of_rounds[round_.number])]
    violations += [
        f"{exit_.program} ended by itself with code {exit_.code}{exit_.log}"
        for exit_ in history.exits
        if exit_ not in crashed
    ]
    for check in CHECKS:
        violations += check(history)
    lines: dict[str, Line] = {}
    for line in of_rounds.values():
        lines[line.fault] = _sum(lines.get(line.fault, Line(line.fault)), line)
    total = Line("all")
    for line in lines.values():
        total = _sum(total, line)
    return Verdict(list(lines.values()), total, violations)


def _lines_of_rounds(history: History) -> dict[int, Line]:
    answers: defaultdict[int, list[int | None]] = defaultdict(list)
    for answer in history.answers:
        answers[answer.task_id].append(answer.id)
    replied: defaultdict[int, set[int]] = defaultdict(set)
    for task_id, row_id in history.replies:
        replied[task_id].add(row_id)
    rows = Counter(text for _, text in history.rows)
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for task in history.tasks:
        seen = answers[task.task_id]
        ids = {row_id for row_id in seen if row_id is not None} | replied[task.task_id]
        counts[task.round].update(
            acknowledged=task.outcome == "acknowledged",
            lost=task.outcome == "acknowledged" and not seen,
            rows_doubled=max(0, rows[task.input] - 1),
            ids_conflicting=max(0, len(ids) - 1),
            dead_letters=None in seen,
            results_repeated=max(0, len(seen) - 1),
            calls_repeated=max(0, history.paid[task.input] - 1),
        )
    for exit_ in history.exits:
        counts[exit_.round]["exits"] += 1
    return {
        round_.number: Line(
            round_.fault,
            times=1,
            results_allowed=_results_allowed(history, round_),
            calls_allowed=sum(cut.calls_allowed for cut in history.cuts if cut.round == round_.number),
            seconds_to_settle=round_.seconds_to_settle,
            **counts[round_.number],
            **_flow(history, round_),
        )
        for round_ in history.rounds
    }


def _flow(history: History, round_: Round) -> dict[str, float]:
    """Return what a fault left of a steady flow of tasks."""
    if round_.steady is None:
        return {}
    began_at, over_at = round_.fault_at, round_.over_at
    read_at = sorted(answer.read_at for answer in history.answers)
    before = _within(read_at, began_at - STEADY_SECONDS, began_at)
    after = _within(read_at, began_at, began_at + STEADY_SECONDS)
    return {
        "results_kept": len(after) / max(1, len(before)),
        "gap_seconds": _longest_gap(_within(read_at, began_at, over_at), began_at, over_at),
        "bare_gap_seconds": _longest_gap(
            _within(history.read_by_a_bare_consumer_at, began_at, over_at), began_at, over_at
        ),
    }


def _within(moments: list[float], begin: float, end: float) -> list[float]:
    return moments[bisect.bisect_left(moments, begin) : bisect.bisect_left(moments, end)]


def _longest_gap(moments: list[float], begin: float, end: float) -> float:
    return max(after - before for before, after in itertools.pairwise([begin, *moments, end]))


def _unsteady(round_: Round, line: Line) -> Iterator[str]:
    where, steady = f"round {round_.number}, {round_.fault}", round_.steady
    if steady is None or line.results_kept is None or line.gap_seconds is None:
        return
    if steady.results_least is not None and line.results_kept < steady.results_least:
        yield f"{where}: only {line.results_kept:.0%} of the results went on"
    if steady.gap_seconds_max is not None and line.gap_seconds > steady.gap_seconds_max:
        yield f"{where}: no result for {line.gap_seconds:.1f} seconds"


def _results_allowed(history: History, round_: Round) -> int:
    """Return how many records were in flight, or done but not known as committed, in processors killed or cut off."""
    cuts = [cut for cut in history.cuts if cut.round == round_.number]
    tasks = {task.task_id: task for task in history.tasks if task.round == round_.number}
    answers = [answer for answer in history.answers if answer.task_id in tasks]
    not_committed = set()
    for cut in cuts:
        looks = [committed for at, committed in history.committed if at <= cut.at]
        committed = looks[-1] if looks else {}
        for answer in answers:
            task = tasks[answer.task_id]
            position_known = task.offset >= 0  # it is not if the task was sent by REST
            is_committed = position_known and task.offset < committed.get(task.partition, 0)
            if answer.written_at <= cut.at and not is_committed:
                not_committed.add(answer.task_id)
    return sum(cut.in_flight for cut in cuts) + len(not_committed)


def _crashed(history: History) -> list[Exit]:
    """Return the programs that librdkafka has crashed, which it may when a broker comes back (its issue 5280).

    It reads memory that it has not filled if the broker says of some of a topic's partitions that they have no leader.
    """
    restarted = {round_.number for round_ in history.rounds if round_.restarts_broker}
    return [exit_ for exit_ in history.exits if exit_.code == -signal.SIGSEGV and exit_.round in restarted]


def _broken_in_round(round_: Round, line: Line, crashed: list[Exit]) -> Iterator[str]:
    where = f"round {round_.number}, {round_.fault}"
    # What a processor had under way when it crashed, nobody has counted.
    counted = not any(exit_.round == round_.number and exit_.program.startswith("processor") for exit_ in crashed)
    if line.lost:
        yield f"{where}: {line.lost} acknowledged tasks are lost"
    if line.rows_doubled:
        yield f"{where}: {line.rows_doubled} rows are doubled"
    if line.ids_conflicting:
        yield f"{where}: {line.ids_conflicting} tasks have several ids"
    if line.dead_letters and not round_.dead_letters:
        yield f"{where}: {line.dead_letters} tasks are dead-lettered, and no provider failed"
    if line.results_repeated > line.results_allowed and counted:
        yield f"{where}: {line.results_repeated} results are repeated, {line.results_allowed} may be"
    if line.calls_repeated > line.calls_allowed and counted and not round_.cuts_calls:
        yield f"{where}: {line.calls_repeated} calls are paid again, {line.calls_allowed} may be"
    if round_.seconds_to_settle is None:
        yield f"{where}: not settled without help"
    if round_.steady is not None and round_.steady.nothing_repeated and line.results_repeated + line.calls_repeated:
        yield f"{where}: {line.results_repeated} results and {line.calls_repeated} calls are repeated, none may be"


def _results_without_rows(history: History) -> Iterator[str]:
    stored = {row_id for row_id, _ in history.rows}
    missing = {answer.id for answer in history.answers if answer.id is not None} - stored
    missing |= {row_id for _, row_id in history.replies} - stored
    if missing:
        yield f"{len(missing)} ids in results or replies have no row"


def _rows_of_nobody(history: History) -> Iterator[str]:
    sent = {task.input for task in history.tasks}
    refused = {task.input for task in history.tasks if task.outcome == "refused"}
    refused_ids = {task.task_id for task in history.tasks if task.outcome == "refused"}
    left_behind = sum(text in refused for _, text in history.rows)
    left_behind += sum(answer.task_id in refused_ids for answer in history.answers)
    if left_behind:
        yield f"{left_behind} rows or answers of tasks that were refused"
    if unknown := sum(text not in sent for _, text in history.rows):
        yield f"{unknown} rows of nobody's task"


def _replies_before_rows(history: History) -> Iterator[str]:
    if history.ids_without_row:
        yield f"{len(history.ids_without_row)} ids were read before their row was there"
    read = sum(answer.id is not None for answer in history.answers) + len(history.replies)
    if history.ids_looked_up == 0 or history.ids_looked_up < read:
        yield f"of {read} ids that were read only {history.ids_looked_up} were looked up at once"


def _untold(history: History) -> Iterator[str]:
    if history.untold:
        yield f"of {len(history.untold)} tasks with an open answer the gateway still knows nothing"


def _offsets(history: History) -> Iterator[str]:
    if not any(committed for _, committed in history.committed):
        yield "committed offsets were never seen"
    last: dict[int, int] = {}
    for _, committed in history.committed:
        for partition, offset in committed.items():
            if offset < last.get(partition, 0):
                yield f"partition {partition}: the committed offset went back from {last[partition]} to {offset}"
            last[partition] = offset
    yield from _commits_past_unfinished(history)
    if history.lag != 0:
        yield f"lag at rest is {'not known' if history.lag is None else history.lag}"


def _commits_past_unfinished(history: History) -> Iterator[str]:
    finished_at: dict[int, float] = {}
    for answer in history.answers:
        finished_at[answer.task_id] = min(answer.written_at, finished_at.get(answer.task_id, answer.written_at))
    records: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for task in sorted(history.tasks, key=lambda task: task.offset):
        if task.offset >= 0:
            earlier = records[task.partition][-1][1] if records[task.partition] else 0.0
            records[task.partition].append((task.offset, max(earlier, finished_at.get(task.task_id, float("inf")))))
    past = 0
    for asked_at, committed in history.committed:
        for partition, offset in committed.items():
            below = bisect.bisect_left(records[partition], (offset,))
            past += bool(below) and records[partition][below - 1][1] > asked_at
    if past:
        yield f"{past} times an offset was committed past a record without an answer"


def _leaks(history: History) -> Iterator[str]:
    yield from (f"data of a task is in {place}" for place in history.leaks)


CHECKS = [
    _results_without_rows,
    _rows_of_nobody,
    _replies_before_rows,
    _untold,
    _offsets,
    _leaks,
]


def _sum(first: Line, second: Line) -> Line:
    times = [first.seconds_to_settle, second.seconds_to_settle]
    return replace(
        first,
        **{name: getattr(first, name) + getattr(second, name) for name in COUNTED},
        seconds_to_settle=None if None in times else max(_known(times)),
        results_kept=min(_known([first.results_kept, second.results_kept]), default=None),
        gap_seconds=max(_known([first.gap_seconds, second.gap_seconds]), default=None),
        bare_gap_seconds=max(_known([first.bare_gap_seconds, second.bare_gap_seconds]), default=None),
    )


COUNTED = [name for name, value in Line.__dataclass_fields__.items() if value.type is int]


def _known(times: Iterable[float | None]) -> list[float]:
    return [time for time in times if time is not None]

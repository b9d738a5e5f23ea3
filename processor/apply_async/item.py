"""Stages of a record in the operator, and the legal steps between them. Pure.

QUEUED -> RUNNING <-> BEGUN -> ENDED -> EMITTED -> DELIVERING -> SETTLED
"""

from dataclasses import dataclass, field
from enum import IntEnum, auto


class Stage(IntEnum):
    """A record's stage in the operator. An IntEnum, whose hash is an int's: records take six steps each."""

    QUEUED = auto()
    """Taken; its coroutine has not started. It may be handed back."""
    RUNNING = auto()
    """Its coroutine runs and has not begun anything costly. It may be cancelled and handed back."""
    BEGUN = auto()
    """Its coroutine does work that must not be repeated without need. A rebalance and a stop wait for it."""
    ENDED = auto()
    """Its coroutine has returned an outcome, which has not gone downstream."""
    EMITTED = auto()
    """Its outcome has gone downstream."""
    DELIVERING = auto()
    """Kafka has not acknowledged every record that the outcome has produced."""
    HANDED_BACK = auto()
    """Its coroutine was cancelled or never started; the partition's next owner reads it again."""
    FAILED = auto()
    """Its coroutine has raised an exception, which stops the application."""
    SETTLED = auto()
    """The operator's work on it has ended."""


LEGAL: dict[Stage, frozenset[Stage]] = {
    Stage.QUEUED: frozenset({Stage.RUNNING, Stage.HANDED_BACK}),
    Stage.RUNNING: frozenset({Stage.BEGUN, Stage.ENDED, Stage.HANDED_BACK, Stage.FAILED}),
    Stage.BEGUN: frozenset({Stage.BEGUN, Stage.RUNNING, Stage.ENDED, Stage.HANDED_BACK, Stage.FAILED}),
    Stage.ENDED: frozenset({Stage.EMITTED, Stage.FAILED, Stage.SETTLED}),
    Stage.EMITTED: frozenset({Stage.DELIVERING, Stage.SETTLED}),
    Stage.DELIVERING: frozenset({Stage.ENDED, Stage.SETTLED}),
    Stage.HANDED_BACK: frozenset({Stage.SETTLED}),
    Stage.FAILED: frozenset({Stage.SETTLED}),
    Stage.SETTLED: frozenset(),
}
"""Stage -> stages that may follow. A record whose outcome Kafka refuses goes back to ENDED with another outcome; if its
partition was given up by then, it goes back to ENDED, too, and is settled without an acknowledgement."""

MAY_BE_WITH_THE_NEXT_OWNER = frozenset({Stage.BEGUN, Stage.ENDED, Stage.EMITTED, Stage.DELIVERING})
"""Stages after the costly work has begun: the partition's next owner waits for its result before it does it again."""


class IllegalStep(AssertionError):
    """A record was to go to a stage that cannot follow its own: a bug in the operator."""


@dataclass(slots=True, eq=False)
class Staged:
    """Has a stage, and takes only legal steps."""

    stage: Stage = field(default=Stage.QUEUED, init=False)

    def advance(self, to: Stage) -> None:
        """Go to the stage.

        Raises:
            IllegalStep: it cannot follow the present one.
        """
        if to not in LEGAL[self.stage]:
            raise IllegalStep(f"{self.stage.name} -> {to.name}")
        self.stage = to


class Grip(IntEnum):
    """The operator's hold on a partition's records. It only ever rises."""

    OURS = auto()
    LEAVING = auto()
    """Nothing costly begins any more; what has begun is waited for."""
    GIVEN_UP = auto()
    """Nothing more is emitted: that is up to the partition's next owner."""
    GONE = auto()
    """The operator has nothing to do with the records any more."""

"""Stages of a record in the operator, and the legal steps between them. Pure.

QUEUED -> RUNNING <-> BEGUN -> ENDED -> EMITTED -> DELIVERING -> SETTLED
"""

from enum import Enum, IntEnum, auto


class Stage(Enum):
    """A record's stage in the operator."""

    QUEUED = auto()
    """Taken; its coroutine has not started. It may be handed back."""
    RUNNING = auto()
    """Its coroutine runs, and has begun nothing that must not be repeated. It may be cancelled and handed back."""
    BEGUN = auto()
    """Its coroutine does what must not be repeated without need. A rebalance and a stop wait for it."""
    ENDED = auto()
    """Its coroutine has an outcome, which has not gone downstream."""
    EMITTED = auto()
    """Its outcome has gone downstream."""
    DELIVERING = auto()
    """The run loop knows that it was emitted; Kafka has not acknowledged all that the outcome has produced."""
    HANDED_BACK = auto()
    """Its partition's next owner reads it again: its coroutine was cancelled, or has never started."""
    FAILED = auto()
    """Its coroutine has raised an exception, which stops the application."""
    SETTLED = auto()
    """The operator is done with it."""


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
"""Stage -> those that may come next. An outcome that Kafka refuses goes back to ENDED, with another outcome; one whose
partition is another replica's by then goes back to ENDED, too, and is settled without an acknowledgement."""

MAY_BE_WITH_THE_NEXT_OWNER = frozenset({Stage.BEGUN, Stage.ENDED, Stage.EMITTED, Stage.DELIVERING})
"""Stages in which the paid work has begun: the partition's next owner is told, and waits for it before it does it."""


class IllegalStep(AssertionError):
    """A record was to go from one stage to another that cannot follow it: a bug in the operator."""


def step(now: Stage, to: Stage) -> Stage:
    """Return the next stage.

    Raises:
        IllegalStep: it cannot follow.
    """
    if to not in LEGAL[now]:
        raise IllegalStep(f"{now.name} -> {to.name}")
    return to


class Grip(IntEnum):
    """The operator's hold on a partition's records. It only ever rises."""

    OURS = auto()
    GIVEN_UP = auto()
    """Nothing more is emitted: what becomes of the records now is their next owner's to emit."""
    GONE = auto()
    """The records are none of this operator's business any more."""

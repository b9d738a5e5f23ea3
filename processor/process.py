"""Runs a record's steps, and adds the metrics, the log line and, if a step fails, the dead letter."""

import contextlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError

from processor.enrich.errors import ProviderError
from processor.enrich.gate import Ticket
from processor.metrics import DEAD_LETTERS, task_seconds, tasks
from processor.outcome import Outcome, dead_letter
from processor.record import Position, Record, Turn, last_header
from processor.store.keys import Claim, KeyRefused, claim_of
from processor.store.known import first_position
from processor.store.postgres import RowRefused
from processor.store.rows import FinishedRecords
from shared.kafka_trouble import ABOUT_THE_RECORD
from shared.messages import (
    AWAITED_UNTIL_HEADER,
    ErrorCode,
    InvalidTask,
    Task,
    TaskType,
    awaited_until,
    correlation_id_of,
    decode_task,
)

logger = logging.getLogger(__name__)

NOT_A_TASK: TaskType = "phone"
"""If TASK_TYPES splits the types, the processors of this type dead-letter the records that are not tasks."""


@dataclass(slots=True)
class Work:
    """A record on its way through the steps, and what they have found out about it."""

    record: Record
    finished: FinishedRecords
    """The records of its partition that were finished before it was assigned."""
    turn: Turn
    task: Task | None = None
    position: Position = field(init=False)
    """The record's identity: its own position, or the first one of a record that was put back."""
    claim: Claim | None = None
    """The record's claim on its idempotency key, if it has one."""
    ticket: Ticket = field(init=False)
    """With which the record waits for its provider."""
    known: bool = False
    """Whether the record's row existed before."""


def decode(work: Work, task_types: Collection[TaskType]) -> Task | None:
    """The decode step: return the record's task, or None if another group of processors handles its type.

    Raises:
        InvalidTask: the record is not a task, or its idempotency key is not valid.
    """
    record = work.record
    task = work.task = decode_task(record.value)
    if task.task_type not in task_types:
        return None
    own = Position(work.finished.topic_id, record.partition, record.offset)
    work.position = first_position(record.headers) or own
    until = awaited_until(last_header(record.headers, AWAITED_UNTIL_HEADER))
    work.claim = claim_of(record.headers, task, work.position, until)
    work.ticket = Ticket(until, None if work.claim is None else work.position)
    return task


class Process:
    """Runs a record's steps. The failure of one record ends here, as its dead letter."""

    def __init__(
        self,
        steps: Callable[[Work], Awaitable[Outcome | None]],
        *,
        release: Callable[[Claim], Awaitable[None]],
        task_types: Collection[TaskType],
    ) -> None:
        """Run these steps.

        Args:
            steps: returns the record's result, or None if another group of processors handles it.
            release: frees the idempotency key of a failed record.
            task_types: the types that this processor handles.
        """
        self._steps = steps
        self._release = release
        self._task_types = task_types

    async def __call__(self, record: Record, finished: FinishedRecords, turn: Turn) -> Outcome | None:
        """Return the record's outcome, or None if another group of processors handles it.

        After a crash before this returns, the record comes again, and is answered from the ledger if its row exists.
        """
        began_at = time.monotonic()
        work = Work(record, finished, turn)
        try:
            outcome = await self._steps(work)
        except InvalidTask as error:
            if work.task is None and NOT_A_TASK not in self._task_types:
                return None
            code, reason = ErrorCode.INVALID_TASK, str(error)
        except (ProviderError, KeyRefused) as error:
            code, reason = error.code, str(error)
        except RowRefused as error:
            code, reason = ErrorCode.INTERNAL_ERROR, str(error)
        except Exception as error:  # noqa: BLE001 - the one boundary: a bug with one record must not stop the others
            # Not the exception's text or arguments, which may repeat the task or the answer.
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unforeseen %s at %s\n%s", type(error).__name__, _where(record), frames)  # noqa: TRY400
            code, reason = ErrorCode.INTERNAL_ERROR, "an unforeseen error, which is in the processor's log"
        else:
            ended = "passed_over" if outcome is None else "known" if work.known else "stored"
            _log(work, ended, "", turn.begins, began_at)
            return outcome
        attempts = turn.begins
        if work.claim is not None:
            turn.begin()  # raises if the record is handed back: then it keeps its claim, for its next owner
            with contextlib.suppress(RowRefused):  # then the claim stays until Kafka has deleted the record
                await self._release(work.claim)  # before the caller can see the failure and use the key again
        _log(work, code, reason, attempts, began_at)
        return dead_letter(record, finished.topic_id, code, reason)


def in_place_of_refused(
    record: Record, finished: FinishedRecords, outcome: Outcome, error: KafkaError
) -> Outcome | None:
    """Return the dead letter of a record whose result Kafka refuses for good; None for a refused dead letter.

    The record has its row: once it is put back, it is answered from the ledger.
    """
    if not outcome.is_result:
        return None
    reason = f"the result topic refuses the result: {ABOUT_THE_RECORD[error.name()]}"
    DEAD_LETTERS.labels(ErrorCode.INTERNAL_ERROR).inc()
    logger.warning("dead letter", extra={"position": _where(record), "outcome": "internal_error", "reason": reason})
    return dead_letter(record, finished.topic_id, ErrorCode.INTERNAL_ERROR, reason)


def _log(work: Work, outcome: str, reason: str, attempts: int, began_at: float) -> None:
    """Count and log the record. `outcome` is its label in integration_tasks, `reason` its dead letter's, else empty."""
    task_type = work.task.task_type if work.task else "none"
    seconds = time.monotonic() - began_at
    tasks(task_type, outcome).inc()
    if outcome != "passed_over":  # another group measures it
        task_seconds(task_type).observe(seconds)
    if isinstance(outcome, ErrorCode):
        DEAD_LETTERS.labels(outcome).inc()
        level, event = logging.WARNING, "dead letter"
    else:
        level, event = logging.DEBUG, "finished"
    if not logger.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "correlation_id": correlation_id_of(work.record.headers),
        "position": _where(work.record),
        "task_type": task_type,
        "outcome": str(outcome),
        "attempts": attempts,
        "seconds": round(seconds, 4),
    }
    if reason:
        fields["reason"] = reason
    logger.log(level, event, extra=fields)


def _where(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"

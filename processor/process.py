"""One record from its bytes to its outcome: decode -> enrich -> PostgreSQL sink."""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from confluent_kafka import KafkaError
from pydantic_core import to_json

from processor.enrich.errors import Answer, ProviderError
from processor.metrics import DEAD_LETTERS, task_seconds, tasks
from processor.outcome import Outcome, dead_letter, result
from processor.record import Position, Record, Turn
from processor.store.claims import KeyRefused
from processor.store.identity import claim_of, first_position
from processor.store.ledger import Claim, FinishedRecords, Row, RowRefused
from shared.messages import ErrorCode, InvalidTask, Task, TaskType, correlation_id_of, decode_task

logger = logging.getLogger(__name__)

NO_TASK_TYPE: TaskType = "phone"
"""Whose processors answer for records that are no task, where processors share the task types out."""


ELSEWHERE_LOOKS_MAX = 120
ELSEWHERE_PAUSE_SECONDS = 0.25
"""How often and how long a record waits for its row from an earlier owner of its partition. That one may be waiting for
its provider, or be dead by now; while PostgreSQL is away no look ends."""


class Process:
    """Takes a record through the pipeline's steps. A failure over one record ends here, as its dead letter."""

    def __init__(
        self,
        *,
        enrich: Callable[[Task, Turn], Awaitable[Answer]],
        store: Callable[[Row], Awaitable[int]],
        find: Callable[[Position], Awaitable[int | None]],
        claim: Callable[[Claim], Awaitable[int | None]],
        release: Callable[[Claim], Awaitable[None]],
        task_types: Collection[TaskType],
    ) -> None:
        """Note the steps.

        Args:
            enrich: asks the task's provider.
            store: writes the row and answers its id.
            find: answers the id of the row at a position, for records that were put back from the dead-letter topic or
                that an earlier owner of their partition still has in hand.
            claim: answers the id of an idempotency key's row, waiting for it, or None where this record makes it.
            release: frees the key of a record that has failed.
            task_types: what this processor handles; records of other types are passed over.
        """
        self._enrich = enrich
        self._store = store
        self._find = find
        self._claim = claim
        self._release = release
        self._task_types = task_types

    async def __call__(self, record: Record, finished: FinishedRecords, turn: Turn) -> Outcome | None:
        """Return what is to be produced for the record, or None where another group of processors handles it.

        A crash before this returns leaves a row, or none; the record comes again, and is answered from the ledger where
        its row is there.
        """
        began_at = time.monotonic()
        task: Task | None = None
        claim: Claim | None = None
        became = "stored"
        reason = ""
        try:
            task = decode_task(record.value)
            if task.task_type not in self._task_types:
                _note(record, task, "passed_over", "", turn.begins, began_at)
                return None
            first = first_position(record.headers)
            position = first or Position(finished.topic_id, record.partition, record.offset)
            claim = claim_of(record.headers, task, position)
            row_id = await (finished.find(record.offset) if first is None else self._find(first))
            if row_id is None and turn.elsewhere:
                row_id = await self._find_soon(position)
            if row_id is None and claim is not None:
                row_id = await self._claim(claim)
            if row_id is not None:
                became = "known"
            else:
                answer = await self._enrich(task, turn)
                row_id = await self._store(Row(position, to_json(answer).decode(), task.task_type))
            outcome = result(record, task.task_id, row_id)
        except InvalidTask as error:
            if task is None and NO_TASK_TYPE not in self._task_types:
                return None
            became, reason = ErrorCode.INVALID_TASK, str(error)
        except (ProviderError, KeyRefused) as error:
            became, reason = error.code, str(error)
        except RowRefused as error:
            became, reason = ErrorCode.INTERNAL_ERROR, str(error)
        except Exception as error:  # noqa: BLE001 - the one boundary: a bug over one record must not stop the others
            # Neither the exception's text nor its arguments: they may repeat the task or the answer.
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unforeseen %s over %s\n%s", type(error).__name__, _where(record), frames)  # noqa: TRY400
            became, reason = ErrorCode.INTERNAL_ERROR, f"unforeseen {type(error).__name__}"
        attempts = turn.begins
        if isinstance(became, ErrorCode):
            outcome = dead_letter(record, finished.topic_id, became, reason)
            if claim is not None:
                turn.begin()  # handed back, it keeps its claim: its next owner may be at work with it
                with contextlib.suppress(RowRefused):  # the claim stays until Kafka has deleted the record
                    await self._release(claim)  # before anybody can see the failure and try again with the key
        _note(record, task, became, reason, attempts, began_at)
        return outcome

    async def _find_soon(self, position: Position) -> int | None:
        """Return the row that an earlier owner of the partition may be about to write, or None where it does not."""
        for _ in range(ELSEWHERE_LOOKS_MAX):
            row_id = await self._find(position)
            if row_id is not None:
                return row_id
            await asyncio.sleep(ELSEWHERE_PAUSE_SECONDS)
        return None


def in_place_of_refused(
    record: Record, finished: FinishedRecords, outcome: Outcome, error: KafkaError
) -> Outcome | None:
    """Return the dead letter of a record whose result Kafka refuses for good; None where that is a dead letter itself.

    Its row is there, so that the record is answered from the ledger once it is put back.
    """
    if not outcome.is_result:
        return None
    reason = f"the result topic does not take the result: {error.name()}"
    DEAD_LETTERS.labels(ErrorCode.INTERNAL_ERROR).inc()
    logger.warning("dead letter", extra={"position": _where(record), "outcome": "internal_error", "reason": reason})
    return dead_letter(record, finished.topic_id, ErrorCode.INTERNAL_ERROR, reason)


def _note(record: Record, task: Task | None, became: str, reason: str, attempts: int, began_at: float) -> None:
    """Count the record and log its one line.

    Args:
        record: whose work has ended.
        task: what it was, if it was one.
        became: as the metric integration_tasks has it.
        reason: why it is a dead letter, where it is one.
        attempts: how often its provider was asked.
        began_at: by time.monotonic().
    """
    task_type = task.task_type if task else "none"
    seconds = time.monotonic() - began_at
    tasks(task_type, became).inc()
    if became != "passed_over":  # it took no time, and is another group's to tell
        task_seconds(task_type).observe(seconds)
    if isinstance(became, ErrorCode):
        DEAD_LETTERS.labels(became).inc()
        level, event = logging.WARNING, "dead letter"
    else:
        level, event = logging.DEBUG, "finished"
    if not logger.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        "correlation_id": correlation_id_of(record.headers),
        "position": _where(record),
        "task_type": task_type,
        "outcome": str(became),
        "attempts": attempts,
        "seconds": round(seconds, 4),
    }
    if reason:
        fields["reason"] = reason
    logger.log(level, event, extra=fields)


def _where(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"

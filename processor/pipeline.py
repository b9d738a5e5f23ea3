"""The pipeline: import topic -> decode -> enrich -> PostgreSQL sink -> result topic | dead-letter topic."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from pydantic_core import to_json
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models import SerializationContext, Serializer, Topic

from processor.apply_async.operator import ApplyAsync, apply_async
from processor.enrich.errors import Answer
from processor.enrich.gate import Ticket
from processor.outcome import Outcome, result
from processor.process import Work, decode
from processor.record import Position, Record, Turn
from processor.store.keys import Claim
from processor.store.rows import FinishedRecords, Row
from shared.messages import Task, TaskType

Steps = Callable[[Work], Awaitable[Outcome | None]]


def steps(
    *,
    task_types: Collection[TaskType],
    known: Callable[[Record, Position, Claim | None, FinishedRecords, Turn], Awaitable[int | None]],
    enrich: Callable[[Task, Ticket, Turn], Awaitable[Answer]],
    sink: Callable[[Row], Awaitable[int]],
) -> Steps:
    """Return the steps of a record from the import topic to its result. They run for thousands of records at once.

    Args:
        task_types: the types that this processor handles; other groups of processors handle the others.
        known: returns the id of a row that exists already, for this record or its idempotency key; None if none does.
        enrich: returns the provider's answer.
        sink: writes the row to PostgreSQL and returns its id.
    """

    async def take(work: Work) -> Outcome | None:
        task = decode(work, task_types)
        if task is None:
            return None
        row_id = await known(work.record, work.position, work.claim, work.finished, work.turn)
        work.known = row_id is not None
        if row_id is None:
            answer = await enrich(task, work.ticket, work.turn)
            row_id = await sink(Row(work.position, to_json(answer).decode(), task.task_type))
        return result(work.record, task.task_id, row_id)

    return take


def build_pipeline(
    sdf: StreamingDataFrame,
    process: Callable[[Record, FinishedRecords, Turn], Awaitable[Outcome | None]],
    *,
    result_topic: Topic,
    dead_letter_topic: Topic,
    **options: Any,
) -> ApplyAsync:
    """Declare the dataframe: the import topic, the steps, and the topics of their outcomes.

    Args:
        sdf: the import topic's dataframe; values and keys are bytes.
        process: runs the steps; if one fails, the outcome is a dead letter.
        result_topic: receives the results.
        dead_letter_topic: receives the dead letters.
        options: of `apply_async`.
    """
    sdf, operator = apply_async(sdf, process, **options)
    sdf = sdf.filter(lambda outcome: outcome is not None)
    sdf = sdf.set_headers(lambda outcome, key, timestamp, headers: outcome.headers)
    sdf = sdf.set_timestamp(_written_now)
    sdf.to_topic(lambda outcome, key, timestamp, headers: result_topic if outcome.is_result else dead_letter_topic)
    return operator


class OutcomeSerializer(Serializer):
    """Serializes the value of both topics: the outcome's bytes, or None for a tombstone."""

    def __call__(self, value: Outcome, ctx: SerializationContext) -> bytes | None:  # type: ignore[override]
        """Return the bytes. Part of Quix's Serializer."""
        return value.value


def _written_now(value: Any, key: Any, timestamp: int, headers: Any) -> int:
    # Kafka deletes by timestamp: the dead letter of an old record must not be deleted as soon as it is written.
    return int(time.time() * 1000)

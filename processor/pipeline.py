"""The pipeline: import topic -> decode -> enrich -> PostgreSQL sink -> result topic | dead-letter topic."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models import SerializationContext, Serializer, Topic

from processor.apply_async.operator import ApplyAsync, Ownership, apply_async
from processor.apply_async.topic_ids import TopicIds
from processor.outcome import Outcome
from processor.record import Record, Turn
from processor.store.ledger import FinishedRecords


def build_pipeline(
    records: StreamingDataFrame,
    *,
    process: Callable[[Record, FinishedRecords, Turn], Awaitable[Outcome | None]],
    finished_records: Callable[[str, int], Awaitable[FinishedRecords]],
    topic_ids: TopicIds,
    result_topic: Topic,
    dead_letter_topic: Topic,
    loop: asyncio.AbstractEventLoop,
    ownership: Ownership,
    **limits: Any,
) -> ApplyAsync[FinishedRecords]:
    """Declare what happens to a record, in the order in which it does.

    Args:
        records: the import topic's dataframe; values and keys are bytes.
        process: decode -> enrich -> PostgreSQL sink, many records at a time.
        finished_records: answers which records of a topic (by its id) and partition are done already.
        topic_ids: of the import topic.
        result_topic: gets an outcome that is a result.
        dead_letter_topic: gets every other outcome.
        loop: where `process` runs.
        ownership: is told which partitions are assigned.
        limits: of `apply_async`.
    """
    outcomes, operator = apply_async(
        records, process, loop=loop, prepare=finished_records, topic_ids=topic_ids, ownership=ownership, **limits
    )
    outcomes = outcomes.filter(lambda outcome: outcome is not None)
    outcomes = outcomes.set_headers(lambda outcome, key, timestamp, headers: outcome.headers)
    outcomes = outcomes.set_timestamp(_written_now)
    outcomes.to_topic(lambda outcome, key, timestamp, headers: result_topic if outcome.is_result else dead_letter_topic)
    return operator


class OutcomeSerializer(Serializer):
    """The result and the dead-letter topic's value: the outcome's bytes, or None for a tombstone."""

    def __call__(self, value: Outcome, ctx: SerializationContext) -> bytes | None:  # type: ignore[override]
        """Return the bytes. Part of Quix's Serializer."""
        return value.value


def _written_now(value: Any, key: Any, timestamp: int, headers: Any) -> int:
    # Kafka deletes by timestamp: a dead letter of an old record must not be deleted as soon as it is written.
    return int(time.time() * 1000)

"""Commits each partition's committable offset, and what is finished beyond it, in a thread beside the run loop."""

import logging
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from processor.apply_async.commit_metadata import CommitMetadata, decode, encode
from processor.apply_async.in_flight import InFlight
from processor.apply_async.topic_ids import TopicIds
from processor.record import Partition

logger = logging.getLogger(__name__)

ASK_SECONDS = 10.0
"""How long a rebalance waits for the commits of the partitions' earlier owners."""


@dataclass(slots=True, eq=False)
class Progress:
    """Progress of one assigned partition: its finished and its committed records."""

    partition: Partition
    topic_id: str
    """Kafka's id of the partition's topic."""
    committed: int
    in_flight: InFlight
    in_hand: set[int] = field(default_factory=set)
    """Offsets of the records that an earlier owner was still processing when it gave the partition up."""
    changed: bool = False
    """Whether something was finished since the last commit."""

    def finish(self, offset: int) -> None:
        """Mark the record as finished."""
        self.in_flight.finish(offset)
        self.in_hand.discard(offset)
        self.changed = True

    def reach(self, offset: int) -> None:
        """Continue at the offset: every record below it was taken."""
        before = self.in_flight.committable
        self.in_flight.reach(offset)
        self.changed = self.changed or self.in_flight.committable != before

    def leave_in_hand(self, offset: int) -> None:
        """Mark the record as still being processed here, although the partition is given up."""
        self.in_hand.add(offset)
        self.changed = True


class Commits:
    """The offsets that this process commits, and the commits of its partitions' earlier owners. On one thread."""

    def __init__(self, consumer: Any, topic_ids: TopicIds) -> None:
        """Commit through this consumer, which has confluent_kafka's `commit` and `committed`."""
        self._consumer = consumer
        self._topic_ids = topic_ids
        self.assigned_ids = topic_ids.known
        """Topic -> id, as of the assignment of its partitions."""
        self._with_metadata = True
        self._under_way: _Commit | None = None
        self._earlier: dict[Partition, tuple[int, CommitMetadata]] = {}
        self.committed: dict[Partition, int | None] = {}
        """The assigned partitions' committed offsets; 0 if nothing is committed, None if it is not known."""

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read the commits of the earlier owners of further partitions.

        If the topic was created again since, the commit does not count and the partition's offset is set to its
        beginning. If the commit names another cluster, the topic is a copy: the committed offset counts, but not the
        records finished beyond it, which may have other offsets in the copy.

        Args:
            partitions: the new ones. The offset is where to begin if no commit counts, and is set to where to begin:
                left to ask for it, librdkafka begins with the first record if it is paused before it knows.
        """
        if not self.committed:  # else topics that were created again are noticed by the partitions that are kept
            self.assigned_ids = self._topic_ids.known
        self.committed |= dict.fromkeys((each.topic, each.partition) for each in partitions)
        asked = {(each.topic, each.partition): each for each in partitions}
        for answer in self._ask(partitions):
            partition = (answer.topic, answer.partition)
            topic = (self._topic_ids.cluster_id, self.assigned_ids[answer.topic])
            metadata = decode(answer.metadata, answer.offset)
            named = None if metadata is None else metadata.topic
            made_again = named != topic and (
                asked[partition].offset == OFFSET_BEGINNING or (named is not None and named[0] == topic[0])
            )
            asked[partition].offset = OFFSET_BEGINNING if made_again else answer.offset
            self.committed[partition] = 0 if made_again else max(0, answer.offset)
            if metadata is not None and named in (None, topic) and not made_again:
                self._earlier[partition] = (answer.offset, metadata)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Leave the partitions to their next owner."""
        for partition in partitions:
            self.committed.pop(partition, None)
            self._earlier.pop(partition, None)

    def start(self, partition: Partition, offset: int) -> Progress:
        """Return the partition's progress for reading from the offset on."""
        # Used once: offsets that are reset without a rebalance mean that finished records are to be processed again.
        if self.committed.get(partition) is None:
            self.committed[partition] = offset
        committed, earlier = self._earlier.pop(partition, (offset, None))
        topic_id = self.assigned_ids[partition[0]]
        if earlier is None or offset < committed:
            return Progress(partition, topic_id, offset, InFlight())
        in_flight = InFlight(earlier.finished_below, earlier.unfinished)
        return Progress(partition, topic_id, offset, in_flight, set(earlier.in_hand))

    def commit(self, progress: Collection[Progress], seconds: float) -> bool:
        """Commit the committable offsets of assigned partitions.

        Kafka would accept offsets even from a member that does not own the partition any more.

        Returns:
            Whether that is done in `seconds`; if not, the next call goes on.
        """
        give_up_at = time.monotonic() + seconds
        if self._under_way is not None and not self._is_committed(self._under_way, seconds):
            return False
        moved = [
            (each, self._to_commit(each, committable))
            for each in progress
            if each.topic_id == self._topic_ids.known.get(each.partition[0])  # else the offset belongs to another topic
            and (committable := each.in_flight.committable) is not None
            and (each.changed or committable != each.committed)
        ]
        if not moved:
            return True
        for each, _ in moved:
            each.changed = False
        self._under_way = _Commit(self._consumer, moved)
        self._under_way.start()
        return self._is_committed(self._under_way, max(0.0, give_up_at - time.monotonic()))

    def abandon(self) -> None:
        """Wait no more for the commit under way: its client ends, and librdkafka may never return from it."""
        self._under_way = None

    def _ask(self, partitions: Collection[TopicPartition]) -> list[TopicPartition]:
        try:
            answers = self._consumer.committed(list(partitions), timeout=ASK_SECONDS)
        except KafkaException as error:
            # Safe: records finished beyond a gap are processed again.
            logger.warning("the commits of earlier owners cannot be read: %s", error.args[0].str())
            return []
        return [answer for answer in answers if answer.error is None]

    def _to_commit(self, progress: Progress, committable: int) -> TopicPartition:
        if not self._with_metadata:
            return TopicPartition(*progress.partition, committable)
        in_flight = progress.in_flight
        metadata = encode(
            committable,
            finished_below=in_flight.finished_below,
            unfinished=in_flight.unfinished(),
            in_hand=progress.in_hand,
            topic=(self._topic_ids.cluster_id, progress.topic_id),
        )
        return TopicPartition(*progress.partition, committable, metadata)

    def _is_committed(self, commit: "_Commit", seconds: float) -> bool:
        commit.join(seconds)
        if commit.is_alive():
            return False
        self._under_way = None
        for progress, to in commit.moved:
            if progress.partition in commit.errors:
                progress.changed = True
            else:
                progress.committed = to.offset
                if progress.partition in self.committed:  # else it was given up meanwhile
                    self.committed[progress.partition] = to.offset
        for error in {error.code(): error for error in commit.errors.values()}.values():
            self._tell(error)
        return not commit.errors

    def _tell(self, error: KafkaError) -> None:
        if error.code() in (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION):
            return  # a part of every rebalance, and soon over
        logger.warning("offsets are not committed yet: %s", error.str())
        if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
            logger.warning("the broker's offset.metadata.max.bytes is below its default of 4096: committing without it")
            self._with_metadata = False


class _Commit(threading.Thread):
    """One commit, in a thread: librdkafka waits without limit for the group's coordinator."""

    def __init__(self, consumer: Any, moved: list[tuple[Progress, TopicPartition]]) -> None:
        super().__init__(name="commit", daemon=True)
        self.moved = moved
        self.errors: dict[Partition, KafkaError] = {}
        self._consumer = consumer

    def run(self) -> None:
        """Commit, and store Kafka's errors. Part of Python's Thread."""
        offsets = [to for _, to in self.moved]
        try:
            answers = self._consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            self.errors = {(to.topic, to.partition): error.args[0] for to in offsets}
        else:
            self.errors = {(answer.topic, answer.partition): answer.error for answer in answers if answer.error}

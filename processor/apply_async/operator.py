"""An operator that Quix Streams lacks: `apply` with a coroutine, many records in flight, in one dataframe.

    sdf, operator = apply_async(sdf, call_provider, loop=loop, ...)

Records go downstream as their coroutines finish, each under its own message context, so that `to_topic`, key, headers
and timestamp work as usual. No offset is committed past an unfinished record. The operator is generic: it does not know
what the records mean.

How it fits Quix 3.28 (the precedent is Quix's own `join_lookup(buffer=...)`, quixstreams/dataframe/joins/lookups):

* It is a stream function that keeps records, and a periodic task, called in each iteration of the run loop, that
  accounts for the finished ones. As a rule, an outcome goes downstream on the event loop's thread as soon as it exists,
  because nothing wakes the run loop while it waits for a record. So everything downstream must work on any thread, as
  Quix's stateless functions and its producer do.
* A record is finished when its outcome is delivered. To count deliveries, the operator stands in front of `produce` of
  Quix's producer. It hands outcomes to the client inside that producer, with a delivery report of its own: Quix's
  report would remember a failed delivery and raise it at the next outcome.
* An outcome that Kafka refuses does not stop other records. It is sent once more in a batch of its own, then replaced
  by another outcome if the application has one, and otherwise held: its offset stays uncommitted, it is sent again from
  time to time, and it does not count as in flight.
* Quix stores an offset as soon as it has read the record, and would commit it at its commit interval, when partitions
  are revoked and when it stops. Set `commit_interval=NEVER_SECONDS`; in the other two cases the operator commits each
  partition's committable offset itself and leaves Quix an empty checkpoint.
* Kafka does not tell a consumer that a topic was deleted and created again. A record's coroutine starts once Kafka has
  confirmed that the topic still has the id that it had at the assignment (see topic_ids.py). If it has another one, its
  partitions are assigned anew, from the new topic's beginning.
* Rebalances are cooperative: Kafka assigns and revokes only the partitions that move, and the others go on. Quix's run
  loop stands still while a revoked partition's calls are waited for; outcomes still go downstream and are delivered.
* It stands between Quix and its consumer, to read messages in batches, and to learn when partitions are assigned,
  revoked or lost, and when Kafka does not answer in a rebalance. Everything that it replaces is in `quix.py`.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, KafkaException, Producer, TopicPartition
from quixstreams.context import copy_context, message_context, set_message_context
from quixstreams.core.stream import StreamFunction, VoidExecutor
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models.messagecontext import MessageContext

from processor.apply_async.commits import Commits, Progress
from processor.apply_async.item import MAY_BE_WITH_THE_NEXT_OWNER, Grip, Stage, Staged
from processor.apply_async.limits import Reading, ReadingLimit
from processor.apply_async.quix import Seam
from processor.apply_async.topic_ids import TopicIds
from processor.record import Partition, Record, Turn
from shared.back_off import BackOff
from shared.brokers import Brokers
from shared.kafka_trouble import ABOUT_THE_RECORD, UnreadableHeaders, explained, headers_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Time between two looks at what changes slowly: partitions' ends, what others see of the progress, the clients."""

COMMIT_SECONDS = 0.1
"""Least time between two commits. After a crash Kafka delivers again what was finished since the last one."""

COMMIT_PARTS = 20
"""Preparing commits takes at most one part in this many of the run loop's time."""

LAST_COMMIT_SECONDS = 1.0
"""Least time limit of the commit with which partitions are given up, and of the one before a stop."""

LEAVE_SECONDS = 5.0
"""How long a consumer may take to leave its group once its partitions are given up."""

FULL_LOOK_SECONDS = 0.005
"""How long the run loop sleeps at the limit before it accounts for finished records again."""

PAUSED_POLL_SECONDS = 0.005
"""How long one poll may take while reading is paused, until finished records are accounted for again."""

ARRIVED_MAX = 100
"""Largest number of messages that are read from the consumer at once."""

ARRIVED_BYTES = 4 * 1024 * 1024
"""Size of messages at which more may have waited, so that the consumer may have stopped requesting them: less than its
`queued.max.messages.kbytes`."""

IN_FLIGHT_BYTES_MAX = 256 * 1024 * 1024
"""Default limit of the size of records in flight: 5000 records of Kafka's largest size would be 5 GB."""

HELD_RECORDS_MAX = 10_000
"""Number of held records at which reading stops, so that they cannot grow without limit."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""Limit of the size of held records in memory. Others are read again after the next rebalance or restart."""

HELD_RETRY_SECONDS_FIRST, HELD_RETRY_SECONDS_MAX = 1.0, 30.0
"""Time between two attempts to send the outcomes of held records: doubled each time, reset when Kafka accepts one."""

PURGE_SECONDS = 1.0
"""How long a replaced producer may take to report its undelivered messages."""

PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)

WAIT_SECONDS = 0.005
"""Time between two checks for finished records during a rebalance."""

LOOP_SECONDS = 1.0
"""How long the run loop waits for the event loop to hand back the records that have not begun."""


class Standing(NamedTuple):
    """Progress of an assigned partition: records from `committable` on are in flight, held, finished or not read."""

    committed: int
    committable: int
    in_flight: int
    finished_beyond: int
    held: int = 0


Delivered = Callable[[Any, KafkaError | None, Any], None]
"""Called with an outcome, Kafka's error or None, and the produced message or None if Kafka's client refused it at once.
Called once for each record that is produced for an outcome, on Quix's thread; must not raise."""

Refused = Callable[[Record, Any, Any, KafkaError], Any]
"""Called on Quix's thread, with a record, the value that `prepare` returned for its partition, its outcome, and Kafka's
error (one of ABOUT_THE_RECORD). Returns the outcome to send instead, or None to hold the record; must not raise."""


@dataclass(slots=True, eq=False)
class _Assignment:
    """One partition, from its assignment until it is revoked, lost, or read again from a lower offset."""

    progress: Progress
    grip: Grip
    """Changes under the operator's lock."""
    prepared: "asyncio.Future[Any] | None" = None
    waiting: "list[_Item]" = field(default_factory=list)
    """Records that wait for `prepared`, in order."""
    held: int = 0
    """Number of records whose outcome Kafka refuses."""


@dataclass(slots=True, eq=False)
class _Item(Staged):
    """A record in flight, and its Turn."""

    operator: "ApplyAsync"
    record: Record
    context: MessageContext
    assignment: _Assignment
    elsewhere: bool
    taken_at: float
    size_bytes: int = field(init=False)
    begins: int = 0
    undelivered: int = 0
    """Number of records that were produced for its outcome and that Kafka has not acknowledged."""
    prepared: Any = None
    outcome: Any = None
    error: Exception | None = None
    task: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self.size_bytes = self.record.size_bytes  # once: it is asked for twice

    @property
    def gone(self) -> bool:
        return self.assignment.grip is Grip.GONE

    @property
    def handed_back(self) -> bool:
        return self.stage is Stage.HANDED_BACK

    def begin(self) -> None:
        running = self.stage in (Stage.RUNNING, Stage.BEGUN)
        if not running or self.operator.hands_back(self):
            if running:
                self.advance(Stage.HANDED_BACK)
            raise asyncio.CancelledError
        self.advance(Stage.BEGUN)
        self.begins += 1

    def end(self) -> None:
        if self.stage is Stage.BEGUN:
            self.advance(Stage.RUNNING)


@dataclass(slots=True, eq=False)
class _Production:
    """A record that is produced for an outcome, until Kafka has acknowledged it."""

    item: _Item
    outcome: Any
    options: dict[str, Any]
    """Arguments of confluent_kafka's `produce`."""
    alone: bool = False
    """Whether it was sent in a batch of its own, so that an error can only be about this record."""
    held: bool = False
    """Whether its record is held."""
    error: KafkaError | None = None
    message: Any = None

    def on_delivery(self, error: KafkaError | None, message: Any) -> None:
        self.error, self.message = error, message
        self.item.operator.deliveries.append(self)


async def _nothing(topic_id: str, partition: int) -> None:
    return None


class ApplyAsync(StreamFunction):
    """The operator behind `apply_async`. The coroutines run on the event loop's thread, everything else on Quix's.

    Outcomes go downstream on the event loop's thread, except those that replace a refused one or had to wait until
    their partition was assigned again. Invariant: every record that is taken leaves exactly once: it goes downstream,
    or is handed back uncommitted.
    """

    def __init__(
        self,
        sdf: StreamingDataFrame,
        func: Callable[[Record, Any, Turn], Awaitable[Any]],
        *,
        loop: asyncio.AbstractEventLoop,
        topic_ids: TopicIds,
        prepare: Callable[[str, int], Awaitable[Any]] = _nothing,
        partitions: Mapping[str, int] | None = None,
        in_flight_max: int = 5000,
        in_flight_bytes_max: int = IN_FLIGHT_BYTES_MAX,
        drain_seconds: float = 5.0,
        shutdown_seconds: float = 20.0,
        delivered: Delivered | None = None,
        refused: Refused | None = None,
        lone_producer: Callable[[Mapping[str, Any]], Producer] | None = None,
    ) -> None:
        """Put the operator into the dataframe; `dataframe` continues it.

        Args:
            sdf: a dataframe of an application with `commit_interval=NEVER_SECONDS`.
            func: called with the record, the value that `prepare` returned for its partition, and its Turn. If it
                raises, the application stops with the record's offset uncommitted. It may be called again for the same
                record after a crash or a rebalance; until it has begun its turn, a rebalance or a stop cancels it and
                hands the record back.
            loop: an event loop that runs in another thread.
            topic_ids: the ids of all topics of the dataframe; they are known already, and watched on the loop.
            prepare: called with the topic's id and the partition each time a partition is assigned, before its first
                record, which waits for it. By default it returns None.
            partitions: topic -> number of its partitions. An outcome without a key that is produced to one of these
                topics goes to the partition with its record's number, if there is one; others go to any.
            in_flight_max: number of records in flight at which reading pauses; it resumes at half of that.
            in_flight_bytes_max: the same in bytes; messages that have arrived and are not taken yet do not count.
            drain_seconds: how long a rebalance waits for records whose turn has begun.
            shutdown_seconds: how long `stop` waits for them.
            delivered: called when Kafka has acknowledged or finally refused an outcome.
            refused: returns the outcome to send in place of one that Kafka refuses.
            lone_producer: returns a producer that has these properties in addition to its own, and sends each record in
                a batch of its own; called when Kafka first refuses an outcome. By default, one like the application's.
        """
        StreamFunction.__init__(self, self._take)
        self._func = func
        self._prepare = prepare
        self.topic_ids = topic_ids
        self._partitions = partitions or {}
        self._loop = loop
        self._in_flight_max = in_flight_max
        self._in_flight_bytes_max = in_flight_bytes_max
        self._drain_seconds = drain_seconds
        self._shutdown_seconds = shutdown_seconds
        self._delivered = delivered
        self._refused = refused

        self._assignments: dict[Partition, _Assignment] = {}
        self._items: dict[tuple[str, int, int], _Item] = {}
        self._in_flight_bytes = 0
        self._inbox: deque[_Item] = deque()
        self._outbox: deque[_Item] = deque()
        self.deliveries: deque[_Production] = deque()
        self._lone_producer: Producer | None = None
        self._lone_brokers = Brokers()
        self._held: list[_Production] = []
        self._held_bytes = 0
        self._held_retry_at = 0.0
        self._held_back_off = BackOff(HELD_RETRY_SECONDS_FIRST, HELD_RETRY_SECONDS_MAX)
        self._held_reasons: set[tuple[str, int]] = set()
        self.held = 0
        """Number of records whose outcome Kafka refuses, at most a second old. May be read from any thread."""
        self.topic_trouble: str | None = None
        """Why a topic accepts no outcomes at all. May be read from any thread."""
        self._lock = threading.Lock()
        self._emitting: _Item | None = None
        self._loop_woken = False
        self._arrived: deque[Any] = deque()
        self._ends: dict[Partition, int] = {}
        self._next_offsets: dict[Partition, int] = {}  # of the assigned partitions
        self._unreadable_headers = logging.WARNING
        self._limit = ReadingLimit()
        self._paused: list[TopicPartition] = []
        self._leaving = False  # while the consumer is closed to be replaced
        self._look_at = self._commit_at = 0.0
        self._requested_since = 0.0
        """Since when the consumer requests records of all partitions, on the monotonic clock."""
        self._stop: Callable[[], None] | None = None
        self._stop_by: float | None = None
        self.polled_at = time.monotonic()
        self.standings: Mapping[Partition, Standing | None] = {}
        """The assigned partitions' progress, at most a second old; None if it is not known yet. May be read from any
        thread."""
        self.missing = ["the pipeline"]
        """What keeps the consumer out of its group, in words: until the run loop joins, that it does not run yet. The
        application sets it; an assignment clears it."""
        self._oldest_taken_at: float | None = None
        self.handed_back = 0
        """Number of records that `stop` has handed back unfinished."""

        self._quix = Seam(sdf.processing_context)
        self._make_lone_producer = lone_producer or self._quix.lone_producer
        self._commits = Commits(self._quix.consumer, topic_ids)
        self._quix.stand_in_front(
            assign=self._assign,
            subscribe=self._subscribe,
            poll=self._poll,
            close=lambda: self._quix.close(self._leave_seconds),
            poll_producer=self._serve_deliveries,
            produce=self._produce,
            each_turn=self.poll,
        )
        self.dataframe = sdf.__dataframe_clone__(stream=sdf.stream.add_function(self))

    @property
    def in_flight(self) -> int:
        """Number of records that were taken, and are neither finished nor held. May be read from any thread."""
        return len(self._items)

    @property
    def oldest_seconds(self) -> float:
        """Age of the record that has been in flight longest; 0 if none is. May be read from any thread."""
        taken_at = self._oldest_taken_at
        return 0.0 if taken_at is None else time.monotonic() - taken_at

    def stop(self, then: Callable[[], None]) -> None:
        """Take no more records, wait at most `shutdown_seconds` for those that have begun, then call `then`.

        Only sets a flag, so it may be called from a signal handler, and before the run loop starts.
        """
        self._stop = then

    # On Quix's thread --------------------------------------------------------------------------------------------

    def get_executor(self, *child_executors: VoidExecutor) -> VoidExecutor:
        """Return the function that Quix calls with each record. Part of Quix's StreamFunction."""
        self._downstream = self._resolve_branching(*child_executors)
        return self._take

    def _take(self, value: Any, key: Any, timestamp: int, headers: Any) -> None:
        context = message_context()
        topic, partition, offset = context.topic, context.partition, context.offset
        assignment = self._assignments.get((topic, partition))
        if assignment is None or not assignment.progress.in_flight.expects(offset):
            assignment = self._new_assignment(topic, partition, offset)
        if not assignment.progress.in_flight.take(offset):
            return  # the partition's earlier owner has finished it
        record = Record(topic, partition, offset, value, key, timestamp, headers)
        running = self._items.get((topic, partition, offset))
        if (
            running is not None
            and running.stage is not Stage.HANDED_BACK
            and running.record == record
            and running.assignment.progress.topic_id == assignment.progress.topic_id
        ):
            # Its partition was revoked and assigned again while its coroutine was running: one call is enough.
            with self._lock:
                running.assignment = assignment
        else:
            elsewhere = offset in assignment.progress.in_hand
            self._submit(_Item(self, record, context, assignment, elsewhere, self.polled_at))

    def _submit(self, item: _Item) -> None:
        position = (item.record.topic, item.record.partition, item.record.offset)
        self._remove(position)  # an item that was handed back, or is of the topic before it was created again
        self._items[position] = item
        self._in_flight_bytes += item.size_bytes
        self._inbox.append(item)
        if not self._loop_woken:  # wakes the loop once for a burst of records
            self._loop_woken = True
            self._loop.call_soon_threadsafe(self._ask_for_topics)

    def poll(self) -> None:
        """Account for finished records, commit, pause or resume reading. Called in every iteration of the run loop."""
        if self._outbox or self.deliveries:
            self._account()
        if self._commits.assigned_ids is not self.topic_ids.known and self._stop is None:
            self._start_over()
        now = self.polled_at = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            if not self._arrived:  # every record before a partition's end is taken
                self._reach_ends()
            self._look()
            self._replace_clients()
        if now >= self._commit_at:
            began_at = time.monotonic()  # later than `now` where a client was replaced
            self._commit(0)
            spent = time.monotonic() - began_at
            self._commit_at = now + max(COMMIT_SECONDS, COMMIT_PARTS * spent)
        if self._stop is not None:
            self._stop_if_drained(now, self._stop)
            return
        if self._held and now >= self._held_retry_at:
            self._send_held_again(now)
        fullness = max(
            len(self._items) / self._in_flight_max,
            self._in_flight_bytes / self._in_flight_bytes_max,
            self.held / HELD_RECORDS_MAX,
        )
        before = self._limit.reading
        reading = self._limit.update(fullness, now)
        if reading is Reading.PAUSED:
            self._pause()
        elif before is Reading.PAUSED and reading is Reading.ON:
            self._resume()

    def _poll(self, timeout: float | None = None) -> Any:
        """Return the next message. Messages are read in batches: each call to librdkafka lets another thread run."""
        if self._arrived and self._reading:
            return self._readable(self._arrived.popleft())
        if self._limit.reading is Reading.STANDING_STILL and not self._paused:
            time.sleep(FULL_LOOK_SECONDS)
            return None
        message = self._quix.poll(PAUSED_POLL_SECONDS if self._paused else timeout)
        if message is None:
            return None
        self._arrive([message])
        # A rebalance in this call discards what had arrived of a revoked partition: its next owner reads that again.
        more = self._quix.consume(ARRIVED_MAX)
        if more is None:
            self._replace_consumer()
            return None
        if len(more) == ARRIVED_MAX or sum(map(len, more)) + len(message) >= ARRIVED_BYTES:
            self._requested_since = time.monotonic()
        self._arrive(more)
        return self._readable(self._arrived.popleft()) if self._arrived and self._reading else None

    def _readable(self, message: Any) -> Any:
        """Return the message, without its headers if confluent_kafka cannot read them.

        Such headers would make Quix end this application, and then every other replica's.
        """
        try:
            headers_of(message)
        except UnreadableHeaders:
            level, self._unreadable_headers = self._unreadable_headers, logging.DEBUG  # warn once
            where = (message.topic(), message.partition(), message.offset())
            logger.log(level, "%s[%d]@%d is processed without its headers: the name of one is not UTF-8", *where)
        return message

    def _arrive(self, messages: list[Any]) -> None:
        strayed = set()
        for message in messages:
            error, partition = message.error(), (message.topic(), message.partition())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._arrived.append(message)
            elif partition not in self._next_offsets:
                continue  # it was revoked meanwhile
            elif error is None and message.offset() < self._position(partition) and self._has_position(partition):
                strayed.add(partition)
            else:
                offset = message.offset()
                if offset != self._next_offsets[partition]:
                    self._look_for_loss(partition, offset)
                if error is None:
                    self._next_offsets[partition] = offset + 1
                    self._arrived.append(message)
                else:
                    self._next_offsets[partition] = self._ends[partition] = offset
        for partition in strayed:
            position = self._position(partition)
            logger.info("%s[%d] is read on at offset %d", *partition, position)
            self._seek_to(partition, position)

    def _position(self, partition: Partition) -> int:
        """Return the offset of the next record; 0 if it is not known."""
        offset = self._next_offsets[partition]
        return offset if offset >= 0 else self._commits.committed.get(partition) or 0

    def _has_position(self, partition: Partition) -> bool:
        """Return whether the partition is still as long. If so, it was librdkafka that went back.

        It may ask for the offset behind a partition's end when it resumes (see `_seek`), which Kafka refuses, and
        begins with the first record then.
        """
        _, end = self._quix.consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return end >= self._position(partition)

    def _look_for_loss(self, partition: Partition, offset: int) -> None:
        """Log what Kafka has lost, if this offset is not the next one for that reason."""
        position = self._position(partition)
        first, end = self._quix.consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        if 0 < position < first <= offset:
            logger.error(
                "%s[%d]: Kafka has deleted the records at offsets %d to %d before they were read: "
                "look at the topic's retention.ms and retention.bytes",
                *partition,
                position,
                first - 1,
            )
        elif offset < position and 0 <= end < position:
            logger.error(
                "%s[%d] is shorter than it was, by the records at offsets %d to %d: it is read again from offset %d",
                *partition,
                end,
                position - 1,
                offset,
            )

    def _reach_ends(self) -> None:
        """Count offsets without a record (transaction markers, aborted records) as finished at a partition's end."""
        for partition, end in self._ends.items():
            assignment = self._assignments.get(partition)
            if assignment is None and end > (self._commits.committed.get(partition) or 0):
                assignment = self._new_assignment(*partition, end)
            if assignment is not None:
                assignment.progress.reach(end)
        self._ends.clear()

    @property
    def _reading(self) -> bool:
        return self._limit.reading is Reading.ON and not self._paused

    def _serve_deliveries(self, timeout: float = 0) -> None:
        if not (self._arrived and self._reading):  # once for each batch that arrived
            self._poll_producers(timeout)

    def _poll_producers(self, timeout: float) -> None:
        self._quix.poll_producer(timeout)
        if self._lone_producer is not None:
            self._lone_producer.poll(0)

    def _produce(self, **options: Any) -> None:
        item = self._emitting
        if item is None:
            self._quix.produce(**options)
            return
        item.undelivered += 1
        if options["key"] is None and item.record.partition < self._partitions.get(options["topic"], 0):
            # Records that arrive together are of few partitions: their outcomes go together in few requests.
            options["partition"] = item.record.partition
        _send(self._quix.client, _Production(item, item.outcome, options))

    def _replace_clients(self) -> None:
        """Replace the clients that have forgotten all brokers."""
        purged = []
        if self._quix.producer_brokers.forgotten:
            with self._lock:  # nothing is emitted meanwhile
                purged.append(self._quix.replace_producer())
        if self._lone_brokers.forgotten:
            self._lone_brokers = Brokers()
            lone, self._lone_producer = self._lone_producer, None
            purged.append(lone)
        for producer in purged:
            if producer is not None:  # its undelivered messages come back as errors, and are sent again
                producer.purge()
                producer.flush(PURGE_SECONDS)
        if self._quix.consumer_brokers.forgotten and self._stop is None:
            self._replace_consumer()

    @property
    def _leave_seconds(self) -> float:
        """How long closing the consumer may take. It gives its partitions up first; a stop has done that already."""
        return LEAVE_SECONDS + (self._drain_seconds + LAST_COMMIT_SECONDS if self._next_offsets else 0.0)

    def _replace_consumer(self) -> None:
        """Leave the group, and join it again with a new client, which reads on behind what is committed."""
        self._leaving = True
        self._quix.replace_consumer(self._leave_seconds)
        self._leaving = False
        self._commits.abandon()
        self._paused = []
        self._disown(list(self._next_offsets))  # what the old client has not revoked, because Kafka did not answer
        self._join()

    def _subscribe(self, topics: Any, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        def revoke(consumer: Any, partitions: list[TopicPartition]) -> None:
            unfinished = self._revoke(_named(partitions))
            count, now = len(partitions), len(self._next_offsets)
            logger.info(
                "revoked %d partitions, now %d; unfinished records left to their next owner: %d", count, now, unfinished
            )
            self._quix.forget_checkpoint()
            on_revoke(consumer, partitions)
            self._quix.consumer.incremental_unassign(partitions)
            self._seek()

        def assign(consumer: Any, partitions: list[TopicPartition]) -> None:
            on_assign(consumer, partitions)
            if not partitions:  # Quix assigns nothing then
                self._quix.consumer.incremental_assign(partitions)
            self._seek()
            self.missing = []

        def lose(consumer: Any, partitions: list[TopicPartition]) -> None:
            # Other replicas own the partitions by now, and emit the outcomes of their records.
            self._disown(_named(partitions))
            on_lost(consumer, partitions)

        self.missing = []
        self._join = partial(self._quix.subscribe, topics, on_assign=assign, on_revoke=revoke, on_lost=lose)
        self._join()

    def _assign(self, partitions: list[TopicPartition]) -> None:
        """Begin with further partitions, beside those that are assigned."""
        # A checkpoint rejects offsets below those it has seen, and after a lost assignment they come again.
        self._quix.forget_checkpoint()
        self._commits.assign(partitions)
        self._next_offsets |= dict.fromkeys(_named(partitions), OFFSET_INVALID)
        self._quix.consumer.incremental_assign(partitions)
        self._requested_since = time.monotonic()
        if self._paused:
            self._quix.consumer.pause(partitions)
            self._paused += partitions
        logger.info("assigned %d partitions, now %d", len(partitions), len(self._next_offsets))

    def _assigned(self) -> list[TopicPartition]:
        # confluent_kafka's assignment() keeps every thread of Python waiting for librdkafka's main thread.
        return [TopicPartition(*each) for each in self._next_offsets]

    def _start_over(self) -> None:
        """Read topics that were deleted and created again, from their beginning."""
        before, now = self._commits.assigned_ids, self.topic_ids.known
        self._commits.assigned_ids = now
        recreated = [each for each in self._assigned() if now[each.topic] != before[each.topic]]
        if not recreated:
            return
        names = ", ".join(sorted({each.topic for each in recreated}))
        logger.warning("the topic %s was created again: it is read from its beginning", names)
        self._revoke(_named(recreated))
        self._quix.consumer.incremental_unassign(recreated)
        self._assign([TopicPartition(each.topic, each.partition, OFFSET_BEGINNING) for each in recreated])

    def _revoke(self, partitions: Collection[Partition]) -> int:
        """Wait for the records that have begun, for a bounded time, and leave the rest to the partitions' next owner.

        Returns:
            The number of unfinished records, which are left.
        """
        give_up_at = time.monotonic() + self._drain_seconds
        assignments = [self._assignments[each] for each in partitions if each in self._assignments]
        self._discard(partitions)
        self._loosen(assignments, Grip.LEAVING)
        self._drain()
        self._poll_producers(0)
        self._account()
        while self._waited_for() and time.monotonic() < give_up_at:
            self._poll_producers(WAIT_SECONDS)  # the run loop stands still meanwhile
            self._account()
        self._give_up(assignments)
        for item in self._items.values():
            if item.stage in MAY_BE_WITH_THE_NEXT_OWNER and item.assignment.grip is Grip.GIVEN_UP:
                item.assignment.progress.leave_in_hand(item.record.offset)
        give_up_at = max(time.monotonic() + LAST_COMMIT_SECONDS, give_up_at)
        while not self._commit(give_up_at - time.monotonic()) and time.monotonic() < give_up_at:
            time.sleep(WAIT_SECONDS)
        unfinished = _unfinished(assignments)
        self._disown(partitions)
        return unfinished

    def _loosen(self, assignments: "Collection[_Assignment]", grip: Grip) -> None:
        """Loosen the grip. Once this has returned, nothing of what has been given up is emitted any more."""
        with self._lock:
            for assignment in assignments:
                assignment.grip = max(assignment.grip, grip)

    def _give_up(self, assignments: "Collection[_Assignment]") -> None:
        self._loosen(assignments, Grip.GIVEN_UP)
        self._account()

    def _discard(self, partitions: Collection[Partition]) -> None:
        """Discard what has arrived and is not taken: it is read again."""
        self._arrived = deque(
            message for message in self._arrived if (message.topic(), message.partition()) not in partitions
        )
        for partition in partitions:
            self._ends.pop(partition, None)

    def _disown(self, partitions: Collection[Partition]) -> None:
        """Forget the partitions. The next owner reads what is unfinished."""
        self._discard(partitions)
        self._loosen([self._assignments.pop(each) for each in partitions if each in self._assignments], Grip.GONE)
        for partition in partitions:
            self._next_offsets.pop(partition, None)
        paused = [each for each in self._paused if (each.topic, each.partition) in partitions]
        if paused:  # librdkafka keeps a partition paused after its assignment has ended
            self._quix.consumer.resume(paused)
        self._paused = [each for each in self._paused if (each.topic, each.partition) not in partitions]
        self._held = [production for production in self._held if not production.item.gone]
        self._held_bytes = sum(production.item.size_bytes for production in self._held)
        self._end_trouble_unless_held()
        self._commits.forget(partitions)
        self._look()

    def _new_assignment(self, topic: str, partition: int, offset: int) -> _Assignment:
        earlier = self._assignments.get((topic, partition))
        if earlier is not None:  # it is read again without a rebalance, because the offsets were reset
            self._loosen([earlier], Grip.GONE)
            self._quix.forget_checkpoint()
        grip = Grip.OURS if self._stop is None else Grip.LEAVING
        assignment = _Assignment(self._commits.start((topic, partition), offset), grip)
        self._assignments[topic, partition] = assignment
        return assignment

    def _account(self) -> None:
        while self._outbox:
            item = self._outbox.popleft()
            if item.stage is Stage.ENDED and not item.gone:
                copy_context().run(self._emit, item)  # its partition was not ours when its coroutine ended
            self._await_delivery(item)
        early = []
        while self.deliveries:
            production = self.deliveries.popleft()
            item = production.item
            if production.error is None:
                self._deliver(production)
            elif item.stage is Stage.SETTLED:
                continue  # another production of its outcome has failed before
            elif item.stage is not Stage.DELIVERING:
                early.append(production)  # its item is not in the outbox yet
            elif item.assignment.grip >= Grip.GIVEN_UP:
                item.advance(Stage.ENDED)  # the partition's next owner emits it
                self._settle(item)
            elif production.error.code() in PURGED:
                self._send_again(production)
            elif not production.alone or production.error.code() == KafkaError._INVALID_DIFFERENT_RECORD:
                # Kafka refuses a whole batch because of one record in it, or because all of it is too large.
                self._send_alone(production)
            else:
                self._refuse(production, production.error)
        self.deliveries.extend(early)

    def _deliver(self, production: _Production) -> None:
        item = production.item
        if production.held and not item.gone:
            item.assignment.held -= 1
            self._held_retry_at = 0.0
            self._held_back_off.reset()
            self._end_trouble_unless_held()
        self._end_production(production)

    def _end_production(self, production: _Production) -> None:
        """Count a produced record as done: Kafka has it, or it was replaced."""
        item = production.item
        item.undelivered -= 1
        if self._delivered is not None:
            self._delivered(production.outcome, production.error, production.message)
        if item.stage is Stage.DELIVERING and not item.undelivered:
            self._settle(item)

    def _await_delivery(self, item: _Item) -> None:
        if item.stage is Stage.EMITTED and item.undelivered:
            item.advance(Stage.DELIVERING)
        else:
            self._settle(item)

    def _send_again(self, production: _Production) -> None:
        if production.alone:
            self._send_alone(production)
        else:
            _send(self._quix.client, production)

    def _send_alone(self, production: _Production) -> None:
        if self._lone_producer is None:
            self._lone_brokers = Brokers()
            self._lone_producer = self._make_lone_producer(self._lone_brokers.properties)
        production.alone = True
        production.options["partition"] = None  # the topic may have been created again with fewer
        _send(self._lone_producer, production)

    def _refuse(self, production: _Production, error: KafkaError) -> None:
        """Send another outcome in place of one that Kafka refuses for good, or hold the record."""
        item = production.item
        replacement = None
        if error.name() in ABOUT_THE_RECORD and self._refused is not None and not production.held:
            replacement = self._refused(item.record, item.prepared, production.outcome, error)
        if replacement is None:
            self._hold(production, error)
            return
        item.outcome = replacement
        item.advance(Stage.ENDED)
        copy_context().run(self._emit, item)
        self._end_production(production)
        self._await_delivery(item)

    def _hold(self, production: _Production, error: KafkaError) -> None:
        """Keep the record from blocking others: it does not count as in flight, but no offset is committed past it."""
        record, topic = production.item.record, production.options["topic"]
        position = (record.topic, record.partition, record.offset)
        if not production.held:
            production.held = True
            production.item.assignment.held += 1
            self._remove(position)
        production.message = None  # frees a copy of the record
        why = explained(error.name(), error.str())
        if error.name() not in ABOUT_THE_RECORD:
            self.topic_trouble = f"the topic {topic} accepts no outcomes: {why}"
        if (topic, error.code()) not in self._held_reasons:
            self._held_reasons.add((topic, error.code()))
            logger.error("%s[%d]@%d is held, because the topic %s refuses its outcome: %s", *position, topic, why)
        if self._held_bytes + record.size_bytes <= HELD_BYTES_MAX:
            self._held.append(production)
            self._held_bytes += record.size_bytes
        else:
            logger.warning("%s[%d]@%d is held, but not in memory: it is sent again after a restart", *position)

    def _send_held_again(self, now: float) -> None:
        self._held_retry_at = now + self._held_back_off.next_seconds()
        held, self._held, self._held_bytes = self._held, [], 0
        for production in held:
            if not production.item.gone:
                self._send_alone(production)

    def _end_trouble_unless_held(self) -> None:
        """Once no record is held, clear the logged reasons, so that the next one is logged again."""
        if not any(assignment.held for assignment in self._assignments.values()):
            self._held_reasons.clear()
            self.topic_trouble = None

    def _settle(self, item: _Item) -> None:
        """End the operator's work on the record: count it as finished, or leave it to the partition's next owner."""
        record = item.record
        position = (record.topic, record.partition, record.offset)
        if self._items.get(position) is item:
            self._remove(position)
        stage = item.stage
        item.advance(Stage.SETTLED)
        if item.gone:
            return  # the partition's next owner emits it
        if stage is Stage.FAILED:
            assert item.error is not None
            raise item.error  # a failed coroutine stops the application, with its offset uncommitted
        if stage is Stage.HANDED_BACK:
            if item.assignment.grip is Grip.OURS:  # its partition was assigned again just as its coroutine ended
                self._submit(_Item(self, record, item.context, item.assignment, item.elsewhere, item.taken_at))
        elif stage is Stage.ENDED:
            item.assignment.progress.leave_in_hand(record.offset)
        else:
            item.assignment.progress.finish(record.offset)

    def _remove(self, position: tuple[str, int, int]) -> None:
        item = self._items.pop(position, None)
        if item is not None:
            self._in_flight_bytes -= item.size_bytes

    def _commit(self, seconds: float) -> bool:
        return self._commits.commit([assignment.progress for assignment in self._assignments.values()], seconds)

    def _look(self) -> None:
        mine = (item.taken_at for item in self._items.values() if not item.gone)
        self._oldest_taken_at = next(mine, None)
        self.held = sum(assignment.held for assignment in self._assignments.values())
        self.standings = {
            partition: self._standing(self._assignments.get(partition), committed)
            for partition, committed in self._commits.committed.items()
        }

    def _standing(self, assignment: _Assignment | None, committed: int | None) -> Standing | None:
        if committed is None:
            return None
        if assignment is None:
            return Standing(committed, committed, 0, 0)
        in_flight = assignment.progress.in_flight
        return Standing(
            committed,
            in_flight.committable or committed,
            len(in_flight) - assignment.held,
            in_flight.finished_beyond,
            assignment.held,
        )

    def _pause(self) -> None:
        if not self._paused:
            self._paused = self._assigned()
            self._quix.consumer.pause(self._paused)

    def _resume(self) -> None:
        paused, self._paused = self._paused, []
        if paused:  # else all have been revoked
            self._quix.consumer.resume(paused)
            self._seek()

    def _seek(self) -> None:
        """Read on in all partitions where reading has stopped.

        librdkafka resumes one record too far after a batch that ended with a partition's end (fixed in 2.13.2, which
        Quix does not allow yet), and too far after offsets were reset to lower ones. It pauses and resumes everything
        in each part of a rebalance, too.
        """
        if self._leaving:
            return  # librdkafka has unassigned everything
        self._requested_since = time.monotonic()
        for partition, offset in self._next_offsets.items():
            if offset >= 0:  # else nothing of it has been read
                self._seek_to(partition, offset)

    def _seek_to(self, partition: Partition, offset: int) -> None:
        self._requested_since = time.monotonic()
        try:
            self._quix.consumer.seek(TopicPartition(*partition, offset))
        except KafkaException as error:
            raise RuntimeError("going on could pass over a record") from error

    def _stop_if_drained(self, now: float, then: Callable[[], None]) -> None:
        self._pause()
        assignments = self._assignments.values()
        if self._stop_by is None:
            self._stop_by = now + self._shutdown_seconds
            logger.info("stopping: unfinished records: %d", _unfinished(assignments))
            self._loosen(assignments, Grip.LEAVING)
            self._drain()
        if now >= self._stop_by or (not self._waited_for() and self._commit(LAST_COMMIT_SECONDS)):
            self._give_up(assignments)
            self.handed_back = _unfinished(assignments)
            self._commit(LAST_COMMIT_SECONDS)
            self._commits.abandon()
            # Quix would commit the offsets of everything it has read, finished or not.
            self._disown(list(self._next_offsets))
            self._quix.forget_checkpoint()
            then()

    def _drain(self) -> None:
        """Hand back the records that must not begin any more.

        Returns when the loop has done so, or after LOOP_SECONDS.
        """
        drained = threading.Event()

        def hand_back() -> None:
            for item in list(self._items.values()):
                if not self.hands_back(item):
                    continue
                if item.stage is Stage.QUEUED:  # no cancel(): a task cancelled before its first step runs nothing
                    item.advance(Stage.HANDED_BACK)
                    self._outbox.append(item)
                elif item.stage is Stage.RUNNING:
                    assert item.task is not None
                    item.advance(Stage.HANDED_BACK)
                    item.task.cancel()
            self._loop.call_soon(self._loop.call_soon, drained.set)  # one iteration later, when they have ended

        self._loop.call_soon_threadsafe(hand_back)
        drained.wait(LOOP_SECONDS)

    def _waited_for(self) -> bool:
        """Return whether records are in flight that a drain waits for."""
        return any(item.assignment.grip is Grip.LEAVING for item in self._items.values())

    # On the event loop's thread ------------------------------------------------------------------------------------

    def hands_back(self, item: _Item) -> bool:
        """Return whether the record is to be handed back, so that nothing costly may begin for it."""
        return item.assignment.grip is not Grip.OURS

    def _ask_for_topics(self) -> None:
        self._loop_woken = False
        taken = []
        while self._inbox:  # the other thread may append meanwhile
            taken.append(self._inbox.popleft())
        if self.topic_ids.is_known(self._requested_since):
            self._start_tasks(taken)
        else:
            self.topic_ids.next_answer().add_done_callback(lambda _: self._start_tasks(taken))

    def _start_tasks(self, items: "list[_Item]") -> None:
        for item in items:
            if item.stage is Stage.HANDED_BACK:
                continue  # it was handed back while Kafka was queried
            assignment = item.assignment
            if self.topic_ids.known[item.record.topic] != assignment.progress.topic_id:
                item.advance(Stage.HANDED_BACK)
                self._outbox.append(item)
                continue
            if assignment.prepared is None:
                preparing = self._prepare(assignment.progress.topic_id, item.record.partition)
                assignment.prepared = asyncio.ensure_future(preparing, loop=self._loop)
                assignment.prepared.add_done_callback(partial(self._start_waiting, assignment))
            if assignment.waiting or not assignment.prepared.done():
                assignment.waiting.append(item)
            else:
                self._start_task(item, assignment.prepared)

    def _start_waiting(self, assignment: _Assignment, prepared: "asyncio.Future[Any]") -> None:
        for item in assignment.waiting:
            self._start_task(item, prepared)
        assignment.waiting.clear()

    def _start_task(self, item: _Item, prepared: "asyncio.Future[Any]") -> None:
        item.task = self._loop.create_task(self._run(item, prepared))

    async def _run(self, item: _Item, prepared: "asyncio.Future[Any]") -> None:
        if item.handed_back:
            return  # it is in the outbox already
        item.advance(Stage.RUNNING)
        try:
            item.prepared = prepared.result()
            item.outcome = await self._func(item.record, item.prepared, item)
            if not item.handed_back:
                item.advance(Stage.ENDED)
                self._emit(item)
        except asyncio.CancelledError as error:
            if not item.handed_back:
                item.error = RuntimeError("the coroutine was cancelled, and not by the operator")
                item.error.__cause__ = error
                item.advance(Stage.FAILED)
        except Exception as error:  # noqa: BLE001 - it is raised again on Quix's thread, see _settle
            if not item.handed_back:
                item.error = error
                item.advance(Stage.FAILED)
        self._outbox.append(item)

    def _emit(self, item: _Item) -> None:
        """Send the outcome downstream, unless the partition was given up. Runs in its own context, on any thread."""
        with self._lock:  # it is emitted before the partition is given up, whose commit then has it, or not at all
            if item.assignment.grip >= Grip.GIVEN_UP:
                return
            set_message_context(item.context)
            record = item.record
            self._emitting = item
            try:
                self._downstream(item.outcome, record.key, record.timestamp, record.headers)
            finally:
                self._emitting = None
            item.advance(Stage.EMITTED)


def apply_async(
    sdf: StreamingDataFrame, func: Callable[[Record, Any, Turn], Awaitable[Any]], **options: Any
) -> tuple[StreamingDataFrame, ApplyAsync]:
    """Apply a coroutine to every record; its outcome goes downstream as soon as it exists.

    Args:
        sdf: a dataframe of an application with `commit_interval=NEVER_SECONDS`.
        func: see ApplyAsync.
        options: of ApplyAsync.

    Returns:
        The dataframe, to be continued, and the operator.
    """
    operator = ApplyAsync(sdf, func, **options)
    return operator.dataframe, operator


def _named(partitions: "Collection[TopicPartition]") -> list[Partition]:
    return [(each.topic, each.partition) for each in partitions]


def _unfinished(assignments: "Collection[_Assignment]") -> int:
    return sum(len(assignment.progress.in_flight) for assignment in assignments)


def _send(producer: Any, production: _Production) -> None:
    given = {name: value for name, value in production.options.items() if value is not None}
    try:
        producer.produce(**given, on_delivery=production.on_delivery)
    except KafkaException as error:  # the client itself refuses it, for example because it is larger than its own limit
        production.on_delivery(error.args[0], None)
    except BufferError:
        production.on_delivery(KafkaError(KafkaError._QUEUE_FULL), None)

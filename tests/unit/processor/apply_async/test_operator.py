"""The async operator without a broker: with Quix's stream, registry and sink manager, and a small fake consumer.

The test runs the event loop step by step, so it chooses every interleaving itself.
"""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from quixstreams.context import copy_context, message_context, set_message_context
from quixstreams.core.stream import Stream
from quixstreams.dataframe.registry import DataFrameRegistry
from quixstreams.exceptions import PartitionAssignmentError
from quixstreams.models.messagecontext import MessageContext

from processor.apply_async import operator as module
from processor.apply_async.item import Stage
from processor.apply_async.limits import PAUSE_AFTER_SECONDS
from processor.apply_async.operator import Standing, apply_async


class FakeConsumer:
    """Remembers commits and pauses; fails on request."""

    def __init__(self):
        self._consumer_config = {}
        self._inner_consumer = "the first client"
        self.partitions = []
        self.commits = []
        self.stored = {}
        self.refused = None
        self.paused = set()  # as in librdkafka, these stay paused after a new assignment
        self.sought = []
        self.first, self.end = 0, 100
        self.failing = False
        self.arrived = []
        self.before_consume = lambda: None

    def subscribe(self, topics, **callbacks):
        self.callbacks = callbacks

    def poll(self, timeout):
        return self.arrived.pop(0) if self.arrived else None

    def consume(self, num_messages, timeout):
        self.before_consume()
        taken, self.arrived = self.arrived[:num_messages], self.arrived[num_messages:]
        return taken

    def poll_row(self, timeout):
        raise self.polled

    def close(self):
        raise self.polled

    def committed(self, partitions, timeout):
        if self.failing:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return [
            TopicPartition(of.topic, of.partition, *self.stored.get(of.partition, (OFFSET_INVALID,)))
            for of in partitions
        ]

    def incremental_assign(self, partitions):
        assert not {each.partition for each in partitions} & {each.partition for each in self.partitions}
        self.partitions = self.partitions + partitions

    def incremental_unassign(self, partitions):
        numbers = {each.partition for each in partitions}
        assert numbers <= {each.partition for each in self.partitions}
        self.partitions = [each for each in self.partitions if each.partition not in numbers]

    def seek(self, partition):
        self.sought.append((partition.partition, partition.offset))

    def get_watermark_offsets(self, partition, cached):
        return self.first, self.end

    def commit(self, offsets, asynchronous):
        if self.failing:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        if self.refused is not None and any(offset.metadata for offset in offsets):
            return [
                SimpleNamespace(topic=of.topic, partition=of.partition, error=KafkaError(self.refused))
                for of in offsets
            ]
        self.commits += [(offset.topic, offset.partition, offset.offset) for offset in offsets]
        self.stored |= {offset.partition: (offset.offset, offset.metadata) for offset in offsets}
        return offsets

    def pause(self, partitions):
        self.paused |= {partition.partition for partition in partitions}

    def resume(self, partitions):
        self.paused -= {partition.partition for partition in partitions}


class FakeTopicIds:
    """Answers at once, unless Kafka is unavailable."""

    cluster_id = "cluster"

    def __init__(self, loop):
        self.loop = loop
        self.known = {"import": "id 1"}
        self.now = "id 1"
        self.away = False
        self.asked = []
        self.confirmed_at = -1.0  # before any partition was assigned

    def is_known(self, requested_since):
        return self.confirmed_at >= requested_since

    def next_answer(self):
        self.asked.append(self.loop.create_future())
        if not self.away:
            self.answer()
        return self.asked[-1]

    def answer(self, topic_id=None):
        self.now = topic_id or self.now
        if self.known["import"] != self.now:
            self.known = {"import": self.now}
        for asked in self.asked:
            if not asked.done():
                asked.set_result(None)


class FakeProducer:
    """Delivers produced messages when it is polled, unless Kafka is unavailable or refuses them."""

    def __init__(self):
        self._producer_config = {}
        self._inner_producer = self
        self.away = False
        self.refused = {}  # offset or outcome -> name of Kafka's error
        self.refused_at_once = {}
        self.delivered = set()
        self.outcomes = []
        self.partitions = []
        self.undelivered = []

    def produce(self, topic, value, on_delivery, key=None, partition=None):
        self.partitions.append(partition)
        if (name := self.refused_at_once.get(key)) is not None:
            raise KafkaException(kafka_error(name))
        self.undelivered.append((value, key, on_delivery))

    def poll(self, timeout=0):
        while self.undelivered and not self.away:
            value, key, on_delivery = self.undelivered.pop(0)
            name = self.refused.get(value) or self.refused.get(key)
            if name is None:
                self.delivered.add(value)
                self.outcomes.append(key)
            on_delivery(None if name is None else kafka_error(name), None)

    def purge(self):
        purged, self.undelivered = self.undelivered, []
        for _, _, on_delivery in purged:
            on_delivery(kafka_error("_PURGE_QUEUE"), None)

    def flush(self, seconds):
        pass


def kafka_error(name):
    return KafkaError(getattr(KafkaError, name))


class Bench:
    """The operator and everything around it, run step by step."""

    def __init__(
        self,
        in_flight_max=1000,
        drain_seconds=0.0,
        shutdown_seconds=60.0,
        begins_late=False,
        in_flight_bytes_max=module.IN_FLIGHT_BYTES_MAX,
        partitions=None,
    ):
        self.begins_late = begins_late  # then records with odd offsets do not begin their turn at all
        self.loop = asyncio.new_event_loop()
        self.consumer = FakeConsumer()
        self.producer = FakeProducer()
        client = self.producer
        self.quix_producer = SimpleNamespace(_producer=client, produce=client.produce, poll=client.poll)
        self.lone_producer = FakeProducer()
        self.replacements = {}  # outcome -> what is sent in its place if Kafka refuses it
        self.emitted = []
        self.called = []
        self.prepared = []
        self.waiting = {}
        self.topic_ids = FakeTopicIds(self.loop)
        self.begins = True
        self.passed_over = False
        self.elsewhere = []
        self.told = []
        self.now = 0.0
        context = SimpleNamespace(
            consumer=self.consumer,
            producer=self.quix_producer,
            dataframe_registry=DataFrameRegistry(),
            init_checkpoint=lambda: None,
        )
        dataframe = SimpleNamespace(
            processing_context=context,
            stream=Stream(),
            __dataframe_clone__=lambda stream: SimpleNamespace(stream=stream),
        )
        outcomes, self.operator = apply_async(
            dataframe,
            self.func,
            loop=self.loop,
            prepare=self.prepare,
            topic_ids=self.topic_ids,
            partitions=partitions,
            in_flight_max=in_flight_max,
            in_flight_bytes_max=in_flight_bytes_max,
            drain_seconds=drain_seconds,
            shutdown_seconds=shutdown_seconds,
            delivered=lambda *told: self.told.append(told),
            refused=lambda record, prepared, outcome, error: self.replacements.get(outcome),
            lone_producer=lambda properties: self.lone_producer,
        )
        stream = outcomes.stream.add_update(self.emit, metadata=True)
        self.take_record = stream.compose_single()
        nothing = {"on_revoke": lambda *_: None, "on_lost": lambda *_: None}
        self.missing_at_first = self.operator.missing
        self.consumer.subscribe([], on_assign=lambda _, new: new and self.consumer.assign(new), **nothing)
        self.turn_periodic_tasks = context.dataframe_registry.run_periodic_tasks
        self.assign(0)

    def close(self):
        self.turn_loop()
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.turn_loop()
        self.loop.close()

    async def prepare(self, topic_id, partition):
        self.prepared.append((topic_id, partition))
        return f"prepared {len(self.prepared)}"

    async def func(self, record, prepared, turn):
        self.called.append((record.offset, prepared))
        if turn.elsewhere:
            self.elsewhere.append(record.offset)
        if self.begins and not (self.begins_late and record.offset % 2):
            turn.begin()
        outcome = self.waiting[record.partition, record.offset] = self.loop.create_future()
        try:
            return await outcome
        finally:
            if self.waiting.get((record.partition, record.offset)) is outcome:  # cancelled by the operator
                del self.waiting[record.partition, record.offset]

    def emit(self, value, key, timestamp, headers):
        if self.passed_over:
            return
        context = message_context()
        self.emitted.append((context.partition, context.offset, value, key, timestamp, headers))
        self.quix_producer.produce(topic="results", value=context.offset, key=value)

    def assign(self, *partitions):
        """Lose all partitions, and get these."""
        lost = list(self.consumer.partitions)
        if lost:
            self.consumer.callbacks["on_lost"](self.consumer._inner_consumer, lost)
            self.consumer.incremental_unassign(lost)
        self.gain(*partitions)

    def gain(self, *partitions):
        """Get further partitions, as Quix's consumer does."""
        self.consumer.callbacks["on_assign"](
            self.consumer._inner_consumer, [TopicPartition("import", partition) for partition in partitions]
        )

    def take(self, offset, partition=0, value=b"value", turn_loop=True):
        context = copy_context()
        context.run(set_message_context, MessageContext("import", partition, offset, 0))
        context.run(self.take_record, value, b"key %d" % offset, 1000 + offset, [("h", b"%d" % offset)])
        if turn_loop:
            self.turn_loop()

    def turn_loop(self):
        for _ in range(60):  # more iterations than any chain of tasks here that wake one another
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def finish(self, offset, partition=0, outcome="done"):
        future = self.waiting.pop((partition, offset))
        future.set_exception(outcome) if isinstance(outcome, Exception) else future.set_result(outcome)
        self.turn_loop()

    def poll(self, seconds=0.0):
        self.now += seconds
        self.quix_producer.poll()
        made_again = self.operator._commits.assigned_ids is not self.topic_ids.known
        if self.operator._stop is None and not made_again:  # in the other cases the operator waits for the loop
            self.turn_periodic_tasks()
        else:
            self.beside_the_loop(self.turn_periodic_tasks)
        commit = self.operator._commits._under_way
        if commit is not None:
            commit.join(0.5)  # the operator does not wait for it

    def fill(self):
        """Poll until reading is paused because the limit is reached."""
        self.poll()
        assert not self.consumer.paused
        self.poll(seconds=PAUSE_AFTER_SECONDS)

    def revoke(self, *partitions):
        """Revoke these partitions, or all, as Quix's consumer does."""
        revoked = [each for each in self.consumer.partitions if not partitions or each.partition in partitions]
        self.beside_the_loop(lambda: self.consumer.callbacks["on_revoke"](self.consumer._inner_consumer, revoked))

    def beside_the_loop(self, call):
        """Make a call that Quix makes on its own thread. The loop runs in another thread from its first callback on."""
        asked = threading.Event()
        ask = self.loop.call_soon_threadsafe

        def asking(*callback):
            ask(*callback)
            asked.set()

        def turn():
            asked.wait()
            self.loop.run_forever()

        self.loop.call_soon_threadsafe = asking
        thread = threading.Thread(target=turn)
        thread.start()
        try:
            call()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            thread.join()
            self.loop.call_soon_threadsafe = ask
            self.turn_loop()  # finish what the other thread has begun

    @property
    def emitted_offsets(self):
        return [offset for _, offset, *_ in self.emitted]


@pytest.fixture
def bench(monkeypatch):
    benches = []

    def make(**options):
        monkeypatch.setattr(module.time, "monotonic", lambda: benches[-1].now if benches else 0.0)
        benches.append(Bench(**options))
        return benches[-1]

    yield make
    for each in benches:
        each.close()


def test_records_go_downstream_as_they_finish_each_with_its_own_context(bench):
    run = bench()
    for offset in (5, 6, 7):
        run.take(offset)
    run.finish(6, outcome="six")
    run.poll()
    run.finish(5, outcome="five")
    run.poll()

    assert run.emitted == [
        (0, 6, "six", b"key 6", 1006, [("h", b"6")]),
        (0, 5, "five", b"key 5", 1005, [("h", b"5")]),
    ]
    assert run.operator.in_flight == 1


def test_nothing_is_committed_past_an_unfinished_record(bench):
    run = bench()
    for offset in (5, 6, 7):
        run.take(offset)
    run.finish(7)
    run.finish(5)
    run.poll(seconds=10)
    run.finish(6)
    run.poll()
    run.poll(seconds=10)

    assert run.consumer.commits == [("import", 0, 6), ("import", 0, 8)]


def test_how_far_the_partitions_are_can_be_seen_from_outside(bench):
    run = bench()
    run.consumer.stored = {0: (5, ""), 1: (40, "")}
    run.assign(0, 1)
    for offset in (5, 6, 7, 8):
        run.take(offset)
    run.finish(6)
    run.finish(7)
    run.poll(seconds=10)
    assert run.operator.standings == {
        ("import", 0): Standing(committed=5, committable=5, in_flight=2, finished_beyond=2),
        ("import", 1): Standing(committed=40, committable=40, in_flight=0, finished_beyond=0),
    }

    run.finish(5)
    run.poll(seconds=10)
    run.poll(seconds=10)
    assert run.operator.standings["import", 0] == Standing(8, 8, in_flight=1, finished_beyond=0)

    run.revoke()
    assert run.operator.standings == {}
    assert run.operator.oldest_seconds == 0, "record 8 is another's by now"


def test_where_kafka_does_not_tell_what_is_committed_the_partition_is_there_all_the_same(bench):
    run = bench()
    run.consumer.failing = True
    run.assign(0)
    run.consumer.failing = False
    run.poll(seconds=10)
    assert run.operator.standings == {("import", 0): None}

    run.take(5)
    run.poll(seconds=10)
    assert run.operator.standings == {("import", 0): Standing(5, 5, in_flight=1, finished_beyond=0)}


def test_the_oldest_unfinished_record_can_be_seen_from_outside(bench):
    run = bench()
    assert run.operator.oldest_seconds == 0
    run.poll(seconds=10)
    run.take(5)
    run.poll(seconds=10)
    run.take(6)
    run.poll(seconds=10)
    assert run.operator.oldest_seconds == 20

    run.finish(5)
    run.poll(seconds=10)
    assert run.operator.oldest_seconds == 20

    run.finish(6)
    run.poll(seconds=10)
    assert run.operator.oldest_seconds == 0


def test_what_is_finished_is_committed_soon_and_a_commit_that_hangs_holds_up_nothing_else(bench, monkeypatch):
    run = bench()
    run.take(5)
    run.finish(5)
    run.poll()
    run.poll(seconds=module.COMMIT_SECONDS)
    assert run.consumer.commits == [("import", 0, 6)]

    commit, answered = run.consumer.commit, threading.Event()
    monkeypatch.setattr(run.consumer, "commit", lambda **options: answered.wait(60) and commit(**options))
    for offset in (6, 7):
        run.take(offset)
        run.finish(offset)
        run.poll()
        run.poll(seconds=module.COMMIT_SECONDS)
    assert run.emitted_offsets == [5, 6, 7]

    answered.set()
    run.poll(seconds=module.COMMIT_SECONDS)
    run.poll(seconds=module.COMMIT_SECONDS)
    assert run.consumer.commits[1:] == [("import", 0, 7), ("import", 0, 8)]


def test_a_commit_that_ends_after_its_partition_was_given_up_does_not_bring_it_back(bench, monkeypatch):
    monkeypatch.setattr(module, "LAST_COMMIT_SECONDS", 0)
    run = bench()
    answered = threading.Event()
    monkeypatch.setattr(run.consumer, "commit", lambda offsets, asynchronous: answered.wait(60) and offsets)
    run.take(5)
    run.finish(5)
    run.revoke()  # the commit is still running

    answered.set()
    run.poll(seconds=10)

    assert run.operator.standings == {}


def test_no_offset_is_committed_before_what_came_of_it_is_delivered(bench):
    run = bench()
    run.take(5)
    run.finish(5)
    run.producer.away = True
    run.poll(seconds=10)
    assert run.emitted_offsets == [5]
    assert run.consumer.commits == []

    run.producer.away = False
    run.poll(seconds=10)
    assert run.consumer.commits == [("import", 0, 6)]


def held_in(run):
    run.poll(seconds=2)  # it is sent, refused, and sent again alone
    run.poll(seconds=2)
    run.poll(seconds=2)
    return run.operator.held


@pytest.mark.parametrize("at_once", [False, True])
def test_an_outcome_that_kafka_refuses_in_a_batch_is_sent_again_alone(bench, at_once):
    run = bench()
    run.take(5)
    refused = run.producer.refused_at_once if at_once else run.producer.refused
    refused["done"] = "MSG_SIZE_TOO_LARGE"

    run.finish(5)

    assert held_in(run) == 0
    assert run.lone_producer.delivered == {5}
    assert run.consumer.commits == [("import", 0, 6)]
    assert [(outcome, error) for outcome, error, _ in run.told] == [("done", None)]


@pytest.mark.parametrize(
    ("key", "partition", "expected"),
    [(None, 0, 0), (None, 2, 2), (None, 3, None), ("a key", 2, None)],
    ids=["the first", "the last", "one that the topic does not have", "with a key"],
)
def test_an_outcome_without_a_key_goes_to_the_partition_with_its_records_number(bench, key, partition, expected):
    run = bench(partitions={"results": 3})
    run.assign(partition)
    run.take(5, partition)

    run.finish(5, partition, outcome=key)
    run.poll()

    assert run.producer.partitions == [expected]
    assert run.producer.delivered == {5}


@pytest.mark.parametrize("at_once", [False, True])
def test_an_outcome_goes_to_any_partition_once_its_topic_has_fewer(bench, at_once):
    run = bench(partitions={"results": 3})
    run.assign(2)
    run.take(5, 2)
    refused = run.producer.refused_at_once if at_once else run.producer.refused
    refused[None if at_once else 5] = "_UNKNOWN_PARTITION"

    run.finish(5, 2, outcome=None)

    assert held_in(run) == 0
    assert run.lone_producer.partitions == [None]
    assert run.consumer.commits == [("import", 2, 6)]


def test_an_outcome_that_another_one_was_refused_with_is_sent_until_it_stands_alone(bench):
    run = bench()
    run.take(5)
    run.producer.refused[5] = run.lone_producer.refused[5] = "_INVALID_DIFFERENT_RECORD"
    run.finish(5)
    run.poll(seconds=2)
    run.poll(seconds=2)
    run.lone_producer.refused.clear()

    assert held_in(run) == 0
    assert run.consumer.commits == [("import", 0, 6)]


@pytest.mark.parametrize("at_once", [False, True])
def test_an_outcome_that_kafka_refuses_for_good_is_replaced(bench, at_once):
    run = bench()
    run.take(5)
    run.replacements["done"] = "failed"
    for producer in (run.producer, run.lone_producer):
        refused = producer.refused_at_once if at_once else producer.refused
        refused["done"] = "INVALID_RECORD"

    run.finish(5)

    assert held_in(run) == 0
    assert run.producer.outcomes == ["failed"]
    assert run.emitted[-1][2:] == ("failed", b"key 5", 1005, [("h", b"5")])
    assert run.consumer.commits == [("import", 0, 6)]
    assert [(outcome, error and error.name()) for outcome, error, _ in run.told] == [
        ("done", "INVALID_RECORD"),
        ("failed", None),
    ]


def test_a_record_whose_outcome_kafka_refuses_is_held_and_in_nobodys_way(bench, caplog):
    run = bench(in_flight_max=2)
    run.producer.refused["stuck"] = run.lone_producer.refused["stuck"] = "MSG_SIZE_TOO_LARGE"
    for offset in range(5, 15):
        run.take(offset)
        run.finish(offset, outcome="stuck" if offset in (5, 7, 9) else "done")
        held_in(run)

    assert run.operator.held == 3
    assert run.operator.in_flight == 0
    assert run.consumer.paused == set()
    assert set(run.consumer.commits) == {("import", 0, 5)}
    assert run.operator.standings["import", 0] == Standing(5, 5, in_flight=0, finished_beyond=7, held=3)
    assert run.operator.topic_trouble is None
    [line] = caplog.messages
    assert line.startswith("import[0]@5 is held") and "max.message.bytes" in line

    run.lone_producer.refused.clear()
    run.poll(seconds=module.HELD_RETRY_SECONDS_MAX)

    assert held_in(run) == 0
    assert run.consumer.commits[-1] == ("import", 0, 15)


def test_a_topic_that_takes_nothing_is_told_and_what_was_for_it_is_sent_when_it_does(bench):
    run = bench()
    run.replacements["done"] = "failed"
    run.producer.refused["done"] = run.lone_producer.refused["done"] = "TOPIC_AUTHORIZATION_FAILED"
    run.take(5)
    run.finish(5)

    assert held_in(run) == 1
    assert "results accepts no outcomes" in run.operator.topic_trouble

    run.lone_producer.refused.clear()
    run.poll(seconds=module.HELD_RETRY_SECONDS_MAX)

    assert held_in(run) == 0
    assert run.operator.topic_trouble is None
    assert run.lone_producer.outcomes == ["done"]


def test_reading_stops_where_too_many_records_are_held_and_goes_on_when_kafka_takes_them(bench, monkeypatch):
    monkeypatch.setattr(module, "HELD_RECORDS_MAX", 3)
    run = bench()
    run.producer.refused["done"] = run.lone_producer.refused["done"] = "INVALID_RECORD"
    for offset in range(3):
        run.take(offset)
        run.finish(offset)
    held_in(run)
    assert run.consumer.paused == {0}

    run.lone_producer.refused.clear()
    run.poll(seconds=module.HELD_RETRY_SECONDS_MAX)
    held_in(run)

    assert run.consumer.paused == set()
    assert run.consumer.commits[-1] == ("import", 0, 3)


def test_large_records_that_are_held_take_no_memory_and_wait_for_the_next_owner(bench, monkeypatch, caplog):
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 15)
    run = bench()
    run.producer.refused["done"] = run.lone_producer.refused["done"] = "MSG_SIZE_TOO_LARGE"
    for offset in range(3):
        run.take(offset)  # a record has 12 bytes
        run.finish(offset)

    assert held_in(run) == 3
    assert len(caplog.messages) == 3
    run.lone_producer.refused.clear()
    run.poll(seconds=module.HELD_RETRY_SECONDS_MAX)
    assert held_in(run) == 2
    assert run.consumer.commits[-1] == ("import", 0, 1)

    run.revoke()
    assert run.operator.held == 0
    run.assign(0)
    for offset in (1, 2):
        run.take(offset)
        run.finish(offset)
    assert held_in(run) == 0
    assert run.consumer.commits[-1] == ("import", 0, 3)


def test_a_stop_does_not_wait_for_what_is_held(bench):
    run = bench()
    run.producer.refused["done"] = run.lone_producer.refused["done"] = "INVALID_RECORD"
    run.take(5)
    run.finish(5)
    held_in(run)

    stopped = []
    run.operator.stop(lambda: stopped.append(True))
    run.poll()

    assert stopped == [True]
    assert run.consumer.commits == []


def test_who_wants_to_know_is_told_how_each_outcomes_way_to_kafka_ended(bench):
    bench = bench()
    bench.take(0)

    bench.finish(0, outcome="an outcome")
    told_before = list(bench.told)
    bench.poll()

    assert told_before == []
    assert bench.told == [("an outcome", None, None)]


def test_an_outcome_goes_out_before_the_run_loop_turns(bench):
    run = bench()
    run.take(5)
    run.finish(5)

    assert run.emitted_offsets == [5]


def test_what_is_not_for_downstream_is_finished_without_a_delivery(bench):
    run = bench()
    run.producer.away = True
    run.passed_over = True
    run.take(5)
    run.finish(5)
    run.poll(seconds=10)

    assert run.consumer.commits == [("import", 0, 6)]


def test_a_commit_that_fails_is_tried_again(bench):
    run = bench()
    run.take(5)
    run.finish(5)
    run.consumer.failing = True
    run.poll(seconds=10)
    run.consumer.failing = False
    run.poll(seconds=10)
    run.poll(seconds=10)

    assert run.consumer.commits == [("import", 0, 6)]


def test_only_partitions_that_are_owned_are_committed(bench):
    run = bench()
    run.take(5)
    run.finish(5)
    run.assign()
    run.poll(seconds=10)

    assert run.consumer.commits == []


def test_a_coroutine_that_raises_stops_the_application_with_its_offset_uncommitted(bench):
    run = bench()
    run.take(5)
    run.finish(5, outcome=ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        run.poll(seconds=10)

    assert run.consumer.commits == []


def test_reading_pauses_at_the_limit_and_goes_on_at_half_of_it(bench):
    run = bench(in_flight_max=4)
    for offset in range(3):
        run.take(offset)
        run.poll()
    assert not run.consumer.paused

    run.take(3)
    run.fill()
    assert run.consumer.paused

    run.finish(0)
    run.poll()
    assert run.consumer.paused

    run.finish(3)
    run.poll()
    run.poll()
    assert not run.consumer.paused


def test_reading_pauses_at_the_limit_in_bytes_too_and_goes_on_at_half_of_it(bench):
    run = bench(in_flight_bytes_max=4000)
    for offset in range(4):
        run.take(offset, value=b"x" * 990)
        run.poll()
    assert not run.consumer.paused, "a key and a header of 7 bytes are not 10"

    run.take(4, value=None)
    run.take(5, value=b"x" * 30)
    run.fill()
    assert run.consumer.paused

    for offset in range(2):
        run.finish(offset)
        run.poll()
    assert run.consumer.paused

    run.finish(2)
    run.poll()
    run.poll()
    assert not run.consumer.paused
    for offset in (3, 4, 5):
        run.finish(offset)
    run.poll()
    assert run.operator._in_flight_bytes == 0


def test_a_record_that_comes_twice_at_once_is_counted_once_in_bytes(bench):
    run = bench()
    run.take(0, value=b"x" * 990)
    run.assign(0)
    run.take(0, value=b"y" * 90)

    run.poll()

    assert run.operator._in_flight_bytes == len(b"y" * 90 + b"key 0" + b"h" + b"0")


def test_results_that_are_not_delivered_count_as_work(bench):
    run = bench(in_flight_max=2)
    run.producer.away = True
    for offset in range(2):
        run.take(offset)
        run.finish(offset)
    run.fill()
    assert run.consumer.paused

    run.producer.away = False
    run.poll()
    assert not run.consumer.paused


def test_a_partition_that_was_paused_when_it_was_taken_away_is_read_from_when_it_comes_back(bench):
    run = bench(in_flight_max=1)
    run.take(0)
    run.fill()
    assert run.consumer.paused == {0}

    run.assign()
    run.assign(0, 1)
    assert run.consumer.paused == set()


def test_what_is_paused_is_resumed_even_between_two_assignments(bench):
    run = bench(in_flight_max=1)
    run.take(0)
    run.fill()
    run.consumer.partitions = []  # the partitions are revoked
    run.finish(0)
    run.poll()
    run.poll()

    assert run.consumer.paused == set()


def test_a_partition_is_prepared_once_an_assignment(bench):
    run = bench()
    run.take(5)
    run.take(6)
    run.take(9, partition=1)
    run.assign(0)
    run.take(7)

    assert run.prepared == [("id 1", 0), ("id 1", 1), ("id 1", 0)]
    assert run.called == [(5, "prepared 1"), (6, "prepared 1"), (9, "prepared 2"), (7, "prepared 3")]


def test_a_rebalance_commits_what_is_finished_and_hands_the_rest_back(bench):
    run = bench()
    for offset in (5, 6, 7):
        run.take(offset)
    run.finish(5)
    run.finish(7)

    run.revoke()
    run.assign()
    run.finish(6)
    run.poll(seconds=10)

    assert run.emitted_offsets == [5, 7]
    assert run.consumer.commits == [("import", 0, 6)]
    assert run.operator.in_flight == 0


def test_a_rebalance_with_nothing_in_flight_hands_nothing_back(bench):
    run = bench()
    run.take(5)
    run.finish(5)
    run.revoke()

    assert run.emitted_offsets == [5]
    assert run.consumer.commits == [("import", 0, 6)]


def test_a_record_that_comes_back_while_it_is_still_in_flight_is_not_run_twice(bench):
    run = bench()
    run.take(5)
    run.revoke()
    run.assign(0)
    run.take(5)
    run.finish(5)
    run.poll(seconds=10)

    assert len(run.called) == 1
    assert run.emitted_offsets == [5]
    assert run.consumer.commits == [("import", 0, 5), ("import", 0, 6)]


def test_a_record_that_comes_back_in_the_moment_in_which_it_is_handed_back_is_run_again(bench):
    run = bench()
    run.take(5)
    item = next(iter(run.operator._items.values()))
    item.advance(Stage.HANDED_BACK)  # on the loop's thread, while Quix's thread adds it to the new assignment
    run.waiting[0, 5].cancel()
    run.turn_loop()
    run.poll()
    run.turn_loop()
    run.finish(5)
    run.poll(seconds=10)

    assert len(run.called) == 2
    assert run.emitted_offsets == [5]
    assert run.consumer.commits == [("import", 0, 6)]


def test_another_record_at_the_same_position_is_run(bench):
    run = bench()
    run.take(5)
    run.revoke()
    run.assign(0)
    old = run.waiting.pop((0, 5))
    run.take(5, value=b"of a topic made again")
    old.set_result("old")
    run.turn_loop()
    run.poll()
    assert run.emitted == []

    run.finish(5, outcome="new")
    run.poll()
    assert [value for _, _, value, *_ in run.emitted] == ["new"]


def test_a_late_outcome_of_a_lost_assignment_does_not_move_the_watermark(bench):
    run = bench()
    run.take(5)
    run.assign()
    run.assign(0)
    run.take(9)
    run.finish(5)
    run.poll(seconds=10)

    assert run.emitted == []  # the owner in between has emitted it
    assert run.consumer.commits == []


def test_a_partition_that_is_read_from_again_without_a_rebalance_starts_anew(bench):
    run = bench()
    run.take(5)
    run.finish(5)
    run.poll(seconds=10)
    run.take(3)
    run.finish(3)
    run.poll(seconds=10)

    assert run.emitted_offsets == [5, 3]
    assert run.consumer.commits == [("import", 0, 6), ("import", 0, 4)]


def test_a_rebalance_hands_back_at_once_what_has_not_begun_and_nothing_begins_for_it_any_more(bench):
    run = bench(drain_seconds=60, begins_late=True)
    run.take(5)
    task = next(iter(run.operator._items.values())).task
    run.revoke()

    assert task.done()
    assert run.operator.in_flight == 0
    run.assign(0)
    run.take(5)
    assert len(run.called) == 2


def test_a_rebalance_hands_back_what_the_loop_has_not_even_seen_and_leaves_nothing_in_flight(bench):
    run = bench(drain_seconds=60, begins_late=True)
    run.take(5, turn_loop=False)
    run.operator._start_tasks([run.operator._inbox.popleft()])  # the task exists but has not run its first step
    run.take(7, turn_loop=False)
    run.revoke()

    assert run.operator.in_flight == 0
    assert run.now == 0, "nothing was waited for"


def test_a_record_that_has_begun_and_ended_its_turn_begins_no_other_once_it_is_handed_back(bench):
    run = bench(drain_seconds=60)
    run.take(5)
    item = next(iter(run.operator._items.values()))
    item.end()
    run.revoke()

    with pytest.raises(asyncio.CancelledError):
        item.begin()


def test_a_stop_does_not_wait_for_what_has_not_begun(bench):
    run = bench(begins_late=True)
    stopped = []
    run.take(5)
    run.operator.stop(then=lambda: stopped.append(True))
    run.poll()
    run.poll()

    assert stopped
    assert run.operator.handed_back == 1
    assert run.consumer.commits == []


def test_a_coroutine_that_is_cancelled_by_somebody_else_stops_the_application(bench):
    run = bench()
    run.take(5)
    run.waiting.pop((0, 5)).cancel()
    run.turn_loop()

    with pytest.raises(RuntimeError, match="cancelled"):
        run.poll()


def test_a_stop_takes_nothing_more_finishes_what_is_in_flight_and_then_stops(bench):
    run = bench()
    stopped = []
    run.take(5)
    run.operator.stop(then=lambda: stopped.append(True))
    run.poll(seconds=10)
    assert run.consumer.paused
    assert not stopped

    run.finish(5)
    run.poll(seconds=0.001)
    assert stopped
    assert run.consumer.commits == [("import", 0, 6)]


def test_a_stop_waits_for_a_bounded_time_and_hands_the_rest_back(bench):
    run = bench(shutdown_seconds=20)
    stopped = []
    run.take(5)
    run.operator.stop(then=lambda: stopped.append(True))
    run.poll()
    run.poll(seconds=19)
    assert not stopped

    run.poll(seconds=2)
    assert stopped
    assert run.operator.handed_back == 1
    run.revoke()  # Quix has nothing left to commit


def test_what_an_earlier_owner_finished_beyond_a_gap_is_not_done_again(bench):
    earlier = bench()
    for offset in (5, 6, 7):
        earlier.take(offset)
    earlier.finish(6)
    earlier.finish(7)
    earlier.revoke()
    run = bench()
    run.consumer.stored = earlier.consumer.stored
    run.assign(0)
    for offset in (5, 6, 7, 8):
        run.take(offset)
    run.finish(5)
    run.finish(8)
    run.poll(seconds=10)

    assert earlier.consumer.commits == [("import", 0, 5)]
    assert [offset for offset, _ in run.called] == [5, 8]
    assert run.emitted_offsets == [5, 8]
    assert run.consumer.commits == [("import", 0, 9)]


def test_what_an_earlier_owner_still_has_in_hand_is_told_to_the_next_one_and_the_one_after_it(bench):
    earlier, second, third = bench(begins_late=True), bench(begins_late=True), bench()
    for offset in (4, 5, 6):  # record 5 does not begin its turn
        earlier.take(offset)
    earlier.finish(6)
    earlier.revoke()
    second.consumer.stored = earlier.consumer.stored
    second.assign(0)
    second.begins = False
    for offset in (4, 5):
        second.take(offset)
    assert second.elsewhere == [4]
    second.revoke()
    third.consumer.stored = second.consumer.stored
    third.assign(0)
    for offset in (4, 5, 7):
        third.take(offset)

    assert third.elsewhere == [4]


def test_who_reads_from_a_partition_again_without_a_rebalance_gets_everything_again(bench):
    run = bench()
    for offset in (5, 6):
        run.take(offset)
    run.finish(6)
    run.revoke()
    run.assign(0)
    run.take(5)
    run.take(6)
    run.take(5)  # the group's offsets were reset
    run.take(6)

    assert [offset for offset, _ in run.called].count(6) == 2


def test_a_rebalance_in_which_kafka_does_not_tell_what_is_finished_does_it_again(bench):
    run = bench()
    run.take(5)
    run.take(6)
    run.finish(6)
    run.revoke()
    run.consumer.failing = True
    run.assign(0)
    run.take(5)
    run.take(6)

    assert [offset for offset, _ in run.called] == [5, 6, 6]


def test_a_broker_that_takes_no_metadata_gets_offsets_without(bench):
    run = bench()
    run.consumer.refused = KafkaError.OFFSET_METADATA_TOO_LARGE
    run.take(5)
    run.finish(5)
    run.poll(seconds=10)
    run.poll(seconds=10)

    assert run.consumer.stored == {0: (6, None)}


def silence():
    """Return what Quix raises if Kafka does not answer it in a rebalance."""
    error = PartitionAssignmentError()
    error.__cause__ = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return error


def test_kafkas_silence_in_a_rebalance_ends_nothing_and_a_bug_there_does(bench):
    run = bench()
    run.consumer.polled = silence()
    assert run.consumer.poll_row(timeout=1) is None

    run.consumer.close()
    run.consumer.polled.__cause__ = KeyError("bug")
    with pytest.raises(PartitionAssignmentError):
        run.consumer.poll_row(timeout=1)


class Arrived(str):
    """A message that is identified by its name and has no headers."""

    def topic(self):
        return "import"

    def partition(self):
        return self.of

    def offset(self):
        return self.at

    def headers(self):
        return None

    def error(self):
        return None


class End:
    """The end of a partition, as the consumer reports it."""

    def __init__(self, offset, partition=0):
        self.topic, self.partition, self.offset = (lambda: "import"), (lambda: partition), (lambda: offset)

    def __len__(self):
        return 0

    def error(self):
        return kafka_error("_PARTITION_EOF")


def test_a_partitions_end_is_committed_when_all_before_it_is_finished_and_quix_never_sees_it(bench):
    run = bench()
    run.take(5)
    run.consumer.arrived = [End(9)]

    assert run.consumer.poll(timeout=1) is None
    run.poll(seconds=2)
    assert run.consumer.commits == []
    run.finish(5)
    run.poll(seconds=2)

    assert run.consumer.commits == [("import", 0, 9)]
    run.take(9)
    run.finish(9)
    run.poll(seconds=2)
    assert run.consumer.commits[-1] == ("import", 0, 10)


def test_a_partitions_end_is_committed_where_no_record_came(bench):
    run = bench()
    run.consumer.stored[1] = (5, "")
    run.consumer.stored[2] = (7, "")
    run.assign(0, 1, 2)
    run.consumer.arrived = [End(0, 0), End(9, 1), End(7, 2)]

    run.consumer.poll(timeout=1)
    run.poll(seconds=2)

    assert run.consumer.commits == [("import", 1, 9)]


def test_a_partitions_end_waits_for_what_arrived_before_it(bench):
    run = bench()
    run.consumer.arrived = [*arrived("first", "second"), End(9)]
    assert run.consumer.poll(timeout=1) == "first"

    run.poll(seconds=2)
    assert run.consumer.commits == []
    assert run.consumer.poll(timeout=1) == "second"
    run.poll(seconds=2)

    assert run.consumer.commits == [("import", 0, 9)]


class Unreadable:
    """A message with a header whose name is not UTF-8."""

    topic, partition, offset, error = (lambda _: "import"), (lambda _: 0), (lambda _: 7), (lambda _: None)

    def __len__(self):
        return 0

    def headers(self):
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "")

    def set_headers(self, headers):
        self.headers = lambda: headers


def arrived(*names, first=0, partition=0):
    messages = [Arrived(name) for name in names]
    for offset, message in enumerate(messages, first):
        message.of, message.at = partition, offset
    return messages


def test_messages_are_handed_out_one_by_one_in_their_order(bench):
    run = bench()
    names = [str(number) for number in range(250)]
    run.consumer.arrived = arrived(*names)

    assert [run.consumer.poll(timeout=1) for _ in range(251)] == [*names, None]


def test_a_message_whose_headers_cannot_be_read_is_handed_out_without_them(bench, caplog):
    run = bench()
    unreadable = Unreadable()
    run.consumer.arrived = [unreadable]

    assert run.consumer.poll(timeout=1) is unreadable

    assert unreadable.headers() == []
    assert "import[0]@7 is processed without its headers" in caplog.text


def test_a_rebalance_stops_only_the_partitions_that_move(bench):
    run = bench(drain_seconds=10.0)
    run.assign(0, 1)
    run.begins = False
    for partition in (0, 1):
        for offset in (0, 1):
            run.take(offset, partition)
    run.finish(1, partition=0)

    run.revoke(1)

    assert run.emitted_offsets == [1]
    assert {partition for partition, _ in run.waiting} == {0}, "those of partition 1 were handed back"
    run.take(2, partition=0)
    run.finish(0, partition=0)
    run.finish(2, partition=0)
    run.poll(seconds=2)
    assert run.emitted_offsets == [1, 0, 2]
    assert run.consumer.commits[-1] == ("import", 0, 3)
    assert run.operator.standings.keys() == {("import", 0)}


def test_what_has_begun_in_a_partition_that_moves_is_waited_for_and_the_others_go_on_meanwhile(bench):
    run = bench(drain_seconds=10.0)
    run.assign(0, 1)
    for partition in (0, 1):
        run.take(0, partition)

    def answer():
        for partition, outcome in enumerate(("kept", "moved")):
            run.loop.call_soon_threadsafe(run.waiting.pop((partition, 0)).set_result, outcome)

    threading.Timer(0.1, answer).start()  # the revocation waits by then
    run.revoke(1)

    assert [outcome for _, _, outcome, *_ in run.emitted] == ["kept", "moved"]
    assert {("import", 0, 1), ("import", 1, 1)} <= set(run.consumer.commits)


def test_a_partition_that_is_lost_takes_nothing_of_the_others_along(bench):
    run = bench()
    run.assign(0, 1)
    for partition in (0, 1):
        run.take(0, partition)
    run.consumer.callbacks["on_lost"](run.consumer._inner_consumer, [TopicPartition("import", 1)])
    run.finish(0, partition=1)
    run.finish(0, partition=0)
    run.poll(seconds=2)

    assert [partition for partition, *_ in run.emitted] == [0]
    assert run.consumer.commits == [("import", 0, 1)]


def test_further_partitions_begin_where_their_earlier_owners_stopped_and_the_others_stay_where_they_are(bench):
    first = bench()
    first.take(0)
    first.finish(0)
    first.poll(seconds=2)
    run = bench()
    run.consumer.stored = first.consumer.stored | {1: first.consumer.stored[0]}
    run.take(7)
    run.gain(1)
    run.take(8)
    run.take(1, partition=1)

    assert {partition for partition, _ in run.waiting} == {0, 1}
    run.finish(7)
    run.finish(8)
    run.finish(1, partition=1)
    run.poll(seconds=2)
    assert set(run.consumer.commits) == {("import", 0, 9), ("import", 1, 2)}


def test_partitions_that_come_while_reading_is_paused_are_paused_and_those_that_go_are_not(bench):
    run = bench(in_flight_max=1)
    run.assign(0, 1)
    run.take(0)
    run.fill()
    assert run.consumer.paused == {0, 1}

    run.gain(2)
    assert run.consumer.paused == {0, 1, 2}
    run.revoke(1)
    assert run.consumer.paused == {0, 2}, "another replica must not find it paused here later"
    run.finish(0)
    run.poll()
    run.poll()
    assert run.consumer.paused == set()


def test_what_arrived_of_a_partition_that_moves_is_dropped_and_of_the_others_it_is_not(bench):
    run = bench()
    run.assign(0, 1)
    mine, theirs = arrived("mine 1", "mine 2"), arrived("theirs")
    theirs[0].partition = lambda: 1
    run.consumer.arrived = [mine[0], theirs[0], mine[1]]
    assert run.consumer.poll(timeout=1) == "mine 1"

    run.revoke(1)
    run.consumer.arrived = [theirs[0]]  # from before, handed out by the same call that has called back

    assert run.consumer.poll(timeout=1) == "mine 2"
    assert run.consumer.poll(timeout=1) is None


def test_a_commit_that_a_rebalance_refuses_is_made_again_before_the_partition_is_left(bench, caplog):
    run = bench(drain_seconds=10.0)
    run.assign(0, 1)
    run.take(0, partition=1)
    run.finish(0, partition=1)
    run.consumer.refused = KafkaError.REBALANCE_IN_PROGRESS
    asked = []
    commit = run.consumer.commit

    def refuse_twice(offsets, asynchronous):
        asked.append(offsets)
        if len(asked) == 3:
            run.consumer.refused = None
        return commit(offsets, asynchronous)

    run.consumer.commit = refuse_twice
    run.revoke(1)

    assert run.consumer.commits == [("import", 1, 1)]
    assert "offsets are not committed" not in caplog.text, "it is a part of every rebalance"


def test_messages_that_were_lost_in_a_rebalance_in_which_kafka_is_silent_are_read_again_by_a_new_client(bench):
    run = bench()
    run.consumer.polled = silent = silence()
    run.consumer.arrived = arrived("first")

    def fail():
        raise silent

    run.consumer.before_consume = fail
    assert run.consumer.poll(timeout=1) is None
    assert run.consumer._inner_consumer is None, "the client is replaced"
    run.consumer.partitions = []
    run.gain(0)
    run.consumer.before_consume = lambda: None
    run.consumer.arrived = arrived("first")
    assert run.consumer.poll(timeout=1) == "first"

    silent.__cause__ = KeyError("bug")
    run.consumer.arrived = arrived("second")
    run.consumer.before_consume = fail
    with pytest.raises(PartitionAssignmentError):
        run.consumer.poll(timeout=1)


def test_a_consumer_is_ready_once_the_run_loop_joins_which_from_then_on_handles_signals(bench):
    run = bench()
    assert (run.missing_at_first, run.operator.missing) == (["the pipeline"], [])


def test_a_group_that_has_no_partition_for_a_member_keeps_it_out_no_longer(bench):
    run = bench()
    run.operator.missing = ["a group without replicas of another version"]
    run.gain()
    assert run.operator.missing == []


def test_a_message_that_arrived_before_a_rebalance_is_left_to_the_partitions_next_owner(bench):
    run = bench()
    run.consumer.arrived = arrived("before 1", "before 2")
    assert run.consumer.poll(timeout=1) == "before 1"
    run.assign(0)
    run.consumer.arrived = arrived("before 3", "after")
    run.consumer.before_consume = lambda: run.assign(0)

    assert run.consumer.poll(timeout=1) == "after"
    assert run.consumer.poll(timeout=1) is None


def test_no_message_is_handed_out_at_the_limit_and_none_is_lost(bench):
    run = bench(in_flight_max=1)
    run.consumer.arrived = arrived("first", "second", "third")
    assert run.consumer.poll(timeout=1) == "first"
    run.take(0)
    run.poll()
    assert run.consumer.poll(timeout=1) is None
    run.poll(seconds=PAUSE_AFTER_SECONDS)
    assert run.consumer.paused
    run.consumer.arrived = arrived("fourth", first=3)
    assert run.consumer.poll(timeout=1) is None
    run.finish(0)
    run.poll()
    run.poll()

    assert [run.consumer.poll(timeout=1) for _ in range(4)] == ["second", "third", "fourth", None]


def test_reading_goes_on_after_a_pause_with_what_has_not_arrived_whatever_librdkafka_takes_for_its_position(bench):
    run = bench(in_flight_max=1)
    run.assign(0, 1, 2)
    run.consumer.arrived = [*arrived("first", first=5), End(9, partition=1)]
    run.consumer.poll(timeout=1)
    run.take(5)
    run.fill()
    run.finish(5)
    run.poll()
    run.poll()

    assert run.consumer.paused == set()
    assert run.consumer.sought == [(0, 6), (1, 9)], "nothing of the third has been read"


@pytest.mark.parametrize("end", [6, 60])
def test_a_partition_that_librdkafka_reads_from_its_beginning_is_read_on_where_it_was(bench, end):
    run = bench()
    run.consumer.stored[1] = (5, "")
    run.assign(0, 1)
    run.consumer.end = end
    run.consumer.arrived = [*arrived("first", first=5), *arrived("again", "and again")]

    assert [run.consumer.poll(timeout=1) for _ in range(2)] == ["first", None]
    run.consumer.arrived = arrived("again", partition=1)

    assert run.consumer.poll(timeout=1) is None
    assert run.consumer.sought == [(0, 6), (1, 5)]


def test_a_partition_that_has_become_shorter_is_read_from_its_beginning(bench, caplog):
    run = bench()
    run.consumer.stored[1] = (9, "")
    run.assign(0, 1)
    run.consumer.end = 3
    run.consumer.arrived = [*arrived("first", first=5), *arrived("another", "and another"), End(3, 1)]

    assert [run.consumer.poll(timeout=1) for _ in range(3)] == ["first", "another", "and another"]
    assert run.consumer.sought == []
    assert [line.message for line in caplog.records if line.levelname == "ERROR"] == [
        "import[0] is shorter than it was, by the records at offsets 3 to 5: it is read again from offset 0",
        "import[1] is shorter than it was, by the records at offsets 3 to 8: it is read again from offset 3",
    ]


def test_a_shorter_partition_that_grows_past_the_old_commit_before_the_next_one_is_read_whole(bench):
    run = bench()
    run.consumer.stored[0] = (9, "")
    run.assign(0)
    run.consumer.end = 2
    run.consumer.arrived = arrived("first", "second")
    assert [run.consumer.poll(timeout=1) for _ in range(2)] == ["first", "second"]
    run.consumer.end = 12
    run.consumer.arrived = arrived("third", "fourth", first=2)

    assert [run.consumer.poll(timeout=1) for _ in range(2)] == ["third", "fourth"]
    assert run.consumer.sought == []


@pytest.mark.parametrize("from_commit", [True, False])
def test_records_that_kafka_deletes_before_they_are_read_are_told_and_those_that_never_were_are_not(
    bench, caplog, from_commit
):
    run = bench()
    run.consumer.stored = {3: (200, ""), **({1: (6, ""), 2: (6, "")} if from_commit else {})}
    run.assign(0, 1, 2, 3)
    run.consumer.first = 8
    run.consumer.arrived = [
        *arrived("of a new group", first=8),
        *arrived("a marker is before", first=10),
        *arrived("an older end is known", first=200, partition=3),
        *([] if from_commit else [*arrived("", first=5, partition=1), *arrived("", first=5, partition=2)]),
        *arrived("the first that is left", first=8, partition=1),
        End(8, 2),
    ]

    while run.consumer.poll(timeout=1) is not None:
        pass

    told = "Kafka has deleted the records at offsets 6 to 7 before they were read: look at the topic's retention.ms"
    assert [line.message for line in caplog.records if line.levelname == "ERROR"] == [
        f"import[1]: {told} and retention.bytes",
        f"import[2]: {told} and retention.bytes",
    ]


def forget(brokers):
    for _ in range(2):
        brokers.note('{"brokers": {}}')


def test_a_producer_that_knows_no_broker_is_replaced_and_what_it_had_not_delivered_is_sent_again(bench):
    run = bench()
    client = run.producer
    client.away = True
    run.take(5)
    run.finish(5, outcome="five")
    forget(run.operator._quix.producer_brokers)
    run.poll(seconds=10)
    assert client._inner_producer is not client, "Quix's has another client"
    assert (client.outcomes, run.operator.in_flight) == ([], 1)

    client.away = False
    run.poll(seconds=10)
    run.poll(seconds=10)
    assert client.outcomes == ["five"]
    assert run.consumer.commits == [("import", 0, 6)]


def test_a_lone_producer_that_knows_no_broker_is_replaced_and_what_it_had_not_delivered_is_sent_again(bench):
    run = bench()
    run.producer.refused = {"five": "MSG_SIZE_TOO_LARGE"}
    run.lone_producer.away = True
    run.take(5)
    run.finish(5, outcome="five")
    run.poll()
    run.poll()
    assert run.lone_producer.undelivered
    forget(run.operator._lone_brokers)
    lone, run.lone_producer = run.lone_producer, FakeProducer()
    run.poll(seconds=10)
    run.poll(seconds=10)
    run.poll(seconds=10)
    assert (lone.undelivered, run.lone_producer.outcomes) == ([], ["five"])
    assert run.operator.held == 0
    assert run.consumer.commits == [("import", 0, 6)]


def test_a_consumer_that_knows_no_broker_is_replaced_and_joins_again(bench, monkeypatch):
    run = bench()
    joined = []
    closed = []
    monkeypatch.setattr(run.operator, "_join", lambda: joined.append(run.consumer._inner_consumer), raising=False)
    run.operator._quix._close = lambda: closed.append(run.consumer._inner_consumer)
    forget(run.operator._quix.consumer_brokers)
    run.poll(seconds=10)
    run.poll(seconds=10)

    assert (closed, joined) == (["the first client"], [None]), "once, and Quix makes another client"


def test_however_long_a_consumer_takes_to_leave_its_group_offsets_are_committed_soon_afterwards(bench):
    run = bench()
    run.operator._quix._close = lambda: setattr(run, "now", run.now + 60)
    forget(run.operator._quix.consumer_brokers)
    run.poll(seconds=10)
    run.gain(1)
    run.take(5, partition=1)
    run.finish(5, partition=1)
    run.poll(seconds=1)

    assert run.consumer.commits == [("import", 1, 6)]


def test_a_replaced_consumer_that_never_leaves_its_group_is_left_alone_with_its_commit(bench, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LAST_COMMIT_SECONDS", 0)
    run = bench(drain_seconds=0)
    never = threading.Event()
    commit = run.consumer.commit
    monkeypatch.setattr(run.consumer, "commit", lambda offsets, asynchronous: never.wait(60) and offsets)
    run.take(5)
    run.finish(5)
    run.poll(seconds=1)
    assert run.operator._commits._under_way is not None
    old, run.operator._quix._close = run.consumer._inner_consumer, lambda: never.wait(60)
    forget(run.operator._quix.consumer_brokers)
    run.poll(seconds=10)
    run.consumer._inner_consumer, run.consumer.partitions = "the second client", []
    monkeypatch.setattr(run.consumer, "commit", commit)
    run.gain(0)
    run.take(5)
    run.consumer.callbacks["on_lost"](old, run.consumer.partitions)
    run.finish(5)
    run.poll(seconds=1)
    never.set()

    assert run.consumer.commits == [("import", 0, 6)]


def test_a_consumer_that_is_closed_has_time_to_give_up_the_partitions_that_it_still_has(bench, monkeypatch, caplog):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    run = bench(drain_seconds=5)
    run.operator._quix._close = lambda: threading.Event().wait(0.2)
    run.consumer.close()
    assert "left alone" not in caplog.text

    run.assign()
    run.consumer.close()
    assert "left alone" in caplog.text


def test_what_goes_wrong_while_a_consumer_leaves_its_group_is_raised(bench):
    run = bench()
    run.consumer.polled = KeyError("bug")
    forget(run.operator._quix.consumer_brokers)
    with pytest.raises(KeyError):
        run.poll(seconds=10)


def test_nothing_is_emitted_for_a_partition_that_was_lost(bench):
    run = bench()
    run.take(5)
    run.consumer.callbacks["on_lost"](run.consumer._inner_consumer, run.consumer.partitions)
    run.finish(5)
    run.poll(seconds=10)

    assert run.emitted == []
    assert run.operator.standings == {}


def test_no_record_begins_before_kafka_has_said_that_its_topic_is_the_one_that_was_assigned(bench):
    run = bench()
    run.topic_ids.away = True
    run.take(5)
    run.take(6)
    assert run.called == []

    run.topic_ids.answer()
    run.turn_loop()

    assert [offset for offset, _ in run.called] == [5, 6]
    assert len(run.topic_ids.asked) == 2, "one question for each burst"


def test_a_record_begins_at_once_where_kafka_has_just_confirmed_its_topic(bench):
    run = bench()
    run.topic_ids.confirmed_at = run.now
    run.take(5)

    assert [offset for offset, _ in run.called] == [5]
    assert run.topic_ids.asked == []


def pause_and_resume(run):
    run.operator._pause()
    run.operator._resume()


BREAKS = {
    "no break": lambda run: None,
    "partitions are assigned": lambda run: run.gain(1),
    "reading goes on after a pause": pause_and_resume,
    "a partition is read again": lambda run: run.operator._seek_to(("import", 0), 6),
    "more may have waited": lambda run: setattr(
        run.consumer, "arrived", arrived(*map(str, range(module.ARRIVED_MAX + 1)))
    ),
    "more bytes may have waited": lambda run: setattr(run.consumer, "arrived", arrived(" " * module.ARRIVED_BYTES)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_kafka_is_asked_again_where_the_consumer_may_have_stopped_reading_since_it_confirmed_the_topic(bench, name):
    run = bench()
    run.now += 1
    run.topic_ids.confirmed_at = run.now
    run.now += 0.001
    BREAKS[name](run)

    run.consumer.poll(timeout=1)
    run.take(5, partition=0)

    assert [len(run.called), len(run.topic_ids.asked)] == [1, 0 if name == "no break" else 1]


def test_a_topic_made_again_is_read_from_its_beginning_and_nothing_of_it_is_done_under_the_old_id(bench, caplog):
    run = bench()
    run.take(5)
    run.finish(5)
    run.poll(seconds=10)
    run.topic_ids.away = True
    run.take(6)
    run.topic_ids.answer("id 2")
    run.turn_loop()
    run.poll(seconds=10)
    run.topic_ids.away = False

    assert run.operator.in_flight == 0
    assert [each.offset for each in run.consumer.partitions] == [OFFSET_BEGINNING]
    assert "the topic import was created again" in caplog.text
    run.take(0)
    run.finish(0)
    run.poll(seconds=10)
    assert run.called == [(5, "prepared 1"), (0, "prepared 2")]
    assert run.prepared == [("id 1", 0), ("id 2", 0)]
    assert run.consumer.commits == [("import", 0, 6), ("import", 0, 1)]


def test_what_has_begun_is_finished_when_its_topic_is_made_again_and_nothing_of_it_is_committed(bench):
    run = bench(drain_seconds=60)
    run.take(5)
    run.topic_ids.answer("id 2")
    outcome = run.waiting.pop((0, 5))
    run.loop.call_soon(outcome.set_result, "done")
    run.poll(seconds=10)

    assert run.emitted_offsets == [5]
    assert run.consumer.commits == []


def test_a_record_that_is_like_one_of_the_topic_before_at_its_position_is_done_all_the_same(bench):
    run = bench()
    run.take(5)
    run.topic_ids.answer("id 2")
    run.poll()
    run.take(5)

    assert run.called == [(5, "prepared 1"), (5, "prepared 2")]


@pytest.mark.parametrize(
    ("cluster_id", "topic_id", "first", "not_done"),
    [
        ("cluster", "id 1", 5, [5, 8]),
        ("cluster", "id 0", OFFSET_BEGINNING, [5, 6, 7, 8]),  # the topic has been recreated since
        ("another", "id 0", 5, [5, 6, 7, 8]),  # replicated from another cluster: offsets may differ
    ],
)
def test_what_was_committed_is_believed_as_far_as_it_is_about_the_topic(bench, cluster_id, topic_id, first, not_done):
    first_owner = bench(drain_seconds=0)
    first_owner.topic_ids.cluster_id = cluster_id
    first_owner.topic_ids.answer(topic_id)
    first_owner.assign(0)
    for offset in (5, 6, 7):
        first_owner.take(offset)
    first_owner.finish(6)
    first_owner.finish(7)
    first_owner.poll()
    run = bench()
    run.consumer.stored = first_owner.consumer.stored
    run.assign(0)

    assert [each.offset for each in run.consumer.partitions] == [first]
    for offset in (5, 6, 7, 8):
        run.take(offset)
    assert [offset for offset, _ in run.called] == not_done


@settings(deadline=None)
@given(st.data())
def test_whenever_a_topic_is_made_again_its_records_are_done_under_its_own_id(data):
    """Kafka does not report it: reading goes on at the old offset, or restarts if the new topic has fewer records."""
    bench = Bench(begins_late=data.draw(st.booleans()))
    topic, next_offset, done = 1, 0, set()
    try:

        async def func(record, topic_id, turn):
            assert record.value.decode() == topic_id
            outcome = await bench_func(record, topic_id, turn)
            done.add((topic_id, record.offset))
            return outcome

        bench_func, bench.operator._func = bench.func, func
        bench.operator._prepare = lambda topic_id, partition: asyncio.sleep(0, topic_id)
        steps = ["take", "finish", "poll", "make again", "Kafka answers or not", "answer", "revoke", "lose"]
        for step in [*data.draw(st.lists(st.sampled_from(steps), max_size=60)), "end"]:
            can_finish = sorted(offset for _, offset in bench.waiting)
            if step == "take" and next_offset < 12:
                bench.take(next_offset, value=b"id %d" % topic, turn_loop=data.draw(st.booleans()))
                next_offset += 1
            elif step == "finish" and can_finish:
                bench.finish(data.draw(st.sampled_from(can_finish)))
            elif step == "make again":
                topic += 1
                next_offset = data.draw(st.sampled_from([next_offset, 0]))
                bench.topic_ids.now = f"id {topic}"
            elif step == "Kafka answers or not":
                bench.topic_ids.away = not bench.topic_ids.away
            elif step == "answer":
                bench.topic_ids.answer()
                bench.turn_loop()
            elif step in ("revoke", "lose"):
                if step == "revoke":
                    bench.revoke()
                else:
                    bench.consumer.callbacks["on_lost"](bench.consumer._inner_consumer, bench.consumer.partitions)
                bench.assign(0)
                next_offset = first_offset(bench)
            elif step == "poll":
                assigned = bench.consumer.partitions
                bench.poll(seconds=10)
                if bench.consumer.partitions is not assigned:
                    next_offset = first_offset(bench)

        bench.topic_ids.away = False
        bench.topic_ids.answer()
        bench.poll(seconds=10)
        if bench.consumer.partitions[0].offset == OFFSET_BEGINNING:
            next_offset = 0
        for offset in range(next_offset, 12):
            bench.take(offset, value=b"id %d" % topic)
        for _ in range(3):
            bench.turn_loop()
            for partition, offset in sorted(bench.waiting):
                bench.finish(offset, partition)
            bench.poll(seconds=10)
        assert {offset for topic_id, offset in done if topic_id == f"id {topic}"} == set(range(12))
    finally:
        bench.close()


def first_offset(bench):
    """Return the offset at which librdkafka begins to read after an assignment."""
    [assigned] = bench.consumer.partitions
    return 0 if assigned.offset == OFFSET_BEGINNING else max(0, bench.consumer.stored.get(0, (0,))[0])


@settings(deadline=None)
@given(st.data())
def test_whatever_happens_every_record_leaves_once_and_no_commit_passes_an_unfinished_one(data):
    """Take, finish, poll, lose and revoke in any order; records that are not committed are delivered again."""
    bench = Bench(begins_late=data.draw(st.booleans()))
    try:
        log_end, next_offset, committed, lost = 12, 0, 0, False
        for _ in range(data.draw(st.integers(1, 60))):
            can_finish = sorted(offset for _, offset in bench.waiting)
            step = data.draw(
                st.sampled_from(["take", "finish", "poll", "revoke", "lose", "Kafka goes or comes", "refuse"])
            )
            if step == "take" and next_offset < log_end:
                bench.take(next_offset, turn_loop=data.draw(st.booleans()))
                next_offset += 1
            elif step == "finish" and can_finish:
                offset = data.draw(st.sampled_from(can_finish))
                bench.finish(offset, outcome=f"done {offset}")
            elif step == "poll":
                bench.poll()
                bench.operator._commit(0.5)
            elif step == "Kafka goes or comes":
                bench.producer.away = not bench.producer.away
            elif step == "refuse":
                producer = data.draw(st.sampled_from([bench.producer, bench.lone_producer]))
                error = data.draw(st.sampled_from(["INVALID_RECORD", "TOPIC_AUTHORIZATION_FAILED", None]))
                producer.refused[data.draw(st.integers(0, log_end))] = error
            elif step in ("revoke", "lose"):
                lost = lost or bool(bench.producer.away and bench.producer.undelivered)
                lost = lost or bool(bench.producer.refused)
                if step == "revoke":
                    bench.revoke()
                else:
                    lost = True
                    bench.consumer.callbacks["on_lost"](bench.consumer._inner_consumer, bench.consumer.partitions)
                committed = max([committed, *(offset for _, _, offset in bench.consumer.commits)])
                bench.assign(0)
                next_offset = committed
            for _, _, offset in bench.consumer.commits:
                delivered = bench.producer.delivered | bench.lone_producer.delivered
                assert set(range(offset)) <= delivered, "committed past an unfinished record"

        committed = max([committed, *(offset for _, _, offset in bench.consumer.commits)])
        bench.producer.away = False
        bench.producer.refused.clear()
        bench.lone_producer.refused.clear()
        for _ in range(5):
            bench.turn_loop()
            for partition, offset in sorted(bench.waiting):
                bench.finish(offset, partition, outcome=f"done {offset}")
            bench.poll(seconds=module.HELD_RETRY_SECONDS_MAX)
        assert bench.operator.held == 0
        bench.revoke()
        assert set(bench.emitted_offsets) >= set(range(next_offset)), "lost"
        assert lost or len(set(bench.emitted_offsets)) == len(bench.emitted), "emitted again without need"
        assert all(value == f"done {offset}" for _, offset, value, *_ in bench.emitted)
        assert bench.operator.in_flight == 0
    finally:
        bench.close()

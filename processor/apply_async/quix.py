"""The seam to Quix Streams 3.28: all of its internals that the operator replaces or calls.

`tests/unit/processor/apply_async/test_quix.py` compares them with the installed Quix.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol, cast

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from quixstreams import Application
from quixstreams.exceptions import PartitionAssignmentError

from shared.brokers import Brokers

logger = logging.getLogger(__name__)

NEVER_SECONDS = 10 * 365 * 24 * 3600.0
"""A `commit_interval` for the application that leaves committing to the operator."""


# What the installed Quix must have, with these parameters. A method here has no body: nothing inherits from it.


class QuixConsumer(Protocol):
    """Quix's consumer. Its run loop calls the first five methods, and the operator stands in front of those."""

    _consumer_config: dict[str, Any]
    _inner_consumer: Consumer | None

    def subscribe(self, topics: Any, on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> Any: ...
    def assign(self, partitions: list[TopicPartition]) -> Any: ...  # with the partitions that are new
    def poll(self, timeout: float | None = None) -> Any: ...
    def poll_row(self, timeout: float | None = None, buffered: bool = False) -> Any: ...
    def close(self) -> Any: ...
    def consume(self, num_messages: int = 1, timeout: float | None = None) -> list[Any]: ...
    def seek(self, partition: TopicPartition) -> Any: ...
    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float | None = None, cached: bool = False
    ) -> tuple[int, int]: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> Any: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> Any: ...
    def pause(self, partitions: list[TopicPartition]) -> Any: ...
    def resume(self, partitions: list[TopicPartition]) -> Any: ...
    def commit(self, message: Any = None, offsets: Any = None, asynchronous: bool = True) -> Any: ...
    def committed(self, partitions: list[TopicPartition], timeout: float | None = None) -> list[TopicPartition]: ...


class Produces(Protocol):
    """Quix's producer and the client inside it, as far as they accept a record."""

    def produce(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        headers: Any = None,
        partition: Any = None,
        timestamp: Any = None,
        poll_timeout: float = 30.0,
        buffer_error_max_tries: int = 10,
        on_delivery: Any = None,
    ) -> Any: ...


class QuixClient(Produces, Protocol):
    """The client inside Quix's producer, which would remember a failed delivery and raise it at the next record."""

    _producer_config: dict[str, Any]
    _inner_producer: Producer | None


class QuixProducer(Produces, Protocol):
    """Quix's producer. The operator stands in front of both methods."""

    _producer: QuixClient

    def poll(self, timeout: float = 0) -> Any: ...


class Seam:
    """Stands between Quix's run loop and its consumer and producer. The attributes are Quix's own methods."""

    def __init__(self, context: Any) -> None:
        """Store Quix's own methods.

        Args:
            context: Quix's ProcessingContext.
        """
        self._context = context
        self.consumer = cast(QuixConsumer, context.consumer)
        producer = cast(QuixProducer, context.producer)
        self.client = producer._producer
        # Quix creates both of librdkafka's clients later, when they are first needed. It needs `range` to join topics.
        self.consumer._consumer_config["partition.assignment.strategy"] = "cooperative-sticky"
        self.consumer_brokers = _watched(self.consumer._consumer_config)
        self.producer_brokers = _watched(self.client._producer_config)
        self._subscribe, self.poll = self.consumer.subscribe, self.consumer.poll
        self.poll_producer, self.produce = producer.poll, producer.produce
        self._calling_back = threading.Lock()
        self._consume = _unless_kafka_is_silent(self.consumer.consume)
        self._close = _unless_kafka_is_silent(self.consumer.close)

    def stand_in_front(
        self,
        *,
        assign: Callable[..., Any],
        subscribe: Callable[..., Any],
        poll: Callable[..., Any],
        close: Callable[[], None],
        poll_producer: Callable[..., Any],
        produce: Callable[..., Any],
        each_turn: Callable[[], None],
    ) -> None:
        """Have Quix call these functions instead, and `each_turn` once in each iteration of its run loop."""
        consumer, producer = self._context.consumer, self._context.producer
        consumer.assign, consumer.subscribe, consumer.poll = assign, subscribe, poll
        consumer.poll_row = _unless_kafka_is_silent(consumer.poll_row)
        consumer.close = close
        producer.poll, producer.produce = poll_producer, produce
        self._context.dataframe_registry.register_periodic_task(each_turn)

    def subscribe(self, topics: Any, **callbacks: Callable[..., None]) -> None:
        """Join the group. What a replaced client tells afterwards is ignored."""

        def unless_replaced(callback: Callable[..., None]) -> Callable[..., None]:
            def calling(consumer: Any, partitions: list[TopicPartition]) -> None:
                with self._calling_back:
                    if consumer is self.consumer._inner_consumer:
                        callback(consumer, partitions)

            return calling

        self._subscribe(topics, **{name: unless_replaced(callback) for name, callback in callbacks.items()})

    def consume(self, messages_max: int) -> list[Any] | None:
        """Return messages that have arrived; None if Kafka did not answer Quix in a rebalance.

        librdkafka has then discarded the messages that this call had read, and would go on behind them.
        """
        return cast(list[Any] | None, self._consume(messages_max, 0))

    def replace_producer(self) -> Producer | None:
        """Switch to a new client, and return the old one, to be purged. Nothing may be produced meanwhile."""
        logger.warning("the producer has failed and is replaced")
        old = self.client._inner_producer
        self.producer_brokers = _watched(self.client._producer_config)
        self.client._inner_producer = Producer(self.client._producer_config)
        return old

    def lone_producer(self, properties: Mapping[str, Any]) -> Producer:
        """Return a producer like Quix's that sends each record in a batch of its own."""
        return Producer({**self.client._producer_config, **properties, "batch.num.messages": 1})

    def close(self, seconds: float) -> None:
        """Revoke the assignment and leave the group in another thread, which makes the callbacks meanwhile.

        librdkafka waits for Kafka to answer its commits, which may be never: after `seconds` the client is left alone.
        """
        closed: Future[None] = Future()

        def close() -> None:
            try:
                closed.set_result(self._close())
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                closed.set_exception(error)

        threading.Thread(target=close, name="close", daemon=True).start()
        try:
            closed.result(seconds)
        except TimeoutError:
            logger.warning("the consumer cannot leave its group within %g seconds, and is left alone", seconds)

    def replace_consumer(self, seconds: float) -> None:
        """Close the client, for `seconds` at most, and switch to a new one, which has joined no group yet."""
        logger.warning("the consumer has failed and is replaced")
        self.close(seconds)
        with self._calling_back:  # a callback that has begun ends first
            self.consumer._inner_consumer = None
        self.consumer_brokers = _watched(self.consumer._consumer_config)

    def forget_checkpoint(self) -> None:
        """Leave Quix nothing to commit, and no offset below which it would reject another."""
        self._context.init_checkpoint()


def _watched(configuration: dict[str, Any]) -> Brokers:
    brokers = Brokers()
    configuration.update(brokers.properties)
    return brokers


def _unless_kafka_is_silent(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of the consumer: a request of Quix's that Kafka does not answer in a rebalance is not an error."""

    def calling(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except PartitionAssignmentError as error:
            if not isinstance(error.__cause__, KafkaException):
                raise
            logger.warning("Kafka does not answer in a rebalance: %s", error.__cause__.args[0].str())
            return None

    return calling


class Draining(Protocol):
    """The operator, which the application stops first."""

    missing: list[str]

    def stop(self, then: Callable[[], None]) -> None: ...


class DrainingApplication(Application):
    """A Quix application whose `stop()`, which its signal handlers call, lets an operator finish its work first.

    Quix forgets a stop that comes before its run loop has started; the operator remembers it. The application has no
    state and so no folder for it: several that start at once on one machine would create it at the same time, and fail.
    """

    operator: Draining | None = None
    interrupted = False
    """Whether Ctrl-C (SIGINT) has come while it ran."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Create Quix's application, without a folder for state."""
        super().__init__(*args, **options)
        self._state_manager._state_dir = None

    def stop(self, fail: bool = False) -> None:
        """Stop after the work in flight is finished, or at once where the application has failed."""
        if fail or self.operator is None:
            super().stop(fail)
        else:
            self.operator.stop(then=super().stop)

    def _on_sigint(self, *arguments: Any) -> None:
        self.interrupted = True
        super()._on_sigint(*arguments)  # type: ignore[no-untyped-call]

"""`python -m processor`: puts the pipeline together and runs it until SIGTERM."""

import gc
import os
import signal
import sys

# Before the imports, which take a while: a stop at any moment from the first is a clean one, and there is nothing to
# clean up yet. Quix takes the signals over while it runs.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from processor.command_line import app as command_line
from shared.command_line import ask, refuse

if __name__ == "__main__":
    # Before the other imports, too: help, wrong arguments and settings, and the commands need none of them.
    SETTINGS = ask(command_line, "processor")

gc.disable()  # to look for garbage while modules are imported takes some 30 ms, and finds none

import asyncio
import concurrent.futures
import contextlib
import logging
import random
import threading
import time
import warnings
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop
from confluent_kafka import KafkaError, KafkaException, Producer
from prometheus_client import REGISTRY

# authlib, which Quix loads for its schema registry client, has news about httpx for its own users on every start.
with warnings.catch_warnings(record=True):
    from quixstreams.kafka.configuration import ConnectionConfig
    from quixstreams.kafka.exceptions import KafkaConsumerException
    from quixstreams.models.topics import TopicAdmin, TopicConfig, TopicManager

from processor.apply_async.operator import HELD_RECORDS_MAX, ApplyAsync
from processor.apply_async.quix import NEVER_SECONDS, DrainingApplication
from processor.apply_async.topic_ids import TopicIds
from processor.enrich.enrich import Enrich, Lane
from processor.enrich.errors import without_keys
from processor.enrich.gate import Gate, Gates
from processor.enrich.providers.dadata import dadata
from processor.enrich.providers.wire import Wire
from processor.enrich.providers.yandexgpt import yandexgpt
from processor.enrich.quota import Quota
from processor.health import serve_health
from processor.lag import Lag
from processor.metrics import HELD, IN_FLIGHT, IN_FLIGHT_MAX, OLDEST_UNFINISHED, POSTGRES_CONNECTED
from processor.pipeline import OutcomeSerializer, build_pipeline
from processor.process import Process, in_place_of_refused
from processor.settings import ProcessorSettings
from processor.store.claims import Claims
from processor.store.grouped import Grouped
from processor.store.ledger import FinishedRecords, Ledger, RowRefused, UnfitDatabase
from processor.store.sink import Sink
from processor.topics import RECORD_BYTES_MAX, Topics
from shared.logs import configure_logs
from shared.messages import TaskType
from shared.topics import topic_configurations

gc.enable()

if TYPE_CHECKING:
    from processor.traces import TracedSteps

logger = logging.getLogger("processor")

POLL_SECONDS = 0.1
"""How long the run loop waits for a record before it looks whether offsets are to be committed or it is to stop."""

STUCK_SECONDS = 120.0
"""After which a run loop that has not turned counts as stuck. A commit or a rebalance may take it some of that."""

PRUNE_SECONDS = 3600.0
"""Between two looks at which ledger entries Kafka has no records of any more."""

COLLECT_OBJECTS = 10_000
"""New objects between two looks for garbage in cycles. Tasks leave none, and make Python's hundreds in no time."""

EXIT_SECONDS = 5.0
"""How long the event loop may take to close its connections."""

KAFKA_PATIENCE = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.max.ms": 1000,
    "topic.metadata.refresh.interval.ms": 5000,
}
"""A connection that went silent is given up after 10 seconds instead of 60, and Kafka's return is soon noticed. So are
partitions that are added to a topic, which librdkafka looks for every 5 minutes by default."""

PRODUCER: dict[str, str | int] = {
    **KAFKA_PATIENCE,
    "request.timeout.ms": 10_000,
    "linger.ms": 0,
    "partitioner": "murmur2_random",  # by Quix's own, all outcomes without a key lie on one partition
    "message.timeout.ms": 0,  # a result waits for Kafka as long as it takes
    "queue.buffering.max.messages": 0,  # records in flight are bounded already
    "log_level": 3,  # below it librdkafka warns that a fresh cluster has no coordinator for producers yet
}


def main(settings: ProcessorSettings) -> None:
    """Run the processor; exits with 0 after a stop, 2 where it cannot have what the settings name."""
    configure_logs(settings.log_level, settings.log_format)
    if settings.log_level == "INFO":  # Quix's own INFO is what its developers want to know
        logging.getLogger("quixstreams").setLevel(logging.WARNING)
    run(settings)


def run(settings: ProcessorSettings) -> None:
    """Put everything together, run it until a signal stops it, and take it down again."""
    running: list[ApplyAsync[FinishedRecords]] = []  # empty until Kafka and the topics are there
    traced = traced_steps(settings)
    ledger = Ledger(settings.postgres_connection()) if traced is None else traced.ledger()
    gates = provider_gates(settings)
    topics = Topics(settings.kafka_connection())
    if settings.processor_http_port:
        try:
            serve_health(
                settings.processor_http_port,
                live=lambda: _stuck(running),
                ready=lambda: _missing(running, topics, ledger),
                shown=lambda: {
                    "held": sum(operator.held for operator in running),
                    "providers": {name: gate.state for name, gate in gates.items()},
                },
            )
        except OSError as error:
            refuse("processor", f"PROCESSOR_HTTP_PORT: {settings.processor_http_port}: {error.strerror}")

    with contextlib.closing(traced) if traced is not None else contextlib.nullcontext(), event_loop() as loop:
        try:
            asyncio.run_coroutine_threadsafe(ledger.check(), loop).result()
        except UnfitDatabase as error:
            refuse("processor", str(error))
        topics.ensure(
            topic_configurations(settings),
            settings.kafka_topic_partitions,
            rights={
                settings.kafka_import_topic: ("READ",),
                settings.kafka_result_topic: ("WRITE",),
                settings.kafka_dead_letter_topic: ("WRITE",),
            },
        )
        topic_ids = TopicIds((settings.kafka_import_topic,), topics.ids, topics.cluster_id)
        in_background(topic_ids.watch(), loop)
        asyncio.run_coroutine_threadsafe(topic_ids.first_answer(), loop).result()
        wire = Wire() if traced is None else traced.wire()
        asked = lanes(settings, wire, gates)
        enrich = Enrich(asked if traced is None else traced.lanes(asked), settings.provider_attempts)
        store, find = Sink(ledger).write, Grouped(ledger.find)
        process = Process(
            enrich=enrich if traced is None else traced.enrich(enrich),
            store=store if traced is None else traced.store(store),
            find=find,
            claim=Claims(Grouped(ledger.claim), find),
            release=Grouped(ledger.release),
            task_types=settings.task_types,
        )

        app = application(settings)
        app.operator = build_pipeline(
            app.dataframe(app.topic(settings.kafka_import_topic, value_deserializer="bytes")),
            process=process if traced is None else traced.process(process),
            finished_records=ledger.finished,
            topic_ids=topic_ids,
            result_topic=app.topic(settings.kafka_result_topic, value_serializer=OutcomeSerializer()),
            dead_letter_topic=app.topic(settings.kafka_dead_letter_topic, value_serializer=OutcomeSerializer()),
            loop=loop,
            ownership=Gates(gates.values(), loop, topics.partitions),
            in_flight_max=settings.in_flight_max,
            drain_seconds=settings.drain_seconds,
            shutdown_seconds=settings.shutdown_seconds,
            delivered=None if traced is None else traced.delivered,
            refused=in_place_of_refused if traced is None else traced.refused(in_place_of_refused),
            lone_producer=partial(lone_producer, settings),
        )
        running.append(app.operator)
        lag = measure(app.operator, ledger, settings)
        for background in (ledger.connect(), lag.watch(topics), prune(ledger, topics, settings)):
            in_background(background, loop)
        logger.info(
            "started: %s -> %s | %s, group %s",
            settings.kafka_import_topic,
            settings.kafka_result_topic,
            settings.kafka_dead_letter_topic,
            settings.consumer_group(),
        )
        # What is there now stays, and is not to be gone through for garbage again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_OBJECTS)
        try:
            app.run()
        except KafkaConsumerException:
            sys.exit(1)  # it is logged
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one more must not end what is about to end well
        logger.info("stopped: %d records in flight go to the partitions' next owner", app.operator.handed_back)
        with contextlib.suppress(TimeoutError):  # a PostgreSQL that does not answer; nothing is lost by leaving it
            asyncio.run_coroutine_threadsafe(_close(wire, ledger), loop).result(EXIT_SECONDS)


def traced_steps(settings: ProcessorSettings) -> "TracedSteps | None":
    """Return what puts spans around the steps, or None where traces are off; then it is not even imported."""
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from processor.traces import TracedSteps

    return TracedSteps(settings)


def provider_gates(settings: ProcessorSettings) -> dict[str, Gate]:
    """Return each provider's gate."""
    rate = settings.dadata_requests_per_second
    at_once = settings.yandexgpt_concurrent_requests
    return {
        "dadata": Gate("dadata", quota=Quota(rate) if rate else None, requests_max=settings.dadata_concurrent_requests),
        "yandexgpt": Gate(
            "yandexgpt",
            quota=Quota(at_once, longest_seconds=settings.yandexgpt_timeout_seconds),
            requests_max=at_once,
        ),
    }


def lanes(settings: ProcessorSettings, wire: Wire, gates: dict[str, Gate]) -> dict[TaskType, Lane]:
    """Return what each task type's tasks go through. A provider without keys refuses them; that is said once."""
    dadata_gate: Gate | None = gates["dadata"]
    yandexgpt_gate: Gate | None = gates["yandexgpt"]
    if settings.dadata_api_key and settings.dadata_secret_key:
        keys: dict[str, Any] = {
            "url": settings.dadata_url,
            "api_key": settings.dadata_api_key,
            "secret_key": settings.dadata_secret_key,
            "prepare": partial(wire.prepare, timeout_seconds=settings.provider_timeout_seconds),
        }
        phone, email = dadata("phone", **keys), dadata("email", **keys)
    else:
        dadata_gate = None
        phone = email = _refusing("phone and email", "DADATA_API_KEY and DADATA_SECRET_KEY")
    if settings.yandexgpt_api_key and settings.yandexgpt_folder_id:
        gpt = yandexgpt(
            url=settings.yandexgpt_url,
            api_key=settings.yandexgpt_api_key,
            folder_id=settings.yandexgpt_folder_id,
            model=settings.yandexgpt_model,
            prepare=partial(wire.prepare, timeout_seconds=settings.yandexgpt_timeout_seconds),
        )
    else:
        yandexgpt_gate = None
        gpt = _refusing("gpt", "YANDEXGPT_API_KEY and YANDEXGPT_FOLDER_ID")
    return {
        "phone": Lane("dadata_phone", phone, dadata_gate),
        "email": Lane("dadata_email", email, dadata_gate),
        "gpt": Lane("yandexgpt", gpt, yandexgpt_gate),
    }


def application(settings: ProcessorSettings) -> DrainingApplication:
    """Return the Quix application: it commits nothing by itself and never gives Kafka up."""
    group = settings.consumer_group()
    app: DrainingApplication = DrainingApplication(
        broker_address=ConnectionConfig.from_librdkafka_dict(settings.kafka_connection()),
        consumer_group=group,
        topic_manager=TopicManager(_KnownTopics(""), group),
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        commit_interval=NEVER_SECONDS,
        consumer_poll_timeout=POLL_SECONDS,
        broker_availability_timeout=0,
        loglevel=None,
        on_consumer_error=lambda error, message, _: _goes_on(app, error, message),
        consumer_extra_config={
            **KAFKA_PATIENCE,
            "session.timeout.ms": 10_000,  # a replica that was killed stalls its partitions for that long
            "heartbeat.interval.ms": 1000,  # how late a replica notices that the others wait for it to rebalance
            "queued.max.messages.kbytes": 16 * 1024,
            "enable.partition.eof": True,  # the operator commits a partition's end, where transactions leave no record
            **({"group.instance.id": settings.kafka_group_instance_id} if settings.kafka_group_instance_id else {}),
        },
        producer_extra_config=PRODUCER,
    )
    return app


def lone_producer(settings: ProcessorSettings, properties: Mapping[str, Any]) -> Producer:
    """Return the producer of outcomes that Kafka has refused: each in a batch of its own, as small as it can be.

    A producer of tasks may have compressed a record so well that the broker took what its outcome's topic does not take
    uncompressed; brokers count the compressed bytes of a batch.
    """
    return Producer(
        {
            **settings.kafka_connection(),
            **PRODUCER,
            **properties,
            "batch.num.messages": 1,
            "compression.type": "zstd",
            "message.max.bytes": RECORD_BYTES_MAX,
        },
        logger=logging.getLogger("librdkafka"),
    )


def measure(operator: ApplyAsync[FinishedRecords], ledger: Ledger, settings: ProcessorSettings) -> Lag:
    """Let Prometheus see the operator and the ledger. Returns the lag, which still has to be watched."""
    IN_FLIGHT.set_function(lambda: operator.in_flight)
    IN_FLIGHT_MAX.set(settings.in_flight_max)
    HELD.set_function(lambda: operator.held)
    OLDEST_UNFINISHED.set_function(lambda: operator.oldest_seconds)
    POSTGRES_CONNECTED.set_function(lambda: ledger.connected)
    lag = Lag(lambda: operator.standings)
    REGISTRY.register(lag)
    return lag


async def prune(ledger: Ledger, topics: Topics, settings: ProcessorSettings) -> None:
    """Delete the ledger's entries of records that Kafka has no more, again and again. Every replica may do it."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * PRUNE_SECONDS)  # noqa: S311 - spreads the replicas
        try:
            await ledger.prune_keys()
            # Of the dead-letter topic too: a dead letter that was put back may be known by its own position.
            names = (settings.kafka_import_topic, settings.kafka_dead_letter_topic)
            for topic, topic_id in (await topics.ids(names)).items():
                for partition, first_offset in (await topics.first_offsets(topic)).items():
                    await ledger.prune(topic_id, partition, first_offset)
        except KafkaException as error:
            logger.warning("the ledger is pruned later: %s", error.args[0].str())
        except RowRefused as error:
            logger.warning("the ledger is pruned later: %s", error)


@contextlib.contextmanager
def event_loop() -> Any:
    """Run an event loop in a thread of its own for as long as the context lasts."""
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="event loop", daemon=True).start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)


async def _close(wire: Wire, ledger: Ledger) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    wire.close()
    await ledger.close()


def in_background(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
    """Run the work on the loop until that stops; an error that ends it is logged."""
    asyncio.run_coroutine_threadsafe(work, loop).add_done_callback(_say_if_failed)


def _say_if_failed(background: "concurrent.futures.Future[None]") -> None:
    if not background.cancelled() and (error := background.exception()) is not None:
        logger.error("unforeseen %s in the background", type(error).__name__, exc_info=error)


def _refusing(task_types: str, names: str) -> Any:
    logger.warning("%s are not set: tasks of %s are dead-lettered as provider_refused_account", names, task_types)
    return without_keys(names)


class _KnownTopics(TopicAdmin):
    """Quix's administration, where `Topics` has seen to the topics: it asks Kafka nothing, so nothing can fail."""

    def inspect_topics(self, topic_names: list[str], timeout: float = 0) -> dict[str, TopicConfig | None]:
        """Return that the topics are there. Of what else it returns, a pipeline without state needs nothing."""
        return {name: TopicConfig(num_partitions=1, replication_factor=1, extra_config={}) for name in topic_names}


def _goes_on(app: DrainingApplication, error: Exception, message: Any) -> bool:
    """Log an error of the consumer's, and return whether the application goes on."""
    if message is not None:  # the record could not be read; going on would lose it
        logger.error("a record cannot be read: %s", type(error).__name__)
        return False
    kafka_error = error.error if isinstance(error, KafkaConsumerException) else None
    # Another replica has our KAFKA_GROUP_INSTANCE_ID, for one.
    if kafka_error is not None and kafka_error.code() == KafkaError._FATAL:
        logger.error("Kafka does not let this replica go on: %s", kafka_error.str())
        return False
    denied = kafka_error is not None and kafka_error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    if denied and app.operator is not None:
        # The consumer tries to join again and again, and says so each time. It is over when partitions are assigned.
        if not app.operator.missing:
            app.operator.missing = [f"the right READ on the group {app.config.consumer_group}"]
            logger.warning("waiting for Kafka: missing: %s", *app.operator.missing)
        return True
    logger.warning("reading from Kafka: %s", error)
    return True


def _stuck(running: list[ApplyAsync[FinishedRecords]]) -> list[str]:
    return ["the run loop does not turn"] if running and time.monotonic() - running[0].polled_at > STUCK_SECONDS else []


def _missing(running: list[ApplyAsync[FinishedRecords]], topics: Topics, ledger: Ledger) -> list[str]:
    missing = running[0].missing + running[0].topic_ids.missing if running else topics.missing or ["the pipeline"]
    if not ledger.connected:
        missing.append("PostgreSQL")
    for operator in running:
        if operator.topic_trouble is not None:
            missing.append(operator.topic_trouble)
        if operator.held >= HELD_RECORDS_MAX:
            missing.append(f"room for more than {HELD_RECORDS_MAX} records that are held")
    return missing + _stuck(running)


if __name__ == "__main__":
    main(SETTINGS)

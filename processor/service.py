"""The composition root: builds every part once, in the order in which a record meets it."""

import asyncio
import concurrent.futures
import contextlib
import logging
import random
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import uvloop
from confluent_kafka import KafkaException
from prometheus_client import REGISTRY

from processor.application import KafkaConsumerException, application, lone_producer
from processor.apply_async.operator import HELD_RECORDS_MAX, ApplyAsync
from processor.apply_async.topic_ids import TopicIds
from processor.audit.audit import Audit
from processor.enrich.enrich import Enrich
from processor.enrich.providers.dadata_account import watch_dadata
from processor.enrich.providers.wire import Wire
from processor.enrich.task_types import lanes, provider_gates
from processor.fleet import Fleet
from processor.health import serve_health
from processor.lag import Lag
from processor.metrics import HELD, IN_FLIGHT, IN_FLIGHT_MAX, OLDEST_UNFINISHED, POSTGRES_CONNECTED
from processor.pipeline import OutcomeSerializer, build_pipeline, steps
from processor.process import Process, in_place_of_refused
from processor.settings import ProcessorSettings
from processor.store.keys import Keys
from processor.store.known import Known
from processor.store.postgres import Postgres, RowRefused, UnfitDatabase
from processor.store.rows import Ledger
from processor.topics import Topics
from shared.command_line import refuse
from shared.garbage import keep_what_exists
from shared.logs import configure_logs
from shared.topics import new_topics

logger = logging.getLogger("processor")

STUCK_SECONDS = 120.0
"""Time without a turn after which the run loop counts as stuck. A commit or a rebalance may take a part of it."""

PRUNE_SECONDS = 3600.0
"""Between two deletions of ledger entries whose records Kafka no longer has."""

EXIT_SECONDS = 5.0
"""How long the event loop may take to close its connections."""


def main(settings: ProcessorSettings) -> None:
    """Run the processor; exits with 0 after SIGTERM, 130 after Ctrl-C, 2 if the settings name something unusable."""
    configure_logs(settings.log_level, settings.log_format)
    if settings.log_level == "INFO":  # Quix's own INFO is for its developers
        logging.getLogger("quixstreams").setLevel(logging.WARNING)
    with contextlib.closing(spans(settings)) as traced, event_loop() as loop:
        Service(settings, traced, loop).run()


class Untraced:
    """Stands in for TracedSteps where traces are off."""

    ledger = Ledger
    wire = Wire
    delivered = None

    def around(self, step: Any) -> Any:
        """Return the step as it is."""
        return step

    lanes = enrich = sink = process = refused = around

    def close(self) -> None:
        """Close nothing."""


def spans(settings: ProcessorSettings) -> Any:
    """Return the parts that put spans around the steps. If traces are off, OpenTelemetry is not imported."""
    if settings.otel_exporter_otlp_endpoint is None:
        return Untraced()
    from processor.traces import TracedSteps

    return TracedSteps(settings)


class Service:
    """All parts of a processor."""

    def __init__(self, settings: ProcessorSettings, traced: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Build the parts that need neither Kafka nor PostgreSQL to answer.

        Args:
            settings: the processor's.
            traced: TracedSteps or Untraced.
            loop: the event loop of the steps, which runs in another thread.
        """
        self._settings = settings
        self._traced = traced
        self._loop = loop
        self._failed: list[str] = []
        self._operator: ApplyAsync | None = None  # None until Kafka and the topics are available
        self._topics = Topics(settings.kafka_connection())
        self._wire = traced.wire()
        self._postgres = Postgres(settings.postgres_connection())
        self._ledger = traced.ledger(self._postgres)
        self._gates = provider_gates(settings, storable=lambda: self._ledger.storable)
        self._fleet = Fleet(
            settings.postgres_connection(), self._gates.values(), connected=lambda: self._postgres.connected
        )
        self._audit = Audit(settings, lambda: self._topics.admin)
        self._keys = Keys(self._postgres, self._ledger.id_at, self._fleet.lend)

    def run(self) -> None:
        """Serve health, wait for Kafka and the topics, run the pipeline until a signal stops it, and close the rest."""
        settings = self._settings
        if settings.processor_http_port:
            try:
                serve_health(settings.processor_http_port, live=self._stuck, ready=self._missing, shown=self._shown)
            except OSError as error:
                refuse("processor", f"PROCESSOR_HTTP_PORT: {settings.processor_http_port}: {error.strerror}")
        try:
            self._on_the_loop(self._postgres.check())
        except UnfitDatabase as error:
            refuse("processor", str(error))
        self._topics.ensure(
            new_topics(settings),
            rights={
                settings.kafka_import_topic: ("READ",),
                settings.kafka_result_topic: ("WRITE",),
                settings.kafka_dead_letter_topic: ("WRITE",),
            },
        )
        topic_ids = TopicIds((settings.kafka_import_topic,), self._topics.ids, self._topics.cluster_id)
        self._in_background("watching the topics' ids", topic_ids.watch())
        self._on_the_loop(topic_ids.first_answer())

        app = application(settings)
        self._operator = app.operator = operator = self._pipeline(app, topic_ids)
        lag = self._measure(operator)
        self._in_background("connecting to PostgreSQL", self._postgres.keep_connected())
        self._in_background("renewing the leases", self._fleet.run())
        if settings.dadata_api_key and settings.dadata_secret_key:
            watching = watch_dadata(
                settings.dadata_url,
                settings.dadata_api_key,
                settings.dadata_secret_key,
                gate=self._gates["dadata"],
                is_mine=lambda: self._fleet.is_first,
            )
            self._in_background("asking for DaData's balance", watching)
        self._in_background("measuring the lag", lag.watch(self._topics))
        self._in_background("pruning the ledger", self._prune())
        self._in_background("the audit", self._audit.run(), is_vital=False)
        logger.info(
            "started: %s -> %s | %s, group %s",
            settings.kafka_import_topic,
            settings.kafka_result_topic,
            settings.kafka_dead_letter_topic,
            settings.consumer_group(),
        )
        keep_what_exists()
        try:
            app.run()
        except KafkaConsumerException:
            sys.exit(1)  # it is logged
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the end
        logger.info("stopped: unfinished records left to the partitions' next owner: %d", operator.handed_back)
        with contextlib.suppress(TimeoutError):  # PostgreSQL does not answer: nothing is lost
            self._on_the_loop(self._close(), EXIT_SECONDS)
        if app.interrupted:
            sys.exit(128 + signal.SIGINT)

    def _pipeline(self, app: Any, topic_ids: TopicIds) -> ApplyAsync:
        settings, traced = self._settings, self._traced
        enrich = Enrich(traced.lanes(lanes(settings, self._wire, self._gates)), settings.provider_attempts)
        record_steps = steps(
            task_types=settings.task_types,
            known=Known(self._ledger.id_at, self._keys.wait_for).id_of,
            enrich=traced.enrich(enrich),
            sink=traced.sink(self._ledger.store),
        )
        process = Process(record_steps, release=self._keys.release, task_types=settings.task_types)
        partitions = self._topics.partitions
        tasks_partitions = partitions[settings.kafka_import_topic]
        return build_pipeline(
            app.dataframe(app.topic(settings.kafka_import_topic, value_deserializer="bytes")),
            traced.process(process),
            result_topic=app.topic(settings.kafka_result_topic, value_serializer=OutcomeSerializer()),
            dead_letter_topic=app.topic(settings.kafka_dead_letter_topic, value_serializer=OutcomeSerializer()),
            loop=self._loop,
            prepare=self._ledger.finished,
            topic_ids=topic_ids,
            # Others have partitions that would stay empty, and readers who would get nothing.
            partitions={name: count for name, count in partitions.items() if count <= tasks_partitions},
            in_flight_max=settings.in_flight_max,
            drain_seconds=settings.drain_seconds,
            shutdown_seconds=settings.shutdown_seconds,
            delivered=traced.delivered,
            refused=traced.refused(in_place_of_refused),
            lone_producer=partial(lone_producer, settings),
        )

    def _measure(self, operator: ApplyAsync) -> Lag:
        IN_FLIGHT.set_function(lambda: operator.in_flight)
        IN_FLIGHT_MAX.set(self._settings.in_flight_max)
        HELD.set_function(lambda: operator.held)
        OLDEST_UNFINISHED.set_function(lambda: operator.oldest_seconds)
        POSTGRES_CONNECTED.set_function(lambda: self._postgres.connected)
        lag = Lag(lambda: operator.standings)
        REGISTRY.register(lag)
        return lag

    async def _prune(self) -> None:
        """Periodically delete entries of records that Kafka no longer has. Every replica may do it."""
        # Also of the dead-letter topic: the position of a dead letter can identify a record that was put back.
        names = (self._settings.kafka_import_topic, self._settings.kafka_dead_letter_topic)
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * PRUNE_SECONDS)  # noqa: S311 - spreads the replicas
            try:
                await self._keys.prune()
                for topic, topic_id in (await self._topics.ids(names)).items():
                    for partition, first_offset in (await self._topics.first_offsets(topic)).items():
                        await self._keys.prune_claims(topic_id, partition, first_offset)
                        await self._ledger.prune(topic_id, partition, first_offset)
            except (KafkaException, RowRefused) as error:
                why = error.args[0].str() if isinstance(error, KafkaException) else str(error)
                logger.warning("the ledger is pruned later: %s", why)

    async def _close(self) -> None:
        held = self._fleet.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for gate in self._gates.values():
            gate.close()
        await self._fleet.close(held)
        await self._postgres.close()

    # Health, called on its own threads -------------------------------------------------------------------------------

    def _stuck(self) -> list[str]:
        stuck = list(self._failed)
        if self._operator is not None and time.monotonic() - self._operator.polled_at > STUCK_SECONDS:
            stuck.append("the run loop does not turn")
        return stuck

    def _missing(self) -> list[str]:
        operator = self._operator
        if operator is None:
            missing = self._topics.missing or ["the pipeline"]
        else:
            trouble = [] if operator.topic_trouble is None else [operator.topic_trouble]
            missing = operator.missing + operator.topic_ids.missing + trouble
            if operator.held >= HELD_RECORDS_MAX:
                missing.append(f"room for more than {HELD_RECORDS_MAX} held records")
        if not self._postgres.connected:
            missing = [*missing, "PostgreSQL"]
        return missing + self._stuck()

    def _shown(self) -> dict[str, Any]:
        return {
            "held": 0 if self._operator is None else self._operator.held,
            "providers": {name: gate.state for name, gate in self._gates.items()},
            "look_at": {name: gate.look_at for name, gate in self._gates.items() if gate.state == "misconfigured"},
            "audit": self._audit.findings,
        }

    # Work on the event loop ------------------------------------------------------------------------------------------

    def _on_the_loop(self, work: Coroutine[Any, Any, Any], seconds: float | None = None) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def _in_background(self, what: str, work: Coroutine[Any, Any, None], *, is_vital: bool = True) -> None:
        """Run the work until the loop stops. An exception is a bug: it is logged, and if the work is vital, the process
        is no longer live.
        """

        def ended(background: "concurrent.futures.Future[None]") -> None:
            if not background.cancelled() and (error := background.exception()) is not None:
                logger.error("unforeseen %s has ended %s", type(error).__name__, what, exc_info=error)
                if is_vital:
                    self._failed.append(what)

        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(ended)


@contextlib.contextmanager
def event_loop() -> Any:
    """Run an event loop in a thread of its own for as long as the context lasts."""
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="event loop", daemon=True).start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)

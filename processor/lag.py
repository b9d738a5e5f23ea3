"""Consumer lag of this replica's partitions, for Prometheus and for autoscaling."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from confluent_kafka import KafkaException
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from processor.apply_async.operator import Standing
from processor.record import Partition

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at where the partitions end."""

NEWS_SECONDS = 0.5
"""How soon it is asked where new partitions end."""


class Topics(Protocol):
    """Answers where partitions end."""

    async def bounds(self, partitions: Collection[Partition]) -> dict[Partition, tuple[int, int]]:
        """Return partition -> first offset and the one after the last. Raises KafkaException."""


class Lag(Collector):
    """Committed lag, and what it consists of, of the partitions that are assigned.

    Consumer groups know the committed lag only. One slow record makes that as large as all that was finished beyond
    it; what is still to be done, the true lag, is what waits and what is in flight.
    """

    def __init__(self, standings: Callable[[], Mapping[Partition, Standing | None]]) -> None:
        """Store how to request progress; no end is known yet.

        Args:
            standings: answers how far the assigned partitions are, None where that is not known.
        """
        self._standings = standings
        self._bounds: dict[Partition, tuple[int, int]] = {}

    async def watch(self, topics: Topics) -> None:
        """Ask for the ends again and again. While Kafka is away the last ones stay."""
        look_at = 0.0
        while True:
            partitions, now = self._standings().keys(), time.monotonic()
            if partitions and (now >= look_at or partitions - self._bounds.keys()):
                look_at = now + LOOK_SECONDS
                try:
                    self._bounds = await topics.bounds(partitions)
                except KafkaException as error:
                    logger.debug("where partitions end is not known: %s", error.args[0].str())
            await asyncio.sleep(NEWS_SECONDS)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics. Part of prometheus_client's Collector, called on any thread.

        Offsets without a record, as transactions leave them, count as finished once the partition's end is reached.
        """
        records = GaugeMetricFamily(
            "integration_lag_records",
            "Records above the committed offset, by state: waiting in Kafka, in_flight, held as Kafka "
            "refuses their outcome, or finished beyond one that is not. True lag is waiting + in_flight.",
            labels=["partition", "state"],
        )
        committed_lag = GaugeMetricFamily(
            "integration_committed_lag_records",
            "Records above the committed offset, as consumer groups tell it.",
            labels=["partition"],
        )
        bounds = self._bounds  # the event loop puts others in its place
        for partition, standing in self._standings().items():
            if partition not in bounds:
                continue
            first, end = bounds[partition]
            number = str(partition[1])
            if standing is None:  # it is read all the same: what waits is taken at once, and then it is known
                standing = Standing(end, end, 0, 0)
            committed, committable = max(first, standing.committed), max(first, standing.committable)
            finished = committable - committed + standing.finished_beyond
            # The end may be older than what is known of the records before it.
            waiting = max(0, end - committed - finished - standing.in_flight - standing.held)
            records.add_metric([number, "waiting"], waiting)
            records.add_metric([number, "in_flight"], standing.in_flight)
            records.add_metric([number, "held"], standing.held)
            records.add_metric([number, "finished"], finished)
            committed_lag.add_metric([number], waiting + standing.in_flight + standing.held + finished)
        yield records
        yield committed_lag

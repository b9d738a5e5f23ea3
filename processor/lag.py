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
"""Between two requests for the partitions' bounds."""

NEWS_SECONDS = 0.5
"""After this long the bounds of newly assigned partitions are requested."""


class Topics(Protocol):
    """Fetches the bounds of partitions."""

    async def bounds(self, partitions: Collection[Partition]) -> dict[Partition, tuple[int, int]]:
        """Return partition -> (low watermark, high watermark). Raises KafkaException."""


class Lag(Collector):
    """The committed lag of the assigned partitions, and its parts.

    Consumer groups report only the committed lag. One slow record makes it as large as all that is finished beyond it.
    The remaining work, the true lag, is the records that wait or are in flight.
    """

    def __init__(self, standings: Callable[[], Mapping[Partition, Standing | None]]) -> None:
        """Start without bounds. `standings` returns the assigned partitions' progress; None where it is not known."""
        self._standings = standings
        self._bounds: dict[Partition, tuple[int, int]] = {}

    async def watch(self, topics: Topics) -> None:
        """Refresh the bounds until cancelled. While Kafka is unavailable, the last ones stay."""
        refresh_at = 0.0
        while True:
            partitions, now = self._standings().keys(), time.monotonic()
            if partitions and (now >= refresh_at or partitions - self._bounds.keys()):
                refresh_at = now + LOOK_SECONDS
                try:
                    self._bounds = await topics.bounds(partitions)
                except KafkaException as error:
                    logger.debug("the bounds of partitions are not known: %s", error.args[0].str())
            await asyncio.sleep(NEWS_SECONDS)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics. Part of prometheus_client's Collector, called on any thread.

        Offsets without a record, which transactions leave, count as finished once the end of the partition is reached.
        """
        records = GaugeMetricFamily(
            "integration_lag_records",
            "Records above the committed offset, by state: waiting in Kafka, in_flight, held because Kafka "
            "refuses their outcome, or finished beyond one that is not. True lag is waiting + in_flight.",
            labels=["partition", "state"],
        )
        committed_lag = GaugeMetricFamily(
            "integration_committed_lag_records",
            "Records above the committed offset, as consumer groups report it.",
            labels=["partition"],
        )
        bounds = self._bounds  # the event loop replaces it
        for partition, standing in self._standings().items():
            if partition not in bounds:
                continue
            first, end = bounds[partition]
            number = str(partition[1])
            if standing is None:  # it becomes known when the first record that waits is taken, which is at once
                standing = Standing(end, end, 0, 0)
            committed, committable = max(first, standing.committed), max(first, standing.committable)
            finished = committable - committed + standing.finished_beyond
            # The bounds may be older than the standing.
            waiting = max(0, end - committed - finished - standing.in_flight - standing.held)
            records.add_metric([number, "waiting"], waiting)
            records.add_metric([number, "in_flight"], standing.in_flight)
            records.add_metric([number, "held"], standing.held)
            records.add_metric([number, "finished"], finished)
            committed_lag.add_metric([number], waiting + standing.in_flight + standing.held + finished)
        yield records
        yield committed_lag

"""Detects a Kafka client that has forgotten all brokers.

After a short outage, a broker's first answer may list no broker. librdkafka (2.10 to 2.15, issue 5301) then forgets all
brokers, in some cases permanently: the client no longer reads or writes, and reports nothing. Only its statistics show
it. Such a client has to be replaced.
"""

import json
from typing import Any

STATISTICS_MS = 2000
"""Interval of a client's statistics."""

MISSES_MAX = 1
"""Tolerated statistics in a row without a broker: a client that recovers has none for a moment."""


class Brokers:
    """Checks one client's statistics, which arrive through a callback when the client is polled."""

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self.note}
        """Configuration properties that the client needs."""
        self._misses = 0

    @property
    def forgotten(self) -> bool:
        """Whether the client has forgotten all brokers. May be read from any thread."""
        return self._misses > MISSES_MAX

    def note(self, statistics: str) -> None:
        """Process statistics, as JSON. The group's coordinator is a logical broker in them, and does not count."""
        brokers = json.loads(statistics)["brokers"].values()
        known = any(broker["source"] in ("configured", "learned") for broker in brokers)
        self._misses = 0 if known else self._misses + 1

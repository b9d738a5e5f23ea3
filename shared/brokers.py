"""Detects a Kafka client that has forgotten all brokers.

A broker that was away for a moment may answer first that no broker is there. librdkafka (2.10 to 2.15, its issue 5301)
then forgets them all, in some cases for good: the client neither reads nor writes any more, and says nothing. Only its
statistics show it. Such a client has to be replaced.
"""

import json
from typing import Any

STATISTICS_MS = 2000
"""Between two statistics of a client."""

MISSES_MAX = 1
"""Statistics in a row without a broker that mean nothing: a client that recovers has none for an instant."""


class Brokers:
    """Looks at one client's statistics. They come with its callbacks, where the client is polled."""

    def __init__(self) -> None:
        """Start with brokers, as every client does."""
        self.properties: dict[str, Any] = {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self.note}
        """What the client has to be made with."""
        self._misses = 0

    @property
    def forgotten(self) -> bool:
        """Whether the client knows no broker any more. Any thread."""
        return self._misses > MISSES_MAX

    def note(self, statistics: str) -> None:
        """Take in a client's statistics, in JSON. The group's coordinator is a logical broker: only the role of one."""
        brokers = json.loads(statistics)["brokers"].values()
        known = any(broker["source"] in ("configured", "learned") for broker in brokers)
        self._misses = 0 if known else self._misses + 1

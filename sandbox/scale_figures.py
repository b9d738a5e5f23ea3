"""The scale demo's figures, from the replicas' metrics and the results' timestamps. Pure: no input or output."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Lag:
    """Consumer lag of one or several partitions: the records after the committed offset, by state."""

    waiting: int = 0
    """In Kafka, not taken by any replica yet."""
    in_flight: int = 0
    """Taken and not finished."""
    finished: int = 0
    """Finished, but after an unfinished record, so their offsets cannot be committed. They need no more work."""
    held: int = 0
    """Kafka refuses their outcome."""
    committed: int = 0
    """All records after the committed offset."""

    @property
    def true(self) -> int:
        """The records that still need work."""
        return self.waiting + self.in_flight

    @staticmethod
    def total(lags: Iterable["Lag"]) -> "Lag":
        """Return the sum."""
        lags = list(lags)
        return Lag(*(sum(getattr(lag, name) for lag in lags) for name in Lag.__dataclass_fields__))


@dataclass(frozen=True)
class Quota:
    """Slots of one provider's quota: a replica's share, or the fleet's."""

    slots: int = 0
    used: int = 0


@dataclass(frozen=True)
class Replica:
    """What one replica's metrics report."""

    partitions: Mapping[int, Lag] = field(default_factory=dict)
    in_flight: int = 0
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    @staticmethod
    def read(metrics: str) -> "Replica":
        """Parse a replica's `/metrics`. A replica that owns no partition reports none."""
        lags: dict[int, dict[str, int]] = {}
        quotas: dict[str, dict[str, int]] = {}
        in_flight = 0
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                value, labels = sample.value, sample.labels
                match sample.name:
                    case "integration_lag_records":
                        lags.setdefault(int(labels["partition"]), {})[labels["state"]] = int(value)
                    case "integration_committed_lag_records":
                        lags.setdefault(int(labels["partition"]), {})["committed"] = int(value)
                    case "integration_in_flight_records":
                        in_flight = int(value)
                    case "integration_quota_slots":
                        quotas.setdefault(labels["provider"], {})["slots"] = int(value)
                    case "integration_quota_used_slots":
                        quotas.setdefault(labels["provider"], {})["used"] = int(value)
        return Replica(
            {partition: Lag(**lag) for partition, lag in sorted(lags.items())},
            in_flight,
            {provider: Quota(**quota) for provider, quota in quotas.items()},
        )


def divided(replicas: Collection[Replica], partitions: int) -> bool:
    """Return whether each partition has exactly one owner, and as many replicas as possible own one."""
    owned = Counter(partition for replica in replicas for partition in replica.partitions)
    owners = sum(bool(replica.partitions) for replica in replicas)
    return owners == min(len(replicas), partitions) and owned == Counter(range(partitions))


@dataclass
class Results:
    """The tasks that were sent, and their results with the time at which each was written.

    Invariant: a task counts once, however often its result arrives.
    """

    sent: int = 0
    repeated: int = 0
    unknown: int = 0
    """Results of tasks that were never sent."""
    _seconds: list[float] = field(default_factory=list)
    _task_ids: set[int] = field(default_factory=set)

    def send(self, count: int) -> range:
        """Count this many tasks as sent, and return their ids."""
        self.sent += count
        return range(self.sent - count, self.sent)

    def came(self, task_id: int, seconds: float) -> None:
        """Count a result that was written at `seconds`."""
        if not 0 <= task_id < self.sent:
            self.unknown += 1
        elif task_id in self._task_ids:
            self.repeated += 1
        else:
            self._task_ids.add(task_id)
            self._seconds.append(seconds)

    @property
    def outstanding(self) -> int:
        """Number of tasks that were sent and have no result yet."""
        return self.sent - len(self._task_ids)

    def rate(self, begin: float, end: float) -> float:
        """Return how many results a second were written between two times."""
        seconds = sorted(self._seconds)
        return (bisect_left(seconds, end) - bisect_left(seconds, begin)) / (end - begin)

    def rate_from_to(self, first: int, last: int) -> float:
        """Return the rate in results a second between two results, numbered from 0 in the order of their times."""
        seconds = sorted(self._seconds)
        return (last - first) / max(seconds[last] - seconds[first], 0.001)


@dataclass(frozen=True)
class Phase:
    """The measurements with one number of replicas."""

    replicas: int
    rate: float
    results_repeated: int
    calls_repeated: int

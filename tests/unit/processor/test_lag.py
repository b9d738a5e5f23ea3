"""The lag metrics of a replica's partitions."""

import asyncio
import contextlib

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.apply_async.operator import Standing
from processor.lag import Lag


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("processor.lag.LOOK_SECONDS", 0)
    monkeypatch.setattr("processor.lag.NEWS_SECONDS", 0)


class Topics:
    """Returns the given answers from `bounds`, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def bounds(self, partitions):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict.fromkeys(partitions, answer)


def lag_of(standing, *answers):
    """Return state -> records, and the committed lag, of partition 3 after its bounds had these values in turn."""

    async def watch():
        topics = Topics(*answers)
        with contextlib.suppress(IndexError):
            await lag.watch(topics)

    standings = {("import", 3): standing}
    lag = Lag(lambda: standings)
    asyncio.run(watch())
    records, committed = lag.collect()
    assert all(sample.labels["partition"] == "3" for sample in [*records.samples, *committed.samples])
    return {sample.labels["state"]: sample.value for sample in records.samples}, *(
        sample.value for sample in committed.samples
    )


def test_true_lag_is_told_apart_from_what_is_finished_beyond_a_slow_record():
    assert lag_of(Standing(committed=100, committable=100, in_flight=2, finished_beyond=500), (0, 1000)) == (
        {"waiting": 398, "in_flight": 2, "held": 0, "finished": 500},
        900,
    )


def test_records_that_are_held_are_no_true_lag_and_keep_the_committed_one():
    assert lag_of(Standing(committed=10, committable=10, in_flight=1, finished_beyond=5, held=2), (0, 20)) == (
        {"waiting": 2, "in_flight": 1, "held": 2, "finished": 5},
        10,
    )


def test_what_is_finished_and_not_committed_yet_is_no_true_lag():
    assert lag_of(Standing(committed=90, committable=100, in_flight=0, finished_beyond=0), (0, 100)) == (
        {"waiting": 0, "in_flight": 0, "held": 0, "finished": 10},
        10,
    )


def test_records_that_kafka_has_deleted_are_no_lag():
    assert lag_of(Standing(committed=0, committable=0, in_flight=0, finished_beyond=0), (70, 100)) == (
        {"waiting": 30, "in_flight": 0, "held": 0, "finished": 0},
        30,
    )


def test_an_end_that_is_older_than_the_records_makes_no_negative_lag():
    assert lag_of(Standing(committed=10, committable=20, in_flight=3, finished_beyond=0), (0, 15)) == (
        {"waiting": 0, "in_flight": 3, "held": 0, "finished": 10},
        13,
    )


def test_while_kafka_is_away_the_last_ends_stay():
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))

    assert lag_of(Standing(0, 0, 0, 0), (0, 5), away)[1] == 5


def test_a_partition_whose_end_is_not_known_is_not_told():
    assert lag_of(Standing(0, 0, 0, 0))[1:] == ()


def test_a_partition_of_which_only_the_end_is_known_is_read_and_has_no_lag():
    assert lag_of(None, (0, 5)) == ({"waiting": 0, "in_flight": 0, "held": 0, "finished": 0}, 0)

"""What the gateway logs about the topics that it watches."""

import logging
import threading
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from gateway.kafka import topics
from shared.topics import Described, NewTopics

NAMES = ("import", "results", "import-dlt")


class OnceRound(threading.Event):
    """Is set when it is looked at for the second time."""

    def is_set(self):
        was_set = super().is_set()
        self.set()
        return was_set


@pytest.fixture
def watched(monkeypatch):
    """Return the topics after they were found for the first time, and a function that lets seconds pass."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(topics, "time", clock)
    monkeypatch.setattr(topics, "Administrator", lambda _: SimpleNamespace(client=SimpleNamespace(poll=lambda _: None)))
    found = {
        name: SimpleNamespace(topic_id=f"id of {name}", partitions=[SimpleNamespace(id=number) for number in range(4)])
        for name in NAMES
    }
    monkeypatch.setattr(topics, "describe", lambda *_: Described(found, [], []))
    watched = topics.Topics({}, NewTopics({name: {} for name in NAMES}, 4), "import")
    watched.describe_now()
    watched.watch(OnceRound())
    assert len(watched.wanted) == 8

    def passes(seconds):
        clock.now += seconds

    return watched, passes


@pytest.mark.parametrize("code", topics.NOT_KNOWN_YET)
def test_a_new_partition_without_a_leader_is_a_warning_only_if_that_lasts(watched, caplog, code):
    watched, passes = watched
    error = KafkaError(code, "Failed to get offsets: Broker: Not leader for partition")

    with caplog.at_level(logging.DEBUG):
        watched.note_error(error)
        passes(topics.NEW_SECONDS / 2)
        watched.note_error(error)
        assert caplog.records == []
        passes(topics.NEW_SECONDS)
        watched.note_error(error)
        watched.note_error(error)

    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [("WARNING", f"Kafka: {error.str()}")]


def test_another_error_about_a_new_partition_is_a_warning_at_once(watched, caplog):
    watched[0].note_error(KafkaError(KafkaError._SSL, "broken"))

    [line] = caplog.records
    assert line.levelname == "WARNING"

"""A client that has forgotten all brokers is distinguished from one that lacks them only for an instant."""

import json

import pytest
from confluent_kafka import Producer

from shared.brokers import Brokers

COORDINATOR = {"GroupCoordinator": {"source": "logical"}}


@pytest.mark.parametrize("source", ["configured", "learned"])
def test_brokers_are_forgotten_where_two_statistics_in_a_row_have_none(source):
    brokers = Brokers()
    told = []
    for known in (False, True, False, False, False, True):
        own = {"kafka:9092/1": {"source": source}} if known else {}
        brokers.note(json.dumps({"brokers": {**COORDINATOR, **own}}))
        told.append(brokers.forgotten)
    assert told == [False, False, False, True, True, False]


def test_a_client_that_reaches_no_broker_has_not_forgotten_them():
    brokers = Brokers()
    heard = []
    properties = {**brokers.properties, "statistics.interval.ms": 10, "stats_cb": heard.append}
    producer = Producer({"bootstrap.servers": "localhost:1", "log_level": 0, **properties})
    while len(heard) < 3:
        producer.poll(0.01)
    for statistics in heard:
        brokers.note(statistics)
    assert not brokers.forgotten

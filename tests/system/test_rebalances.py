"""Rebalances: replicas that keep their partitions go on while others are killed, stopped, added and restarted."""

import itertools
import threading
import time

from confluent_kafka import Consumer

from tests.conftest import until
from tests.system.test_fleet_quota import start_replicas

TASKS_A_SECOND = 100

SESSION_SECONDS = 10.0
"""How long Kafka waits for a dead member."""


class Load(threading.Thread):
    """Sends tasks at a steady rate, evenly over the partitions, until it is stopped."""

    def __init__(self, topics):
        super().__init__(daemon=True)
        self.topics, self.sent, self.stopping = topics, 0, threading.Event()

    def run(self):
        while not self.stopping.wait(0.1):
            self.topics.send_tasks(range(self.sent, self.sent + TASKS_A_SECOND // 10))
            self.sent += TASKS_A_SECOND // 10

    def stop(self):
        self.stopping.set()
        self.join()
        return self.sent


def gaps(topics, began_at, ended_at):
    """Return the pauses between two results in this time, the longest first."""
    moments = sorted(seen.at for seen in topics.read() if began_at <= seen.at <= ended_at)
    return sorted((after - before for before, after in itertools.pairwise(moments)), reverse=True)


def started(topics, start_processor, count):
    replicas = start_replicas(start_processor, count)
    load = Load(topics)
    load.start()
    until(lambda: len(topics.read_results()) > 2 * TASKS_A_SECOND, "results")
    return replicas, load


def finished(topics, database, load):
    sent = load.stop()
    until(lambda: len(topics.read_results()) == sent, "all results")
    assert len(database.rows()) == sent
    return topics.read_results()


def test_a_replica_that_is_killed_and_started_again_at_once_stops_only_its_own_partitions(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=50)
    (killed, *_), load = started(topics, start_processor, 2)
    began_at = time.time()

    killed.kill()
    start_processor(wait=False)
    time.sleep(SESSION_SECONDS)

    pauses = gaps(topics, began_at, began_at + SESSION_SECONDS)
    print(f"{len(pauses)} results while Kafka waited, longest pauses {pauses[:3]}")
    assert len(pauses) > 0.3 * TASKS_A_SECOND * SESSION_SECONDS, "half of the partitions went on"
    assert pauses[0] < SESSION_SECONDS / 3
    finished(topics, database, load)


def test_replicas_that_stop_come_and_restart_repeat_nothing_and_the_others_go_on(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=50, remember_inputs=True)
    replicas, load = started(topics, start_processor, 3)
    began_at = time.time()

    assert replicas.pop(0).stop() == 0
    replicas.append(start_processor(wait=False))
    until(lambda: "assigned" in replicas[-1].log_text(), "the new one to get partitions")
    for replica in list(replicas):  # a rolling restart
        assert replica.stop() == 0
        replicas.append(start_processor(wait=False))
        until(lambda: "assigned" in replicas[-1].log_text(), "the next one to get partitions")

    pauses = gaps(topics, began_at, time.time())
    print(f"longest pauses {pauses[:3]}")
    results = finished(topics, database, load)
    assert all(len(ids) == 1 for ids in results.values()), "a result was repeated"
    assert max(simulators.requests()["answered"].values()) == 1, "a call was paid for again"
    assert pauses[0] < SESSION_SECONDS / 3


def test_a_replica_is_told_that_the_group_has_members_of_another_version_and_waits_for_their_end(
    topics, simulators, start_processor
):
    group = topics.environment["KAFKA_CONSUMER_GROUP"]
    earlier = Consumer(
        {
            **topics.kafka.connection,
            "group.id": group,
            "partition.assignment.strategy": "range",
            "enable.auto.commit": False,
        }
    )
    earlier.subscribe([topics.name])
    until(lambda: earlier.poll(0.1) is not None or earlier.assignment(), "the earlier version to have the partitions")
    topics.send_tasks(range(10))

    processor = start_processor(wait=False)
    said = f"waiting for Kafka: missing: a group {group} without replicas of another version"
    until(lambda: earlier.poll(0.1) is None and said in processor.log_text(), "the reason")
    assert f"a group {group} without" in str(processor.client.get("/health/ready").json()["missing"])
    time.sleep(3)
    assert processor.log_text().count("another version") == 1
    earlier.close()

    until(lambda: len(topics.read_results()) == 10, "all results")
    processor.wait()

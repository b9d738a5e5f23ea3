"""What the facts about a Kafka and a PostgreSQL mean, and the table that the command prints."""

import dataclasses
import io

import pytest
from rich.console import Console

from processor.audit.command import table
from processor.audit.findings import (
    Database,
    Finding,
    Topic,
    TopicNames,
    database_findings,
    kafka_findings,
    shares_sessions,
)

NAMES = TopicNames("tasks", "results", "tasks-dlt")
SOUND = {
    "min.insync.replicas": "2",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": "1048588",
}
TOPIC = Topic(12, 3, SOUND)
DATABASE = Database("on", "on", "", 0, 3, False)


def topics(name="tasks", *, partitions=12, replication_factor=3, **settings):
    """Return sound topics, one of them with these settings; underscores in their names stand for dots."""
    changed = {setting.replace("_", "."): value for setting, value in settings.items()}
    topic = Topic(partitions, replication_factor, SOUND | changed)
    return {each: topic if each == name else TOPIC for each in dataclasses.astuple(NAMES)}


def test_of_a_sound_cluster_nothing_is_found():
    assert kafka_findings(NAMES, topics(), 12) == []
    assert [*database_findings(DATABASE)] == []
    assert [*database_findings(dataclasses.replace(DATABASE, standbys=2, synchronous_standby_names="ANY 1 (*)"))] == []
    assert [*database_findings(dataclasses.replace(DATABASE, synchronous_commit="remote_apply"))] == []


@pytest.mark.parametrize(
    ("cluster", "found"),
    [
        (topics("results", replication_factor=1), "fewer than 3 replicas (results 1): "),
        (topics("tasks-dlt", min_insync_replicas="1"), "min.insync.replicas below 2 (tasks-dlt 1): "),
        (topics(retention_ms="86400000"), "tasks keeps records for 1 of 7 days: "),
        (topics(retention_bytes="1000000"), "tasks keeps 1000000 bytes of each partition: "),
        (topics("results", unclean_leader_election_enable="true"), "unclean leader election (results): "),
        (topics("tasks-dlt", max_message_bytes="1000"), "max.message.bytes below that of tasks, 1048588 (tasks-dlt 10"),
        (topics(partitions=2), "tasks has 2 partitions for 3 processors: 1 of them have no work"),
    ],
)
def test_what_kafka_cannot_promise_is_one_finding(cluster, found):
    [finding] = kafka_findings(NAMES, cluster, 3)

    assert (finding.where, finding.what.startswith(found)) == ("Kafka", True), finding
    assert finding.to_do


@pytest.mark.parametrize(
    "cluster",
    [
        topics(retention_ms="-1"),
        topics("results", retention_ms="1"),
        topics("tasks-dlt", max_message_bytes="2097152"),
        topics("results", partitions=1),
        topics(min_insync_replicas="", max_message_bytes="", unclean_leader_election_enable=""),
        {},
    ],
)
def test_what_breaks_no_promise_is_not_found(cluster):
    assert kafka_findings(NAMES, cluster, None) == []


def test_the_same_of_all_topics_is_one_finding():
    cluster = {name: Topic(12, 1, SOUND | {"min.insync.replicas": "1"}) for name in topics()}

    assert [finding.what.partition(":")[0] for finding in kafka_findings(NAMES, cluster, 1)] == [
        "fewer than 3 replicas (tasks 1, results 1, tasks-dlt 1)",
        "min.insync.replicas below 2 (tasks 1, results 1, tasks-dlt 1)",
    ]


def test_what_may_not_be_read_is_said_and_the_rest_is_audited():
    cluster = topics() | {"results": Topic(12, 3, None), "tasks-dlt": None, "tasks": Topic(2, 1, None)}

    found = kafka_findings(NAMES, cluster, 3)

    assert [finding.what for finding in found] == [
        "the settings of tasks, results, tasks-dlt may not be read, so nothing is known about them",
        "fewer than 3 replicas (tasks 1): if a broker fails, records are lost or unavailable",
        "tasks has 2 partitions for 3 processors: 1 of them have no work",
    ]
    assert "DescribeConfigs" in found[0].to_do


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"fsync": "off"}, "fsync is off"),
        ({"synchronous_commit": "off"}, "synchronous_commit is off"),
        ({"standbys": 2}, "no commit waits for a standby (2 connected)"),
        (
            {"standbys": 1, "synchronous_standby_names": "one", "synchronous_commit": "local"},
            "no commit waits for a standby (1 connected)",
        ),
        ({"shares_sessions": True}, "a pooler in transaction mode"),
    ],
)
def test_what_postgresql_cannot_promise_is_one_finding(change, found):
    [finding] = database_findings(dataclasses.replace(DATABASE, **change))

    assert (finding.where, finding.what.partition(":")[0]) == ("PostgreSQL", found)
    assert finding.to_do


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [([1, 1], [2], False), ([1, 1], [1], True), ([1, 2], [3], True), ([1, 1], [2, 3], True), ([1, 2], [2, 1], True)],
)
def test_connections_that_one_process_serves_or_several_serve_share_sessions(one, other, shared):
    assert shares_sessions(one, other) is shared


def test_the_table_has_a_row_for_each_finding():
    found = [Finding("Kafka", "something", "mend it"), Finding("PostgreSQL", "something else", "mend that")]
    printed = io.StringIO()

    Console(file=printed, width=100).print(table(found))

    assert [line.split() for line in printed.getvalue().splitlines()] == [
        ["where", "found", "to", "do"],
        ["Kafka", "something", "mend", "it"],
        ["PostgreSQL", "something", "else", "mend", "that"],
    ]

"""Static membership (KAFKA_GROUP_INSTANCE_ID): a replica that restarts in place."""

from tests.conftest import until


def test_a_replica_that_restarts_in_place_moves_nothing_and_loses_nothing(topics, simulators, start_processor):
    simulators.control(latency_ms=50, remember_inputs=True)
    staying, restarting = (start_processor(KAFKA_GROUP_INSTANCE_ID=name, wait=False) for name in ("a", "b"))
    for replica in (staying, restarting):
        replica.wait()
    until(lambda: "partitions, now 2" in staying.log_text(), "partitions to be shared out")
    until(lambda: "partitions, now 2" in restarting.log_text(), "partitions to be shared out")
    assigned = staying.log_text().count(" partitions")
    topics.send_tasks(range(2000))
    until(lambda: len(topics.read_results()) > 200, "some results")

    assert restarting.stop() == 0
    start_processor(KAFKA_GROUP_INSTANCE_ID="b")

    until(lambda: len(topics.read_results()) == 2000, "all results")
    assert staying.log_text().count(" partitions") == assigned
    assert all(len(ids) == 1 for ids in topics.read_results().values())
    assert max(simulators.requests()["answered"].values()) == 1


def test_two_replicas_with_one_instance_id_are_told_so_and_the_older_ends(start_processor):
    older = start_processor(KAFKA_GROUP_INSTANCE_ID="same")
    until(lambda: "assigned" in older.log_text(), "the group to know it")
    newer = start_processor(KAFKA_GROUP_INSTANCE_ID="same")

    until(lambda: not older.running, "the older one to end")

    assert older.returncode == 1
    assert "this replica cannot go on" in older.log_text()
    until(lambda: "assigned 4 partitions" in newer.log_text(), "the newer one to go on")
    assert newer.running

"""The scale demo's figures, computed from the replicas' metrics and the results."""

from sandbox.scale_figures import Lag, Quota, Replica, Results, divided

METRICS = """\
# HELP integration_lag_records Records
# TYPE integration_lag_records gauge
integration_lag_records{partition="10",state="waiting"} 7.0
integration_lag_records{partition="10",state="in_flight"} 2.0
integration_lag_records{partition="10",state="held"} 3.0
integration_lag_records{partition="10",state="finished"} 5.0
integration_lag_records{partition="2",state="waiting"} 1.0
integration_lag_records{partition="2",state="in_flight"} 0.0
integration_lag_records{partition="2",state="finished"} 0.0
# TYPE integration_committed_lag_records gauge
integration_committed_lag_records{partition="10"} 14.0
integration_committed_lag_records{partition="2"} 1.0
# TYPE integration_in_flight_records gauge
integration_in_flight_records 2.0
# TYPE integration_quota_slots gauge
integration_quota_slots{provider="dadata"} 10.0
# TYPE integration_quota_used_slots gauge
integration_quota_used_slots{provider="dadata"} 9.0
# TYPE something_else gauge
something_else{partition="3"} 1.0
"""


def test_a_replicas_metrics_say_what_it_owns_and_what_is_left_to_do():
    replica = Replica.read(METRICS)

    assert list(replica.partitions) == [2, 10]
    assert replica.partitions[10] == Lag(waiting=7, in_flight=2, finished=5, held=3, committed=14)
    assert replica.partitions[10].true == 9
    assert replica.in_flight == 2
    assert replica.quotas == {"dadata": Quota(slots=10, used=9)}


def test_a_replica_that_is_starting_owns_nothing():
    assert Replica.read("integration_in_flight_records 0.0\n") == Replica()


def test_lags_are_added_up():
    total = Lag.total(Replica.read(METRICS).partitions.values())

    assert total == Lag(waiting=8, in_flight=2, finished=5, held=3, committed=15)


def test_partitions_are_divided_when_each_is_one_replicas_and_no_replica_goes_without_that_could_have_one():
    def owning(*partitions):
        return Replica({partition: Lag() for partition in partitions})

    assert divided([owning(0, 1), owning(2)], 3)
    assert not divided([owning(0, 1)], 3)
    assert not divided([owning(0, 1), owning(1, 2)], 3)
    assert not divided([owning(0, 1, 2), owning()], 3)
    assert not divided([], 3)
    assert divided([owning(), owning(0)], 1)


def test_a_task_counts_once_however_often_its_result_comes():
    results = Results()
    sent = results.send(3)

    for task_id in (*sent, 1, 7):
        results.came(task_id, seconds=0.0)

    assert list(results.send(1)) == [3]
    assert (results.outstanding, results.repeated, results.unknown) == (1, 1, 1)


def test_a_rate_counts_what_was_written_between_two_moments_in_whatever_order_it_came():
    results = Results()
    for task_id, seconds in zip(results.send(5), (3.0, 1.0, 2.0, 0.5, 4.0), strict=True):
        results.came(task_id, seconds)

    assert results.rate(1.0, 3.0) == 1.0
    assert results.rate(0.0, 5.0) == 1.0
    assert results.rate(5.0, 6.0) == 0.0
    assert results.rate_from_to(1, 4) == 1.0
    assert results.rate_from_to(0, 1) == 2.0

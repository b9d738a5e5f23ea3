"""Short runs under faults, each with a fixed seed; `make chaos` runs many faults with any seed."""

import contextlib
import random
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.chaos.faults import FAULTS, FAULTS_OF_THREE_BROKERS, storm
from tests.chaos.fleet import Fleet
from tests.chaos.judge import History, judge
from tests.chaos.memory import memory
from tests.chaos.report import COLUMNS, plain
from tests.chaos.run import Run, schedule
from tests.chaos.services import FaultServices, running
from tests.chaos.watch import Watch
from tests.conftest import until

SEED = 20261
TASKS_OF_A_ROUND = 500


@pytest.fixture(scope="module")
def services(session_folder, toxiproxy_installed):
    folder = session_folder / "chaos"
    folder.mkdir()
    folder.chmod(0o755)
    with running(FaultServices(folder)) as services:
        yield services


def play(services, *faults):
    """Play one round per fault or names of faults, check that every promise held, and return the history."""
    run = Run(services, SEED, replicas=2)
    with contextlib.closing(run):
        run.start()
        for fault in faults:
            parts = [FAULTS[part] for part in fault.split(" + ")] if isinstance(fault, str) else [fault]
            run.play(TASKS_OF_A_ROUND, *parts)
        history = run.finish()
    assert judge(history).violations == [], "\n".join([f"seed {SEED}", *judge(history).violations, *run.notes])
    return history


@pytest.fixture(scope="module")
def history_of_process_faults(services):
    return play(
        services,
        "replica killed",
        "scaled up and down + PostgreSQL stopped at once",
        "rolling restart + connections terminated",
    )


def test_processes_that_are_killed_stopped_scaled_and_restarted_break_no_promise(history_of_process_faults):
    total = judge(history_of_process_faults).total

    assert total.acknowledged >= 3 * TASKS_OF_A_ROUND * 0.9, f"seed {SEED}"
    assert history_of_process_faults.cuts, f"seed {SEED}: nobody was killed"


def test_a_network_that_delays_cuts_and_slices_breaks_no_promise(services):
    total = judge(
        play(
            services,
            "Kafka: slow network + PostgreSQL: answers cut",
            "PostgreSQL: RST + providers: 64-byte slices",
        )
    ).total

    assert total.acknowledged >= 2 * TASKS_OF_A_ROUND * 0.9, f"seed {SEED}"


def test_a_storm_of_kills_stops_and_outages_loses_doubles_and_repeats_no_more_than_was_under_way(services):
    history = play(services, replace(FAULTS["storm"], inject=storm(kills=2, stops=2)))

    assert len(history.cuts) == 3, "two replicas and the broker were killed"


def test_a_broker_of_three_that_is_killed_in_whatever_role_breaks_no_promise(session_folder, toxiproxy_installed):
    folder = session_folder / "chaos-three"
    folder.mkdir()
    folder.chmod(0o755)
    at_once = [replace(fault, steady=None, seconds=(2, 4)) for fault in FAULTS_OF_THREE_BROKERS.values()]
    with running(FaultServices(folder, brokers=3)) as services:
        history = play(services, *at_once)

    assert [round_.fault for round_ in history.rounds] == [*FAULTS_OF_THREE_BROKERS]
    assert len(history.cuts) == 3


def test_a_row_that_is_removed_from_the_history_of_a_real_run_is_missed(history_of_process_faults):
    history = replace(history_of_process_faults, rows=history_of_process_faults.rows[1:])

    assert judge(history).violations == ["1 ids in results or replies have no row"]


def test_a_result_without_its_row_and_a_commit_that_goes_back_are_seen(services):
    fleet = Fleet(services, "red-control")
    history = History()
    watch = Watch(fleet, history)
    connection = {"bootstrap.servers": services.kafka.bootstrap_servers}
    producer, consumer = Producer(connection), Consumer({**connection, "group.id": fleet.group})
    with contextlib.closing(watch), contextlib.closing(consumer):
        watch.start()
        for offset in (5, 3):
            consumer.commit(offsets=[TopicPartition(fleet.imports, 0, offset)], asynchronous=False)
            seen = {0: offset}
            until(lambda seen=seen: any(committed == seen for _, committed in history.committed), "the offset")
        producer.produce(fleet.results, b'{"task_id": 1, "id": 7}')
        producer.flush()
        until(lambda: history.ids_looked_up, "the result")

    assert history.ids_without_row == [7]
    assert "partition 0: the committed offset went back from 5 to 3" in judge(history).violations


def test_memory_is_looked_at_while_tasks_go_through(services):
    looks = []

    growth = memory(services, 2000, lambda done, resident_bytes: looks.append(done))

    assert growth.last_done == 2000
    assert growth.first_bytes > 0


def test_a_seed_draws_the_same_faults_again_and_each_as_often_as_the_others():
    faults = list(FAULTS.values())

    drawn = [schedule(faults, 2 * len(faults), 0.5, random.Random(1)) for _ in range(2)]

    assert drawn[0] == drawn[1]
    first_ones = [first.name for first, *_ in drawn[0]]
    assert sorted(first_ones) == sorted([*FAULTS, *FAULTS])
    assert any(len(round_) == 2 for round_ in drawn[0])


def test_a_table_in_a_pipe_is_plain_text():
    lines = plain([("a fault", *["1"] * (len(COLUMNS) - 1))])

    assert "".join(lines).isascii()
    assert len({len(line) for line in lines}) == 1

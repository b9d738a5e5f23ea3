"""The scale demo's display, on a terminal of 80 columns and without a terminal."""

import io

import pytest
from rich.console import Console

from sandbox.scale_demo import Phase, Replica, line, numbers, phase_table, picture

METRICS = """
integration_lag_records{partition="3",state="waiting"} 7.0
integration_lag_records{partition="3",state="in_flight"} 2.0
integration_lag_records{partition="0",state="waiting"} 5.0
integration_in_flight_records 4.0
"""
REPLICAS = [Replica({0: 12_345, 1: 12_345}, 3_702), Replica({2: 400}, 100), Replica()]


def lines_of(shown):
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(shown)
    return console.export_text().splitlines()


def test_a_replica_is_read_from_its_metrics():
    assert Replica.read(METRICS) == Replica({0: 5, 3: 7}, 4)
    assert Replica.read("") == Replica()


def test_the_picture_fits_a_terminal_of_80_columns():
    lines = lines_of(picture(REPLICAS, 639.6, 28_892, 12.3))

    assert not [line for line in lines if "…" in line]
    text = "\n".join(lines)
    for words in ("640 tasks a second, 28,892 tasks left, 12 s", "0-1", "24,690", "3,702", "none"):
        assert words in text


def test_a_bar_shows_what_waits_and_what_is_in_flight():
    *_, shown = lines_of(picture([Replica({0: 450}, 150)], 0.0, 600, 0.0))

    assert shown.count("█") == 23
    assert shown.count("▒") == 7


def test_without_a_terminal_the_state_is_one_line():
    assert line(REPLICAS, 639.6) == (" 640/s  waiting 25,090  in flight 3,802  partitions: 0-1 | 2 | none")


@pytest.mark.parametrize(
    ("partitions", "text"), [([], "none"), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8"), (range(12), "0-11")]
)
def test_runs_of_partitions_are_shortened(partitions, text):
    assert numbers(partitions) == text


def test_the_table_compares_with_one_replica():
    shown = "\n".join(lines_of(phase_table([Phase(1, 20.0, 3, 5), Phase(4, 40.0, 0, 0)])))

    assert "40.0 │      2.00 │                0 │              0" in shown
    assert "20.0 │      1.00 │                3 │              5" in shown

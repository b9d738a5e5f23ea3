"""The scale demo's display, on a terminal of 80 columns and without a terminal."""

import io

import pytest
from rich.console import Console

from sandbox.scale_figures import Lag, Phase, Quota, Replica
from sandbox.scale_screen import Screen, View, numbers, phase_table, picture

REPLICAS = [
    Replica(
        {partition: Lag(12_345, 1_234, 123, 0, 13_702) for partition in range(first, first + 3)},
        in_flight=3_702,
        quotas={"dadata": Quota(5, 4)},
    )
    for first in (0, 3, 6)
]
VIEW = View("Replicas: 4 (of 1, 2, 4)", 12, [*REPLICAS, Replica()], 639.6, [Phase(1, 159.2, 0, 0)])


def lines_of(*shown):
    console = Console(width=80, file=io.StringIO(), record=True)
    for each in shown:
        console.print(each)
    return console.export_text().splitlines()


def test_the_picture_fits_a_terminal_of_80_columns_and_24_lines():
    lines = lines_of(picture(VIEW, most=13_702))

    assert len(lines) < 24
    assert not [line for line in lines if "…" in line]
    text = "\n".join(lines)
    for words in ("640 tasks a second", "with 1: 159", "6-8", "none yet", "4 of 5", "true lag 122,211"):
        assert words in text
    assert "being reassigned" in text


def test_a_bar_shows_what_waits_what_is_in_flight_and_what_is_finished():
    view = View("", 1, [Replica({0: Lag(waiting=4, in_flight=2, finished=1, committed=7)})], 0.0)

    shown = "\n".join(lines_of(picture(view, most=14)))

    assert "█████▒▒▒··  " in shown


@pytest.mark.parametrize(
    ("partitions", "text"), [([], "none yet"), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8"), (range(12), "0-11")]
)
def test_runs_of_partitions_are_shortened(partitions, text):
    assert numbers(partitions) == text


def test_without_a_terminal_a_line_comes_now_and_then():
    console = Console(width=80, file=(file := io.StringIO()))

    with Screen(console) as screen:
        for second in (1, 2, 3, 4):
            screen.show(VIEW, now=second)

    shown = file.getvalue().splitlines()
    assert shown.count(VIEW.title) == 1
    assert len([line for line in shown if "640/s" in line]) == 2
    assert len([line for line in shown if "0-2 | 3-5 | 6-8 | none yet" in line]) == 1
    assert max(map(len, shown)) <= 80


def test_the_table_compares_with_one_replica_in_whatever_order():
    shown = "\n".join(lines_of(phase_table("title", [Phase(4, 40.0, 0, 0), Phase(1, 20.0, 3, 5)])))

    assert "40.0 │  2.00 │                0 │              0" in shown
    assert "20.0 │  1.00 │                3 │              5" in shown

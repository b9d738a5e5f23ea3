"""The benchmark's figures: their median, their judgement and how they are printed."""

import io

from rich.console import Console

from bench.figures import Figure, as_json, compared, table, wanted


def printed(*figures):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(list(figures)))
    return console.export_text()


def test_a_figure_is_the_middle_one_of_its_rounds():
    assert Figure("case", "program", "tasks/s", [3.0, 900.0, 1.0]).median == 3.0


def test_a_share_that_is_too_small_is_told():
    rate = Figure("case", "program", "tasks/s", [80.0])

    assert compared(rate, 100, "of the limit", at_least=0.9).reached is False
    assert compared(rate, 100, "of the limit", at_least=0.8).reached is True
    assert compared(rate, 100, "of the limit").reached is None


def test_what_is_wanted_may_be_a_least_or_a_most():
    figure = Figure("case", "program", "ms", [8.0])

    assert wanted(figure, at_most=8).reached is True
    assert wanted(figure, at_most=7.9).reached is False
    assert wanted(figure, at_least=8).reached is True
    assert wanted(figure, at_least=8.1).reached is False


def test_a_person_reads_a_table_that_is_markdown():
    text = printed(
        wanted(compared(Figure("case", "program", "tasks/s", [10.0, 1234.5, 2000.0]), 1000, "of x"), at_most=5)
    )

    lines = [line for line in text.splitlines() if line.strip()]
    assert set(lines[1]) <= set("|-: ")
    assert [cell.strip() for cell in lines[2].strip("| ").split("|")] == [
        "case", "program", "tasks/s", "1,234", "10.0 to 2,000", "1.23 of x", "at most 5", "**no**",
    ]  # fmt: skip


def test_a_machine_reads_every_round_and_the_median():
    [figure] = as_json([Figure("case", "program", "ms", [1.0, 3.0, 2.0])])

    assert (figure["values"], figure["median"]) == ([1.0, 3.0, 2.0], 2.0)

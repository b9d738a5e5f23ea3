"""The arguments of redrive and the report that it prints."""

import io

import pytest
import typer
from rich.console import Console

from processor.command_line import error_code, limit, milliseconds
from processor.redrive.command import table
from processor.redrive.redrive import Report
from shared.messages import ErrorCode


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_a_reason(code):
    assert error_code(code.value) is code


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31", 1_769_817_600),
        ("2026-01-31T12:00", 1_769_860_800),
        ("2026-01-31T12:00Z", 1_769_860_800),
        ("2026-01-31 12:00:00+03:00", 1_769_850_000),
    ],
)
def test_a_time_without_a_zone_is_utc(text, seconds):
    assert milliseconds(text) == seconds * 1000


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((error_code, text) for text in ("", "fax", "INVALID_TASK")),
        *((milliseconds, text) for text in ("", "now", "2026", "2026-13-01", "12:00", "-1")),
        *((limit, text) for text in ("", "0", "-1", "x", "1.5", "1_000", " 5", "٣")),
    ],
)
def test_what_is_no_reason_no_time_and_no_number_is_refused(parse, text):
    with pytest.raises(typer.BadParameter, match="is no"):
        parse(text)


def report(**settings):
    """Return a report of 20 dead letters."""
    report = Report(**settings)
    report.put_back.update({ErrorCode.INTERNAL_ERROR: 2, ErrorCode.PROVIDER_UNAVAILABLE: 10})
    report.skipped.update(
        {
            (ErrorCode.PROVIDER_UNAVAILABLE, "put back before"): 3,
            (ErrorCode.PROVIDER_UNAVAILABLE, "repeated"): 1,
            (ErrorCode.TASK_REJECTED, "put back before"): 2,
            (None, "not this service's"): 2,
        }
    )
    return report


def test_the_line_at_the_end_counts_by_reason_the_most_first():
    assert str(Report()) == "0 put back, 0 skipped"
    assert str(report()) == (
        "12 put back (10 provider_unavailable, 2 internal_error), "
        "8 skipped (5 put back before, 2 not this service's, 1 repeated)"
    )
    assert str(report(dry_run=True)).startswith("12 would be put back (")


def printed(report, columns):
    """Return the lines of the table without trailing spaces."""
    file = io.StringIO()
    Console(file=file, width=columns, color_system=None).print(table(report))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_table_for_a_script_is_a_line_for_each_code_in_a_fixed_order_and_their_sum():
    assert printed(report(dry_run=True), 1000) == [
        "error_code            examined  would be put back  skipped",
        "task_rejected                2                  0  2 put back before",
        "provider_unavailable        14                 10  3 put back before, 1 repeated",
        "internal_error               2                  2  0",
        "none                         2                  0  2 not this service's",
        "total                       20                 12  8",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_for_a_person_fits_the_terminal_and_cuts_no_code_and_no_number(columns):
    everything = report()
    for code in ErrorCode:
        everything.put_back[code] += 1_000_000
        everything.skipped[code, "too large for the import topic"] += 1_000_000

    lines = printed(everything, columns)

    assert max(map(len, lines)) <= columns
    for code in ErrorCode:
        [line] = [line for line in lines if line.split()[:1] == [code]]
        assert str(everything.put_back[code]) in line.split()
    assert "…" not in "".join(lines)

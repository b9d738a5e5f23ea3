"""What a person says to redrive, and what it says to them."""

import pytest

from processor.redrive import Report
from processor.redrive_command import OneLineParser, add_command
from shared.messages import ErrorCode


def parse(*arguments):
    parser = OneLineParser(prog="processor")
    add_command(parser.add_subparsers(dest="command"))
    return parser.parse_args(["redrive", *arguments])


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_a_reason(code):
    assert parse("--reason", code.value).reason == code


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
    assert parse("--since", text).since == seconds * 1000


@pytest.mark.parametrize(
    "arguments",
    [("--reason", "fax"), ("--since", "now"), ("--limit", "0"), ("--limit", "-1"), ("--limit", "x"), ("more",)],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)

    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_line_at_the_end_counts_by_reason_the_most_first():
    report = Report()
    assert str(report) == "0 put back, 0 skipped"

    report.put_back.update([ErrorCode.INTERNAL_ERROR, *[ErrorCode.PROVIDER_UNAVAILABLE] * 2])
    report.skipped.update(["put back before"])
    report.skipped["repeated"] += 0
    assert str(report) == "3 put back (2 provider_unavailable, 1 internal_error), 1 skipped (1 put back before)"
    report.dry_run = True
    assert str(report).startswith("3 would be put back (")

"""`make recordings`: the recorder sees what a terminal shows."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from rich.text import Text

from tools.recordings import Screen, frames_of, moving_picture, record

PROGRAM = """
import sys
from rich.console import Console
from rich.live import Live
console = Console()
console.print("[bold]before[/bold]", "привет")
with Live(console=console, auto_refresh=False) as live:
    for number in range(3):
        live.update(f"line {number}\\nsecond line <{number}>", refresh=True)
console.print("after")
"""


def plain(lines):
    return [Text.from_ansi(line).plain for line in lines]


def test_a_live_picture_is_seen_as_a_terminal_shows_it():
    screen = Screen()

    for _, text in record([sys.executable, "-c", PROGRAM]):
        for character in text:  # however the output is split
            screen.write(character)

    assert plain(screen.lines) == ["before привет", "line 2", "second line <2>", "after", ""]


def test_a_program_that_fails_is_not_recorded():
    with pytest.raises(subprocess.CalledProcessError):
        list(record([sys.executable, "-c", "raise SystemExit(3)"]))


def test_a_frame_is_at_least_a_second_after_the_one_before_and_the_last_is_whole():
    written = [(0.1, "a"), (0.2, "b"), (1.3, "c"), (1.4, "d"), (9.0, "e")]

    assert frames_of(iter(written)) == [(1.3, "ab"), (9.0, "abcd"), (9.0, "abcde")]


def test_a_moving_picture_has_every_frame_and_loads_nothing():
    picture = moving_picture("a <title>", [(1.0, "first"), (3.0, "\x1b[1msecond & last\x1b[0m")])

    elements = ElementTree.fromstring(picture).iter()  # noqa: S314 - it is our own
    texts = ["".join(element.itertext()).replace("\xa0", " ").strip() for element in elements if "text" in element.tag]
    assert [text for text in texts if text] == ["first", "second & last"]
    assert "url(" not in picture and picture.count("http") == 1, "only the name of the format"

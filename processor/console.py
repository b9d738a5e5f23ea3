"""What a command prints for the person who called it: a console for tables, and output into a pipe that may close."""

import os
import sys
from typing import TextIO

from rich.console import Console

from shared.command_line import has_colours

PIPE_CHARACTERS_MAX = 1000
"""Width of the output where no terminal limits it: one line for each row, however long."""


def console(stream: TextIO) -> Console:
    """Return a console that writes colours only to a terminal."""
    # Explicit, because rich would write colours into a pipe where FORCE_COLOR is set.
    return Console(
        file=stream,
        color_system="auto" if has_colours(stream) else None,
        width=None if stream.isatty() else PIPE_CHARACTERS_MAX,
        highlight=False,
    )


def write_out(text: str) -> None:
    """Print the text."""
    try:
        print(text, end="", flush=True)  # noqa: T201 - for the person who called it
    except BrokenPipeError:
        # The reader has closed the pipe and the work is done. Without this Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

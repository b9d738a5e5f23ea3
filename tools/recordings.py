"""`make recordings`: records `make demo` and `make scale-demo` as moving pictures (SVG), as a terminal shows them."""

import codecs
import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

FOLDER = Path(__file__).parents[1] / "docs" / "images"
PROGRAMS = ("demo", "scale-demo")

COLUMNS, ROWS = 110, 34

FRAME_SECONDS = 1.0
"""Time between two frames, at least. A frame that stays for longer is shown for PAUSE_SECONDS at most."""
PAUSE_SECONDS = 3.0
LAST_SECONDS = 8.0

PARTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")

FRAME = """<g class="frame" id="{unique_id}"><style>{styles}</style>{backgrounds}<g class="text">{matrix}</g></g>"""
"""A frame, in rich's names. Its own format has a window around it, and loads a font from another host."""


class Screen:
    """What a terminal shows of a program that erases whole lines and moves the cursor only up, as rich does."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0
        self._begun = ""  # an escape sequence of which the end is still to come

    def write(self, text: str) -> None:
        """Show what the program has written."""
        text = self._begun + text
        self._begun = re.search(r"(\x1b(\[[0-9;?]*)?)?$", text)[0]  # type: ignore[index] # it matches any text
        for part in PARTS.findall(text.removesuffix(self._begun)):
            if part == "\n":
                self._row += 1
                if self._row == len(self.lines):
                    self.lines.append("")
            elif re.fullmatch(r"\x1b\[\d*A", part):
                self._row = max(0, self._row - int(part[2:-1] or 1))
            elif part == "\x1b[2K":
                self.lines[self._row] = ""
            elif part.endswith("m") or not part.startswith(("\x1b", "\r")):
                self.lines[self._row] += part


def record(command: list[str]) -> Iterator[tuple[float, str]]:
    """Run a command in a terminal, and yield (seconds since its start, what it wrote).

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    started_at = time.monotonic()
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as process:  # noqa: S603
        os.close(terminal)
        decoder = codecs.getincrementaldecoder("utf-8")()
        with contextlib.suppress(OSError):  # how Linux ends the reading of a terminal that its program has closed
            while written := os.read(reader, 65_536):
                yield time.monotonic() - started_at, decoder.decode(written)
        os.close(reader)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def frames_of(written: Iterator[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return (seconds at which it appears, the last ROWS lines) of each frame."""
    screen, frames, seconds = Screen(), [(0.0, "")], 0.0
    for seconds, text in written:
        if seconds - frames[-1][0] >= FRAME_SECONDS:
            frames.append((seconds, "\n".join(screen.lines[-ROWS:])))
        screen.write(text)
    return [*frames[1:], (seconds, "\n".join(screen.lines[-ROWS:]))]


def moving_picture(title: str, frames: list[tuple[float, str]]) -> str:
    """Return the frames as an SVG that repeats. Readers who prefer less motion see the last frame."""
    durations = [min(after - before, PAUSE_SECONDS) for (before, _), (after, _) in pairwise(frames)] + [LAST_SECONDS]
    total = sum(durations)
    shown, rules, height, begin = [], [], 0.0, 0.0
    for number, ((_, text), seconds) in enumerate(zip(frames, durations, strict=True)):
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        console.print(Text.from_ansi(text), soft_wrap=True)
        frame = console.export_svg(unique_id=f"f{number}", theme=DIMMED_MONOKAI, code_format=FRAME)
        shown.append(re.sub(r' clip-path="[^"]*"', "", frame))  # its clip paths are not in FRAME
        appears, ends = (f"{100 * at / total:.3f}%" for at in (begin, begin + seconds))
        rules.append(
            f"@keyframes k{number} {{ 0% {{ visibility: hidden }} {appears} {{ visibility: visible }} "
            f"{ends} {{ visibility: hidden }} }} #f{number} {{ animation-name: k{number} }}"
        )
        begin += seconds
        height = max(height, 24.4 * (text.count("\n") + 1))
    width = 12.2 * COLUMNS
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 40:.0f} {height + 40:.0f}">
<title>{escape(title)}</title>
<style>
.text {{ font: 20px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}
.frame {{ visibility: hidden; animation: {total:.1f}s step-end infinite }}
{"".join(rules)}
@media (prefers-reduced-motion: reduce) {{ .frame {{ animation: none }} .frame:last-child {{ visibility: visible }} }}
</style>
<rect width="100%" height="100%" rx="12" fill="#191919"/>
<g transform="translate(20, 20)">{"".join(shown)}</g>
</svg>
"""


def main() -> int:
    """Write the pictures and return the exit code."""
    for program in PROGRAMS:
        print(f"Recording make {program}", file=sys.stderr)
        try:
            frames = frames_of(record([sys.executable, "-m", "sandbox", program]))
        except subprocess.CalledProcessError as error:
            print(f"make {program} failed with exit code {error.returncode}", file=sys.stderr)
            return 1
        picture = FOLDER / f"{program}.svg"
        picture.write_text(moving_picture(f"make {program}", frames), encoding="utf-8")
        print(f"Written: {picture}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

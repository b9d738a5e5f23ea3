"""The commands and examples of README.md and docs/, as a person copies them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from sandbox.postgres import program

ROOT = Path(__file__).parents[1]
README = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))))
BLOCKS = [re.sub(r"^ {4}", "", block, flags=re.M).strip() for block in re.findall(r"(?:^ {4}.*\n)+", README, re.M)]
[(PYTHON, PYTHON_SHOWN)] = re.findall(
    r"^```python\n(.*?)^```\n\n    (b'[^\n]*)$", (ROOT / "README.md").read_text(), re.M | re.S
)
"""The README's example in Python, and the line below it that it prints."""


def block(beginning):
    """Return the command, and the lines below it, of the one block that begins with this text."""
    [found] = [block for block in BLOCKS if block.startswith(beginning)]
    command, _, shown = found.partition("\n")
    return command, shown


def stored_answers():
    """Return the example that shows the stored answers: what sets psql's environment, psql's line, what it prints."""
    [found] = [block for block in BLOCKS if block.startswith("set -a; . .sandbox/env; set +a\npsql")]
    settings, _, psql = found.partition("\n")
    command, end, shown = psql.partition('ORDER BY id"\n')
    return settings, command + end, shown


def run(command, folder=ROOT, stdin=None, **environment):
    """Run a command in a shell in the folder, as a person does, and return what it prints."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={
            "PATH": f"{Path(program('psql')).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        },
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def lines(text):
    """Return the lines without trailing spaces and empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def without_ids(text):
    """Return the text with the same word for every correlation id."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", "ID", text)

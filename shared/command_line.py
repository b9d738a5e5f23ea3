"""Command lines: help that is plain text outside a terminal, and one line for each error."""

import os
import sys
from typing import Any, NoReturn, TextIO

import typer

from shared.settings import WrongSettings


def command_line(help_text: str) -> typer.Typer:
    """Return a program's command line, still without commands. Called without a command, the program runs."""
    return typer.Typer(
        help=help_text,
        invoke_without_command=True,
        subcommand_metavar="[COMMAND]",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        # rich would draw panels in pipes too, and use colours if GITHUB_ACTIONS or FORCE_COLOR is set.
        rich_markup_mode="rich" if has_colours(sys.stdout) else None,
        pretty_exceptions_enable=False,  # they show local variables: keys and tokens
    )


def ask(app: typer.Typer, program: str) -> Any:
    """Run the command line, and return what the command returns if that is not an exit code.

    Ends the program with the command's exit code, with 0 after help, and with 2 after one line that names the wrong
    argument or setting.
    """
    try:
        answer = app(prog_name=f"python -m {program}", standalone_mode=False)
    except WrongSettings as error:
        refuse(program, str(error))
    except typer.BadParameter as error:  # its message suffices, without a hint to --help
        refuse(program, error.format_message())
    except typer.TyperException as error:
        refuse(program, f"{error.format_message().rstrip('.')}; see --help")
    if isinstance(answer, int):
        sys.exit(answer)
    return answer


def refuse(program: str, problem: str) -> NoReturn:
    """End the program with 2 after one line about a wrong argument or setting."""
    print(f"{program}: {problem}", file=sys.stderr)  # noqa: T201 - before logging is configured, for people
    sys.exit(2)


def has_colours(stream: TextIO) -> bool:
    """Return whether the stream is a terminal whose user has not turned colours off."""
    return stream.isatty() and not os.environ.get("NO_COLOR")

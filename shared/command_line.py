"""Command lines: help that is plain outside a terminal, and one line for each error."""

import os
import sys
from typing import Any, NoReturn, TextIO

import typer

from shared.settings import WrongSettings


def command_line(help_text: str) -> typer.Typer:
    """Return a program's command line, without commands yet. The program runs where none is given."""
    return typer.Typer(
        help=help_text,
        invoke_without_command=True,
        subcommand_metavar="[COMMAND]",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        # rich by itself would draw panels into pipes, and colours too where GITHUB_ACTIONS or FORCE_COLOR is set.
        rich_markup_mode="rich" if has_colours(sys.stdout) else None,
        pretty_exceptions_enable=False,  # they show local variables: keys and tokens
    )


def ask(app: typer.Typer, program: str) -> Any:
    """Return what the command that was asked for returns, where that is no exit code.

    Ends the program with the command's exit code, with 0 after help, and with 2 after one line that says what is wrong
    with the arguments or the settings.
    """
    try:
        answer = app(prog_name=f"python -m {program}", standalone_mode=False)
    except WrongSettings as error:
        refuse(program, str(error))
    except typer.BadParameter as error:  # says itself what would be right
        refuse(program, error.format_message())
    except typer.TyperException as error:
        refuse(program, f"{error.format_message().rstrip('.')}; see --help")
    if isinstance(answer, int):
        sys.exit(answer)
    return answer


def refuse(program: str, problem: str) -> NoReturn:
    """End the program with 2 after one line that says what is wrong with an argument or a setting."""
    print(f"{program}: {problem}", file=sys.stderr)  # noqa: T201 - before there is a log, for a person
    sys.exit(2)


def has_colours(stream: TextIO) -> bool:
    """Return whether a person who wants colours reads the stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR")

"""The command line of `python -m processor`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from processor.settings import ProcessorSettings
from shared import command_line
from shared.messages import ErrorCode
from shared.settings import read_settings

app = command_line.command_line(
    """Take tasks from the import topic, ask their provider, store the answers in
    PostgreSQL and put the results on the result topic, until SIGTERM.

    Settings come from the environment; docs/settings.md lists them all.
    KAFKA_IMPORT_TOPIC, KAFKA_RESULT_TOPIC and POSTGRES_PASSWORD must be there;
    phone and email need DADATA_API_KEY and DADATA_SECRET_KEY, gpt needs
    YANDEXGPT_API_KEY and YANDEXGPT_FOLDER_ID.

    \b
    Exit codes:
      0    stopped by SIGTERM or Ctrl-C, or the command is done
      1    something is in the way
      2    an argument or a setting is missing or wrong
      130  Ctrl-C before it has started, or during a command

    \b
    Examples:
      python -m processor
      python -m processor redrive --dry-run
    """
)


@app.callback()
def _run(context: typer.Context) -> ProcessorSettings | None:
    return None if context.invoked_subcommand else read_settings(ProcessorSettings)


def error_code(text: str) -> ErrorCode:
    """Return the `--reason` that was meant."""
    try:
        return ErrorCode(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(ErrorCode)}") from None


def milliseconds(text: str) -> int:
    """Return the `--since` that was meant, in milliseconds since 1970. Without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T12:00+03:00") from None


def limit(text: str) -> int:
    """Return the `--limit` that was meant."""
    if not (text.isascii() and text.isdigit() and int(text[:18]) > 0):
        raise typer.BadParameter(f"{text!r} is no whole number of 1 or more")
    return int(text[:18])


_CODES = "\n      ".join(f"{code:25} {code.meaning}" for code in ErrorCode)


@app.command(
    "redrive",
    short_help="Put dead letters back on the import topic.",
    help=f"""Put the dead letters that are there now back on the import topic, each once,
    however often this is called.

    A task that became a row meanwhile is answered with its id and not paid again.
    Settings come from the environment, as the processor's. At the end stand a
    table of what became of the dead letters, and one line that sums it up.

    \b
    CODE is one of:
      {_CODES}

    \b
    Exit codes:
      0    done, or there was nothing to do
      1    something is in the way; what was put back until then stays so
      2    an argument or a setting is missing or wrong
      130  Ctrl-C; the batch at hand was finished

    \b
    Examples:
      python -m processor redrive --dry-run
      python -m processor redrive --reason provider_unavailable
      python -m processor redrive --since 2026-01-31T12:00 --limit 100
    """,
)
def _redrive(
    reason: Annotated[
        ErrorCode | None, typer.Option(parser=error_code, metavar="CODE", help="Only those with this error_code.")
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(
            parser=milliseconds,
            metavar="TIME",
            help="Only those written then or later: 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00+03:00; "
            "UTC without a zone.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(parser=limit, metavar="N", help="Put back so many at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, only say what it would do.")] = False,
) -> int:
    settings = read_settings(ProcessorSettings)
    # Here, as help and what is wrong with arguments and settings need none of it.
    from processor.redrive.command import redrive
    from processor.redrive.redrive import Wanted

    return redrive(settings, Wanted(reason, since, limit, dry_run))

"""The command line of `python -m processor`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from processor.settings import ProcessorSettings
from shared import command_line
from shared.messages import ErrorCode
from shared.settings import read_settings

app = command_line.command_line(
    """Take tasks from the import topic, send them to their provider, store the
    answers in PostgreSQL and put the results on the result topic, until SIGTERM.

    Settings come from the environment; docs/settings.md lists them all.
    KAFKA_IMPORT_TOPIC, KAFKA_RESULT_TOPIC and POSTGRES_PASSWORD are required;
    phone and email need DADATA_API_KEY and DADATA_SECRET_KEY, gpt needs
    YANDEXGPT_API_KEY and YANDEXGPT_FOLDER_ID.

    \b
    Exit codes:
      0    stopped by SIGTERM, or the command is done
      1    something prevented it
      2    an argument or a setting is missing or wrong
      130  stopped by Ctrl-C

    \b
    Examples:
      python -m processor
      python -m processor audit
      python -m processor redrive --dry-run
    """
)


@app.callback()
def _run(context: typer.Context) -> ProcessorSettings | None:
    return None if context.invoked_subcommand else read_settings(ProcessorSettings)


@app.command(
    "audit",
    short_help="Print what Kafka and PostgreSQL cannot promise.",
    help="""Print what this Kafka and this PostgreSQL cannot promise, and what to do about it.

    It looks at replicas, retention and sizes of the topics, and at PostgreSQL's
    durability, standbys and pooler. It changes nothing. Settings come from the
    environment, as for the processor, which makes the same audit when it starts.

    \b
    Exit codes:
      0    every promise can be kept
      1    something was found
      2    an argument or a setting is missing or wrong, or one of them does not
           answer
      130  Ctrl-C

    \b
    Examples:
      python -m processor audit
      NO_COLOR=1 python -m processor audit
    """,
)
def _audit() -> int:
    settings = read_settings(ProcessorSettings)
    # Imported here, because help and error messages do without these slow imports.
    from processor.audit.command import audit

    return audit(settings)


def error_code(text: str) -> ErrorCode:
    """Parse `--reason`."""
    try:
        return ErrorCode(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(ErrorCode)}") from None


def milliseconds(text: str) -> int:
    """Parse `--since` into milliseconds since 1970. Without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00+03:00") from None


def limit(text: str) -> int:
    """Parse `--limit`."""
    if not (text.isascii() and text.isdigit() and int(text[:18]) > 0):
        raise typer.BadParameter(f"{text!r} is not a whole number of at least 1")
    return int(text[:18])


def _listed(*, may_pass: bool) -> str:
    return ", ".join(code for code in ErrorCode if code.may_pass == may_pass)


_CODES = "\n      ".join(f"{code:25} {code.meaning}" for code in ErrorCode)


@app.command(
    "redrive",
    short_help="Put dead letters back on the import topic.",
    help=f"""Put dead letters back on the import topic, each only once, however often this
    command runs. A task that fails again is a new dead letter.

    Without --reason, tasks go back whose cause may have passed: {_listed(may_pass=True)}.
    In the others ({_listed(may_pass=False)}) the task itself is at fault: they go back
    only if --reason names them. The output counts what stays.

    A task that has become a row meanwhile gets its id, and is not paid for again.
    Settings come from the environment, as for the processor. The output ends with
    a table of the dead letters and a summary line.

    \b
    CODE is one of:
      {_CODES}

    \b
    Exit codes:
      0    done, or there was nothing to do
      1    something prevented it; dead letters put back before that stay put back
      2    an argument or a setting is missing or wrong
      130  Ctrl-C; the current batch was finished

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
    limit: Annotated[int | None, typer.Option(parser=limit, metavar="N", help="Put back at most N.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, only report.")] = False,
) -> int:
    settings = read_settings(ProcessorSettings)
    # Imported here, because help and error messages do without these slow imports.
    from processor.redrive.command import redrive
    from processor.redrive.redrive import Wanted

    return redrive(settings, Wanted(reason, since, limit, dry_run))

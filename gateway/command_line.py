"""The command line of `python -m gateway`."""

import time
from typing import Annotated

import typer

from gateway.settings import GatewaySettings, TokenSettings
from shared.command_line import command_line
from shared.settings import read_settings

SUBJECT_CHARACTERS_MAX = 128
DAYS_MAX = 3650

app = command_line(
    """Take tasks by REST, put them on the import topic and answer with their results,
    until SIGTERM.

    Settings come from the environment; docs/settings.md lists them all.
    KAFKA_IMPORT_TOPIC and KAFKA_RESULT_TOPIC are required.

    \b
    Exit codes:
      0    stopped by SIGTERM, or the command is done
      2    an argument or a setting is missing or wrong
      130  stopped by Ctrl-C

    \b
    Examples:
      python -m gateway
      GATEWAY_PORT=8080 LOG_FORMAT=console python -m gateway
      python -m gateway token alice
    """
)


@app.callback()
def _run(context: typer.Context) -> GatewaySettings | None:
    return None if context.invoked_subcommand else read_settings(GatewaySettings)


def subject(text: str) -> str:
    """Parse SUBJECT."""
    if not (0 < len(text) <= SUBJECT_CHARACTERS_MAX and text.isprintable() and text == text.strip()):
        raise typer.BadParameter(f"SUBJECT must be 1 to {SUBJECT_CHARACTERS_MAX} printable characters")
    return text


@app.command(
    "token",
    short_help="Print a bearer token.",
    help="""Print a bearer token for SUBJECT, signed with SECRET_KEY.

    With GATEWAY_AUTH=required every task request needs a token, in the header
    Authorization, and only the subject that sent a task can get its result:
    callers that must not see each other's tasks need different SUBJECTs.
    Tokens are not stored. The only way to revoke a token before it expires is to
    change SECRET_KEY, which revokes all of them.

    \b
    Exit codes:
      0  the token is printed
      2  an argument is wrong, or SECRET_KEY is missing or can be guessed

    \b
    Examples:
      python -m gateway token alice
      TOKEN=$(python -m gateway token reports --days 1)
      curl -H "Authorization: Bearer $TOKEN" ...
    """,
)
def _token(
    subject: Annotated[str, typer.Argument(parser=subject, metavar="SUBJECT", help="Name of the caller.")],
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="Days until it expires.")] = 30,
) -> int:
    secret_key = read_settings(TokenSettings).secret_key
    from gateway.access.tokens import Tokens  # here, because help and error messages do without this slow import

    typer.echo(Tokens(secret_key).make(subject, days, time.time()))
    return 0

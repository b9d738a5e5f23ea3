"""What a person asks of `python -m gateway`: to run, as yet."""

import typer

from gateway.settings import GatewaySettings
from shared.command_line import command_line
from shared.settings import read_settings

app = command_line(
    """Take tasks by REST, put them on the import topic and answer with their results,
    until SIGTERM.

    Settings come from the environment; README.md lists them all.
    KAFKA_IMPORT_TOPIC and KAFKA_RESULT_TOPIC must be there.

    \b
    Exit codes:
      0    stopped by SIGTERM
      2    an argument or a setting is missing or wrong
      130  stopped by Ctrl-C

    \b
    Examples:
      python -m gateway
      GATEWAY_PORT=8080 LOG_FORMAT=console python -m gateway
    """
)


@app.callback()
def _run(context: typer.Context) -> GatewaySettings | None:
    return None if context.invoked_subcommand else read_settings(GatewaySettings)

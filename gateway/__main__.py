"""`python -m gateway`: serves the REST interface, or runs one of its commands."""

import os
import signal

from gateway.command_line import app
from shared.command_line import ask


def run() -> None:
    """Run what the arguments say."""
    # The service's imports take a while. A stop before they are done is a clean one, as there is nothing to close yet.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    settings = ask(app, "gateway")
    from gateway.service import main  # help, wrong arguments and settings, and the commands do not need it

    main(settings)


if __name__ == "__main__":
    run()

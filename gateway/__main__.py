"""`python -m gateway`: serves the REST interface, or runs one of its commands."""

import os
import signal

# Before the other imports, which take a while: a stop at any moment from the first is a clean one, as there is nothing
# to close yet.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from gateway.command_line import app
from shared.command_line import ask

if __name__ == "__main__":
    settings = ask(app, "gateway")
    from gateway.service import main  # help, wrong arguments and settings, and the commands do not need it

    main(settings)

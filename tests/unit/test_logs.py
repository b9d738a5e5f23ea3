"""What both programs log."""

import logging

import pytest

from shared.logs import configure_logs


@pytest.fixture
def root():
    """The root logger, put back as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(root, capsys, log_format):
    configure_logs("INFO", log_format)

    data = "canary".upper()
    try:
        raise RuntimeError("a reason of its own")
    except RuntimeError as error:
        root.error("unforeseen", exc_info=error)

    told = capsys.readouterr().err
    assert "RuntimeError: a reason of its own" in told
    assert data not in told

"""How many connections the machine's limit of open files allows."""

import logging
import resource

import pytest

from gateway.connections import SPARE_CONNECTIONS, SPARE_FILES, connections_max


@pytest.mark.parametrize(
    ("files_max", "connections"),
    [
        (1_000_000, 10_000 + SPARE_CONNECTIONS),
        (10_000 + SPARE_CONNECTIONS + SPARE_FILES, 10_000 + SPARE_CONNECTIONS),
        (4_096, 4_096 - SPARE_FILES),
        (10, 1),
    ],
)
def test_there_are_as_many_connections_as_files_may_be_open_and_fewer_than_wanted_are_told(
    monkeypatch, caplog, files_max, connections
):
    limits = [(1_024, files_max)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))

    with caplog.at_level(logging.WARNING):
        assert connections_max(waiting_replies_max=10_000) == connections

    assert limits[-1] == (files_max, files_max)
    if connections == 10_000 + SPARE_CONNECTIONS:
        assert caplog.text == ""
    else:
        [warning] = caplog.messages
        assert f"WAITING_REPLIES_MAX=10000: only {connections} connections" in warning
        assert warning.endswith(f"from {files_max} to {10_000 + SPARE_CONNECTIONS + SPARE_FILES}")

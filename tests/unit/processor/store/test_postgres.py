"""A connection to PostgreSQL."""

from types import SimpleNamespace

import pytest

from processor.store.postgres import with_last_host


@pytest.mark.parametrize(
    ("host", "port", "last", "expected"),
    [
        ("a,b,c", "1,2,3", ("a", 1), ("b,c,a", "2,3,1")),
        ("a,b,c", "1,2,3", ("c", 3), ("a,b,c", "1,2,3")),
        ("a,b", "5432", ("a", 5432), ("b,a", "5432,5432")),
        ("a,a", "1,2", ("a", 1), ("a,a", "2,1")),
        ("a", "5432", ("a", 5432), ("a", "5432")),
    ],
)
def test_a_host_that_went_silent_is_tried_last(host, port, last, expected):
    parameters = {"host": host, "port": port, "user": "any"}

    reordered = with_last_host(parameters, SimpleNamespace(host=last[0], port=last[1]))

    assert reordered == {"host": expected[0], "port": expected[1], "user": "any"}

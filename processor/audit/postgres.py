"""Asks PostgreSQL for the facts, over connections of its own."""

import asyncio
import contextlib
from typing import Any, LiteralString

import psycopg

from processor.audit.findings import Database, shares_sessions
from processor.store.postgres import bounded, hang_up, reason

ANSWER_SECONDS = 10.0
"""Limit of all questions together."""

ROUNDS = 8
"""How often each connection asks which process serves it."""

# A role without rights sees of each standby only that there is one. Logical replication is no standby. The name of one
# that is synchronous need not be known: if any is named, commits wait.
_FACTS: LiteralString = """
SELECT
    current_setting('fsync'),
    current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'),
    (SELECT count(*) FROM pg_stat_replication WHERE pid NOT IN (
        SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL
    )),
    (SELECT count(DISTINCT replica) FROM leases WHERE valid_until > clock_timestamp())
"""


class NoAnswer(Exception):
    """PostgreSQL does not answer, or has no such table. The message is one line for a person."""


async def database(connection_parameters: dict[str, Any]) -> Database:
    """Return the facts.

    Raises:
        NoAnswer: PostgreSQL does not answer in time.
    """
    parameters = bounded(connection_parameters, "integration-service audit")
    try:
        async with contextlib.AsyncExitStack() as opened:
            one, other = [await _open(opened, parameters) for _ in range(2)]
            [facts] = await (await one.execute(_FACTS)).fetchall()
            return Database(*[*facts, await _share_sessions(one, other)])
    except psycopg.Error as error:
        raise NoAnswer(f"PostgreSQL cannot be used: {reason(error)}") from None


async def _open(opened: contextlib.AsyncExitStack, parameters: dict[str, Any]) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
    opened.push_async_callback(connection.close)
    hanging_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, hang_up, connection)
    opened.callback(hanging_up.cancel)
    return connection


async def _share_sessions(one: psycopg.AsyncConnection[Any], other: psycopg.AsyncConnection[Any]) -> bool:
    """Return whether a pooler gives the two connections one session in turns.

    Not strictly in turns: a pooler that goes round its server connections would give each its own.
    """
    served: dict[int, set[int]] = {0: set(), 1: set()}
    for _ in range(ROUNDS):
        for number, connection in ((0, one), (0, one), (1, other)):
            [(process,)] = await (await connection.execute("SELECT pg_backend_pid()")).fetchall()
            served[number].add(process)
    return shares_sessions(served[0], served[1])

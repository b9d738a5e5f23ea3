"""One connection to PostgreSQL that waits out outages.

A statement waits for as long as an outage lasts, because an outage is no reason to give up a record. Its exceptions are
only about its own rows.

Nothing is kept in the session, which a pooler may change between two transactions: each transaction brings its settings
along, and no statement is prepared.
"""

import asyncio
import contextlib
import logging
import os
import random
import re
import socket
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from shared.back_off import BackOff
from shared.settings import WrongSettings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 3
"""Limit of one attempt to connect to one host."""

STATEMENT_SECONDS = 8
"""After this long PostgreSQL cancels a statement, for example one that waits for a lock."""

ANSWER_SECONDS = 10
"""After this long a connection that does not answer a statement is closed, and its host tried last from then on. TCP
notices nothing if a proxy or a load balancer between us and PostgreSQL accepts what we send and does not pass it on."""

SILENT_SECONDS = 10
"""After this long a connection without acknowledgements counts as dead. psycopg alone would wait for minutes."""

RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.05, 2.0
"""Back-off between two attempts to reach PostgreSQL."""

LOOK_SECONDS = 1.0
"""Between two checks whether somebody has to connect."""

SAMPLE_ROWS = 3
"""Rows of a refused batch that are tried alone, to see whether PostgreSQL refuses one row or all of them."""

ENCODINGS = ("UTF8", "SQL_ASCII")
"""Database encodings that can hold every answer. A database in SQL_ASCII stores the bytes that it gets, and our
sessions send UTF-8. Every other encoding lacks characters."""

# Prefixes of SQLSTATEs (Appendix A of PostgreSQL's manual) that concern the server, the session or another transaction.
# The statement waits and is tried again, over a new connection.
_ABOUT_THE_SERVER = (
    "08",  # the connection
    "2200H",  # the sequence of the ids is exhausted
    "25",  # the state of the transaction; 25006: the server is read-only
    "28",  # authentication
    "3D",  # the database is missing
    "40",  # a deadlock, or another transaction came first
    "53",  # disk, memory or connections are used up
    "55P03",  # a lock was not granted in time
    "57P",  # the server is shutting down, starting or recovering
    "58",  # its files and disks
    "F0",  # its configuration
    "XX001",  # its files are damaged
    "XX002",  # its indexes are damaged
)

# Prefixes that always concern a row: cardinality, data, constraints, program limits.
_ABOUT_A_ROW = ("21", "22", "23", "54")

# An error in neither list may concern one row or all of them: a trigger's RAISE, a policy or a missing permission, a
# missing table, a trigger's own bug, a statement that takes too long. `Postgres._takes_any` then tries another row.

# Part of a connection's error text -> settings to look at. Error texts in other languages get no such hint.
_LOOK_AT = {
    "host name": "POSTGRES_HOST and the host name in the server's certificate",
    "certificate": "POSTGRES_SSLROOTCERT",
    "not support SSL": "POSTGRES_SSLMODE",
    "no encryption": "POSTGRES_SSLMODE",
    "password": "POSTGRES_USER and POSTGRES_PASSWORD",
    "read-only": "POSTGRES_HOST, which must name the server that accepts writes",
    "hot standby": "POSTGRES_HOST, which must name the server that accepts writes",
}

# SQLSTATE -> the remedy.
_TO_DO = {
    "08P01": "look at the pooler's log, which says why it does not reach PostgreSQL",
    "25006": "look at POSTGRES_HOST, which must name the server that accepts writes",
    "42501": "GRANT integration_service to POSTGRES_USER, and look at policies and triggers",
    "42P01": "run sql/ in POSTGRES_DB",
}

# psycopg's line about one of several hosts, with libpq's words that repeat the host.
_ATTEMPT = re.compile(
    r"- host: '(.*?)', port: '(.*?)', hostaddr: .*?: (?:connection failed: )?(?:connection to server .*? failed: )?(.+)"
)

BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""A statement that waited for another's entry sees it afterwards, whatever isolation the role or the database sets."""

# What else the statements rely on and a role or a database may override: policies refuse single rows instead of whole
# statements, and a committed row survives a crash of the server.
_SETTINGS: LiteralString = """
SELECT
    set_config('statement_timeout', '{}', true),
    set_config('lock_timeout', '{}', true),
    set_config('row_security', 'on', true),
    set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true);
"""


class RowRefused(Exception):
    """PostgreSQL refuses one of the statement's rows for good.

    The message has the error's code and not its text, which would repeat the row.
    """


class RowTooSlow(RowRefused):
    """PostgreSQL accepts other rows, and takes longer than STATEMENT_SECONDS for these."""


class UnfitDatabase(WrongSettings):
    """The database cannot hold every answer. The message is one line that names the setting."""


def settings(statement_seconds: float, lock_seconds: float = 0.0) -> LiteralString:
    """Return the statement after BEGIN, with its transaction's settings. A time of 0 is no limit."""
    return _SETTINGS.format(int(statement_seconds * 1000), int(lock_seconds * 1000))


def bounded(connection_parameters: dict[str, Any], application_name: str) -> dict[str, Any]:
    """Return psycopg's connection parameters: libpq's with time limits added, and no prepared statements."""
    return {
        # libpq chooses among several hosts the one that accepts writes at this moment. Of a single host it must not ask
        # that: a pooler goes on reporting what the server was when the pooler first reached it.
        "target_session_attrs": "read-write" if "," in connection_parameters["host"] else "any",
        **connection_parameters,
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "keepalives_idle": SILENT_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": SILENT_SECONDS // 2,
        "application_name": application_name,
        "client_encoding": "UTF8",  # the default is the server's, with which text may come back as bytes
        "prepare_threshold": None,
    }


def with_last_host(connection_parameters: dict[str, Any], last: psycopg.ConnectionInfo) -> dict[str, Any]:
    """Return the connection parameters with this one of several hosts as the last one."""
    hosts, ports = connection_parameters["host"].split(","), str(connection_parameters["port"]).split(",")
    servers = list(zip(hosts, ports * (len(hosts) // len(ports)), strict=True))
    servers.sort(key=lambda server: server == (last.host, str(last.port)))
    return {
        **connection_parameters,
        "host": ",".join(host for host, _ in servers),
        "port": ",".join(port for _, port in servers),
    }


def check_encoding(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Check that the database can hold every answer.

    Raises:
        UnfitDatabase: it cannot.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise UnfitDatabase(
            f"POSTGRES_DB: the database's encoding is {encoding}, which lacks characters of some answers; use a "
            "database created with CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', and run sql/ in it"
        )


def reason(error: psycopg.Error | UnfitDatabase) -> str:
    """Return why PostgreSQL cannot be used, in one line.

    A statement's error is given by its code and PostgreSQL's name for it, because its DETAIL and CONTEXT repeat rows. A
    failure to connect has no code; its text, for each of the hosts, comes from libpq, which never repeats the password.
    """
    if isinstance(error, UnfitDatabase):
        return str(error)
    if error.sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        to_do = _TO_DO.get(error.sqlstate or "")
        code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
        return _condition(error) + code + (f"; {to_do}" if to_do else "")
    lines = [" ".join(line.split()) for line in str(error).splitlines()] or [_condition(error)]
    attempts = [f"{attempt[1]}:{attempt[2]}: {attempt[3]}" for line in lines if (attempt := _ATTEMPT.fullmatch(line))]
    text = "; ".join(attempts) or lines[0]
    return text + next((f"; look at {settings}" for word, settings in _LOOK_AT.items() if word in text), "")


def _condition(error: psycopg.Error) -> str:
    # psycopg names its classes after PostgreSQL's conditions: InsufficientPrivilege is "insufficient privilege".
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


class Postgres:
    """A connection that is reopened whenever it breaks. Its statements run one after the other."""

    def __init__(self, connection_parameters: dict[str, Any]) -> None:
        """Store libpq's host, port, user, password, dbname, sslmode and sslrootcert; open nothing."""
        self._connection_parameters = bounded(connection_parameters, "integration-service processor")
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()
        self._reasons_logged: set[str] = set()  # of this outage
        self._back_off = BackOff(RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX)
        self.connected = False

    async def check(self) -> None:
        """Try once to connect, for CONNECT_SECONDS.

        Raises:
            UnfitDatabase: PostgreSQL answers, but the database cannot hold every answer.
        """
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with self._lock, asyncio.timeout(CONNECT_SECONDS):
                await self._connect()

    async def connect(self) -> None:
        """Wait until PostgreSQL answers, has the tables and accepts writes."""
        tables = "ledger, idempotency_keys, redriven, leases, circuits, lent_deadlines, id_timeline"
        await self.execute(f"SELECT FROM {tables} LIMIT 0 FOR UPDATE OF leases")

    async def keep_connected(self) -> None:
        """Connect, and connect again whenever no statement does: one that waited may have been cancelled."""
        while True:
            if not self.connected:
                await self.connect()
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Close the connection; a statement that is running may or may not be committed."""
        if self._connection is not None:
            await self._connection.close()

    async def execute(
        self, statement: LiteralString, parameters: Sequence[Any] = (), *, refusable: bool = False
    ) -> list[Any]:
        """Return the statement's rows.

        Raises:
            RowRefused: the statement is `refusable`, and the error does not concern the server.
        """
        async with self._lock:
            while True:
                try:
                    return await self._ask(statement, parameters)
                except (psycopg.Error, UnfitDatabase) as error:
                    if refusable and _may_be_about_a_row(error):
                        raise _refused(error) from None
                    await self._wait(error)

    async def execute_rows(
        self,
        statement: LiteralString,
        rows: Sequence[tuple[Any, ...]],
        likely: Sequence[tuple[Any, ...]],
        *,
        suspect: bool = False,
    ) -> list[Any]:
        """Run a statement over rows, and return the rows that it returns.

        Args:
            statement: its parameters are the rows' columns.
            rows: at least one.
            likely: rows that a healthy PostgreSQL accepts. They are tried, and rolled back.
            suspect: this is one row, of a statement that was refused.

        Raises:
            RowRefused: PostgreSQL accepts other rows, and refuses one of these.
        """
        async with self._lock:
            while True:
                try:
                    # A lock that is not granted must not look like a slow row.
                    lock_seconds = STATEMENT_SECONDS / 2 if suspect else 0.0
                    return await self._ask(statement, columns(rows), lock_seconds=lock_seconds)
                except (psycopg.Error, UnfitDatabase) as error:
                    if _is_about_a_row(error):
                        raise _refused(error) from None
                    others = random.sample(rows, min(SAMPLE_ROWS, len(rows))) if len(rows) > 1 else []
                    if not _may_be_about_a_row(error) or not await self._takes_any(statement, [*likely, *others]):
                        await self._wait(error)
                    elif len(rows) > 1 or suspect:
                        raise _refused(error) from None
                    else:
                        suspect = True  # once more: PostgreSQL may have recovered meanwhile

    async def prune(
        self, statement: LiteralString, of: Sequence[Any], before_first: int | str, limits: Sequence[Any]
    ) -> None:
        """Delete page by page, so that no batch of rows waits long.

        Args:
            statement: deletes a page and returns its last key, or NULL at the end.
            of: the statement's first parameters.
            before_first: its next parameter: the key before the first page.
            limits: its last parameters.

        Raises:
            RowRefused: PostgreSQL refuses to delete some of the entries.
        """
        last: int | str | None = before_first
        while last is not None:
            [(last,)] = await self.execute(statement, [*of, last, *limits], refusable=True)

    async def _takes_any(self, statement: LiteralString, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Return whether PostgreSQL accepts one of the rows now; it is rolled back."""
        # A short timeout, because a lock on the table makes all of them wait.
        short = settings(STATEMENT_SECONDS / 4)
        for row in rows:
            try:
                await self._transact(statement, columns([row]), short, "ROLLBACK")
            except (psycopg.Error, UnfitDatabase) as error:
                if not _may_be_about_a_row(error) or isinstance(error, psycopg.errors.QueryCanceled):
                    return False
            else:
                return True
        return False

    async def _ask(
        self, statement: LiteralString, parameters: Sequence[Any], *, lock_seconds: float = 0.0
    ) -> list[Any]:
        answer = await self._transact(statement, parameters, settings(STATEMENT_SECONDS, lock_seconds), "COMMIT")
        self._log_success()
        return answer

    async def _transact(
        self, statement: LiteralString, parameters: Sequence[Any], its_settings: LiteralString, end: LiteralString
    ) -> list[Any]:
        if self._connection is None or self._connection.closed:
            await self._connect()
        connection = self._connection
        assert connection is not None
        hanging_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._hang_up, connection)
        try:
            async with connection.pipeline():  # one round trip
                await connection.execute(BEGIN)
                await connection.execute(its_settings)
                cursor = await connection.execute(statement, parameters)
                await connection.execute(end)
            return await cursor.fetchall() if cursor.description else []
        except BaseException:
            with contextlib.suppress(psycopg.Error):  # it is closed
                await connection.rollback()
            raise
        finally:
            hanging_up.cancel()

    def _hang_up(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        hang_up(connection)
        with contextlib.suppress(psycopg.OperationalError):  # the connection is closed already
            self._connection_parameters = with_last_host(self._connection_parameters, connection.info)

    async def _connect(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(**self._connection_parameters, autocommit=True)
        try:
            check_encoding(self._connection)
        except UnfitDatabase:
            await self.close()
            raise

    async def _wait(self, error: psycopg.Error | UnfitDatabase) -> None:
        self.connected = False
        why = reason(error)
        if why not in self._reasons_logged:
            self._reasons_logged.add(why)
            logger.warning("PostgreSQL cannot be used, work waits for it: %s", why)
        await self.close()  # its state is unknown
        await asyncio.sleep(self._back_off.next_seconds())

    def _log_success(self) -> None:
        if not self.connected:
            self.connected = True
            self._reasons_logged.clear()
            self._back_off.reset()
            logger.info("PostgreSQL answers")


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _sqlstate(error: psycopg.Error | UnfitDatabase) -> str:
    """Return the error's code; 22000 (data exception) if psycopg itself could not send a value."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    return code or ("22000" if isinstance(error, psycopg.DataError) else "")


def _may_be_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _sqlstate(error) != "" and not _sqlstate(error).startswith(_ABOUT_THE_SERVER)


def _is_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _may_be_about_a_row(error) and _sqlstate(error).startswith(_ABOUT_A_ROW)


def _refused(error: psycopg.Error | UnfitDatabase) -> RowRefused:
    refused = RowTooSlow if isinstance(error, psycopg.errors.QueryCanceled) else RowRefused
    return refused(f"PostgreSQL refuses the row: SQLSTATE {_sqlstate(error)}")


def hang_up(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    """Close the connection from outside, so that the statement that runs on it fails."""
    # Not by cancelling the coroutine: psycopg would send the silent server a cancel request, and wait for its answer.
    with (
        contextlib.suppress(psycopg.OperationalError, OSError),  # the connection is closed already
        socket.socket(fileno=os.dup(connection.fileno())) as connected,
    ):
        connected.shutdown(socket.SHUT_RDWR)

"""One connection to PostgreSQL that waits out outages.

A statement waits for PostgreSQL for as long as an outage lasts: an outage is no reason to give a record up. What it
raises is only about the rows at hand.
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
from psycopg import sql

from shared.back_off import BackOff
from shared.settings import WrongSettings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5
"""How long one try to connect may take."""

STATEMENT_SECONDS = 8
"""How long PostgreSQL may work on one statement before it gives up, for instance at a lock."""

ANSWER_SECONDS = 10
"""After which a connection that does not answer a statement is hung up. Where something between us and PostgreSQL, a
proxy or a load balancer, takes what we send and passes nothing on, TCP sees nothing wrong."""

SILENT_SECONDS = 10
"""After which a connection on which nothing is acknowledged counts as dead. psycopg alone would wait for minutes."""

RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.05, 2.0
"""Between two tries to reach PostgreSQL."""

SAMPLE_ROWS = 3
"""Rows of a batch that are tried alone where it is refused, to see whether it is refused for one row or for all."""

ENCODINGS = ("UTF8", "SQL_ASCII")
"""Encodings of a database that can hold every answer. A database in SQL_ASCII stores the bytes that it gets: UTF-8, as
our sessions say so. Every other encoding lacks characters."""

# The beginnings of SQLSTATEs (Appendix A of PostgreSQL's manual) that are about the server, the session or somebody
# else's transaction. The statement waits and is tried again, over a new connection.
_ABOUT_THE_SERVER = (
    "08",  # the connection
    "0A000",  # a prepared statement does not fit a table that was altered
    "2200H",  # the sequence of the ids has come to its end
    "25",  # the state of the transaction; 25006: the server only takes reads
    "26",  # a prepared statement that a pooler's other connection does not know
    "28",  # who we are
    "3D",  # the database is missing
    "40",  # a deadlock, or another transaction came first
    "53",  # disk, memory or connections are used up
    "55P03",  # a lock was not granted in time
    "57P",  # the server is shut down, starts or recovers
    "58",  # its files and disks
    "F0",  # its configuration
    "XX001",  # its files are damaged
    "XX002",  # its indexes are damaged
)

# Those that are about a row, whatever else is the matter: cardinality, data, constraints, limits of the program.
_ABOUT_A_ROW = ("21", "22", "23", "54")

# What is in neither list may be about one row or about all of them: a trigger's RAISE, a policy or a missing right, a
# missing table or a trigger's own mistake, a statement that takes too long. PostgreSQL is then asked whether it takes
# another row: see `Postgres._takes_any`.

# What libpq and PostgreSQL say of a connection -> settings. In another language they say it without this hint.
_LOOK_AT = {
    "host name": "POSTGRES_HOST and whom the server's certificate is for",
    "certificate": "POSTGRES_SSLROOTCERT",
    "not support SSL": "POSTGRES_SSLMODE",
    "no encryption": "POSTGRES_SSLMODE",
    "password": "POSTGRES_USER and POSTGRES_PASSWORD",
    "read-only": "POSTGRES_HOST, which must name the server that takes writes",
    "hot standby": "POSTGRES_HOST, which must name the server that takes writes",
}

# SQLSTATE -> what to do about it.
_TO_DO = {
    "42501": "GRANT integration_service to POSTGRES_USER, and look at policies and triggers",
    "42P01": "run sql/ in POSTGRES_DB",
}

# psycopg's line about one of several hosts, and the words of libpq in it that repeat the host.
_ATTEMPT = re.compile(
    r"- host: '(.*?)', port: '(.*?)', hostaddr: .*?: (?:connection failed: )?(?:connection to server .*? failed: )?(.+)"
)

# What a role or a database may have set otherwise and the statements rely on. A row that is told of must outlive a
# crash of the server, policies refuse rows instead of whole statements, and whoever waits for another's entry sees it
# afterwards. Not in `options`: poolers refuse what they do not know there.
SESSION: LiteralString = """
SELECT
    set_config('row_security', 'on', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
"""


class RowRefused(Exception):
    """PostgreSQL refuses one of the rows for good. The message names the error's code: its text would repeat the row.

    Where it was one row, it is that one.
    """


class RowTooSlow(RowRefused):
    """PostgreSQL takes other rows, and needs more than STATEMENT_SECONDS for these."""


class UnfitDatabase(WrongSettings):
    """The database cannot hold every answer. The message is one line that names the setting."""


def bounded(connection_parameters: dict[str, Any], application_name: str) -> dict[str, Any]:
    """Return libpq's connection parameters with limits to how long PostgreSQL may take or be silent."""
    return {
        **connection_parameters,
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "keepalives_idle": SILENT_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": SILENT_SECONDS // 2,
        "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000}",
        "application_name": application_name,
        "client_encoding": "UTF8",  # where it is not said it is the server's, and answers come back as bytes
        "target_session_attrs": "read-write",  # of several hosts the one that takes writes, whichever it is by now
    }


def check_encoding(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Check that the database can hold every answer.

    Raises:
        UnfitDatabase: it cannot.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise UnfitDatabase(
            f"POSTGRES_DB: the database's encoding is {encoding}, which lacks characters that answers have; name one "
            "that was made with CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', and run sql/ in it"
        )


def reason(error: psycopg.Error | UnfitDatabase) -> str:
    """Return why PostgreSQL cannot be used, in one line.

    A statement's error is told by its code, as DETAIL and CONTEXT repeat rows. A connection that could not be made has
    no code; its text is libpq's, which repeats no password. Where there are several hosts it is told of each.
    """
    if isinstance(error, UnfitDatabase):
        return str(error)
    if error.sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        to_do = _TO_DO.get(error.sqlstate or "")
        return f"{type(error).__name__} {error.sqlstate or ''}".rstrip() + (f"; {to_do}" if to_do else "")
    lines = [" ".join(line.split()) for line in str(error).splitlines()] or [type(error).__name__]
    attempts = [f"{attempt[1]}:{attempt[2]}: {attempt[3]}" for line in lines if (attempt := _ATTEMPT.fullmatch(line))]
    text = "; ".join(attempts) or lines[0]
    return text + next((f"; look at {settings}" for word, settings in _LOOK_AT.items() if word in text), "")


class Postgres:
    """A connection that is opened again whenever it breaks. Its statements run one after the other."""

    def __init__(self, connection_parameters: dict[str, Any]) -> None:
        """Store the parameters; nothing is opened.

        Args:
            connection_parameters: libpq's host, port, user, password, dbname, sslmode, sslrootcert.
        """
        self._connection_parameters = bounded(connection_parameters, "integration-service processor")
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._lock = asyncio.Lock()
        self._reasons_logged: set[str] = set()  # of this outage
        self._back_off = BackOff(RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX)
        self.connected = False

    async def check(self) -> None:
        """Try once to connect, for CONNECT_SECONDS.

        Raises:
            UnfitDatabase: PostgreSQL answers, and the database cannot hold every answer.
        """
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with self._lock, asyncio.timeout(CONNECT_SECONDS):
                await self._connect()

    async def connect(self) -> None:
        """Wait until PostgreSQL answers and has the tables."""
        await self.execute("SELECT FROM ledger, idempotency_keys, redriven LIMIT 0")

    async def close(self) -> None:
        """Close the connection; what is being written may or may not be."""
        if self._connection is not None:
            await self._connection.close()

    async def execute(
        self, statement: LiteralString, parameters: Sequence[Any] = (), *, refusable: bool = False
    ) -> list[Any]:
        """Return what the statement answers.

        Raises:
            RowRefused: it may be refused, and its failure is not about the server.
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
        """Return what a statement over rows answers.

        Args:
            statement: its parameters are the rows' columns.
            rows: at least one.
            likely: rows that PostgreSQL takes while it is well. They are tried, and not kept.
            suspect: it is one row, of a statement that was refused.

        Raises:
            RowRefused: PostgreSQL takes other rows, and refuses one of these.
        """
        async with self._lock:
            while True:
                try:
                    return await (self._ask_alone if suspect else self._ask)(statement, columns(rows))
                except (psycopg.Error, UnfitDatabase) as error:
                    if _is_about_a_row(error):
                        raise _refused(error) from None
                    others = random.sample(rows, min(SAMPLE_ROWS, len(rows))) if len(rows) > 1 else []
                    if not _may_be_about_a_row(error) or not await self._takes_any(statement, [*likely, *others]):
                        await self._wait(error)
                    elif len(rows) > 1 or suspect:
                        raise _refused(error) from None
                    else:
                        suspect = True  # once more: PostgreSQL may have become well in between

    async def prune(
        self, statement: LiteralString, of: Sequence[Any], before_first: int | str, limits: Sequence[Any]
    ) -> None:
        """Delete page by page, so that no batch of rows waits long for it.

        Args:
            statement: deletes a page and returns where it ends, or NULL at the end.
            of: its first parameters.
            before_first: its next parameter, where the first page begins after.
            limits: its last parameters.

        Raises:
            RowRefused: PostgreSQL refuses to delete some of it.
        """
        last: int | str | None = before_first
        while last is not None:
            [(last,)] = await self.execute(statement, [*of, last, *limits], refusable=True)

    async def _takes_any(self, statement: LiteralString, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Return whether PostgreSQL accepts one of the rows right now; none is kept."""
        # Not long: a lock on the table makes all of them wait.
        begin = sql.SQL("BEGIN; SET LOCAL statement_timeout = {}").format(STATEMENT_SECONDS * 1000 // 4)
        for row in rows:
            try:
                await self._transact(begin, statement, columns([row]), "ROLLBACK")
            except (psycopg.Error, UnfitDatabase) as error:
                if not _may_be_about_a_row(error) or isinstance(error, psycopg.errors.QueryCanceled):
                    return False
            else:
                return True
        return False

    async def _ask_alone(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Any]:
        # A lock that is not granted must not look like a row that takes too long.
        begin = sql.SQL("BEGIN; SET LOCAL lock_timeout = {}").format(STATEMENT_SECONDS * 1000 // 2)
        answer = await self._transact(begin, statement, parameters, "COMMIT")
        self._note_success()
        return answer

    async def _transact(
        self, begin: sql.Composed, statement: LiteralString, parameters: Sequence[Any], end: LiteralString
    ) -> list[Any]:
        await self._run(begin)
        try:
            cursor = await self._run(statement, parameters)
            await self._run(end)
        except psycopg.Error:
            if self._connection is not None and not self._connection.closed:
                with contextlib.suppress(psycopg.Error):
                    await self._run("ROLLBACK")
            raise
        return await cursor.fetchall() if cursor.description else []

    async def _ask(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Any]:
        cursor = await self._run(statement, parameters)
        self._note_success()
        return await cursor.fetchall() if cursor.description else []

    async def _run(
        self, statement: LiteralString | sql.Composed, parameters: Sequence[Any] | None = None
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            await self._connect()
        assert self._connection is not None
        hang_up = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _hang_up, self._connection)
        try:
            # Without parameters there may be several commands in it, which PostgreSQL does not prepare.
            return await self._connection.execute(statement, parameters, prepare=False if parameters is None else None)
        finally:
            hang_up.cancel()

    async def _connect(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(**self._connection_parameters, autocommit=True)
        try:
            check_encoding(self._connection)
            await self._run(SESSION)
        except BaseException:
            await self.close()  # not to be used as it is
            raise

    async def _wait(self, error: psycopg.Error | UnfitDatabase) -> None:
        self.connected = False
        why = reason(error)
        if why not in self._reasons_logged:
            self._reasons_logged.add(why)
            logger.warning("PostgreSQL cannot be used, work waits for it: %s", why)
        await self.close()  # whatever state it is in, a new one is in a known state
        await asyncio.sleep(self._back_off.next_seconds())

    def _note_success(self) -> None:
        if not self.connected:
            self.connected = True
            self._reasons_logged.clear()
            self._back_off.reset()
            logger.info("PostgreSQL answers")


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _sqlstate(error: psycopg.Error | UnfitDatabase) -> str:
    """Return the error's code: 22000 (data exception) where psycopg itself could not send a value."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    return code or ("22000" if isinstance(error, psycopg.DataError) else "")


def _may_be_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _sqlstate(error) != "" and not _sqlstate(error).startswith(_ABOUT_THE_SERVER)


def _is_about_a_row(error: psycopg.Error | UnfitDatabase) -> bool:
    return _may_be_about_a_row(error) and _sqlstate(error).startswith(_ABOUT_A_ROW)


def _refused(error: psycopg.Error | UnfitDatabase) -> RowRefused:
    refused = RowTooSlow if isinstance(error, psycopg.errors.QueryCanceled) else RowRefused
    return refused(f"PostgreSQL refuses the row: SQLSTATE {_sqlstate(error)}")


def _hang_up(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    # Not a cancelled coroutine: psycopg would ask the silent server to cancel the statement, and wait for its answer.
    with (
        contextlib.suppress(psycopg.OperationalError, OSError),  # it is closed already
        socket.socket(fileno=os.dup(connection.fileno())) as connected,
    ):
        connected.shutdown(socket.SHUT_RDWR)

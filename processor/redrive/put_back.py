"""The dead letters that were put back: a table in PostgreSQL, and the lock that one redrive holds.

Unlike the ledger it does not wait for PostgreSQL: a person does.
"""

import contextlib
from collections.abc import Collection, Sequence
from typing import Any, LiteralString

import psycopg

from processor.record import Position
from processor.store.postgres import STATEMENT_SECONDS, bounded, check_encoding, reason, settings

# By a transaction that stays open, so that it ends with the program, however that ends. Not by the session, which a
# pooler may give to another client after each transaction.
_LOCK: LiteralString = "SELECT pg_try_advisory_xact_lock(hashtext('integration_service redrive'), hashtext(%s))"

# transaction_timeout is new in PostgreSQL 17.
_STAY_OPEN: LiteralString = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""

_KNOWN: LiteralString = """
SELECT topic_id, partition, "offset"
FROM redriven
JOIN unnest(%s::text[], %s::integer[], %s::bigint[]) AS t (topic_id, partition, "offset")
    USING (topic_id, partition, "offset")
"""

_ENTER: LiteralString = """
INSERT INTO redriven (topic_id, partition, "offset")
SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[])
ON CONFLICT DO NOTHING
"""

_PRUNE: LiteralString = 'DELETE FROM redriven WHERE topic_id = %s AND partition = %s AND "offset" < %s'

_TOPIC_IDS: LiteralString = "SELECT DISTINCT topic_id FROM redriven"

_FORGET: LiteralString = "DELETE FROM redriven WHERE topic_id = ANY(%s)"


class NotRemembered(Exception):
    """PostgreSQL does not answer, or has no such table. The message is one line for a person."""


class Redriven:
    """The positions of dead letters that were put back. Blocks, for a bounded time each call.

    Raises:
        NotRemembered: by every method.
    """

    def __init__(self, connection_parameters: dict[str, Any]) -> None:
        """Connect.

        Args:
            connection_parameters: libpq's host, port, user, password, dbname, sslmode, sslrootcert.

        Raises:
            processor.store.postgres.UnfitDatabase: the database cannot hold every answer.
        """
        parameters = bounded(connection_parameters, "integration-service redrive")
        self._opened = contextlib.ExitStack()
        try:
            self._connection, self._locking = (self._open(parameters) for _ in range(2))
            check_encoding(self._connection)
            self._locking.execute(_STAY_OPEN)
            self._locking.execute(settings(STATEMENT_SECONDS))
        except psycopg.Error as error:
            self.close()
            raise _not_remembered(error) from None

    def close(self) -> None:
        """Release the lock and close the connections."""
        with contextlib.suppress(psycopg.Error):  # PostgreSQL is gone, and with it the lock
            self._opened.close()

    def lock(self, dead_letter_topic: str) -> bool:
        """Become the one who puts the topic's dead letters back, or return False where somebody else is at it."""
        try:
            [(locked,)] = self._locking.execute(_LOCK, [dead_letter_topic]).fetchall()
        except psycopg.Error as error:
            raise _not_remembered(error) from None
        return bool(locked)

    def known(self, positions: Sequence[Position]) -> set[Position]:
        """Return those of the positions that were put back."""
        return {Position(*found) for found in self._execute(_KNOWN, _columns(positions))}

    def enter(self, positions: Sequence[Position]) -> None:
        """Remember that the positions were put back."""
        self._execute(_ENTER, _columns(positions))

    def prune(self, topic_id: str, partition: int, first_offset: int) -> None:
        """Forget what lies below the first offset that Kafka still has."""
        self._execute(_PRUNE, [topic_id, partition, first_offset])

    def topic_ids(self) -> set[str]:
        """Return the ids of all topics of which something is remembered."""
        return {topic_id for (topic_id,) in self._execute(_TOPIC_IDS, [])}

    def forget(self, topic_ids: Collection[str]) -> None:
        """Forget topics that Kafka has no more."""
        self._execute(_FORGET, [list(topic_ids)])

    def _execute(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Any]:
        try:
            self._locking.execute("SELECT 1")  # fails if the lock is lost
            with self._connection.transaction():
                self._connection.execute(settings(STATEMENT_SECONDS))
                cursor = self._connection.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _not_remembered(error) from None

    def _open(self, parameters: dict[str, Any]) -> psycopg.Connection[Any]:
        connection = self._opened.enter_context(psycopg.connect(**parameters))
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return connection


def _columns(positions: Sequence[Position]) -> list[list[Any]]:
    return [[position[column] for position in positions] for column in range(len(Position._fields))]


def _not_remembered(error: psycopg.Error) -> NotRemembered:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InsufficientPrivilege):
        return NotRemembered("PostgreSQL has no table `redriven` for this user: run sql/ again")
    return NotRemembered(f"PostgreSQL cannot be used: {reason(error)}")

"""sql/ in a real PostgreSQL: what it creates, that it can run again, and what its role may do."""

import concurrent.futures
import contextlib
import time

import psycopg
import pytest

from sandbox.postgres import SCHEMA
from tests.conftest import until

TABLES = {"integration_service": "id", "ledger": "id", "idempotency_keys": "key", "redriven": "partition"}
"""Each table whose rows stay as they were written, with one of its columns."""

FLEET = {"leases": "slots", "circuits": "state", "lent_deadlines": "awaited_until"}
"""Each table whose rows are rewritten all the time, with one of its columns."""

READ = {"id_timeline": "timeline"}
"""Each table that the role only reads, with one of its columns."""

EVERYTHING = """
SELECT 'column', table_name, column_name, ordinal_position::text, data_type, udt_name, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'grant', table_name, grantee, privilege_type, is_grantable, NULL, NULL, NULL
FROM information_schema.table_privileges WHERE table_schema = 'public'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, NULL, NULL, NULL, NULL FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'label', enumtypid::regtype::text, enumlabel, enumsortorder::text, NULL, NULL, NULL, NULL FROM pg_enum
UNION ALL
SELECT 'function', proname, prosrc, proacl::text, proconfig::text, prosecdef::text, NULL, NULL
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled::text, NULL, NULL, NULL
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'sequence', sequencename, last_value::text, start_value::text, NULL, NULL, NULL, NULL FROM pg_sequences
ORDER BY 1, 2, 3, 4
"""


def write(database, offset):
    """Insert a position and its row, and return the id."""
    [(row_id,)] = database.query(
        """
        WITH entered AS (
            INSERT INTO ledger (topic_id, partition, "offset") VALUES ('topic-id', 0, %s) RETURNING id
        )
        INSERT INTO integration_service SELECT id, '{"kept": true}', 'gpt' FROM entered RETURNING id
        """,
        offset,
    )
    return row_id


LEASE = "INSERT INTO leases VALUES ('dadata', 'one', 5, 1, 2, NULL, 0, NULL, 1.2, now())"
CIRCUIT = "INSERT INTO circuits VALUES ('dadata', 'unavailable', '503', now(), 2, now(), '', '')"
LENT = "INSERT INTO lent_deadlines VALUES ('topic-id', 0, 0, now())"


def test_running_it_again_changes_nothing(database):
    for offset in range(3):
        write(database, offset)
    for statement in (LEASE, CIRCUIT, LENT):
        database.query(statement)

    def everything():
        tables = [database.query(f"SELECT * FROM {table}") for table in ("ledger", *FLEET, *READ)]
        return database.query(EVERYTHING), database.rows(), tables

    before = everything()

    database.postgres.apply_schema(database.name)

    assert everything() == before
    assert all(before[2])


def test_running_it_again_in_an_empty_database_changes_nothing(database):
    before = database.query(EVERYTHING)

    database.postgres.apply_schema(database.name)

    assert database.query(EVERYTHING) == before
    assert write(database, 0) == 1


def test_the_table_has_the_three_promised_columns_and_no_fourth(database):
    columns = database.query(
        """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = 'integration_service'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """
    )
    [(primary_key,)] = database.query(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'integration_service'::regclass AND contype = 'p'"
    )
    [(labels,)] = database.query("SELECT enum_range(NULL::task_type)::text[]")

    assert columns == [("id", "bigint", True), ("data", "jsonb", True), ("task_type", "task_type", True)]
    assert primary_key == "PRIMARY KEY (id)"
    assert labels == ["phone", "email", "gpt"]


def test_every_table_and_every_column_has_a_comment(database):
    columns = database.query(
        """
        SELECT relname, attname, col_description(pg_class.oid, attnum)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        """
    )
    tables = database.query(
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )

    assert (
        {table for table, *_ in columns} == {table for table, _ in tables} == TABLES.keys() | FLEET.keys() | READ.keys()
    )
    assert [described for described in (*columns, *tables) if not described[-1]] == []


def test_a_database_with_rows_but_no_entries_goes_on_after_the_highest_id(database):
    database.query("""INSERT INTO integration_service VALUES (17, '{}', 'phone'), (4000000000, '{}', 'email')""")

    database.postgres.apply_schema(database.name)

    assert write(database, 0) == 4_000_000_001


def test_a_database_with_rows_from_before_there_was_a_ledger_goes_on_after_the_highest_id(database):
    database.query("DROP TABLE ledger")
    database.query("""INSERT INTO integration_service VALUES (41, '{}', 'phone')""")

    database.postgres.apply_schema(database.name)

    assert write(database, 0) == 42


def test_ids_never_come_again_though_their_rows_and_entries_are_deleted(database):
    last = [write(database, offset) for offset in range(5)][-1]
    database.query("DELETE FROM integration_service WHERE id > 2")
    database.query("DELETE FROM ledger")

    database.postgres.apply_schema(database.name)

    assert write(database, 9) == last + 1


def test_in_another_timeline_ids_go_on_above_all_that_were_ever_given(database, as_processor):
    def write_as_processor(offset):
        statement = """INSERT INTO ledger (topic_id, partition, "offset") VALUES ('topic-id', 0, %s) RETURNING id"""
        return as_processor.execute(statement, [offset]).fetchone()[0]

    before = write_as_processor(0)
    for number in range(1, 3):
        database.query("UPDATE id_timeline SET timeline = 'before'")
        since = time.time() * 1e6

        first = write_as_processor(number * 2)

        assert before < since < first < 2**53
        assert write_as_processor(number * 2 + 1) == first + 1
        before = first + 1
    assert database.query("SELECT timeline FROM id_timeline") == [("00000001",)]


def test_where_the_clock_is_slow_ids_still_jump(database):
    database.query("SELECT setval('ledger_id_seq', 4000000000000000)")
    database.query("UPDATE id_timeline SET timeline = 'before'")

    assert write(database, 0) > 4_000_000_000_000_000 + 1_000_000_000


def test_a_jump_that_is_rolled_back_is_made_again_and_one_at_a_time(database):
    database.query("UPDATE id_timeline SET timeline = 'before'")
    conninfo = database.postgres.conninfo(database.name)
    enter = """INSERT INTO ledger (topic_id, partition, "offset") VALUES ('topic-id', 0, %s) RETURNING id"""

    def write_alone(offset):
        with psycopg.connect(conninfo) as other:
            return other.execute(enter, [offset]).fetchone()[0]

    with concurrent.futures.ThreadPoolExecutor() as threads, psycopg.connect(conninfo) as first:
        [rolled_back] = first.execute(enter, [0]).fetchone()
        writing = [threads.submit(write_alone, offset) for offset in range(1, 6)]
        until(
            lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == [(5,)],
            "the others to wait",
        )
        first.rollback()
        ids = sorted(future.result() for future in writing)

    assert rolled_back < ids[0]
    assert ids == list(range(ids[0], ids[0] + 5))


def test_a_server_that_does_not_say_its_timeline_takes_rows_and_the_scripts_warn(database, capfd):
    database.query("DROP SCHEMA public CASCADE")
    database.query("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC")
    database.query("CREATE ROLE schema_owner")
    database.query("CREATE SCHEMA public AUTHORIZATION schema_owner")
    scripts = [argument for script in sorted(SCHEMA.glob("*.sql")) for argument in ("-f", script)]

    database.postgres.psql(database.name, "-q", "-c", "SET ROLE schema_owner", *scripts)

    assert "WARNING:  this server does not say its timeline" in capfd.readouterr().err
    assert [write(database, offset) for offset in range(2)] == [1, 2]
    database.query("UPDATE id_timeline SET timeline = 'restored'")  # what docs/operations.md asks for
    later = [write(database, offset) for offset in range(2, 4)]
    assert later == [later[0], later[0] + 1] and later[0] > 1e15


@pytest.fixture
def as_processor(database):
    """A connection whose only rights are those of the role of sql/."""
    database.query("CREATE TABLE of_another_service (secret TEXT)")
    connection = psycopg.connect(
        host=database.postgres.host,
        port=database.postgres.port,
        user="processor",
        password="processor",
        dbname=database.name,
        autocommit=True,
    )
    with connection:
        yield connection


def test_the_role_may_select_insert_and_delete(database, as_processor):
    as_processor.execute("""INSERT INTO ledger (topic_id, partition, "offset") VALUES ('topic-id', 0, 0)""")
    as_processor.execute("""INSERT INTO integration_service VALUES (1, '{}', 'phone')""")
    as_processor.execute("""INSERT INTO idempotency_keys VALUES ('key', 'fingerprint', 'topic-id', 0, 0)""")
    as_processor.execute("""INSERT INTO redriven VALUES ('topic-id', 0, 0)""")

    for table in TABLES:
        assert len(as_processor.execute(f"SELECT * FROM {table}").fetchall()) == 1
        as_processor.execute(f"DELETE FROM {table}")
        assert database.query(f"SELECT * FROM {table}") == []


def test_the_role_may_also_update_what_the_fleet_agrees_on(database, as_processor):
    for statement in (LEASE, CIRCUIT, LENT):
        as_processor.execute(statement)

    for (table, column), value in zip(FLEET.items(), ("6", "refused", "infinity"), strict=True):
        as_processor.execute(f"UPDATE {table} SET {column} = '{value}'")
        assert as_processor.execute(f"SELECT {column}::text FROM {table}").fetchall() == [(value,)]
        as_processor.execute(f"DELETE FROM {table}")
        assert database.query(f"SELECT * FROM {table}") == []


REFUSED = [
    *(f"UPDATE {table} SET {column} = DEFAULT" for table, column in (TABLES | READ).items()),
    *(
        statement.format(table=table, column=column)
        for table, column in (TABLES | FLEET | READ).items()
        for statement in (
            "TRUNCATE {table}",
            "DROP TABLE {table}",
            "ALTER TABLE {table} ADD COLUMN more TEXT",
            "ALTER TABLE {table} OWNER TO processor",
            "CREATE INDEX ON {table} ({column})",
        )
    ),
    "CREATE TABLE more (id BIGINT)",
    "CREATE SCHEMA more",
    "CREATE FUNCTION more() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE more",
    "ALTER ROLE processor CREATEROLE",
    "SET ROLE postgres",
    "GRANT integration_service TO postgres",
    "ALTER SYSTEM SET log_statement = 'all'",
    "DROP TYPE task_type",
    "ALTER TYPE task_type ADD VALUE 'sms'",
    "SELECT setval('ledger_id_seq', 1)",
    "SELECT keep_ids_new()",
    "DROP TRIGGER keep_ids_new ON ledger",
    "ALTER TABLE ledger DISABLE TRIGGER ALL",
    "INSERT INTO id_timeline VALUES ('other')",
    "DELETE FROM id_timeline",
    "SELECT * FROM of_another_service",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('PG_VERSION')",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
]


def test_the_role_may_do_nothing_else(database, as_processor):
    before = database.query(EVERYTHING)

    done = []
    for statement in REFUSED:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            as_processor.execute(statement)
            done.append(statement)

    assert done == []
    assert database.query(EVERYTHING) == before


def test_the_role_cannot_pass_its_privileges_on(database, as_processor):
    before = database.query(EVERYTHING)

    for table in (*TABLES, *FLEET, *READ):  # no error: PostgreSQL only warns that nothing was granted
        as_processor.execute(f"GRANT SELECT ON {table} TO PUBLIC")

    assert database.query(EVERYTHING) == before


def test_the_owner_of_the_schema_is_another_role(database):
    owned = database.query(
        "SELECT relname FROM pg_class WHERE pg_has_role('processor', relowner, 'MEMBER')"
        " UNION SELECT typname FROM pg_type WHERE pg_has_role('processor', typowner, 'MEMBER')"
        " UNION SELECT nspname FROM pg_namespace WHERE pg_has_role('processor', nspowner, 'MEMBER')"
    )

    assert owned == []


def test_the_role_reaches_its_tables_where_others_may_not_enter_the_schema(database, as_processor):
    database.query("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    database.postgres.apply_schema(database.name)

    assert as_processor.execute("SELECT count(*) FROM integration_service").fetchone() == (0,)


def test_the_role_has_its_privileges_on_eight_tables_and_no_others(database):
    granted = database.query(
        "SELECT table_schema, table_name, privilege_type FROM information_schema.table_privileges "
        "WHERE grantee IN ('integration_service', 'processor')"
    )
    [attributes] = database.query(
        "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
        "FROM pg_roles WHERE rolname = 'integration_service'"
    )

    assert sorted(granted) == sorted(
        ("public", table, privilege)
        for tables, privileges in (
            (TABLES, ("SELECT", "INSERT", "DELETE")),
            (FLEET, ("SELECT", "INSERT", "UPDATE", "DELETE")),
            (READ, ("SELECT",)),
        )
        for table in tables
        for privilege in privileges
    )
    assert not any(attributes)

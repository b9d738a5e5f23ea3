-- Ids that are never given twice, although a failover may lose rows whose ids were given. Safe to run again.
--
-- A standby that follows asynchronously may lack the last rows when it is promoted, and the sequence's last values with
-- them. Each promotion begins a new timeline. The first statement that writes on another timeline than the last one
-- first moves the sequence to the time in microseconds since 1970. That is above every id given before, on whatever
-- server: no sequence that began at such a time, or at 1, grows by a million a second. Such ids are safe in JSON until
-- the year 2255.
--
-- In the database, because behind a pooler a processor cannot know when it gets another server.

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('integration_service schema'));

CREATE TABLE IF NOT EXISTS id_timeline (
    timeline TEXT NOT NULL
);

COMMENT ON TABLE  id_timeline          IS 'One row: the timeline in which the ledger gives ids.';
COMMENT ON COLUMN id_timeline.timeline IS 'PostgreSQL''s number for it, as in the names of its WAL files. If it differs, ids jump with the next row.';

-- 'unknown' if the server does not say: some managed databases do not let anyone ask.
CREATE OR REPLACE FUNCTION server_timeline() RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
    RETURN 'unknown';
END
$$;

-- With the owner's rights: the processor's role may not change the sequence. Whoever comes second waits at the row for
-- the first, and then finds the timeline as it is. The billion is for a server whose clock is slow.
CREATE OR REPLACE FUNCTION keep_ids_new() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    now_on CONSTANT TEXT := server_timeline();
    ids    CONSTANT REGCLASS := pg_get_serial_sequence('ledger', 'id');
BEGIN
    UPDATE id_timeline SET timeline = now_on WHERE timeline <> now_on;
    IF FOUND THEN
        PERFORM setval(ids, greatest(
            nextval(ids) + 1000000000, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint));
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION server_timeline(), keep_ids_new() FROM PUBLIC;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION keep_ids_new() SET search_path = %I, pg_temp', current_schema());
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'ledger'::regclass AND tgname = 'keep_ids_new') THEN
        -- Before the statement, so before it draws its first id.
        CREATE TRIGGER keep_ids_new BEFORE INSERT ON ledger FOR EACH STATEMENT EXECUTE FUNCTION keep_ids_new();
    END IF;
    IF server_timeline() = 'unknown' THEN
        RAISE WARNING 'this server does not say its timeline: if a failover loses rows, ids may be given twice; '
            'see docs/operations.md, PostgreSQL with a standby';
    END IF;
END
$$;

INSERT INTO id_timeline SELECT server_timeline() WHERE NOT EXISTS (SELECT FROM id_timeline);

GRANT SELECT ON id_timeline TO integration_service;

COMMIT;

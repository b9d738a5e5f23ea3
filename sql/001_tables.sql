-- The tables of the integration service. Safe to run again: existing objects stay unchanged.
-- Run it as the schema's owner:  psql -v ON_ERROR_STOP=1 -f sql/001_tables.sql

BEGIN;

-- If two replicas of a deployment run this at the same time, the second one waits here for the first.
SELECT pg_advisory_xact_lock(hashtext('integration_service schema'));

DO $$
BEGIN
    IF to_regtype('task_type') IS NULL THEN
        CREATE TYPE task_type AS ENUM ('phone', 'email', 'gpt');
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS integration_service (
    id        BIGINT    PRIMARY KEY,
    data      JSONB     NOT NULL,
    task_type task_type NOT NULL
);

COMMENT ON TABLE  integration_service           IS 'One row for each task that a provider answered.';
COMMENT ON COLUMN integration_service.id        IS 'Drawn by the ledger when the task''s record is entered there; the id in the result.';
COMMENT ON COLUMN integration_service.data      IS 'What the provider answered. Personal data.';
COMMENT ON COLUMN integration_service.task_type IS 'Which provider answered.';

-- Kafka delivers a record at least once. An entry here means that the record at this position is done, and names its row,
-- so that however often the record is delivered, there is one row, one id and one paid call.
CREATE TABLE IF NOT EXISTS ledger (
    topic_id  TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  BIGINT  NOT NULL,
    id        BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (topic_id, partition, "offset")
);

COMMENT ON TABLE  ledger           IS 'Positions of the import topic that are done. Entries are deleted once Kafka has deleted their records.';
COMMENT ON COLUMN ledger.topic_id  IS 'Kafka''s own id of the topic, not its name: a topic made again starts at offset 0 again.';
COMMENT ON COLUMN ledger.partition IS 'Partition of the record.';
COMMENT ON COLUMN ledger."offset"  IS 'Offset of the record.';
COMMENT ON COLUMN ledger.id        IS 'integration_service.id of the record''s row. No foreign key: rows may be deleted, positions stay done.';

-- A caller can make a request repeatable with a key. The key belongs to the record at a position, and the key's id is the
-- one in the ledger's entry for that position. While there is no entry, that record is in flight, and other records with
-- the same key wait for it.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key         TEXT        PRIMARY KEY,
    fingerprint BYTEA       NOT NULL,
    topic_id    TEXT        NOT NULL,
    partition   INTEGER     NOT NULL,
    "offset"    BIGINT      NOT NULL,
    made_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (topic_id, partition, "offset")
);

COMMENT ON TABLE  idempotency_keys             IS 'Which record each idempotency key belongs to. Deleted when the record fails, and some weeks after it succeeded.';
COMMENT ON COLUMN idempotency_keys.key         IS 'The caller''s own word, up to 255 visible ASCII characters.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'Of the task''s type and data: the same key with another task is refused.';
COMMENT ON COLUMN idempotency_keys.topic_id    IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN idempotency_keys.partition   IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN idempotency_keys."offset"    IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN idempotency_keys.made_at     IS 'From which its days are counted.';

-- Dead letters can be put back on the import topic. This table keeps them from being put back twice.
CREATE TABLE IF NOT EXISTS redriven (
    topic_id  TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  BIGINT  NOT NULL,
    PRIMARY KEY (topic_id, partition, "offset")
);

COMMENT ON TABLE  redriven           IS 'Positions of the dead-letter topic that were put back on the import topic. Deleted once Kafka has deleted the dead letters.';
COMMENT ON COLUMN redriven.topic_id  IS 'Kafka''s own id of the dead-letter topic.';
COMMENT ON COLUMN redriven.partition IS 'Partition of the dead letter.';
COMMENT ON COLUMN redriven."offset"  IS 'Offset of the dead letter.';

-- If the database had rows before it had a ledger, new ids continue after them.
SELECT setval(pg_get_serial_sequence('ledger', 'id'), greatest(rows.last_id, entries.last_id))
FROM (SELECT max(id) AS last_id FROM integration_service) AS rows,
     (SELECT max(id) AS last_id FROM ledger) AS entries
WHERE rows.last_id > coalesce(entries.last_id, 0)
  AND rows.last_id >= coalesce((SELECT last_value FROM pg_sequences
                                WHERE format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence('ledger', 'id')), 0);

COMMIT;

-- What the replicas of a fleet agree on: who may make how many requests to a provider, and whether it answers. Safe to run
-- again. All of it is rewritten several times a second, and rebuilds itself if it is deleted while no replica runs.

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('integration_service schema'));

-- One row for each quota and replica. A replica may use its slots until valid_until; after that they stay its own for
-- held_seconds, because its last requests may still run. The slots of all rows never add up to more than the quota.
CREATE TABLE IF NOT EXISTS leases (
    quota         TEXT             NOT NULL,
    replica       TEXT             NOT NULL,
    slots         INTEGER          NOT NULL,
    awaited       INTEGER          NOT NULL,
    backlog       INTEGER          NOT NULL,
    unserved_from TIMESTAMPTZ,
    rejections    INTEGER          NOT NULL,
    answered_at   TIMESTAMPTZ,
    held_seconds  DOUBLE PRECISION NOT NULL,
    valid_until   TIMESTAMPTZ      NOT NULL,
    PRIMARY KEY (quota, replica)
) WITH (fillfactor = 50);

COMMENT ON TABLE  leases               IS 'How many slots of a provider''s quota each replica has, and how many it wants.';
COMMENT ON COLUMN leases.quota         IS 'The provider''s name, or its name and "connections".';
COMMENT ON COLUMN leases.replica       IS 'Drawn by each process when it starts.';
COMMENT ON COLUMN leases.slots         IS 'Slots that the replica has.';
COMMENT ON COLUMN leases.awaited       IS 'Slots that it wants for records that somebody waits for.';
COMMENT ON COLUMN leases.backlog       IS 'Slots that it wants for other records, and those that its requests hold.';
COMMENT ON COLUMN leases.unserved_from IS 'Since when it wants slots and has none; NULL if it has some or wants none.';
COMMENT ON COLUMN leases.rejections    IS 'Tasks that the provider has rejected in a row, as this replica sees it.';
COMMENT ON COLUMN leases.answered_at   IS 'When the replica''s last request began that the provider has answered.';
COMMENT ON COLUMN leases.held_seconds  IS 'How long a request of the replica may hold its slot.';
COMMENT ON COLUMN leases.valid_until   IS 'When the lease ends, unless it is renewed.';

CREATE TABLE IF NOT EXISTS circuits (
    provider TEXT             PRIMARY KEY,
    state    TEXT             NOT NULL,
    why      TEXT             NOT NULL,
    since    TIMESTAMPTZ      NOT NULL,
    probes   INTEGER          NOT NULL,
    probe_at TIMESTAMPTZ      NOT NULL,
    prober   TEXT             NOT NULL,
    found_by TEXT             NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE  circuits          IS 'Providers that have no good answer to anything. No row: its circuit is closed.';
COMMENT ON COLUMN circuits.provider IS 'The provider''s name.';
COMMENT ON COLUMN circuits.state    IS 'unavailable, refused (it refuses our account) or misconfigured (it rejects every task).';
COMMENT ON COLUMN circuits.why      IS 'What it answered last.';
COMMENT ON COLUMN circuits.since    IS 'When the failures began.';
COMMENT ON COLUMN circuits.probes   IS 'Probes that have failed.';
COMMENT ON COLUMN circuits.probe_at IS 'When the next probe may start; if there is a prober, when its probe is given up.';
COMMENT ON COLUMN circuits.prober   IS 'The replica that may send the probe; empty if none may yet.';
COMMENT ON COLUMN circuits.found_by IS 'The only replica that has found it; empty if several have.';

-- A record with an idempotency key may wait for another record's answer. If somebody waits for it, the other is awaited too.
CREATE TABLE IF NOT EXISTS lent_deadlines (
    topic_id      TEXT        NOT NULL,
    partition     INTEGER     NOT NULL,
    "offset"      BIGINT      NOT NULL,
    awaited_until TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (topic_id, partition, "offset")
);

COMMENT ON TABLE  lent_deadlines               IS 'Records that are awaited because others with their idempotency key are.';
COMMENT ON COLUMN lent_deadlines.topic_id      IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN lent_deadlines.partition     IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN lent_deadlines."offset"      IS 'Of the record''s position, as in the ledger.';
COMMENT ON COLUMN lent_deadlines.awaited_until IS 'Until when somebody waits. Deleted then.';

GRANT SELECT, INSERT, UPDATE, DELETE ON leases, circuits, lent_deadlines TO integration_service;

COMMIT;

-- A role with the least rights that the processor needs. Safe to run again.
-- Grant it to the user that the processor connects as:  GRANT integration_service TO your_user;

BEGIN;

SELECT pg_advisory_xact_lock(hashtext('integration_service schema'));

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'integration_service') THEN
        CREATE ROLE integration_service NOLOGIN;
    END IF;
END
$$;

-- PUBLIC has this right by default. If it was revoked, the role needs the right to reach the tables.
DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO integration_service', current_schema());
END
$$;

GRANT SELECT, INSERT, DELETE ON integration_service, ledger, idempotency_keys, redriven TO integration_service;

COMMIT;

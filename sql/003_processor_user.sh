#!/bin/sh
# Creates the user of .env that the processor connects as. Only for the compose file's database: its image runs or
# sources this once, after the *.sql files of this folder. Elsewhere:  GRANT integration_service TO your_user

POSTGRES_PASSWORD="$POSTGRES_PASSWORD" psql -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\getenv user PROCESSOR_USER
\getenv password POSTGRES_PASSWORD

SELECT :'user' <> 'integration_service' AS differs \gset
\if :differs
    CREATE ROLE :"user" IN ROLE integration_service;
\endif
-- A statement of its own: PostgreSQL logs statements that fail, and this one does not fail.
ALTER ROLE :"user" LOGIN PASSWORD :'password';

-- The superuser has no password any more: it can be used only from inside the container.
ALTER ROLE CURRENT_USER PASSWORD NULL;

REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
SQL

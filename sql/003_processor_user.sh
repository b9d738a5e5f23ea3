#!/bin/sh
# The user of .env, which the processor connects as. Only for the compose file's own database: its image runs or sources
# this once, after the *.sql beside it. Elsewhere:  GRANT integration_service TO your_user

POSTGRES_PASSWORD="$POSTGRES_PASSWORD" psql -X -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\getenv user PROCESSOR_USER
\getenv password POSTGRES_PASSWORD

SELECT :'user' <> 'integration_service' AS differs \gset
\if :differs
    CREATE ROLE :"user" IN ROLE integration_service;
\endif
-- By itself: PostgreSQL logs what fails, and this does not.
ALTER ROLE :"user" LOGIN PASSWORD :'password';

-- No password opens the superuser any more: it is there for who is in the container.
ALTER ROLE CURRENT_USER PASSWORD NULL;

REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
SQL

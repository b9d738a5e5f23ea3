"""The store step: what PostgreSQL knows of records, rows and idempotency keys."""

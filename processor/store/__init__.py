"""The store step: rows, finished positions and idempotency keys in PostgreSQL."""

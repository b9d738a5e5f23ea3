"""The audit: what this Kafka and this PostgreSQL cannot promise."""

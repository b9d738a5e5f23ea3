"""The local stack without Docker: Kafka, PostgreSQL, provider simulators, and the two programs, on this machine."""

"""Kafka's side of the gateway. Each part has a thread and a client of its own; librdkafka's calls may block."""

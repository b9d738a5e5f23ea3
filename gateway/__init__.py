"""The REST gateway: validates a task, produces it to the import topic, and awaits the correlated reply.

Kafka is the only thing it knows: no provider and no database.
"""

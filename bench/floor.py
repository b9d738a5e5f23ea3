"""The floor under a REST call: an echo over two topics with librdkafka, and one row committed on the way.

    python -m bench.floor      # takes the processor's environment variables, and ECHO_AFTER_MS (0)

It validates nothing and asks no provider; whoever puts Kafka and a row between a request and its answer is not quicker.
"""

import os
import signal
import time

import orjson
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.rival import NEW_ID, Settings

INSERT = f"INSERT INTO integration_service (id, data, task_type) VALUES ({NEW_ID}, '{{}}', 'phone') RETURNING id"

PATIENCE_SECONDS = 30.0


def main() -> None:
    """Echo until SIGTERM."""
    settings = Settings()
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    kafka = {"bootstrap.servers": settings.kafka_bootstrap_servers}
    producer = Producer({**kafka, "linger.ms": 0})
    consumer = Consumer({**kafka, "group.id": settings.kafka_consumer_group, "auto.offset.reset": "earliest"})
    consumer.subscribe([settings.kafka_import_topic])
    connection = settings.postgres_connection()
    connection["dbname"] = connection.pop("database")
    with psycopg.connect(**connection, autocommit=True) as postgres:
        while running:
            record = consumer.poll(0.1)
            if record is None or record.error():
                continue
            time.sleep(float(os.environ.get("ECHO_AFTER_MS", "0")) / 1000)  # in place of a provider
            [(row_id,)] = postgres.execute(INSERT).fetchall()
            value = orjson.dumps({"task_id": orjson.loads(record.value())["task_id"], "id": row_id})
            producer.produce(settings.kafka_result_topic, value)
            producer.poll(0)
    producer.flush()
    consumer.close()


class Caller:
    """Sends one record after another, each after the echo of the last, from a process of its own."""

    def __init__(self, bootstrap_servers: str, import_topic: str, result_topic: str, partitions: int) -> None:
        """Connect, and wait for a first echo."""
        kafka = {"bootstrap.servers": bootstrap_servers}
        self._import_topic = import_topic
        self._producer = Producer({**kafka, "linger.ms": 0})
        self._consumer = Consumer({**kafka, "group.id": "unused", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(result_topic, number, 0) for number in range(partitions)])
        self._echo()

    def latencies_ms(self, seconds: float) -> list[float]:
        """Return the time from each record to its echo, for as long as this."""
        latencies_ms, stop_at = [], time.perf_counter() + seconds
        while (sent_at := time.perf_counter()) < stop_at:
            self._echo()
            latencies_ms.append((time.perf_counter() - sent_at) * 1000)
        return latencies_ms

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _echo(self) -> None:
        self._producer.produce(self._import_topic, b'{"task_id":1,"task_type":"phone","data":"8 916 823 34 54"}')
        self._producer.poll(0)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while (echo := self._consumer.poll(1.0)) is None or echo.error():
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"no echo within {PATIENCE_SECONDS:g} seconds")


if __name__ == "__main__":
    main()

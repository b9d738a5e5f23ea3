"""`python -m bench.echo`: a processor of no cost. Every task's result is there at once, and is stored nowhere."""

import argparse
import uuid

import orjson
from confluent_kafka import Consumer, Producer

BATCH_MAX = 500


def main() -> None:
    """Echo until killed."""
    parser = argparse.ArgumentParser(prog="python -m bench.echo", description="Answers every task, and stores none.")
    parser.add_argument("--bootstrap-servers", default="localhost:9092", help="Kafka (default: %(default)s)")
    parser.add_argument("--import-topic", default="tasks", help="default: %(default)s")
    parser.add_argument("--result-topic", default="results", help="default: %(default)s")
    arguments = parser.parse_args()
    connection = {"bootstrap.servers": arguments.bootstrap_servers, "socket.nagle.disable": True}
    producer = Producer({**connection, "linger.ms": 1})  # results go in batches, as those do that one commit has stored
    consumer = Consumer({**connection, "group.id": f"echo-{uuid.uuid4()}", "auto.offset.reset": "latest"})
    consumer.subscribe([arguments.import_topic], on_assign=lambda *_: print("ready", flush=True))
    while True:
        first = consumer.poll(1)
        producer.poll(0)
        if first is None:
            continue
        for record in [first, *consumer.consume(BATCH_MAX - 1, 0)]:
            if record.error() is None:
                value = b'{"task_id":%d,"id":1}' % orjson.loads(record.value())["task_id"]
                producer.produce(arguments.result_topic, value, record.key(), headers=record.headers())


if __name__ == "__main__":
    main()

"""Garbage among tasks: all of it dead-lettered byte for byte, all tasks done, nothing of either told anywhere else."""

import json
import random
import time
import uuid
from collections import Counter

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition

from sandbox.child import NotReady
from tests.system.fleet import PARTITIONS, Fleet
from tests.system.services import Services, wait_for

PATIENCE_SECONDS = 120.0
BY_REST = 20


def garbage(services: Services, *, bad: int, good: int, seed: int) -> list[str]:
    """Send records of both kinds in any order, wait for what comes of them, and return what does not hold."""
    chance = random.Random(seed)
    canary = "canary" + "".join(random.Random(uuid.uuid4().int).choices("bcdfghjkmnpqrstvwxz", k=12))
    fleet = Fleet(services, f"garbage-{uuid.uuid4().hex[:8]}", latency_ms=0)
    try:
        fleet.add("processor")
        gateway = fleet.add("gateway")
        fleet.wait()
        sent = _send(fleet, chance, canary, bad, good)
        broken = [
            f"a refusal by REST repeats data: {answer.status_code}"
            for answer in _post(gateway.url, canary)
            if canary in answer.text or canary in str(answer.headers) or answer.status_code != 422
        ]
        wait_for(lambda: _lag(fleet) == 0, "lag 0", fleet.supervise, PATIENCE_SECONDS)
        broken += _judge(_read(fleet), sent, good, canary)
        for program in fleet.replicas + fleet.gateways:
            if canary in httpx.get(f"{program.url}/metrics", trust_env=False).text:
                broken.append(f"the metrics of {program.name} tell data")
        fleet.stop(*fleet.replicas, *fleet.gateways)
        broken += [f"{exit_.program} ended with code {exit_.code}" for exit_ in fleet.exits]
        broken += [f"the log {path.name} tells data" for path in fleet.logs() if canary in path.read_text()]
        return broken
    finally:
        fleet.end()


def garbage_value(chance: random.Random, canary: str, number: int) -> bytes | None:
    """Return the value of a record that is no task. All but an empty one and a tombstone hold the canary."""
    task = {"task_id": number, "task_type": "phone", "data": canary}
    kinds = [
        None,
        b"",
        canary.encode(),
        b"\xff\xfe" + canary.encode(),
        json.dumps(task).encode()[:-1],
        json.dumps([task]).encode(),
        json.dumps({**task, "task_id": canary}).encode(),
        json.dumps({**task, "task_id": number + 0.5}).encode(),
        json.dumps({**task, "task_id": 2**53 + number}).encode(),
        json.dumps({**task, "task_type": canary}).encode(),
        json.dumps({**task, "data": [canary]}).encode(),
        json.dumps({**task, "data": canary * 257}).encode(),
        json.dumps({canary: number}).encode(),
        b"[" * 5000 + canary.encode(),
        chance.randbytes(chance.randint(1, 300)) + canary.encode(),
    ]
    return chance.choice(kinds)


def _send(fleet: Fleet, chance: random.Random, canary: str, bad: int, good: int) -> dict[bytes, bytes | None]:
    """Return key -> value of the garbage."""
    producer = Producer({"bootstrap.servers": fleet.services.kafka.bootstrap_servers, "linger.ms": 20})
    numbers = [(number, number < good) for number in range(bad + good)]
    chance.shuffle(numbers)
    sent = {}
    for number, is_task in numbers:
        key, value = b"%d" % number, garbage_value(chance, canary, number)
        if is_task:
            value = json.dumps({"task_id": number, "task_type": "phone", "data": f"{canary} {number}"}).encode()
        else:
            sent[key] = value
        producer.produce(fleet.imports, value, key=key, headers=[("own", f"{canary} {number}".encode())])
        producer.poll(0)
    if producer.flush(60):
        raise NotReady("Kafka does not take the records")
    return sent


def _post(url: str, canary: str) -> list[httpx.Response]:
    bodies = [value for number in range(BY_REST) if (value := garbage_value(random.Random(number), canary, number))]
    headers = {"Content-Type": "application/json"}
    return [httpx.post(f"{url}/tasks", content=body, headers=headers, trust_env=False) for body in bodies]


def _read(fleet: Fleet) -> list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """Return (topic, key, value, headers) of all results and dead letters that there are."""
    consumer = _consumer(fleet, f"{fleet.name}-watch")
    topics = (fleet.results, fleet.dead_letters)
    partitions = [TopicPartition(topic, number, 0) for topic in topics for number in range(PARTITIONS)]
    read = []
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    try:
        records = sum(consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)
        consumer.assign(partitions)
        while len(read) < records and time.monotonic() < give_up_at:
            read += [
                (message.topic(), message.key(), message.value(), message.headers() or [])
                for message in consumer.consume(2000, 0.2)
                if message.error() is None
            ]
    finally:
        consumer.close()
    return read


def _judge(
    read: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]],
    sent: dict[bytes, bytes | None],
    good: int,
    canary: str,
) -> list[str]:
    broken = []
    letters = {key: value for _, key, value, _ in read if key in sent}
    topics = Counter(topic.rpartition("-")[2] for topic, *_ in read)
    if topics != {"results": good, "dlt": len(sent)}:
        broken.append(f"instead of {good} results and {len(sent)} dead letters came {dict(topics)}")
    if any(letters.get(key, b"missing") != value for key, value in sent.items()):
        broken.append("a dead letter is not its record byte for byte")
    for topic, key, _, headers in read:
        if headers[0] != ("own", f"{canary} {(key or b'').decode()}".encode()):
            broken.append(f"a record's own header is changed on {topic}")
        if any(canary in name or canary.encode() in (value or b"") for name, value in headers[1:]):
            broken.append(f"a header on {topic} tells data")
    return sorted(set(broken))


def _lag(fleet: Fleet) -> int:
    consumer = _consumer(fleet, fleet.group)
    try:
        committed = consumer.committed([TopicPartition(fleet.imports, n) for n in range(PARTITIONS)], timeout=10)
        ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in committed]
        return sum(end - max(0, partition.offset) for partition, end in zip(committed, ends, strict=True))
    finally:
        consumer.close()


def _consumer(fleet: Fleet, group: str) -> Consumer:
    servers = fleet.services.kafka.bootstrap_servers
    return Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False})

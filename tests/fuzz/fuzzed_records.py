"""Records of every kind on the import topic: each has exactly one correct outcome and leaks nowhere else."""

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

import httpx
import psycopg
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from processor.store.known import first_position
from sandbox.child import NotReady
from shared.messages import (
    DEAD_LETTER_HEADER_PREFIX,
    ERROR_CODE_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    ErrorCode,
    InvalidTask,
    Task,
    decode_task,
)
from tests.chaos.fleet import PARTITIONS, Fleet
from tests.chaos.run import INPUTS
from tests.chaos.services import FaultServices, wait_for
from tests.fuzz.records import Headers, Sent, record

BATCH_RECORDS = 1000
"""Records sent at once, and checked when all of them have an outcome."""

PATIENCE_SECONDS = 60.0
SHOWN = 5
"""Wrong records that are shown at most."""

GPT_ECHO_CHARACTERS = 200
"""Characters of a prompt in the simulated answer; the other task types' answers contain the whole input."""

WHY = [
    *(
        f"{DEAD_LETTER_HEADER_PREFIX}original-{what}"
        for what in ("topic", "partition", "offset", "timestamp", "topic-id")
    ),
    f"{DEAD_LETTER_HEADER_PREFIX}exception-message",
    ERROR_CODE_HEADER,
]
"""The headers that a dead letter has after those of its record."""

Position = tuple[int, int]


def fuzz_records(
    services: FaultServices, *, records: int, seed: int, progress: Callable[[int], object] = lambda done: None
) -> list[str]:
    """Send this many records, wait for their outcomes, and return the failures."""
    fleet = Fleet(services, f"records-{seed}-{time.time_ns() % 1_000_000}", latency_ms=0)
    fuzz = _Fuzz(fleet, seed)
    try:
        fleet.add("processor")
        fleet.add("gateway")
        fleet.wait()
        while fuzz.sent < records and not fuzz.broken:
            fuzz.play(min(BATCH_RECORDS, records - fuzz.sent))
            progress(fuzz.sent)
        if not fuzz.broken:
            fuzz.check_at_rest()
        return fuzz.broken
    finally:
        fuzz.close()
        fleet.end()


class _Fuzz:
    """One run: the records sent, their outcomes, and the failures found."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.sent = 0
        self.broken: list[str] = []
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._canary = canary_of(seed)
        self._tasks_of_key: defaultdict[bytes, set[tuple[str, str]]] = defaultdict(set)
        connection = {"bootstrap.servers": fleet.services.kafka.bootstrap_servers}
        self._producer = Producer({**connection, "linger.ms": 20, "message.max.bytes": 2_000_000})
        self._consumer = Consumer(
            {
                **connection,
                "group.id": f"{fleet.name}-watch",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self._outcomes = [
            TopicPartition(topic, number, 0)
            for topic in (fleet.results, fleet.dead_letters)
            for number in range(PARTITIONS)
        ]
        self._consumer.assign(self._outcomes)

    def close(self) -> None:
        self._consumer.close()

    def play(self, records: int) -> None:
        """Send a batch, wait until each record has an outcome, and check the outcomes."""
        batch = self._send([record(self._chance, self._canary) for _ in range(records)])
        outcomes = self._read(len(batch))
        self.sent += len(batch)
        for sent in batch.values():
            self._expected(sent)  # records all keys first, because they conflict in any order of reading
        expected = {position: self._expected(sent) for position, sent in batch.items()}
        letters = {_original(letter): letter for letter in outcomes if letter.topic() == self._fleet.dead_letters}
        for position, letter in letters.items():
            if position not in batch:
                self.broken.append(f"a dead letter of no record that was sent, or of one twice: {position}")
                continue
            self.broken += self._wrong_letter(batch[position], position, letter, expected)
        undead = {position: sent for position, sent in batch.items() if position not in letters}
        results = [outcome for outcome in outcomes if outcome.topic() == self._fleet.results]
        self.broken += self._wrong_results(undead, results)

    def check_at_rest(self) -> None:
        """Check the conditions that must hold after the last record."""
        fleet = self._fleet
        wait_for(lambda: self._lag() == 0, "lag 0", fleet.supervise, PATIENCE_SECONDS)
        ended = sum(self._consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in self._outcomes)
        if ended != self.sent:
            self.broken.append(f"{self.sent} records have {ended} results and dead letters")
        programs = fleet.replicas + fleet.gateways
        self.broken += [f"{program.name} is not ready" for program in programs if not program.ready()]
        self.broken += told(fleet, self._canary)

    def _send(self, records: Iterable[Sent]) -> dict[Position, Sent]:
        """Put records on any partitions, and return them by partition and offset."""
        batch: dict[Position, Sent] = {}
        refused: list[KafkaError] = []
        for sent in records:

            def note(error: KafkaError | None, message: Message, sent: Sent = sent) -> None:
                if error is not None:
                    refused.append(error)
                else:
                    batch[message.partition(), message.offset()] = sent

            self._producer.produce(
                self._fleet.imports,
                sent.value,
                key=sent.key,
                headers=sent.headers,
                timestamp=sent.timestamp or 0,
                partition=self._chance.randrange(PARTITIONS),
                on_delivery=note,
            )
            self._producer.poll(0)
        if self._producer.flush(60) or refused:
            raise NotReady(f"Kafka does not take the records: {refused[:1]}")
        return batch

    def _read(self, count: int) -> list[Message]:
        """Return `count` results and dead letters, or fewer if they do not arrive in time."""
        outcomes: list[Message] = []
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while len(outcomes) < count and time.monotonic() < give_up_at:
            self._fleet.supervise()
            outcomes += [message for message in self._consumer.consume(count, 0.1) if message.error() is None]
        return outcomes

    def _expected(self, sent: Sent) -> set[str]:
        """Return what the record may become: an error_code, or "result"."""
        task, key = _task(sent), _idempotency_key(sent)
        if task is None or (key is not None and not re.fullmatch(rb"[!-~]{1,255}", key)):
            return {ErrorCode.INVALID_TASK}
        expected: set[str] = {"result"}
        if first_position(sent.headers) is not None:
            expected.add("result")  # the result of the record with that first position
        if key is not None:
            self._tasks_of_key[key].add((task.task_type, task.data))
            if len(self._tasks_of_key[key]) > 1:
                expected.add(ErrorCode.TASK_REJECTED)
        return expected

    def _wrong_letter(
        self, sent: Sent, position: Position, letter: Message, expected: dict[Position, set[str]]
    ) -> Iterator[str]:
        headers = letter.headers() or []
        own, why = headers[: -len(WHY)], headers[-len(WHY) :]
        values = dict(why)
        if (letter.key(), letter.value(), own) != (sent.key, sent.value, sent.headers):
            yield f"a dead letter is not its record byte for byte: {sent}"
        if [name for name, _ in why] != WHY or values[WHY[0]] != self._fleet.imports.encode():
            yield f"a dead letter does not say where it is from: {sent}"
        if sent.timestamp and values[WHY[3]] != str(sent.timestamp).encode():
            yield f"a dead letter does not say when it was written: {sent}"
        if any(self._canary.encode() in (value or b"") for value in values.values()):
            yield f"a dead letter's header repeats its record: {sent}"
        if (values[ERROR_CODE_HEADER] or b"").decode() not in expected[position]:
            yield f"{values[ERROR_CODE_HEADER]!r} in place of {sorted(expected[position])}: {sent}"

    def _wrong_results(self, undead: dict[Position, Sent], results: list[Message]) -> Iterator[str]:
        """Compare records without a dead letter with the results, which do not name their records."""
        inputs: defaultdict[tuple[object, ...], Counter[str]] = defaultdict(Counter)
        sent_as: dict[tuple[object, ...], Sent] = {}
        for sent in undead.values():
            task = _task(sent)
            if task is None:
                yield f"a record that is no task has no dead letter: {sent}"
                continue
            what = (sent.key, tuple(sent.headers), task.task_id)
            characters = GPT_ECHO_CHARACTERS if task.task_type == "gpt" else None
            inputs[what][task.data[:characters]] += 1
            sent_as[what] = sent
        stored = self._stored([json.loads(result.value())["id"] for result in results])
        found: defaultdict[tuple[object, ...], Counter[str | None]] = defaultdict(Counter)
        for result in results:
            value = json.loads(result.value())
            what = (result.key(), tuple(result.headers() or []), value["task_id"])
            found[what][stored.get(value["id"])] += 1
            if value.keys() != {"task_id", "id"} or what not in inputs:
                yield f"a result of no record that was sent: {value.keys()}, {result.headers()}"
        for what, expected in inputs.items():
            sent = sent_as[what]
            if found[what].total() != expected.total():
                yield f"{expected.total()} records like this have {found[what].total()} results: {sent}"
            elif None in found[what]:
                yield f"a result has no row: {sent}"
            elif found[what] != expected and not _may_share_a_row(sent):
                yield f"a result's row is another record's: {sent}"

    def _stored(self, ids: list[int]) -> dict[int, str]:
        with psycopg.connect(self._fleet.conninfo) as connection:
            return dict(connection.execute(f"{INPUTS} WHERE id = ANY(%s)", [ids]).fetchall())

    def _lag(self) -> int:
        servers = self._fleet.services.kafka.bootstrap_servers
        consumer = Consumer({"bootstrap.servers": servers, "group.id": self._fleet.group, "enable.auto.commit": False})
        try:
            committed = consumer.committed(
                [TopicPartition(self._fleet.imports, number) for number in range(PARTITIONS)], timeout=10
            )
            ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in committed]
            return sum(end - max(0, partition.offset) for partition, end in zip(committed, ends, strict=True))
        finally:
            consumer.close()


def canary_of(seed: int) -> str:
    """Return a word that appears nowhere else. Letters only: digits would become part of a phone number."""
    return "canary" + "".join(random.Random(f"canary {seed}").choices("bcdfghjkmnpqrstvwxz", k=12))


def told(fleet: Fleet, *secrets: str) -> Iterator[str]:
    """Stop the programs, and yield leaks of secrets in metrics or logs, wrong exit codes, and logged errors."""
    programs = fleet.replicas + fleet.gateways
    for program in programs:
        metrics = httpx.get(f"{program.url}/metrics", trust_env=False).text
        if any(secret in metrics for secret in secrets):
            yield f"the metrics of {program.name} tell data"
    fleet.stop(*programs)
    yield from (f"{exit_.program} ended with code {exit_.code}" for exit_ in fleet.exits)
    for path in fleet.logs():
        lines = [
            line for line in path.read_text(errors="replace").splitlines() if any(part in line for part in secrets)
        ]
        if lines:
            yield f"the log {path.name} tells data, {len(lines)} times: {lines[0][:500]}"
    for program in programs:
        for line in program.log.read_text().splitlines():
            if json.loads(line)["level"] in ("error", "critical"):
                yield f"{program.name} has logged an error: {line[:2000]}"


def _task(sent: Sent) -> Task | None:
    try:
        return decode_task(sent.value)
    except InvalidTask:
        return None


def _idempotency_key(sent: Sent) -> bytes | None:
    """Return the last of the record's idempotency keys; b"" if the header has no value."""
    return next((value or b"" for name, value in reversed(sent.headers) if name == IDEMPOTENCY_KEY_HEADER), None)


def _may_share_a_row(sent: Sent) -> bool:
    return _idempotency_key(sent) is not None or first_position(sent.headers) is not None


def _original(letter: Message) -> Position:
    headers: Headers = letter.headers() or []
    values = dict(headers[-len(WHY) :])
    return int(values[WHY[1]] or b""), int(values[WHY[2]] or b"")

"""Puts dead letters back on the import topic, each once.

After a crash between Kafka's acknowledgement and the entry in PostgreSQL a batch is put back again. That is harmless: a
record that was put back keeps its first position, and one position is one row with one id.
"""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processor.record import Position
from processor.redrive.letters import DeadLetter, DeadLetters, TopicNow, dead_letter_of
from processor.redrive.put_back import Redriven
from processor.settings import ProcessorSettings
from processor.store.known import first_position, redriven_from
from processor.topics import RECORD_BYTES_MAX
from shared.kafka_trouble import ABOUT_THE_RECORD
from shared.messages import ErrorCode

BATCH_LETTERS_MAX = 500
"""Dead letters produced before they are entered in PostgreSQL. A crash puts at most so many back again."""

BATCH_BYTES_MAX = 16 * 1024 * 1024

DELIVERY_SECONDS = 30.0
"""How long Kafka may take to acknowledge a batch."""


@dataclass(frozen=True)
class Wanted:
    """Selects the dead letters to put back.

    Args:
        code: only those with this error_code; if None, those whose cause may pass.
        since: only those written at that time or later, in milliseconds since 1970.
        count_max: at most so many.
        dry_run: put none back, only count.
    """

    code: ErrorCode | None = None
    since: int | None = None
    count_max: int | None = None
    dry_run: bool = False


@dataclass
class Report:
    """Counts the dead letters by what happened to them. Pure.

    Args:
        dry_run: whether `put_back` counts what would have been put back.
        put_back: error_code -> number.
        skipped: (error_code, reason) -> number. Without a code, this service has not written them.
    """

    dry_run: bool = False
    put_back: Counter[ErrorCode] = field(default_factory=Counter)
    skipped: Counter[tuple[ErrorCode | None, str]] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return the summary line."""
        return f"{_counted(self.put_back, self.verb)}, {_counted(self.skipped_by_reason(), 'skipped')}"

    @property
    def verb(self) -> str:
        """The verb of the summary line."""
        return "would be put back" if self.dry_run else "put back"

    @property
    def examined(self) -> int:
        """Number of dead letters that were examined."""
        return self.put_back.total() + self.skipped.total()

    def codes(self) -> list[ErrorCode | None]:
        """Return the error codes that were found, in the order of the documents."""
        seen = {*self.put_back, *(code for code, _ in self.skipped)}
        return [code for code in (*ErrorCode, None) if code in seen]

    def skipped_by_reason(self, *codes: ErrorCode | None) -> Counter[str]:
        """Return the skipped dead letters with these codes, or all of them: reason -> number."""
        reasons: Counter[str] = Counter()
        for (code, why), count in self.skipped.items():
            if not codes or code in codes:
                reasons[why] += count
        return reasons


class NotPutBack(Exception):
    """Redrive cannot go on. The message is one line for a person."""


class Redrive:
    """Goes once over the dead letters that are there now. Blocks."""

    def __init__(
        self,
        settings: ProcessorSettings,
        wanted: Wanted,
        remembered: Redriven,
        report: Report,
        *,
        advance: Callable[[int, int], Any],
        stopped: Callable[[], bool],
    ) -> None:
        """Store the parameters; nothing is requested yet.

        Args:
            settings: the processor's.
            wanted: which dead letters to put back.
            remembered: those that were put back before.
            report: is filled in.
            advance: called with the number of examined dead letters and their total.
            stopped: returns whether to stop early.
        """
        self._settings = settings
        self._wanted = wanted
        self._remembered = remembered
        self._report = report
        self._advance = advance
        self._stopped = stopped
        self._kafka = DeadLetters(settings.kafka_connection(), settings.consumer_group())
        self._producer = Producer(
            {
                **settings.kafka_connection(),
                "enable.idempotence": True,
                "acks": "all",
                "message.max.bytes": RECORD_BYTES_MAX,
                "compression.type": "zstd",  # the original producer may have compressed them as well
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                # Below most topics' max.message.bytes: one record that is too large fails the others of its batch.
                "batch.size": 64 * 1024,
                "linger.ms": 5,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._done: set[Position] = set()

    def run(self) -> None:
        """Put them back. What was put back before a failure is entered in PostgreSQL.

        Raises:
            NotPutBack: another redrive is running, or Kafka does not accept a record.
            KafkaSilent: Kafka does not answer.
            NotRemembered: PostgreSQL does not answer.
        """
        if not self._remembered.lock(self._settings.kafka_dead_letter_topic):
            raise NotPutBack("another redrive is at work")
        rights = [] if self._wanted.dry_run else ["WRITE"]
        self._import = self._kafka.topic(self._settings.kafka_import_topic, *rights)
        letters = self._kafka.topic(self._settings.kafka_dead_letter_topic, "READ")
        if not self._wanted.dry_run:
            self._prune(letters)
        self._read(letters)

    def _prune(self, letters: TopicNow) -> None:
        for number, (first, _) in letters.bounds.items():
            self._remembered.prune(letters.id, number, first)
        if others := self._remembered.topic_ids() - {letters.id}:
            self._remembered.forget(others - self._kafka.topic_ids())

    def _read(self, topic: TopicNow) -> None:
        total = sum(end - first for first, end in topic.bounds.values())
        seen = 0
        batch: list[DeadLetter] = []
        size = 0
        for message in self._kafka.read(topic):
            if self._stopped():
                break
            if message is None:
                continue
            seen += 1
            self._advance(seen, total)
            letter = self._choose(message, topic)
            if letter is None:
                continue
            batch.append(letter)
            size += len(letter.value or b"") + len(letter.key or b"")
            if len(batch) >= min(BATCH_LETTERS_MAX, self._left()) or size >= BATCH_BYTES_MAX:
                self._put_back(batch)
                batch, size = [], 0
                if self._left() <= 0:
                    return
        if batch:
            self._put_back(batch)

    def _left(self) -> int:
        count_max = self._wanted.count_max
        return sys.maxsize if count_max is None else count_max - self._report.put_back.total()

    def _choose(self, message: Message, topic: TopicNow) -> DeadLetter | None:
        letter = dead_letter_of(message, topic)
        if letter is None:
            self._report.skipped[None, "not this service's"] += 1
        elif self._wanted.code is None and not letter.original.code.may_pass:
            self._skip([letter], f"only with --reason {letter.original.code}")
        elif self._wanted.code not in (None, letter.original.code):
            self._skip([letter], "other error_code")
        elif self._wanted.since is not None and message.timestamp()[1] < self._wanted.since:
            self._skip([letter], "older")
        else:
            return letter
        return None

    def _skip(self, letters: Iterable[DeadLetter], why: str) -> None:
        for letter in letters:
            self._report.skipped[letter.original.code, why] += 1

    def _put_back(self, batch: list[DeadLetter]) -> None:
        known = self._remembered.known([letter.position for letter in batch])
        self._skip((letter for letter in batch if letter.position in known), "put back before")
        batch = [letter for letter in batch if letter.position not in known]
        # A crash of a processor can leave two dead letters of one record, with the same identity: one goes back.
        by_identity: dict[Position, list[DeadLetter]] = {}
        for letter in batch:
            by_identity.setdefault(letter.identity, []).append(letter)
        entered = [letter for identity in by_identity.keys() & self._done for letter in by_identity.pop(identity)]
        self._skip([*entered, *(letter for letters in by_identity.values() for letter in letters[1:])], "repeated")
        if self._wanted.dry_run:
            for letters in by_identity.values():
                self._report.put_back[letters[0].original.code] += 1
            self._done.update(by_identity)
            return
        failed = self._produce(by_identity)
        for identity in by_identity.keys() - failed.keys():
            self._done.add(identity)
            entered += by_identity[identity]
            self._report.put_back[by_identity[identity][0].original.code] += 1
        self._remembered.enter([letter.position for letter in entered])
        for identity, error in failed.items():
            if error.name() not in ABOUT_THE_RECORD:
                raise NotPutBack(f"Kafka does not accept records: {error.str()}")
            why = f"refused by the import topic: {ABOUT_THE_RECORD[error.name()]}"
            self._skip(by_identity[identity][:1], why)

    def _produce(self, by_identity: dict[Position, list[DeadLetter]]) -> dict[Position, KafkaError]:
        """Produce the first dead letter of each identity. Returns the identities that Kafka has not acknowledged."""
        letters = {identity: letters[0] for identity, letters in by_identity.items()}
        failed = self._produce_together(letters)
        # Kafka refuses whole batches: for one record of them, or because they are too large together.
        for identity, error in list(failed.items()):
            if error.name() in (*ABOUT_THE_RECORD, "_INVALID_DIFFERENT_RECORD"):
                del failed[identity]
                failed |= self._produce_together({identity: letters[identity]})
        return failed

    def _produce_together(self, letters: dict[Position, DeadLetter]) -> dict[Position, KafkaError]:
        failed = dict.fromkeys(letters, KafkaError(KafkaError._TIMED_OUT))  # until Kafka answers

        def delivered(identity: Position, error: KafkaError | None, _: Any = None) -> None:
            if error is None:
                failed.pop(identity, None)
            else:
                failed[identity] = error

        for identity, letter in letters.items():
            what = letter.original
            headers = [*what.headers]
            if first_position(headers) is None:
                headers.append(redriven_from(identity))
            # Back to the partition that the record's producer chose, if it was one of this topic.
            same_topic = what.topic == self._import.name and what.partition in self._import.bounds
            try:
                self._producer.produce(
                    self._import.name,
                    letter.value,
                    letter.key,
                    what.partition if same_topic else -1,
                    headers=headers,
                    on_delivery=partial(delivered, identity),
                )
            except KafkaException as error:  # larger than the producer's own limit
                delivered(identity, error.args[0])
            self._producer.poll(0)
        self._producer.flush(DELIVERY_SECONDS + 5)
        return failed


def listed(counts: Counter[Any]) -> str:
    """Return the numbers and their names, the largest first."""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common() if count)


def _counted(counts: Counter[Any], verb: str) -> str:
    return f"{counts.total()} {verb}" + (f" ({listed(counts)})" if counts.total() else "")

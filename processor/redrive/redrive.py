"""Puts dead letters back on the import topic, each once.

A crash between Kafka's acknowledgement and the note in PostgreSQL puts a batch back again. That is harmless: a record
that was put back keeps its first position, and one position is one row with one id.
"""

import logging
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
"""Dead letters that are put back before they are noted; a crash puts so many back again."""

BATCH_BYTES_MAX = 16 * 1024 * 1024

DELIVERY_SECONDS = 30.0
"""How long Kafka may take to acknowledge a batch."""


@dataclass(frozen=True)
class Wanted:
    """Selects the dead letters to put back.

    Args:
        code: only those with this error_code.
        since: only those written then or later, in milliseconds since 1970.
        count_max: so many at most.
        dry_run: none; only say how many it would be.
    """

    code: ErrorCode | None = None
    since: int | None = None
    count_max: int | None = None
    dry_run: bool = False


@dataclass
class Report:
    """Counts the dead letters by what happened to them. Pure.

    Args:
        dry_run: whether those that were put back only would have been.
        put_back: error_code -> how many.
        skipped: error_code and why -> how many. Without a code they are none of this service's.
    """

    dry_run: bool = False
    put_back: Counter[ErrorCode] = field(default_factory=Counter)
    skipped: Counter[tuple[ErrorCode | None, str]] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return the one line that a person reads at the end."""
        return f"{_counted(self.put_back, self.verb)}, {_counted(self.why_skipped(), 'skipped')}"

    @property
    def verb(self) -> str:
        """The verb of the summary line."""
        return "would be put back" if self.dry_run else "put back"

    @property
    def looked_at(self) -> int:
        """Number of dead letters that were examined."""
        return self.put_back.total() + self.skipped.total()

    def codes(self) -> list[ErrorCode | None]:
        """Return the error codes of those that were looked at, in the order of the documents."""
        seen = {*self.put_back, *(code for code, _ in self.skipped)}
        return [code for code in (*ErrorCode, None) if code in seen]

    def why_skipped(self, *codes: ErrorCode | None) -> Counter[str]:
        """Return why dead letters with these codes were skipped, or all of them: reason -> how many."""
        reasons: Counter[str] = Counter()
        for (code, why), count in self.skipped.items():
            if not codes or code in codes:
                reasons[why] += count
        return reasons


class NotPutBack(Exception):
    """It cannot go on. The message is one line for a person."""


class Redrive:
    """Goes once over the dead letters that are there. Blocks."""

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
        """Store what to do; nothing is requested yet.

        Args:
            settings: of the processor.
            wanted: which dead letters.
            remembered: which were put back before.
            report: is filled in.
            advance: is told how many dead letters of how many were looked at.
            stopped: asked again and again whether to stop early.
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
                "compression.type": "zstd",  # as small as their own producers may have made them
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                # Below most topics' max.message.bytes, or one record that is too large fails others with it.
                "batch.size": 64 * 1024,
                "linger.ms": 5,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._done: set[Position] = set()

    def run(self) -> None:
        """Put them back. What was put back before a failure is noted.

        Raises:
            NotPutBack: somebody else is at it, or Kafka does not take a record.
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
        """Return how many more may be put back."""
        count_max = self._wanted.count_max
        return sys.maxsize if count_max is None else count_max - self._report.put_back.total()

    def _choose(self, message: Message, topic: TopicNow) -> DeadLetter | None:
        letter = dead_letter_of(message, topic)
        if letter is None:
            self._report.skipped[None, "not this service's"] += 1
        elif self._wanted.code is not None and letter.original.code != self._wanted.code:
            self._skip([letter], "of another reason")
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
        # A crash of a processor can leave a record's dead letter twice: both have its identity, and one goes back.
        by_identity: dict[Position, list[DeadLetter]] = {}
        for letter in batch:
            by_identity.setdefault(letter.identity, []).append(letter)
        noted = [letter for identity in by_identity.keys() & self._done for letter in by_identity.pop(identity)]
        self._skip([*noted, *(letter for letters in by_identity.values() for letter in letters[1:])], "repeated")
        if self._wanted.dry_run:
            for letters in by_identity.values():
                self._report.put_back[letters[0].original.code] += 1
            self._done.update(by_identity)
            return
        failed = self._produce(by_identity)
        for identity in by_identity.keys() - failed.keys():
            self._done.add(identity)
            noted += by_identity[identity]
            self._report.put_back[by_identity[identity][0].original.code] += 1
        self._remembered.enter([letter.position for letter in noted])
        for identity, error in failed.items():
            if error.name() not in ABOUT_THE_RECORD:
                raise NotPutBack(f"Kafka does not take records: {error.str()}")
            self._skip(by_identity[identity][:1], f"refused by the import topic: {error.name()}")

    def _produce(self, by_identity: dict[Position, list[DeadLetter]]) -> dict[Position, KafkaError]:
        """Produce the first dead letter of each identity. Returns those that Kafka has not acknowledged, and why."""
        letters = {identity: letters[0] for identity, letters in by_identity.items()}
        failed = self._produce_together(letters)
        # Kafka refuses whole batches: for one record of them, or as they are too large together.
        for identity, error in list(failed.items()):
            if error.name() in (*ABOUT_THE_RECORD, "_INVALID_DIFFERENT_RECORD"):
                del failed[identity]
                failed |= self._produce_together({identity: letters[identity]})
        return failed

    def _produce_together(self, letters: dict[Position, DeadLetter]) -> dict[Position, KafkaError]:
        silent = KafkaError(KafkaError._TIMED_OUT)
        failed = dict.fromkeys(letters, silent)
        news: deque[tuple[Position, KafkaError | None]] = deque()
        for identity, letter in letters.items():
            what = letter.original
            headers = [*what.headers]
            if first_position(headers) is None:
                headers.append(redriven_from(identity))
            # To the partition that the record's producer chose, where that is this topic's.
            same_topic = what.topic == self._import.name and what.partition in self._import.bounds
            try:
                self._producer.produce(
                    self._import.name,
                    letter.value,
                    letter.key,
                    what.partition if same_topic else -1,
                    headers=headers,
                    on_delivery=lambda error, _, identity=identity: news.append((identity, error)),
                )
            except KafkaException as error:  # larger than the producer's own limit
                news.append((identity, error.args[0]))
            self._producer.poll(0)
        self._producer.flush(DELIVERY_SECONDS + 5)
        for identity, delivery_error in news:
            if delivery_error is None:
                del failed[identity]
            else:
                failed[identity] = delivery_error
        return failed


def listed(counts: Counter[Any], between: str = ", ") -> str:
    """Return how many there are of what, the most first."""
    return between.join(f"{count} {name}" for name, count in counts.most_common() if count)


def _counted(counts: Counter[Any], verb: str) -> str:
    return f"{counts.total()} {verb}" + (f" ({listed(counts)})" if counts.total() else "")

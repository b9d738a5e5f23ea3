"""Random records, valid and malformed, such as any producer may put on the import topic.

They are tasks changed at every level: the record (key, headers, timestamp), the bytes, the JSON, its fields. `chance`
is a `random.Random`: a seeded one for many records, or hypothesis' own, which shrinks failing examples. Generated
texts contain the canary, which must then appear nowhere but in the record itself.
"""

import json
import random
import uuid
from typing import NamedTuple

from shared.messages import (
    AWAITED_UNTIL_HEADER,
    CORRELATION_ID_HEADER,
    DEAD_LETTER_HEADER_PREFIX,
    ERROR_CODE_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    REDRIVEN_FROM_HEADER,
    REQUEST_ID_HEADER,
    TASK_DATA,
    TASK_ID_MAX,
    TASK_TYPES,
    ErrorCode,
)

RECORD_BYTES_MAX = 1_048_588
"""Kafka's default of message.max.bytes."""

ONE_OF = 500
"""One record in this many is near Kafka's limit."""

HEADERS_MAX = 100_000 - 7
"""librdkafka shows no headers of a record with more than 100,000. A dead letter has seven more than its record."""

FRAMING_BYTES = 120
"""Upper bound of the bytes that Kafka adds to one record without headers."""

SHOWN_BYTES = 200
"""Bytes of a value, a key or a header that are printed."""

SHOWN_HEADERS = 8

TIMESTAMPS_MS = [1, 2**31, 10**12, 1_700_000_000_000]
"""From 1970 to some years ago: Kafka refuses timestamps more than an hour ahead."""

Headers = list[tuple[str, bytes | None]]


class Sent(NamedTuple):
    """A record as it is sent. Without a timestamp it gets the current time."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = []  # noqa: RUF012 - never changed
    timestamp: int | None = None

    def __str__(self) -> str:
        """Return it in a short, readable form, however large it is."""
        headers = [f"{name[:SHOWN_BYTES]!r}: {_shown(value)}" for name, value in self.headers[:SHOWN_HEADERS]]
        if len(self.headers) > SHOWN_HEADERS:
            headers.append(f"... of {len(self.headers)}")
        return f"{_shown(self.value)}, key {_shown(self.key)}, headers {{{', '.join(headers)}}}, at {self.timestamp}"


def _shown(value: bytes | None) -> str:
    if value is None or len(value) <= SHOWN_BYTES:
        return repr(value)
    return f"{value[:SHOWN_BYTES]!r}... of {len(value)} bytes"


def record(chance: random.Random, canary: str) -> Sent:
    """Return a record of any kind, a task or not, no larger than Kafka accepts."""
    if chance.randrange(ONE_OF) == ONE_OF - 1:
        return large_record(chance, canary)
    return Sent(
        value(chance, canary), key(chance, canary), headers(chance, canary), chance.choice([None, *TIMESTAMPS_MS])
    )


def key(chance: random.Random, canary: str) -> bytes | None:
    """Return a key: None, an empty one, or any bytes."""
    return chance.choice([None, b"", b"\x00", b"\xff\xfe", f"{canary} key".encode(), _bytes(chance, 12)])


# Values ---------------------------------------------------------------------------------------------------------------


def value(chance: random.Random, canary: str) -> bytes | None:
    """Return a task, a task that is broken at one or more levels, or something that is not a task."""
    return chance.choice([task, task, broken_task, broken_task, no_task])(chance, canary)


def task(chance: random.Random, canary: str) -> bytes:
    """Return a valid task in any spelling."""
    space = _space(chance)
    fields = [
        f'"task_id"{space}:{_task_id(chance)}',
        f'"task_type":{space}"{chance.choice(TASK_TYPES)}"',
        f'"data":{_data(chance, canary)}',
        *(f'"{_name(chance, canary)}":{_valid_json(chance, canary)}' for _ in range(chance.randrange(3))),
    ]
    chance.shuffle(fields)
    return f"{space}{{{f'{space},'.join(fields)}{space}}}{space}".encode()


def broken_task(chance: random.Random, canary: str) -> bytes:
    """Return a task with fields missing, repeated or added, or with changed bytes; it is rarely still a task."""
    fields = [f'"task_id":{_task_id(chance)}', '"task_type":"phone"', f'"data":{_data(chance, canary)}']
    for _ in range(chance.randrange(3)):
        fields.pop(chance.randrange(len(fields)))
    for _ in range(chance.randrange(3)):
        name = chance.choice(["task_id", "task_type", "data", "t\\u0061sk_id", "Data", "task"])
        other = chance.choice([_valid_json, _invalid_json])(chance, canary)
        fields.insert(chance.randint(0, len(fields)), f'"{name}":{other}')
    return _changed(chance, f"{{{','.join(fields)}}}".encode())


def no_task(chance: random.Random, canary: str) -> bytes | None:
    """Return something that is not a task."""
    return chance.choice(
        [
            *(None, b"", b" ", b"\xef\xbb\xbf", b"null", b"[]", b"{}", canary.encode()),
            _valid_json(chance, canary).encode(),
            _invalid_json(chance, canary).encode(),
            _bytes(chance, 40) + canary.encode(),
        ]
    )


def _task_id(chance: random.Random) -> int:
    return chance.choice([0, 1, -1, TASK_ID_MAX, -TASK_ID_MAX, chance.randint(-TASK_ID_MAX, TASK_ID_MAX)])


def _data(chance: random.Random, canary: str) -> str:
    """Return a JSON string, quotes included, that is valid data for any task type."""
    ranges = [(0x20, 0x7E), (1, 0x1F), (0x7F, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    text = canary + "".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(chance.randrange(6)))
    if chance.randrange(8) == 7:
        text = (text + chance.choice("xя😀\x7f") * 256)[:256]
    return json.dumps(text, ensure_ascii=chance.choice([True, False]))


def _name(chance: random.Random, canary: str) -> str:
    return chance.choice([canary, "", "task_id ", "TASK_ID", "id", "__proto__", "\\u0000"])


def _space(chance: random.Random) -> str:
    return chance.choice(["", "", " ", "\n", "\r\n\t "])


def _valid_json(chance: random.Random, canary: str) -> str:
    """Return JSON of any type: at limits, nested, with needless escapes."""
    return chance.choice(
        [
            *("null", "true", "false", "0", "-0", "1.0", "1.5", "1e3", "-1e-400"),
            *(str(2**53), str(-(2**53)), str(2**64), f"1.{'0' * 400}"),
            *(f'"{canary}"', '""', '" "', '"\\ud83d\\ude00"', '"\\u0000"', '"phone"', '"gpt"', '"ph\\u006fne"'),
            *(f'"{canary * 60}"', f'"{"я" * 257}"', f'"{"x" * 100_001}"', '"PHONE"', '"phone\\u0000"'),
            *("[]", "{}", f'["{canary}"]', f'{{"{canary}":"{canary}"}}', '{"a":1,"a":2}', "[" * 100 + "]" * 100),
        ]
    )


def _invalid_json(chance: random.Random, canary: str) -> str:
    """Return text that looks like JSON, or JSON that exceeds what most parsers accept."""
    return chance.choice(
        [
            *("01", "+1", "0x10", ".5", "1E400", "NaN", "Infinity", "-Infinity", "9" * 5000),
            *("'x'", '"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"\\', '"\x00"', '"\n"', f'"{canary}'),
            *("[1,]", "{,}", "[" * 100, "[" * 5000 + "]" * 5000, '{"a":' * 300 + "1" + "}" * 300),
            *("/* */ 1", "undefined", f"{canary}", "1 2"),
        ]
    )


def _changed(chance: random.Random, task: bytes) -> bytes:
    """Return the bytes; half of the time they are cut, mixed with other bytes, or wrapped."""
    at = chance.randint(0, len(task))
    inserted = chance.choice([b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8"])
    codec = chance.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"])
    changed = [
        task[:at],
        task[at:],
        task[:at] + inserted + task[at:],
        task.decode().encode(codec),
        task + chance.choice([b"}", b"\x00", b"\n{}", b"//", b" " * 5000]),
        b"[%b]" % task,
        json.dumps(task.decode()).encode(),
        b"\x00\x00\x00\x00\x01" + task,  # the prefix for a schema registry
    ]
    return chance.choice([*changed, *[task] * len(changed)])


def _bytes(chance: random.Random, bytes_max: int) -> bytes:
    return bytes(chance.randrange(256) for _ in range(chance.randint(0, bytes_max)))


# Headers --------------------------------------------------------------------------------------------------------------


def headers(chance: random.Random, canary: str) -> Headers:
    """Return headers: none, several, repeated, empty, binary, and the service's own with valid and invalid values."""
    return [chance.choice([_own_header, _foreign_header])(chance, canary) for _ in range(chance.randrange(6))]


def _foreign_header(chance: random.Random, canary: str) -> tuple[str, bytes | None]:
    return chance.choice(["own", "", "имя", "x" * 300, canary, "Idempotency-Key", "a\nb"]), _junk(chance, canary)


def _junk(chance: random.Random, canary: str) -> bytes | None:
    return chance.choice([None, b"", b"\x00", b"\xff\xfe", b"\n", b"x" * 2000, canary.encode(), _bytes(chance, 8)])


def _own_header(chance: random.Random, canary: str) -> tuple[str, bytes | None]:
    position = [
        chance.choice(["A" * 22, "a/b", canary, "x" * 64, "x" * 65, _uuid(chance)]),
        chance.choice(["0", "7", "007", str(2**31 - 1), str(2**31), "-1", "٣"]),
        chance.choice(["0", "1", str(2**63 - 1), str(2**63), "1e3", ""]),
    ]
    good = {
        CORRELATION_ID_HEADER: [_uuid(chance), "01a208a4-51f7-7b5c-9d3e-6f0c8f4a2b11", _uuid(chance).upper()],
        AWAITED_UNTIL_HEADER: ["1700000000000", "32503680000000", "9" * 18, "9" * 5000, "0", "-1", "1e3", "٣", canary],
        IDEMPOTENCY_KEY_HEADER: [f"{canary}{chance.randrange(3)}", f"{canary}/{_uuid(chance)}", "k" * 255, "k" * 256],
        REDRIVEN_FROM_HEADER: ["/".join(position)],
        ERROR_CODE_HEADER: [*ErrorCode, "of another service"],
        REQUEST_ID_HEADER: [f"{canary}-order", "x" * 129],
        "traceparent": [f"00-{'0af7651916cd43dd' * 2}-b7ad6b7169203331-01", f"00-{'0' * 32}-{'0' * 16}-00"],
        "tracestate": [f"a={canary}", "a=1," * 200],
        f"{DEAD_LETTER_HEADER_PREFIX}original-topic": ["tasks", canary],
        f"{DEAD_LETTER_HEADER_PREFIX}original-partition": ["0", "-1"],
        f"{DEAD_LETTER_HEADER_PREFIX}original-offset": ["0", "1e3"],
        f"{DEAD_LETTER_HEADER_PREFIX}original-timestamp": ["1700000000000", canary],
        f"{DEAD_LETTER_HEADER_PREFIX}exception-message": ["why", canary],
    }
    name = chance.choice(list(good))
    return name, chance.choice([chance.choice(good[name]).encode(), _junk(chance, canary)])


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128)))


# Large records --------------------------------------------------------------------------------------------------------


def large_record(chance: random.Random, canary: str) -> Sent:
    """Return a record near Kafka's limit because of its value, its key, one header, or very many headers."""
    task = json.dumps({"task_id": 7, "task_type": "gpt", "data": f"{canary} large"}).encode()
    room = RECORD_BYTES_MAX - FRAMING_BYTES - len(task) - chance.choice([0, 0, chance.randrange(500_000)])
    filling = canary.encode() + b"x" * (room - len(canary))
    data = canary + "я" * (TASK_DATA["gpt"].characters_max - len(canary))
    return chance.choice(
        [
            Sent(task + b" " * room),
            Sent(json.dumps({"task_id": 8, "task_type": "gpt", "data": data}).encode()),
            Sent(filling),
            Sent(task, key=filling),
            Sent(task, headers=[("own", filling)]),
            Sent(task, headers=[("h", None)] * HEADERS_MAX),
            Sent(task, headers=[("own", b"12345")] * (room // 12)),
            Sent(filling[: -4 * HEADERS_MAX], headers=[("", b"")] * HEADERS_MAX),
        ]
    )

"""Commit metadata: the records beyond a committed offset that are finished or still running.

Kafka keeps a string beside every committed offset, for the consumer's own use. Without it, the partition's next owner
would process the records again that are finished beyond an unfinished one.
"""

import base64
import json
import operator
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

METADATA_CHARACTERS_MAX = 4096
"""Kafka's default of offset.metadata.max.bytes. Records that do not fit are left out and will be processed again."""

_VERSION = 1

_DISTANCES_BYTES_MAX = 4 * 1024 * 1024
"""Limit of the unpacked size, more than all records in flight need. Text from others may unpack to any size."""

_OFFSET_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """Every record below `finished_below` is finished except `unfinished`, which rises from the committed offset.

    `in_hand` are the unfinished records that an owner was still processing when it gave the partition up. `topic` is
    Kafka's id of the cluster and of the topic; None if an earlier version has committed.
    """

    topic: tuple[str, str] | None
    finished_below: int
    unfinished: tuple[int, ...]
    in_hand: tuple[int, ...]


def encode(
    committed: int,
    *,
    finished_below: int,
    unfinished: Iterable[int],
    in_hand: Iterable[int],
    topic: tuple[str, str],
) -> str:
    """Return the string to commit beside the offset `committed`; never longer than Kafka accepts."""
    holes = list(unfinished)
    held = sorted(in_hand)
    while True:
        fields = {
            "v": _VERSION,
            "topic": topic,
            "finished": _pack(committed, finished_below, holes),
            "hand": _pack(committed, committed, held),
            "by": "",  # for earlier versions, which reject metadata without these two
            "note": {},
        }
        text = json.dumps(fields, separators=(",", ":"))
        if len(text) <= METADATA_CHARACTERS_MAX:
            return text
        held = held[: len(held) // 2]
        if holes:  # leave the upper half out
            middle = len(holes) // 2
            finished_below, holes = holes[middle], holes[:middle]


def decode(text: str | None, committed: int) -> CommitMetadata | None:
    """Read the metadata committed beside the offset; None if this operator has not written it.

    Anyone who may commit for the group may have left any text here.
    """
    if not text or len(text) > METADATA_CHARACTERS_MAX:
        return None
    try:
        fields = json.loads(text)
        if fields["v"] != _VERSION:
            return None
        finished_below, *unfinished = _unpack(committed, fields["finished"])
        _, *in_hand = _unpack(committed, fields["hand"])
        topic = None
        if "topic" in fields:
            cluster_id, topic_id = map(str, fields["topic"])
            topic = cluster_id, topic_id
        return CommitMetadata(topic, finished_below, tuple(unfinished), tuple(in_hand))
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error):
        return None


def _pack(committed: int, finished_below: int, unfinished: list[int]) -> str:
    """Pack the distance from each number to the next: mostly ones or runs of the same, which zlib compresses well."""
    numbers = [finished_below - committed, *map(operator.sub, unfinished, [committed, *unfinished])]
    # Thousands of them for each partition every second: small ones are their own varint and need no loop.
    distances = bytes(numbers) if max(numbers) < 0x80 else b"".join(map(_varint, numbers))
    return base64.b85encode(zlib.compress(distances, 6)).decode()


def _unpack(committed: int, packed: str) -> list[int]:
    unpacking = zlib.decompressobj()
    distances = unpacking.decompress(base64.b85decode(packed), _DISTANCES_BYTES_MAX)
    if not unpacking.eof:
        raise ValueError("cut, or longer than what is ever packed")
    numbers = []
    number = shift = 0
    for byte in distances:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
        elif shift > 63:
            raise ValueError("a number that is no offset")
    finished_below, *steps = numbers
    offsets = [committed + finished_below]
    last = committed
    for step in steps:
        last += step
        offsets.append(last)
    if shift or 0 in steps[1:] or max(offsets) > _OFFSET_MAX:
        raise ValueError("no offsets that rise")
    return offsets


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

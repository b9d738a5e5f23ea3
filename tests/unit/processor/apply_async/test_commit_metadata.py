"""Metadata committed with an offset: it is read back unchanged, fits into Kafka, and never claims too much."""

import base64
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.apply_async.commit_metadata import METADATA_CHARACTERS_MAX, CommitMetadata, decode, encode


def write(committed, finished_below, unfinished=(), in_hand=()):
    return encode(
        committed, finished_below=finished_below, unfinished=unfinished, in_hand=in_hand, topic=("cluster", "id")
    )


@settings(deadline=None)
@given(
    st.integers(0, 2**62),
    st.sets(st.integers(0, 10_000), max_size=300).map(sorted),
    st.integers(0, 100),
)
def test_what_is_read_back_is_what_was_written(committed, distances, beyond):
    unfinished = [committed + distance for distance in distances]
    finished_below = max([committed, *unfinished]) + 1 + beyond

    in_hand = unfinished[::3]
    metadata = decode(write(committed, finished_below, unfinished, in_hand), committed)

    assert metadata == CommitMetadata(("cluster", "id"), finished_below, tuple(unfinished), tuple(in_hand))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20_000))
def test_it_always_fits_into_kafka_and_what_does_not_fit_is_not_claimed_to_be_finished(seed, count):
    unfinished = sorted(random.Random(seed).sample(range(10 * count), count))

    text = write(0, 10 * count, unfinished, unfinished)

    assert len(text) <= METADATA_CHARACTERS_MAX
    metadata = decode(text, 0)
    claimed = set(range(metadata.finished_below)) - set(metadata.unfinished)
    assert claimed.isdisjoint(unfinished)


def test_the_usual_gap_fits_whole():
    every_other = range(0, 10_000, 2)

    assert decode(write(0, 10_000, every_other), 0).unfinished == tuple(every_other)


@pytest.mark.parametrize(
    "text", [None, "", "somebody's own", "[]", '{"v":2}', '{"v":1}', json.dumps({"v": 1, "by": "x", "finished": "~~~"})]
)
def test_what_somebody_else_committed_is_nothing(text):
    assert decode(text, 7) is None


def test_records_in_hand_that_do_not_fit_are_left_out_even_if_nothing_beyond_is_finished():
    in_hand = sorted(random.Random(1).sample(range(200_000), 20_000))

    text = write(0, 0, (), in_hand)

    assert len(text) <= METADATA_CHARACTERS_MAX
    kept = decode(text, 0).in_hand
    assert kept == tuple(in_hand[: len(kept)]) != ()


WITH_A_NOTE = (
    '{"v":1,"topic":["MkU3OEVBNTcwNTJENDM2Qk","x7sB1kq3Q0-2mJYb9vGZ4w"],"by":"3f9c0a71d2be",'
    '"finished":"c%0*BU}9nh003P87X","hand":"c${NkU;zLC2LJ^",'
    '"note":{"dadata":1795890012.25,"yandexgpt":1795890131.5}}'
)
"""As earlier versions committed it beside the offset 5."""


def test_what_an_earlier_version_committed_is_read_without_its_note():
    assert decode(WITH_A_NOTE, 5) == CommitMetadata(
        ("MkU3OEVBNTcwNTJENDM2Qk", "x7sB1kq3Q0-2mJYb9vGZ4w"), 20, (5, 7, 9, 12), (5, 9)
    )


def test_an_earlier_version_finds_every_field_that_it_needs():
    fields = json.loads(write(5, 20, [7, 9, 12], [9]))

    assert fields.keys() == json.loads(WITH_A_NOTE).keys()
    assert (fields["v"], fields["by"], fields["note"]) == (1, "", {})


def packed(distances):
    return base64.b85encode(zlib.compress(distances, 9)).decode()


OURS = json.loads(write(5, 20, [7, 9, 12], [9]))


@pytest.mark.parametrize(
    "others",
    [
        "[" * 2000,
        '{"a":' * 600,
        json.dumps(OURS | {"v": 2}),
        json.dumps(OURS | {"finished": packed(bytes(64 * 1024 * 1024))[:3900]}),
        json.dumps(OURS | {"finished": packed(b"\x80" * 1_000_000)}),
        json.dumps(OURS | {"finished": packed(b"\xff" * 9 + b"\x01")}),
        json.dumps(OURS | {"finished": packed(b"\x09\x01\x00")}),
        json.dumps(OURS | {"finished": packed(b"\x09\x81")}),
        json.dumps(OURS | {"finished": packed(b"\x09\x01")[:-5]}),
        json.dumps(OURS | {"hand": packed(b"")}),
        json.dumps(OURS) + " " * METADATA_CHARACTERS_MAX,
        "\ud800",
    ],
    ids=range(12),
)
def test_what_others_have_committed_beside_an_offset_is_ignored(others):
    assert decode(others, 5) is None


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(OURS)), st.text() | st.integers() | st.binary().map(packed) | st.none()),
    st.integers(0, 2**63 - 1),
)
def test_whatever_is_read_is_offsets_that_rise_from_the_committed_one(others, committed):
    metadata = decode(json.dumps(OURS | others), committed)

    if metadata is not None:
        for offsets in (metadata.unfinished, metadata.in_hand, (metadata.finished_below,)):
            assert list(offsets) == sorted(set(offsets))
            assert all(committed <= offset < 2**63 for offset in offsets)

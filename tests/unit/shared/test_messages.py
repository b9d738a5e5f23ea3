"""The messages on Kafka: tasks in, results out."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.messages import (
    TASK,
    TASK_DATA,
    TASK_ID_MAX,
    ErrorCode,
    InvalidTask,
    Result,
    Task,
    awaited_until,
    decode_task,
)


def value(**changes):
    return json.dumps({"task_id": 1, "task_type": "phone", "data": "8 916", **changes}).encode()


@pytest.mark.parametrize("task_id", [0, -1, TASK_ID_MAX, -TASK_ID_MAX])
def test_every_integer_that_travels_safely_is_a_task_id(task_id):
    assert decode_task(value(task_id=task_id)).task_id == task_id


def test_unknown_fields_are_ignored():
    assert decode_task(value(priority={"high": [1]})) == Task(task_id=1, task_type="phone", data="8 916")


@pytest.mark.parametrize(("task_type", "characters_max"), [(of, data.characters_max) for of, data in TASK_DATA.items()])
def test_data_is_as_long_as_its_type_allows_and_no_longer(task_type, characters_max):
    assert len(decode_task(value(task_type=task_type, data="я" * characters_max)).data) == characters_max
    with pytest.raises(InvalidTask, match="data"):
        decode_task(value(task_type=task_type, data="я" * (characters_max + 1)))


@pytest.mark.parametrize("data", ["\0", "8 916\0", "\0" * 256, "a\0b\n"])
@pytest.mark.parametrize("task_type", TASK_DATA)
def test_data_with_u0000_is_no_task_and_the_message_says_why(task_type, data):
    with pytest.raises(InvalidTask, match=r"U\+0000, .* PostgreSQL"):
        decode_task(value(task_type=task_type, data=data))

    assert not Draft202012Validator(TASK.json_schema()).is_valid({"task_id": 1, "task_type": task_type, "data": data})


@pytest.mark.parametrize("data", ["a\n", "\n", "\x01\x1f\x7f", "\\u0000", "\uffff", "\ufeff", "\U0010ffff", "$^"])
def test_all_other_text_is_data_by_the_schema_too(data):
    assert decode_task(value(data=data)).data == data
    assert Draft202012Validator(TASK.json_schema()).is_valid({"task_id": 1, "task_type": "phone", "data": data})


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00"', '"\\udc00\\ud800"', '"\xed\xa0\x80"', '"\0"'], ids=ascii)
@pytest.mark.parametrize("name", ["data", "ignored"])
def test_text_that_is_no_unicode_is_no_task_even_where_it_is_ignored(name, text):
    task = f'{{"task_id":1,"task_type":"phone","data":"8 916","{name}":{text}}}'

    with pytest.raises(InvalidTask):
        decode_task(task.encode("latin-1"))


@pytest.mark.parametrize(
    ("data", "valid"), [('"data":"\\u0000","data":"a"', True), ('"data":"a","data":"\\u0000"', False)]
)
def test_of_a_doubled_field_the_last_counts(data, valid):
    with contextlib.nullcontext() if valid else pytest.raises(InvalidTask):
        decode_task(f'{{"task_id":1,"task_type":"phone",{data}}}'.encode())


@pytest.mark.parametrize(
    "broken",
    [
        None,
        b"",
        b" ",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + value(),
        b"null",
        b"1",
        b'"task"',
        b"[]",
        b"[" * 100_000,
        b"{}",
        value()[:-1],
        value() + b"}",
        b"{'task_id': 1}",
        value(task_id=1.0),
        value(task_id=1.5),
        value(task_id="1"),
        value(task_id=True),
        value(task_id=None),
        value(task_id=TASK_ID_MAX + 1),
        value(task_id=-TASK_ID_MAX - 1),
        value().replace(b": 1", b": 1e3"),
        value().replace(b": 1", b": NaN"),
        value().replace(b": 1", b": " + b"9" * 10_000),
        value(task_type="PHONE"),
        value(task_type="fax"),
        value(task_type=None),
        value(data=""),
        value(data=None),
        value(data=8916),
        value(data=["8 916"]),
        value(data="x").replace(b'"x"', b'"\\ud800"'),
        value(data="x").replace(b'"x"', b'"\xff"'),
    ],
    ids=lambda broken: repr(broken)[:40],
)
def test_a_value_of_any_other_shape_is_no_task(broken):
    with pytest.raises(InvalidTask) as invalid:
        decode_task(broken)

    assert str(invalid.value)
    assert "\n" not in str(invalid.value)


TOO_LONG = [(task_type, data.characters_max) for task_type, data in TASK_DATA.items()]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (None, "the record has no value (a tombstone)"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xff\xfe", "it is not UTF-8"),
        (value(data="x").replace(b'"x"', b'"\xff"'), "it is not UTF-8"),
        (b"canary-7d1f", "it cannot be read as JSON: line 1 column 1"),
        (value()[:-1], "it cannot be read as JSON: line 1 column 52"),
        (b"[" * 100_000, "it cannot be read as JSON: line 1 column 202"),
        (value(data="x").replace(b'"x"', b'"\\ud800"'), "it cannot be read as JSON: line 1 column 53"),
        *((broken, "it must be a JSON object") for broken in (b"null", b"1", b'"task"', b"[]")),
        (b"{}", "task_id: is required; task_type: is required; data: is required"),
        *((value(task_id=broken), "task_id: must be an integer") for broken in (1.0, 1.5, "1", True, None, [], {})),
        (value(task_id=TASK_ID_MAX + 1), f"task_id: must be at most {TASK_ID_MAX}"),
        (value(task_id=-TASK_ID_MAX - 1), f"task_id: must be at least -{TASK_ID_MAX}"),
        *((value(task_type=broken), "task_type: must be 'phone', 'email' or 'gpt'") for broken in ("fax", None, 1, [])),
        *((value(data=broken), "data: must be a string") for broken in (None, 8916, ["8 916"], {})),
        (value(data=""), "data: must not be empty"),
        *(
            (value(task_type=kind, data="x" * (most + 1)), f"data: must have at most {most:,} characters for {kind}")
            for kind, most in TOO_LONG
        ),
        (value(data="\0"), "data: must not contain U+0000, which PostgreSQL cannot store"),
        (value(task_id="x", data=1), "task_id: must be an integer; data: must be a string"),
    ],
    ids=lambda broken: repr(broken)[:40],
)
def test_what_is_wrong_is_said_in_our_own_words(broken, said):
    with pytest.raises(InvalidTask) as invalid:
        decode_task(broken)

    assert str(invalid.value) == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional={"task_id": JSON, "task_type": JSON | st.just("gpt"), "data": JSON}) | JSON)
def test_pydantic_finds_nothing_wrong_that_has_no_words(broken):
    problem = r"(it|task_id:|task_type:|data:) (is required|must [^;]+|cannot be read as JSON: line 1 column \d+)"

    assert re.fullmatch(rf"({problem}(; {problem})*)?", said_about(json.dumps(broken).encode()))


def said_about(value):
    """Return what is wrong with a value; nothing if it is a task."""
    try:
        decode_task(value)
    except InvalidTask as invalid:
        return str(invalid)
    return ""


@given(st.binary(max_size=200))
def test_bytes_are_a_task_or_an_invalid_task_and_nothing_else(junk):
    with pytest.raises(InvalidTask):
        decode_task(junk)


@pytest.mark.parametrize("field", ["task_id", "task_type", "data", "canary"])
def test_what_is_said_about_a_broken_task_repeats_nothing_of_it(field):
    with pytest.raises(InvalidTask) as invalid:
        decode_task(value(**{field: {"canary-7d1f": "canary-7d1f"}}, task_idx=1).replace(b'"task_id"', b'"task"'))

    assert "canary-7d1f" not in str(invalid.value)


def test_a_result_is_written_with_its_two_fields_only():
    assert Result(task_id=-5, id=7).to_bytes() == b'{"task_id":-5,"id":7}'


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_has_a_status_and_a_meaning(code):
    assert 400 <= code.status < 600
    assert code.meaning


@given(st.integers(0, 10**18 - 1))
def test_milliseconds_are_read_as_seconds(milliseconds):
    assert awaited_until(b"%d" % milliseconds) == milliseconds / 1000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"1795441376343", 1_795_441_376.343),
        (b"0001795441376343", 1_795_441_376.343),
        (b"9" * 18, 10.0**15),
    ],
)
def test_digits_are_a_time(value, seconds):
    assert awaited_until(value) == seconds


def test_without_the_header_nobody_waits():
    assert awaited_until(None) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" 1",
        b"1 ",
        b"1\n",
        b"+1",
        b"-1",
        b"1.0",
        b"1e3",
        b"1_000",
        b"0x1",
        b"1" * 19,
        b"9" * 5000,
        "٣".encode(),
        "１".encode(),
        b"\xff",
        b"NaN",
        b"2026-11-28T18:00:00Z",
    ],
)
def test_a_value_that_is_not_a_number_counts_as_none(value):
    assert awaited_until(value) is None

"""One suite over all providers: the requests they send, and how they handle every kind of answer."""

import asyncio
import contextlib
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from processor.enrich.errors import (
    AccountRefused,
    InputRejected,
    Misconfigured,
    ProviderError,
    ProviderUnavailable,
    TaskRejected,
    UnexpectedAnswer,
    UnstorableAnswer,
    UnusableAnswer,
)
from processor.enrich.providers.dadata import dadata
from processor.enrich.providers.yandexgpt import yandexgpt

PHONE = {"source": "8 916", "phone": "+7 916", "qc": 0}
FINAL = {
    "alternatives": [{"message": {"role": "assistant", "text": "да"}, "status": "ALTERNATIVE_STATUS_FINAL"}],
    "usage": {"inputTextTokens": "3", "completionTokens": "1", "totalTokens": "4"},
    "modelVersion": "09.02.2025",
}
CANARY = "canary-7d1f"
STATUS = "ALTERNATIVE_STATUS_FINAL"

DADATA_KEYS = {"api_key": SecretStr("key"), "secret_key": SecretStr("secret")}
PROVIDERS = {
    "phone": lambda prepare: dadata("phone", "phone", url="http://dadata.test/", **DADATA_KEYS, prepare=prepare),
    "email": lambda prepare: dadata("email", "email", url="http://dadata.test", **DADATA_KEYS, prepare=prepare),
    "gpt": lambda prepare: yandexgpt(
        url="http://yandex.test",
        api_key=SecretStr("key"),
        folder_id="b1g",
        model="yandexgpt-lite/latest",
        prepare=prepare,
    ),
}
GOOD = {"phone": [PHONE], "email": [PHONE], "gpt": {"result": FINAL}}


def ask(kind, answer, data="8 916"):
    """Call the provider once; `answer` is a response or a function of the request."""
    given = object()

    def prepare(prepared):
        async def send(body, line):
            assert line is given
            request = httpx.Request(prepared.method, prepared.url, headers=prepared.headers, content=body)
            return answer(request) if callable(answer) else answer

        return send

    return asyncio.run(PROVIDERS[kind](prepare)(data, given))


@pytest.fixture(params=PROVIDERS)
def kind(request):
    return request.param


def test_dadata_is_asked_for_one_record_as_its_contract_says():
    asked = []

    def handle(request):
        asked.append(request)
        return httpx.Response(200, json=[PHONE])

    assert ask("phone", handle, "раб 846)231.60.14 *139") == PHONE
    [request] = asked
    assert (request.method, str(request.url)) == ("POST", "http://dadata.test/api/v1/clean/phone")
    assert json.loads(request.content) == ["раб 846)231.60.14 *139"]
    assert request.headers["authorization"] == "Token key"
    assert request.headers["x-secret"] == "secret"
    assert request.headers["content-type"] == "application/json"


def test_yandexgpt_is_asked_as_its_contract_says_and_told_to_keep_nothing():
    asked = []

    def handle(request):
        asked.append(request)
        return httpx.Response(200, json={"result": FINAL})

    assert ask("gpt", handle, "Да?") == FINAL
    [request] = asked
    assert (request.method, str(request.url)) == ("POST", "http://yandex.test/foundationModels/v1/completion")
    assert json.loads(request.content) == {
        "modelUri": "gpt://b1g/yandexgpt-lite/latest",
        "completionOptions": {"stream": False, "temperature": 0.3, "maxTokens": "2000"},
        "messages": [{"role": "user", "text": "Да?"}],
    }
    assert request.headers["authorization"] == "Api-Key key"
    assert request.headers["x-data-logging-enabled"] == "false"


@pytest.mark.parametrize(
    "answer",
    [
        {"source": "8 916", "phone": None, "email": None, "qc": 2},
        {"phone": "+7 916", "email": "a@b.ru"},
        {"qc": 7},
        {"qc": "0", "qc_conflict": "3"},
        {"qc": None, "qc_conflict": None, "source": None},
        {"qc": 0, "type": 5, "unknown": [{"kept": ["as", 1, "is", 0.5, True]}], "source": "Infinity" * 10_000},
    ],
    ids=lambda answer: ",".join(answer),
)
@pytest.mark.parametrize("kind", ["phone", "email"])
def test_what_may_be_an_answer_of_dadatas_is_kept_as_it_comes(kind, answer):
    assert ask(kind, httpx.Response(200, json=[answer])) == answer


def test_yandexgpt_may_answer_without_the_wrapper():
    assert ask("gpt", httpx.Response(200, json=FINAL)) == FINAL


def test_a_truncated_text_is_an_answer_marked_by_its_own_status():
    truncated = {"alternatives": [{"message": {"text": "да"}, "status": "ALTERNATIVE_STATUS_TRUNCATED_FINAL"}]}

    assert ask("gpt", httpx.Response(200, json={"result": truncated})) == truncated


@pytest.mark.parametrize("alternative", [{}, {"message": {"role": "assistant", "text": CANARY}}])
def test_what_the_content_filter_stops_is_rejected(alternative):
    filtered = {"alternatives": [{**alternative, "status": "ALTERNATIVE_STATUS_CONTENT_FILTER"}]}

    with pytest.raises(InputRejected):
        ask("gpt", httpx.Response(200, json={"result": filtered}))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_failure_that_may_pass_is_retryable(kind, status):
    with pytest.raises(ProviderUnavailable) as failure:
        ask(kind, httpx.Response(status, text=CANARY))

    assert failure.value.retryable


def test_what_is_not_implemented_is_not_asked_again(kind):
    with pytest.raises(ProviderUnavailable) as failure:
        ask(kind, httpx.Response(501))

    assert not failure.value.retryable


@pytest.mark.parametrize(
    ("status", "error"), [(400, TaskRejected), (422, TaskRejected), (413, InputRejected), (414, InputRejected)]
)
def test_a_task_that_is_refused_is_rejected_and_only_its_length_is_surely_its_own_fault(kind, status, error):
    with pytest.raises(TaskRejected) as rejected:
        ask(kind, httpx.Response(status, text=CANARY))

    assert type(rejected.value) is error
    assert rejected.value.code == "task_rejected"


@pytest.mark.parametrize("status", [401, 402, 403])
def test_an_account_that_is_refused_is_said_to_be(kind, status):
    with pytest.raises(AccountRefused):
        ask(kind, httpx.Response(status, json={"message": f"Feature 'CLEAN' disabled for token '{CANARY}'."}))


@pytest.mark.parametrize("status", [404, 405, 415])
def test_a_service_that_does_not_exist_at_the_address_is_our_configuration(kind, status):
    with pytest.raises(Misconfigured) as failure:
        ask(kind, httpx.Response(status, text=CANARY))

    assert failure.value.code == "internal_error"


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 418])
def test_an_unexpected_status_is_a_bug_and_a_redirect_is_not_followed(kind, status):
    with pytest.raises(UnexpectedAnswer):
        ask(kind, httpx.Response(status, headers={"location": "http://elsewhere.test"}))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"null",
        b"1",
        b'"x"',
        b"[]",
        b"{}",
        b"[{}]",
        b"[1]",
        b"[NaN]",
        b'[{"qc":Infinity}]',
        b'[{"qc":0,"phone":null,"email":null,"more":[-1e400]}]',
        b'[{"qc":0,"more":"\\ud800"}]',
        b'[{"source":"8 916"}]',
        b'[{"qc":true}]',
        b'[{"qc":0.5}]',
        b'[{"qc":"good"}]',
        b'[{"qc":0,"qc_conflict":[]}]',
        b'[{"qc":0,"phone":7,"email":7}]',
        b'[{"qc":0,"phone":{"number":"7"},"email":[]}]',
        b'[{"qc":0,"source":["8 916"]}]',
        b'[{"qc":0},{"qc":0}]',
        b'{"result":null}',
        b'{"result":{"alternatives":[]}}',
        b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_UNSPECIFIED"}]}}',
        b'{"result":{"alternatives":[{"status":7}]}}',
        b'{"alternatives":{"status":"ALTERNATIVE_STATUS_FINAL","message":{"text":""}}}',
        b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_FINAL"}]}}',
        b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_FINAL","message":"a text"}]}}',
        b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_FINAL","message":{"text":null}}]}}',
        b'{"result":{"alternatives":[{"status":"ALTERNATIVE_STATUS_FINAL","message":{"text":["x"]}}]}}',
        b'{"result":{"alternatives":[{"message":{"text":"x"}}]}}',
        b'{"result":[{"alternatives":[]}]}',
        b'{"error":{"grpcCode":8}}',
    ],
    ids=lambda body: repr(body)[:40],
)
def test_an_answer_that_makes_no_sense_is_told_from_what_may_pass(kind, body):
    with pytest.raises(UnusableAnswer) as failure:
        ask(kind, httpx.Response(200, content=body))

    assert failure.value.code == "provider_unavailable"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'[{"qc":0', b"upstream timed out", b"[{}]]"])
def test_what_is_no_json_at_all_may_pass(kind, body):
    with pytest.raises(ProviderUnavailable) as failure:
        ask(kind, httpx.Response(200, content=body))

    assert failure.value.retryable


@pytest.mark.parametrize(
    ("text", "storable"), [("\0", False), ("\\\0", False), ("\\u0000", True), ("\\\\u0000", True), ("\uffff", True)]
)
@pytest.mark.parametrize("place", ["value", "key", "deep inside"])
def test_an_answer_with_a_nul_in_it_is_told_before_postgresql_whose_log_would_repeat_it(text, storable, place):
    more = {"value": text, "key": {text: 1}, "deep inside": [{"a": [f"x{text}y"]}]}[place]
    answer = {"qc": 0, "more": more}

    with contextlib.nullcontext() if storable else pytest.raises(UnstorableAnswer, match=r"U\+0000"):
        assert ask("phone", httpx.Response(200, json=[answer])) == answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NEARLY = st.fixed_dictionaries({}, optional=dict.fromkeys(("source", "phone", "email", "qc", "other"), JSON))
COMPLETION = st.fixed_dictionaries(
    {
        "alternatives": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"status": st.just(STATUS) | JSON}, optional={"message": JSON | st.fixed_dictionaries({"text": JSON})}
            )
        )
    },
    optional={"usage": JSON},
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(PROVIDERS)),
    body=st.binary()
    | (JSON | NEARLY.map(lambda one: [one]) | COMPLETION).map(lambda value: json.dumps(value).encode()),
)
def test_whatever_comes_is_an_answer_that_can_be_stored_or_may_be_asked_for_again(kind, body):
    with contextlib.suppress(ProviderUnavailable, UnusableAnswer):
        answer = ask(kind, httpx.Response(200, content=body))
        json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()  # no infinity and no lone surrogate
        assert "\\u0000" not in json.dumps(answer).replace("\\\\", "")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(kind, value, seconds):
    with pytest.raises(ProviderUnavailable) as failure:
        ask(kind, httpx.Response(429, headers={"retry-after": value}))

    assert failure.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
def test_no_error_repeats_the_task_the_answer_or_a_key(kind, status):
    with pytest.raises(ProviderError) as failure:
        ask(kind, httpx.Response(status, text=CANARY), data=CANARY)

    assert CANARY not in str(failure.value)
    assert failure.value.__cause__ is None

"""The provider simulators over real HTTP: answers, DaData's limit of connections and profile API, retired models."""

import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sandbox.answers import clean_email, clean_phone
from sandbox.answers import complete as completion
from sandbox.simulators import Connections
from tests.conftest import PATIENCE_SECONDS, until

DADATA = {"Authorization": "Token key", "X-Secret": "secret"}
BALANCE = "/api/v2/profile/balance"
STATISTICS = "/api/v2/stat/daily"


@pytest.fixture
def connect(simulators):
    """Return a function that returns a client with one connection of its own."""
    until(lambda: connections(simulators) == (0, 0, 0), "the connections of earlier tests to be closed")
    with ExitStack() as clients:
        yield lambda: clients.enter_context(
            httpx.Client(base_url=simulators.url, timeout=PATIENCE_SECONDS, trust_env=False)
        )


def clean(client, task_type="phone", **options):
    return client.post(f"/api/v1/clean/{task_type}", json=["8 916 823 34 54"], headers=DADATA, **options)


def complete(client, model="yandexgpt/latest"):
    body = {
        "modelUri": f"gpt://folder/{model}",
        "completionOptions": {},
        "messages": [{"role": "user", "text": "Столица России?"}],
    }
    return client.post("/foundationModels/v1/completion", json=body, headers={"Authorization": "Api-Key key"})


def profile(client, path, headers=DADATA, method="GET"):
    return client.request(method, path, headers=headers)


def connections(simulators):
    """Return DaData's connections: opened, most in a minute, and open now."""
    counted = simulators.requests()
    names = ("dadata_connections", "dadata_most_connections_in_a_minute", "dadata_open_connections")
    return tuple(counted[name] for name in names)


def silent_connection(simulators):
    url = httpx.URL(simulators.url)
    return socket.create_connection((url.host, url.port))


def test_a_provider_answers_in_the_shape_of_its_contract(simulators):
    client = simulators.client

    assert clean(client).json() == [clean_phone("8 916 823 34 54")]
    assert clean(client, "email").json() == [clean_email("8 916 823 34 54")]
    assert complete(client).json() == {"result": completion("Столица России?")}


def test_every_request_over_a_connection_beyond_the_limit_gets_429_and_no_other(simulators, connect):
    simulators.control(latency_ms=0, dadata_new_connections_per_minute=2)
    first, second, third = connect(), connect(), connect()

    assert [clean(client).status_code for client in (first, second, third)] == [200, 200, 429]
    assert [clean(client, "email").status_code for client in (first, second, third)] == [200, 200, 429]
    assert clean(third).json()["status"] == 429
    assert connections(simulators) == (3, 3, 3)
    assert simulators.requests()["providers"]["phone"] == {"requests": 4, "200": 2, "429": 2}


def test_there_is_no_limit_of_connections_unless_one_is_set(simulators, connect):
    simulators.control(latency_ms=0)
    assert [clean(connect()).status_code for _ in range(9)] == [200] * 9
    assert connections(simulators) == (9, 9, 9)

    simulators.control(latency_ms=0, dadata_new_connections_per_minute=9)
    beyond = connect()
    assert clean(beyond).status_code == 429

    simulators.control(latency_ms=0)
    assert clean(beyond).status_code == 200


def test_a_connection_that_sends_nothing_counts_as_dadatas(simulators, connect):
    simulators.control(latency_ms=0, dadata_new_connections_per_minute=1)

    with silent_connection(simulators):
        until(lambda: connections(simulators) == (1, 1, 1), "the connection to be counted")
        assert clean(connect()).status_code == 429
    until(lambda: connections(simulators) == (2, 2, 1), "the connection to be closed")


def test_a_connection_whose_request_is_not_answered_counts(simulators, connect):
    simulators.control(latency_ms=0, dadata_new_connections_per_minute=1, faults=[{"kind": "hang", "times": 1}])

    with pytest.raises(httpx.ReadTimeout):
        clean(connect(), timeout=0.2)

    assert clean(connect()).status_code == 429


def test_connections_of_others_are_not_dadatas(simulators, connect):
    simulators.control(latency_ms=0, dadata_new_connections_per_minute=1)

    assert [complete(connect()).status_code for _ in range(3)] == [200] * 3
    assert connect().get("/health").status_code == 200
    assert connections(simulators) == (0, 0, 0)
    assert clean(connect()).status_code == 200
    beyond = connect()
    assert clean(beyond).status_code == 429
    assert complete(beyond).status_code == 200


def test_deleting_the_counts_forgets_the_connections_opened_so_far(simulators, connect):
    simulators.control(latency_ms=0, dadata_new_connections_per_minute=1)
    within, beyond = connect(), connect()
    assert [clean(client).status_code for client in (within, beyond)] == [200, 429]

    with silent_connection(simulators) as silent:
        until(lambda: connections(simulators) == (3, 3, 3), "the connection to be counted")
        simulators.client.delete("/_requests")
        assert connections(simulators) == (0, 0, 3)
        assert [clean(client).status_code for client in (within, beyond, connect())] == [200, 429, 200]
        silent.sendall(b"GET /health HTTP/1.1\r\nHost: simulators\r\n\r\n")
        assert silent.recv(4096).startswith(b"HTTP/1.1 200")
        assert connections(simulators) == (1, 1, 3)


def test_the_limit_of_connections_holds_for_any_60_seconds():
    now = 0.0
    counted = Connections(lambda: now)

    def refused(opened, first_request=None, dadata=True):
        nonlocal now
        now = opened
        handler = object()
        counted.opened(handler)
        now = opened if first_request is None else first_request
        return counted.beyond_limit(handler, dadata, 2)

    assert not refused(0)
    assert not refused(30)
    assert not refused(59, dadata=False)
    assert refused(59.9)
    assert refused(60), "connections beyond the limit count too"
    assert not refused(120, first_request=125), "the time of opening counts"
    assert not refused(125)
    assert counted.counted() == {
        "dadata_connections": 6,
        "dadata_most_connections_in_a_minute": 3,
        "dadata_open_connections": 6,
    }


def test_without_a_balance_there_is_no_profile_api(simulators):
    for path in (BALANCE, STATISTICS):
        assert profile(simulators.client, path).status_code == 404


def test_each_answered_call_is_paid_for_until_the_balance_is_used_up(simulators):
    simulators.control(latency_ms=0, dadata_balance=0.65, faults=[{"kind": "status", "status": 503, "times": 1}])
    client = simulators.client

    assert [clean(client).status_code for _ in range(2)] == [503, 200]
    assert profile(client, BALANCE).json() == {"balance": 0.45}
    assert complete(client).status_code == 200
    assert [clean(client, "email").status_code for _ in range(3)] == [200, 200, 403]
    assert profile(client, BALANCE).json() == {"balance": 0.05}
    assert "Feature 'CLEAN' disabled for token 'key'" in clean(client).json()["message"]


def test_a_daily_limit_that_is_used_up_refuses_calls(simulators):
    client = simulators.client
    simulators.control(latency_ms=0, dadata_balance=9922.30, dadata_daily_limit=2)
    moscow = datetime.now(UTC) + timedelta(hours=3)

    assert clean(client).status_code == 200
    statistics = profile(client, STATISTICS).json()
    assert (statistics["services"]["clean"], statistics["remaining"]["clean"]) == (1, 1)
    assert statistics["date"] in {moscow.date().isoformat(), (moscow + timedelta(minutes=5)).date().isoformat()}
    assert [clean(client).status_code for _ in range(2)] == [200, 403]
    assert profile(client, STATISTICS).json()["remaining"]["clean"] == 0

    simulators.control(latency_ms=0, dadata_balance=1)
    statistics = profile(client, STATISTICS).json()
    assert (statistics["services"]["clean"], statistics["remaining"]["clean"]) == (2, 5)
    client.delete("/_requests")
    assert profile(client, STATISTICS).json()["services"]["clean"] == 0


@pytest.mark.parametrize("path", [BALANCE, STATISTICS])
@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Secret": "secret"}, {"Authorization": "Token key"}, {**DADATA, "Authorization": "Token wrong"}],
    ids=["none", "no key", "no secret", "wrong key"],
)
def test_the_profile_api_wants_both_keys(simulators, path, headers):
    simulators.control(dadata_balance=1)

    refused = profile(simulators.client, path, headers=headers)

    assert refused.status_code == 401
    assert refused.json() == {"code": "unauthorized", "message": refused.json()["message"], "fields": {}, "errors": []}
    assert profile(simulators.client, path, method="POST").status_code == 405


def test_the_profile_api_is_reached_over_dadatas_connections(simulators, connect):
    simulators.control(latency_ms=0, dadata_balance=1, dadata_new_connections_per_minute=1)

    assert profile(connect(), BALANCE).status_code == 200
    assert profile(connect(), BALANCE).status_code == 429
    assert connections(simulators) == (2, 2, 2)


def test_a_retired_model_is_an_invalid_request(simulators):
    simulators.control(latency_ms=0, yandexgpt_retired_models=["yandexgpt-lite/latest"])

    refused = complete(simulators.client, "yandexgpt-lite/latest")

    assert refused.status_code == 400
    assert refused.json()["error"]["httpCode"] == 400
    assert refused.json()["error"]["message"] == "invalid model_uri"
    assert complete(simulators.client, "yandexgpt/latest").status_code == 200

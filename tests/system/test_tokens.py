"""Access control with both programs as processes: tokens from the command line, tasks by REST, replies by owner."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, until

SECRET_KEY = "a-key-of-at-least-32-bytes-for-tests"
REQUIRED = {"GATEWAY_AUTH": "required", "SECRET_KEY": SECRET_KEY}
TASK = {"task_id": 1, "task_type": "phone", "data": "8 916 823 34 54"}


def token(*arguments, secret_key=SECRET_KEY):
    """Run `python -m gateway token` and return its exit code, standard output and standard error."""
    command = [sys.executable, "-m", "gateway", "token", *arguments]
    said = subprocess.run(
        command, cwd=ROOT, env={"SECRET_KEY": secret_key}, capture_output=True, text=True, timeout=60, check=False
    )
    return said.returncode, said.stdout, said.stderr


def bearer(subject):
    code, printed, _ = token(subject)
    assert code == 0
    return {"Authorization": f"Bearer {printed.strip()}"}


def test_a_printed_token_lets_its_bearer_in_and_only_the_owner_is_told_by_any_gateway(start, start_processor, database):
    first, second = start("gateway", REQUIRED), start("gateway", REQUIRED)
    start_processor()
    alice, bob = bearer("alice"), bearer("bob")

    assert first.client.post("/tasks", json=TASK).status_code == 401
    assert first.client.post("/tasks", json=TASK, headers=alice).status_code == 200
    sent = first.client.post("/tasks", json=TASK, headers={**alice, "Prefer": "respond-async"})
    where = sent.headers["location"]
    until(lambda: second.client.get(where, headers=alice).status_code == 200, "the result at the other gateway")
    restarted = start("gateway", REQUIRED)

    assert restarted.client.get(where, headers=alice).status_code == 200
    for gateway in (first, second, restarted):
        assert gateway.client.get(where, headers=bob).status_code == 404
        assert gateway.client.get(where).status_code == 401
    assert len(database.rows()) == 2, "a refusal leaves no row"


def test_the_same_idempotency_key_of_two_callers_is_two_tasks(start, start_processor, simulators):
    gateway = start("gateway", REQUIRED)
    start_processor()
    alice, bob = bearer("alice"), bearer("bob")

    ids = [
        gateway.client.post("/tasks", json=TASK, headers={**who, "Idempotency-Key": "mine"}).json()["id"]
        for who in (alice, bob, alice)
    ]

    assert ids[0] == ids[2] != ids[1]
    assert simulators.calls("phone") == 2


@pytest.mark.parametrize(
    ("arguments", "secret_key", "problem"),
    [
        ([], SECRET_KEY, "SUBJECT"),
        ([""], SECRET_KEY, "SUBJECT"),
        (["a\nb"], SECRET_KEY, "SUBJECT"),
        (["x" * 129], SECRET_KEY, "SUBJECT"),
        (["alice", "--days", "0"], SECRET_KEY, "--days"),
        (["alice", "--days", "3651"], SECRET_KEY, "--days"),
        (["alice"], "", "SECRET_KEY: is required"),
        (["alice"], "canary-secret", "SECRET_KEY: has fewer than 32 bytes"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_one_line_and_none_is_printed(arguments, secret_key, problem):
    code, printed, said = token(*arguments, secret_key=secret_key)

    assert (code, printed) == (2, "")
    assert problem in said
    assert said.count("\n") == 1
    assert "canary-secret" not in said

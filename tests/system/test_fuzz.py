"""A short run of `make fuzz` with a fixed seed, and a check that its judge finds wrong outcomes."""

import pytest

from tests.chaos.services import ROOT, FaultServices, running
from tests.fuzz import fuzzed_records
from tests.fuzz.fuzzed_calls import fuzz_calls
from tests.fuzz.fuzzed_records import fuzz_records

SEED = 20267
CALLS = 150
RECORDS = 1000


@pytest.fixture(scope="module")
def services(session_folder, toxiproxy_installed):
    folder = session_folder / "fuzz"
    folder.mkdir()
    folder.chmod(0o755)
    with running(FaultServices(folder)) as services:
        yield services


def checked(found):
    assert found == [], "\n".join([f"seed {SEED}", *found])


@pytest.mark.parametrize("auth", [False, True], ids=["without tokens", "with tokens"])
def test_requests_of_every_kind_are_answered_as_documented_and_told_nowhere(services, auth):
    checked(fuzz_calls(services, calls=CALLS, seed=SEED, auth=auth))

    assert [folder for folder in (services.folder, ROOT) if (folder / ".schemathesis").exists()] == []


def test_garbage_among_tasks_is_dead_lettered_byte_for_byte_and_told_nowhere_else(services):
    checked(fuzz_records(services, records=RECORDS, seed=SEED))


def test_a_record_that_ends_otherwise_than_it_must_is_found(services, monkeypatch):
    monkeypatch.setattr(fuzzed_records, "GPT_ECHO_CHARACTERS", 3)
    monkeypatch.setattr(fuzzed_records._Fuzz, "_expected", lambda fuzz, sent: {"result"})

    found = fuzz_records(services, records=100, seed=SEED)

    assert any("b'invalid_task' in place of ['result']" in text for text in found)
    assert any("a result's row is another record's" in text for text in found)

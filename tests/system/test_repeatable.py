"""Repeated requests and dead letters that are put back still give one row, one id and one paid call."""

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import until


def task(task_id=1, task_type="phone", data="8 916 823 34 54"):
    return {"task_id": task_id, "task_type": task_type, "data": data}


def post(gateway, body, key):
    return gateway.client.post("/tasks", json=body, headers={"Idempotency-Key": key})


def test_the_same_key_again_gets_the_first_id_and_no_second_call(start, start_processor, simulators, database):
    start_processor()
    gateway = start("gateway")

    first = post(gateway, task(1), "k")
    again = post(gateway, task(2), "k")

    assert first.status_code == again.status_code == 200
    assert again.json() == {"task_id": 2, "id": first.json()["id"]}
    assert list(database.rows()) == [first.json()["id"]]
    assert simulators.calls("phone") == 1


def test_fifty_requests_with_one_key_at_once_over_two_gateways_and_two_processors_are_one_task(
    start, start_processor, simulators, database, topics
):
    simulators.control(latency_ms=500, remember_inputs=True)
    # A time-out of the provider on a busy machine would be paid twice, and is not what this test is about.
    first = start_processor(PROVIDER_TIMEOUT_SECONDS=60)
    second = start_processor(PROVIDER_TIMEOUT_SECONDS=60)
    gateways = [start("gateway"), start("gateway")]
    until(lambda: "assigned 2 partitions" in second.log_text(), "both processors to have partitions")

    # A gateway fills one partition at a time. The records produced here make sure that both processors get some.
    for number in range(50, 70):
        topics.producer.produce(
            topics.name, json.dumps(task(number)), partition=number % 4, headers=[("idempotency_key", b"k")]
        )
    with ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda number: post(gateways[number % 2], task(number), "k"), range(50)))

    assert {answer.status_code for answer in answers} == {200}
    [row_id] = database.rows()
    assert [answer.json() for answer in answers] == [{"task_id": number, "id": row_id} for number in range(50)]
    until(lambda: len(topics.read()) == 70, "the other results")
    assert topics.read_results() == {number: [row_id] for number in range(70)}
    paid = simulators.requests()["answered"]
    assert paid == {task()["data"]: 1}, first.log_text() + second.log_text()


def test_the_same_key_with_another_task_is_refused_and_repeats_nothing_of_it(
    start, start_processor, simulators, topics, database
):
    processor = start_processor()
    gateway = start("gateway")
    post(gateway, task(1), "canary-key")

    for body in (task(1, data="canary-data"), task(1, task_type="email")):
        answer = post(gateway, body, "canary-key")
        assert (answer.status_code, answer.json()["error_code"]) == (422, "task_rejected")
        assert "canary" not in answer.text

    letters = until(lambda: len(topics.read_dead_letters()) == 2 and topics.read_dead_letters(), "the dead letters")
    assert "canary" not in "".join(letter.header("kafka_dlt-exception-message").decode() for letter in letters)
    assert "canary" not in processor.log_text()
    assert len(database.rows()) == simulators.calls("phone") == 1


def test_a_key_whose_task_failed_may_be_used_again_for_any_task(start, start_processor, simulators, database):
    simulators.control(latency_ms=0, remember_inputs=True, faults=[{"kind": "status", "status": 400, "times": 1}])
    start_processor()
    gateway = start("gateway")

    assert post(gateway, task(1, data="8 916"), "k").status_code == 422
    answer = post(gateway, task(2), "k")

    assert answer.status_code == 200
    assert post(gateway, task(3), "k").json()["id"] == answer.json()["id"]
    assert len(database.rows()) == 1


def test_a_header_that_is_no_key_is_dead_lettered_as_no_task(start_processor, topics, database):
    start_processor()

    topics.send(json.dumps(task()).encode(), headers=[("idempotency_key", b"\xff")])

    [letter] = until(topics.read_dead_letters, "the dead letter")
    assert letter.header("error_code") == b"invalid_task"
    assert database.rows() == {}


def test_a_replica_killed_during_a_call_with_a_key_leaves_the_key_to_its_record(
    start_processor, simulators, topics, database
):
    simulators.control(latency_ms=0, faults=[{"kind": "hang", "times": 1}])
    processor = start_processor(PROVIDER_TIMEOUT_SECONDS=600)
    for number in range(20):
        topics.send(json.dumps(task(number)).encode(), headers=[("idempotency_key", b"k")])
    until(lambda: simulators.calls("phone") == 1, "the call")

    processor.kill()
    simulators.control(latency_ms=0, remember_inputs=True)
    start_processor()

    until(lambda: len(topics.read_results()) == 20, "all results")
    [row_id] = database.rows()
    assert {row_id} == {found for ids in topics.read_results().values() for found in ids}
    assert simulators.requests()["answered"] == {task()["data"]: 1}
    until(lambda: topics.lag() == 0, "all offsets to be committed")


@pytest.fixture
def redrive(start_processor):
    """Return a function that runs `redrive` to its end and returns its last line."""

    def redrive(*arguments, returncode=0, **settings):
        program = start_processor(wait=False, arguments=("redrive", *arguments), LOG_LEVEL="INFO", **settings)
        until(lambda: not program.running, "redrive to end")
        [*_, last] = program.log_text().splitlines()
        assert program.returncode == returncode, program.log_text()
        assert "\x1b" not in program.log_text(), "a progress bar, and no terminal"
        return last

    return redrive


FLAKY = {"kind": "status", "status": 503, "when": "8 916"}
REFUSED = {"kind": "status", "status": 400, "when": "refused"}


def fail(topics, simulators, numbers, data="8 916"):
    """Send tasks that fail and wait for their dead letters."""
    simulators.control(latency_ms=1000, faults=[FLAKY, REFUSED])
    before = len(topics.read_dead_letters())
    topics.send(*(json.dumps(task(number, data=f"{data} {number}")).encode() for number in numbers))
    until(lambda: len(topics.read_dead_letters()) == before + len(numbers), "the dead letters")


def mend(simulators):
    simulators.control(latency_ms=0, remember_inputs=True)
    simulators.client.delete("/_requests")


def test_dead_letters_that_are_put_back_become_results_and_are_not_put_back_twice(
    start, start_processor, simulators, topics, database, redrive
):
    start_processor(PROVIDER_ATTEMPTS=1, DADATA_CONCURRENT_REQUESTS=256)  # all are requested before the first one fails
    gateway = start("gateway")
    fail(topics, simulators, range(200))
    failed = gateway.client.post("/tasks", json=task(200, data="8 916 200"))
    assert failed.status_code == 503
    mend(simulators)

    assert redrive("--dry-run") == "201 would be put back (201 provider_unavailable), 0 skipped"
    assert topics.read_results() == {}
    assert redrive() == "201 put back (201 provider_unavailable), 0 skipped"

    until(lambda: len(topics.read_results()) == 201, "the results")
    first_ids = topics.read_results()
    assert sorted(row_id for [row_id] in first_ids.values()) == sorted(database.rows())
    path = f"/tasks/{failed.headers['x-correlation-id']}"
    until(lambda: gateway.answers(path), "the first request to know its result")
    assert gateway.client.get(path).json() == {"task_id": 200, "id": first_ids[200][0]}
    assert redrive() == "0 put back, 201 skipped (201 put back before)"
    calls = simulators.calls("phone")

    database.query("DELETE FROM redriven")
    assert redrive() == "201 put back (201 provider_unavailable), 0 skipped"

    until(lambda: all(len(ids) == 2 for ids in topics.read_results().values()), "every result again")
    assert topics.read_results() == {number: ids * 2 for number, ids in first_ids.items()}
    assert len(database.rows()) == 201
    assert simulators.calls("phone") == calls == 201


def test_a_dead_letter_whose_record_succeeded_after_it_is_answered_with_its_id(
    start_processor, simulators, topics, database, redrive
):
    processor = start_processor(PROVIDER_ATTEMPTS=1)
    fail(topics, simulators, range(5))
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    processor.stop()
    mend(simulators)
    start_processor(KAFKA_CONSUMER_GROUP=f"{topics.name}-other")  # a new group, which reads the records again
    until(lambda: len(topics.read_results()) == 5, "the results")

    redrive()

    until(lambda: all(len(ids) == 2 for ids in topics.read_results().values()), "every result again")
    assert all(len(set(ids)) == 1 for ids in topics.read_results().values())
    assert len(database.rows()) == simulators.calls("phone") == 5


def test_a_dead_letter_goes_back_byte_for_byte_and_keeps_its_first_position_however_often(
    start_processor, topics, database, redrive
):
    start_processor()
    headers = [("n", b"\xff"), ("none", None), ("empty", b""), ("error_code", b"an older one")]
    sent = [(None, b"key"), (b"", b""), (b"{\x00\xff", None)]
    for value, key in sent:
        topics.send(value, key=key, headers=headers)
    until(lambda: len(topics.read_dead_letters()) == 3, "the dead letters")

    assert redrive() == "0 put back, 3 skipped (3 only with --reason invalid_task)"
    redrive("--reason", "invalid_task")
    until(lambda: len(topics.read_dead_letters()) == 6, "the second dead letters")
    assert redrive("--reason", "invalid_task") == "3 put back (3 invalid_task), 3 skipped (3 put back before)"

    until(lambda: len(topics.read_dead_letters()) == 9, "the third dead letters")
    for value, key in sent:
        first, *others = [letter for letter in topics.read_dead_letters() if letter.value == value]
        assert len(others) == 2
        assert first.headers[:4] == headers
        assert [letter.key for letter in others] == [key, key]
        [position] = {letter.header("redriven_from") for letter in others}
        topic_id, partition, offset = position.rsplit(b"/", 2)
        assert (partition, offset) == (
            first.header("kafka_dlt-original-partition"),
            first.header("kafka_dlt-original-offset"),
        )
        assert len(topic_id) == 22
        for letter in others:
            assert letter.headers[:5] == [*headers, ("redriven_from", position)]
            assert len(letter.headers) == 12
            assert letter.header("kafka_dlt-original-partition") == partition, "it went to another partition"


def test_dead_letters_are_chosen_by_reason_time_and_number(start_processor, simulators, topics, redrive):
    processor = start_processor(PROVIDER_ATTEMPTS=1)
    fail(topics, simulators, range(5))
    fail(topics, simulators, range(5, 8), data="refused")
    topics.producer.produce(topics.dead_letters, b"another service's", headers=[("error_code", b"invalid_task")])
    assert topics.producer.flush(30) == 0
    processor.stop()
    foreign = "1 not this service's"

    refused = "3 only with --reason task_rejected"

    assert (
        redrive("--since", "2999-01-01", "--dry-run")
        == f"0 would be put back, 9 skipped (5 older, {refused}, {foreign})"
    )
    assert redrive("--dry-run") == f"5 would be put back (5 provider_unavailable), 4 skipped ({refused}, {foreign})"
    assert (
        redrive("--reason", "task_rejected", "--since", "2020-01-01T00:00+03:00")
        == f"3 put back (3 task_rejected), 6 skipped (5 other error_code, {foreign})"
    )
    assert redrive("--limit", "2").startswith("2 put back (2 provider_unavailable)")
    assert redrive("--limit", "9").startswith("3 put back (3 provider_unavailable)")
    assert redrive() == f"0 put back, 9 skipped (5 put back before, {refused}, {foreign})"


def test_tasks_that_are_at_fault_stay_dead_letters_however_often_redrive_runs(
    start_processor, simulators, topics, redrive
):
    start_processor(PROVIDER_ATTEMPTS=1)
    fail(topics, simulators, range(1), data="refused")
    topics.send(b"no task", b"no task either")
    until(lambda: len(topics.read_dead_letters()) == 3, "the dead letters")
    calls = simulators.calls("phone")

    for _ in range(3):
        assert redrive() == (
            "0 put back, 3 skipped (2 only with --reason invalid_task, 1 only with --reason task_rejected)"
        )

    assert topics.lag() == 0
    assert len(topics.read_dead_letters()) == 3
    assert simulators.calls("phone") == calls


def test_dead_letters_of_an_import_topic_that_was_made_again_are_records_of_their_own(
    start_processor, simulators, topics, database, redrive
):
    processor = start_processor(PROVIDER_ATTEMPTS=1)
    fail(topics, simulators, range(10))
    processor.stop()
    topics.make_again()
    mend(simulators)
    topics.send(*(json.dumps(task(number)).encode() for number in range(10, 50)))
    start_processor(KAFKA_CONSUMER_GROUP=f"{topics.name}-other")
    until(lambda: len(topics.read_results()) == 40, "the results of the topic made again")
    database.query("INSERT INTO redriven VALUES ('a topic that Kafka has no more', 0, 0)")

    assert redrive() == "10 put back (10 provider_unavailable), 0 skipped"

    until(lambda: len(topics.read_results()) == 50, "the other results")
    assert len(database.rows()) == 50
    database.query("DELETE FROM redriven")
    redrive()
    until(lambda: len(topics.read()) == 70, "the results again")
    assert len(database.rows()) == 50
    first_id, *others = {letter.header("kafka_dlt-original-topic-id").decode() for letter in topics.read_dead_letters()}
    assert others == []
    assert database.query("SELECT count(*) FROM ledger WHERE topic_id = %s", first_id) == [(10,)]


def test_a_dead_letter_that_the_import_topic_refuses_is_skipped_and_stops_no_other(start_processor, topics, redrive):
    start_processor()
    topics.send(*(b"no task %d" % number for number in range(10)))
    topics.send(*(b"no task %d" % number for number in range(10, 20)), key=b"key")
    until(lambda: len(topics.read_dead_letters()) == 20, "the dead letters")
    topics.alter(topics.name, cleanup_policy="compact")

    said = redrive("--reason", "invalid_task")

    why = "refused by the import topic: a compacted topic takes no record without a key"
    assert said == f"10 put back (10 invalid_task), 10 skipped (10 {why})"
    topics.alter(topics.name, cleanup_policy="delete")
    assert redrive("--reason", "invalid_task").startswith("20 put back")  # the other ten, and ten that failed again


def test_a_dead_letter_with_a_key_claims_it_again(start, start_processor, simulators, topics, database, redrive):
    start_processor(PROVIDER_ATTEMPTS=1)
    gateway = start("gateway")
    simulators.control(latency_ms=0, faults=[FLAKY])
    assert post(gateway, task(1, data="8 916"), "k").status_code == 503
    mend(simulators)

    redrive()

    [row_id] = until(lambda: topics.read_results().get(1), "the result")
    assert post(gateway, task(2, data="8 916"), "k").json() == {"task_id": 2, "id": row_id}
    assert list(database.rows()) == [row_id]
    assert simulators.calls("phone") == 1


def test_a_dead_letter_whose_task_was_sent_again_with_its_key_before_gets_that_ones_id(
    start, start_processor, simulators, topics, database, redrive
):
    start_processor(PROVIDER_ATTEMPTS=1)
    gateway = start("gateway")
    simulators.control(latency_ms=0, faults=[FLAKY])
    failed = post(gateway, task(1, data="8 916"), "k")
    assert failed.json()["detail"].endswith("; send it again later with the same Idempotency-Key")
    mend(simulators)
    row_id = post(gateway, task(2, data="8 916"), "k").json()["id"]

    assert redrive() == "1 put back (1 provider_unavailable), 0 skipped"

    assert until(lambda: topics.read_results().get(1), "the result") == [row_id]
    assert list(database.rows()) == [row_id]
    assert simulators.calls("phone") == 1


def test_only_one_at_a_time_puts_dead_letters_back(topics, database, redrive):
    with psycopg.connect(database.postgres.conninfo(database.name)) as other:
        other.execute(
            "SELECT pg_advisory_lock(hashtext('integration_service redrive'), hashtext(%s))", [topics.dead_letters]
        )

        assert redrive(returncode=1) == "processor redrive: another redrive is at work"

    assert redrive() == "0 put back, 0 skipped"


@pytest.mark.parametrize(
    ("settings", "arguments", "returncode", "said"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, (), 1, "processor redrive: Kafka does not answer"),
        ({"POSTGRES_PORT": 1}, (), 1, "processor redrive: PostgreSQL cannot be used"),
        ({"KAFKA_DEAD_LETTER_TOPIC": "nowhere"}, (), 1, "processor redrive: Kafka: missing: the topic nowhere"),
        ({"KAFKA_IMPORT_TOPIC": None}, (), 2, "processor: KAFKA_IMPORT_TOPIC: is required"),
        ({}, ("--limit", "0"), 2, "processor: Invalid value for '--limit': "),
    ],
)
def test_what_keeps_dead_letters_from_being_put_back_is_one_line(
    start_processor, settings, arguments, returncode, said
):
    program = start_processor(wait=False, arguments=("redrive", *arguments), LOG_LEVEL="INFO", **settings)
    until(lambda: not program.running, "redrive to end")

    [line] = program.log_text().splitlines()
    assert line.startswith(said)
    assert program.returncode == returncode

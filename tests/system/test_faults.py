"""Programs, Kafka or PostgreSQL end in any way: nothing is lost, and each task has one row and one id."""

import asyncio
import contextlib
import json
import re
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from processor.topics import Topics
from tests.conftest import until

FAILING = [{"kind": "status", "status": 500, "probability": 0.03}]
"""An ordinary provider: some tasks are in back-off while later ones are finished."""


@pytest.fixture(autouse=True)
def _services_are_back(kafka, postgres):
    yield
    for service in (kafka, postgres):
        if not service.running:
            service.start()


def all_done(topics, database, tasks):
    """Wait until every task has a result, check that each has one row and one id, and return the results."""
    until(lambda: len(topics.read_results()) == tasks, f"{tasks} distinct tasks on the result topic", seconds=120)
    results = topics.read_results()
    rows = database.rows()
    assert sorted(results) == list(range(tasks))
    assert all(len(set(ids)) == 1 for ids in results.values()), "a task with two ids"
    assert {ids[0] for ids in results.values()} == rows.keys(), "a result without a row, or a row without a result"
    assert topics.read_dead_letters() == []
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    return results


def repeated(counts):
    return sum(count - 1 for count in counts if count > 1)


def test_a_replica_that_is_killed_in_the_middle_of_5000_tasks_loses_and_doubles_nothing(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=50, remember_inputs=True)
    processor = start_processor(DADATA_CONCURRENT_REQUESTS=256, IN_FLIGHT_MAX=500)
    topics.send_tasks(range(5000))
    until(lambda: len(topics.read_results()) > 1000, "some results")

    processor.kill()
    start_processor(DADATA_CONCURRENT_REQUESTS=256)

    all_done(topics, database, 5000)
    answered = simulators.requests()["answered"]
    assert len(answered) == 5000
    assert repeated(answered.values()) <= 500, "more was paid twice than was in flight"


def test_a_clean_stop_in_the_middle_repeats_no_result_and_no_paid_call(topics, database, simulators, start_processor):
    simulators.control(latency_ms=50, remember_inputs=True, faults=FAILING)
    processor = start_processor(DADATA_CONCURRENT_REQUESTS=64, IN_FLIGHT_MAX=300)
    topics.send_tasks(range(3000))
    until(lambda: len(topics.read_results()) > 500, "some results")

    assert processor.stop() == 0
    assert len(topics.read_results()) < 3000, "stopped too late to prove anything"
    start_processor(DADATA_CONCURRENT_REQUESTS=256)

    results = all_done(topics, database, 3000)
    assert repeated(map(len, results.values())) == 0
    assert repeated(simulators.requests()["answered"].values()) == 0


def test_scaling_from_one_to_three_and_back_repeats_no_result_and_no_paid_call(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=100, remember_inputs=True, faults=FAILING)
    settings = {"DADATA_CONCURRENT_REQUESTS": 32, "IN_FLIGHT_MAX": 500}
    first = start_processor(**settings)
    topics.send_tasks(range(4000))
    until(lambda: len(topics.read_results()) > 200, "some results")

    others = [start_processor(**settings), start_processor(**settings)]
    until(lambda: all("assigned" in other.log_text() for other in others), "the others to get partitions")
    until(lambda: len(topics.read_results()) > 1500, "results of all three")
    assert len(topics.read_results()) < 4000, "scaled too late to prove anything"
    assert [first.stop(), others[0].stop()] == [0, 0]

    results = all_done(topics, database, 4000)
    assert repeated(map(len, results.values())) == 0
    assert repeated(simulators.requests()["answered"].values()) == 0


def test_calls_that_outlast_a_rebalance_are_not_paid_again_by_the_partitions_next_owner(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms={"phone": 50, "email": 50, "gpt": 20_000}, remember_inputs=True)
    start_processor(DRAIN_SECONDS=1)
    topics.send_tasks(range(10), "gpt")
    topics.send_tasks(range(10, 300))
    until(lambda: simulators.requests()["in_flight"].get("gpt") == 10, "the calls to be under way")

    others = [start_processor(DRAIN_SECONDS=1) for _ in range(3)]
    until(lambda: all("assigned" in other.log_text() for other in others), "the others to get partitions")
    assert simulators.requests()["in_flight"].get("gpt") == 10, "the calls ended too early to matter"

    results = all_done(topics, database, 300)
    assert repeated(map(len, results.values())) == 0
    assert repeated(simulators.requests()["answered"].values()) == 0


def test_replicas_may_come_and_go_while_another_is_not_reading_because_its_limit_is_reached(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=200, remember_inputs=True)
    settings = {"DADATA_CONCURRENT_REQUESTS": 8, "IN_FLIGHT_MAX": 400}
    start_processor(**settings)
    topics.send_tasks(range(1000))
    until(lambda: len(topics.read_results()) > 20, "some results")

    for _ in range(3):  # 8 of 200 to 400 in flight run at once, so reading is paused at each start and stop
        other = start_processor(**settings)
        until(lambda other=other: "assigned" in other.log_text(), "the other to get partitions")
        assert other.stop() == 0

    simulators.control(latency_ms=0, remember_inputs=True)
    all_done(topics, database, 1000)


def test_work_that_outlasts_a_stop_is_handed_back_and_done_by_the_next(topics, database, simulators, start_processor):
    simulators.control(latency_ms=0, faults=[{"kind": "hang", "times": 1}])
    processor = start_processor(SHUTDOWN_SECONDS=1, PROVIDER_TIMEOUT_SECONDS=600)
    topics.send_tasks(range(10))
    until(lambda: len(topics.read_results()) == 9, "all but one")

    assert processor.stop() == 0
    assert "unfinished records left to the partitions' next owner: 1" in processor.log_text()
    start_processor()

    all_done(topics, database, 10)


def test_while_postgresql_is_away_no_provider_is_asked_and_answers_that_were_paid_for_wait_for_it(
    topics, database, postgres, simulators, start_processor
):
    processor = start_processor(IN_FLIGHT_MAX=200)
    topics.send_tasks(range(100))
    until(lambda: len(topics.read_results()) == 100, "every partition to be read from")
    postgres.kill()
    topics.send_tasks(range(100, 600))
    until(lambda: "PostgreSQL cannot be used" in processor.log_text(), "the outage to be told")
    asked = simulators.calls("phone")
    assert asked < 200
    assert processor.answers("/health/ready", 503)
    assert processor.answers("/health/live", 200)

    postgres.start()

    all_done(topics, database, 600)
    assert repeated(simulators.requests()["answered"].values()) == 0
    assert processor.running


def test_a_row_that_a_trigger_refuses_is_one_dead_letter_and_a_right_that_is_missing_is_none(
    topics, database, start_processor
):
    database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.data->>'source' = '8 916 77' THEN RAISE 'no'; END IF; RETURN NEW; END $$"
    )
    database.query("CREATE TRIGGER refuse BEFORE INSERT ON integration_service FOR EACH ROW EXECUTE FUNCTION refuse()")
    processor = start_processor()
    topics.send_tasks(range(200))
    until(lambda: len(topics.read_results()) == 199, "all but one")
    until(lambda: len(topics.read_dead_letters()) == 1, "the dead letter")

    database.query("REVOKE INSERT ON integration_service FROM integration_service")
    topics.send_tasks(range(200, 250))
    until(lambda: processor.answers("/health/ready", 503), "the processor to miss PostgreSQL")
    until(lambda: "42501); GRANT integration_service" in processor.log_text(), "the reason in the log")
    database.query("GRANT INSERT ON integration_service TO integration_service")
    until(lambda: len(topics.read_results()) == 249, "the others")

    [dead_letter] = topics.read_dead_letters()
    assert dead_letter.json["task_id"] == 77
    assert dead_letter.header("error_code") == b"internal_error"
    assert dead_letter.header("kafka_dlt-exception-message") == b"PostgreSQL refuses the row: SQLSTATE P0001"
    until(lambda: topics.lag() == 0, "all offsets to be committed")
    assert len(database.rows()) == 249


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_kafka_may_be_away_and_both_programs_go_on_by_themselves(
    start, topics, database, kafka, simulators, start_processor, fault
):
    simulators.control(latency_ms=50, remember_inputs=True)
    processor = start_processor()
    gateway = start("gateway")
    topics.send_tasks(range(1000))
    until(lambda: len(topics.read_results()) > 100, "some results")

    if fault == "kill":
        kafka.kill()
        until(lambda: gateway.answers("/health/ready", 503), "the gateway to notice")
        answer = gateway.client.post("/tasks", json={"task_id": -1, "task_type": "phone", "data": "1"})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "kafka_unavailable")
        assert "retry-after" in answer.headers
        kafka.start()
    else:
        kafka.pause()
        time.sleep(3)  # the fault lasts 3 seconds; this waits for nothing
        kafka.resume()

    all_done(topics, database, 1000)
    until(lambda: gateway.answers("/health/ready"), "the gateway to be ready again")
    answer = gateway.client.post("/tasks", json={"task_id": 1000, "task_type": "phone", "data": "1"})
    assert answer.status_code == 200
    assert processor.running
    assert gateway.running


def test_where_partitions_end_is_known_again_after_kafka_has_restarted(topics, kafka):
    seen = Topics(kafka.connection)
    partitions = [(topics.name, number) for number in range(topics.partitions)]

    def known(end):
        with contextlib.suppress(KafkaException):
            return asyncio.run(seen.bounds(partitions)) == dict.fromkeys(partitions, (0, end))
        return False

    until(lambda: known(0), "the new topic's bounds")
    kafka.kill()
    kafka.start()
    topics.send_tasks(range(topics.partitions))

    until(lambda: known(1), "the bounds again, which scaling by lag depends on")


def test_programs_may_be_started_before_kafka_and_postgresql(
    start, topics, database, kafka, postgres, simulators, start_processor
):
    kafka.kill()
    postgres.kill()
    processor = start_processor(wait=False)
    gateway = start("gateway", wait=False)
    until(lambda: "waiting for Kafka" in processor.log_text(), "the processor to say what it waits for")
    until(lambda: gateway.answers("/health/live") and gateway.answers("/health/ready", 503), "the gateway to wait")
    kafka.start()
    postgres.start()
    processor.wait()
    gateway.wait()

    answer = gateway.client.post("/tasks", json={"task_id": 1, "task_type": "phone", "data": "8 916"})

    assert answer.status_code == 200


def test_an_import_topic_that_is_made_again_is_another_topic_and_its_records_are_not_taken_for_done(
    topics, database, start_processor
):
    start_processor().stop()
    topics.send_tasks(range(50))
    processor = start_processor()
    until(lambda: len(topics.read_results()) == 50, "the results")
    processor.stop()

    topics.make_again()
    topics.send_tasks(range(50, 100))
    start_processor(KAFKA_CONSUMER_GROUP=f"{topics.name}-other")

    until(lambda: len(topics.read_results()) == 100, "the results of the topic made again")
    assert len(database.rows()) == 100


def test_records_that_a_group_reads_again_from_the_start_get_their_first_ids_and_are_not_paid_again(
    topics, database, simulators, start_processor
):
    processor = start_processor()
    topics.send_tasks(range(200))
    until(lambda: len(topics.read_results()) == 200, "the results")
    processor.stop()

    start_processor(KAFKA_CONSUMER_GROUP=f"{topics.name}-other")

    until(lambda: all(len(ids) == 2 for ids in topics.read_results().values()), "every result again")
    assert all(len(set(ids)) == 1 for ids in topics.read_results().values())
    assert len(database.rows()) == 200
    assert repeated(simulators.requests()["answered"].values()) == 0


def catches_sigterm(program):
    """Return whether the program has a handler for SIGTERM, which it must have before the imports that take long."""
    process = Path(f"/proc/{program.pid}")
    imports = "confluent_kafka" in (process / "maps").read_text()
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", (process / "status").read_text(), re.M)
    catches = int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
    assert catches or not imports
    return catches


@pytest.mark.parametrize("package", ["processor", "gateway"])
def test_a_stop_at_any_moment_from_the_first_is_clean(start, database, package):
    for milliseconds in range(0, 2000, 240):
        program = start(package, database.environment, wait=False)
        # Until then it is Python that starts, which takes long on a busy machine.
        until(lambda program=program: catches_sigterm(program), "the program's first step")
        time.sleep(milliseconds / 1000)  # the moment under test
        program.send_signal(signal.SIGTERM)
        assert program.stop() == 0, (milliseconds, program.log_text())


@pytest.mark.parametrize("package", ["processor", "gateway"])
def test_ctrl_c_stops_a_program_cleanly_too_with_exit_code_130(start, database, package):
    program = start(package, database.environment)

    program.send_signal(signal.SIGINT)
    until(lambda: not program.running, "the end")

    assert program.returncode == 130, program.log_text()
    assert "stopped" in program.log_text()
    assert "Traceback" not in program.log_text()


@pytest.mark.parametrize(
    ("package", "setting", "value"),
    [
        ("processor", "KAFKA_IMPORT_TOPIC", None),
        ("processor", "POSTGRES_PASSWORD", None),
        ("processor", "TASK_TYPES", "fax"),
        ("gateway", "KAFKA_RESULT_TOPIC", None),
        ("gateway", "WAITING_REPLIES_MAX", "many"),
        ("gateway", "GATEWAY_PORT", "0"),
    ],
)
def test_a_missing_or_wrong_setting_ends_a_program_with_one_line_that_names_it(
    start, database, package, setting, value
):
    program = start(package, database.environment, wait=False, **{setting: value})

    until(lambda: not program.running, "the program to end")

    assert program.returncode == 2
    [line] = program.log_text().splitlines()
    assert line.startswith(f"{package}: {setting}: ")


@pytest.mark.parametrize("arguments", [(), ("redrive",)], ids=["processor", "redrive"])
def test_a_database_that_cannot_hold_every_answer_ends_a_program_with_one_line(start, database, postgres, arguments):
    postgres.psql(
        "postgres",
        "-c",
        f"CREATE DATABASE {database.name}_latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )

    program = start(
        "processor", database.environment, wait=False, arguments=arguments, POSTGRES_DB=f"{database.name}_latin1"
    )

    until(lambda: not program.running, "the program to end")
    assert program.returncode == 2
    [line] = program.log_text().splitlines()
    assert line.startswith("processor: POSTGRES_DB: the database's encoding is LATIN1")


def test_every_setting_of_a_port_that_is_taken_is_named(start, database, kafka):
    for package, setting in [("processor", "PROCESSOR_HTTP_PORT"), ("gateway", "GATEWAY_PORT")]:
        program = start(package, database.environment, wait=False, **{setting: kafka.port})
        until(lambda program=program: not program.running, "the program to end")
        assert program.returncode == 2
        assert setting in program.log_text().splitlines()[-1]


def test_results_appear_only_after_their_rows(topics, database, start_processor):
    start_processor()
    topics.send_tasks(range(1000))
    seen = 0
    while seen < 1000:
        results = topics.read_results()
        rows = database.rows()
        assert all(row_id in rows for ids in results.values() for row_id in ids)
        seen = len(results)


def test_large_and_slow_work_does_not_delay_other_providers(topics, database, simulators, start_processor):
    simulators.control(latency_ms=0, faults=[{"kind": "hang", "provider": "gpt"}])
    start_processor(YANDEXGPT_CONCURRENT_REQUESTS=2)
    topics.send(*(json.dumps({"task_id": -n, "task_type": "gpt", "data": "?"}).encode() for n in range(1, 1001)))
    topics.send_tasks(range(200))

    until(lambda: len(topics.read_results()) == 200, "all phone results while gpt hangs")

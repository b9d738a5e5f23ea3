"""What an operator sees of both running programs: metrics of the work left to do, and searchable log lines."""

import json
import re

from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from sandbox.child import free_port
from tests.conftest import until


def samples(program):
    """Return the metrics as (name, label values in the order of their names) -> value."""
    families = text_string_to_metric_families(program.client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_slow_record_makes_the_committed_lag_large_and_the_true_lag_not(topics, simulators, start_processor):
    simulators.control(faults=[{"kind": "hang", "when": "slow"}])
    processor = start_processor(PROVIDER_TIMEOUT_SECONDS=600)
    topics.producer.produce(topics.name, b'{"task_id": 1, "task_type": "phone", "data": "slow"}', partition=2)
    for n in range(2, 52):
        task = {"task_id": n, "task_type": "phone", "data": f"8 916 {n}"}
        topics.producer.produce(topics.name, json.dumps(task).encode(), partition=2)
    assert topics.producer.flush(30) == 0
    until(lambda: len(topics.read_results()) == 50, "the others to be done")

    def lag():
        seen = samples(processor)
        states = [seen.get(("integration_lag_records", "2", state)) for state in ("waiting", "in_flight", "finished")]
        return seen.get(("integration_committed_lag_records", "2")), states

    until(lambda: lag() == (51, [0, 1, 50]), "the lag to be told")
    assert samples(processor)["integration_in_flight_records",] == 1
    oldest = samples(processor)["integration_oldest_unfinished_seconds",]
    until(lambda: samples(processor)["integration_oldest_unfinished_seconds",] > oldest > 0, "it to grow older")
    idle = [samples(processor)["integration_committed_lag_records", partition] for partition in "013"]
    assert idle == [0, 0, 0]

    processor.stop()
    simulators.control(faults=[])
    processor = start_processor()
    until(lambda: len(topics.read_results()) == 51, "the slow one to be done")
    until(lambda: lag() == (0, [0, 0, 0]), "nothing to be left")


def test_records_that_wait_for_a_replica_with_its_hands_full_are_told(topics, simulators, start_processor):
    simulators.control(faults=[{"kind": "hang"}])
    processor = start_processor(PROVIDER_TIMEOUT_SECONDS=600, IN_FLIGHT_MAX=10)
    topics.send_tasks(range(40))

    def lag():
        seen = samples(processor)
        return [
            sum(seen.get(("integration_lag_records", partition, state), 0) for partition in "0123")
            for state in ("waiting", "in_flight")
        ]

    until(lambda: lag() == [30, 10], "all to be told")
    assert samples(processor)["integration_in_flight_max_records",] == 10


def test_every_line_of_both_programs_and_of_the_libraries_below_is_json(topics, simulators, start, start_processor):
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(5)]  # a client tries one address after the other, in any order
    servers = ",".join([*nobody, topics.kafka.bootstrap_servers])
    environment = {"KAFKA_BOOTSTRAP_SERVERS": servers, "LOG_LEVEL": "DEBUG"}
    processor, gateway = start_processor(**environment), start("gateway", environment)
    simulators.control(faults=[{"kind": "status", "status": 400, "when": "rejected"}])
    answers = [
        gateway.client.post(
            "/tasks",
            json={"task_id": 1, "task_type": "phone", "data": f"canary-7d1f {data}"},
            headers={"X-Request-ID": "mine"},
        )
        for data in ("fine", "rejected")
    ]
    assert [answer.status_code for answer in answers] == [200, 422]
    [done, dead] = [answer.headers["X-Correlation-ID"] for answer in answers]

    def lines(program):
        return [json.loads(line) for line in program.log_text().splitlines()]

    def librdkafkas(program):
        return [line for line in lines(program) if any(address in line["event"] for address in nobody)]

    for program in (processor, gateway):
        until(lambda program=program: librdkafkas(program), "librdkafka to complain")
        assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines(program))
        assert "canary" not in program.log_text()
    [finished] = [line for line in lines(processor) if line.get("correlation_id") == done]
    [failed] = [line for line in lines(processor) if line.get("correlation_id") == dead]
    assert (finished["event"], finished["level"], finished["outcome"]) == ("finished", "debug", "stored")
    assert (failed["event"], failed["level"], failed["outcome"]) == ("dead letter", "warning", "task_rejected")
    assert finished["position"].startswith(f"{topics.name}[")
    assert (finished["attempts"], failed["attempts"]) == (1, 1)
    [request] = [line for line in lines(gateway) if line.get("correlation_id") == done]
    assert (request["status"], request["route"], request["request_id"]) == (200, "/tasks", "mine")


def test_at_rest_there_is_no_lag_after_transactions_committed_or_aborted(start_processor, topics):
    processor = start_processor()
    producer = Producer({**topics.kafka.connection, "transactional.id": topics.name})
    producer.init_transactions(30)
    for number in range(8):
        producer.begin_transaction()
        value = json.dumps({"task_id": number, "task_type": "phone", "data": f"8 916 {number}"}).encode()
        for partition in range(topics.partitions - 1):  # the last partition stays empty
            if number % 2 or partition:  # the first partition gets aborted records only
                producer.produce(topics.name, value, partition=partition)
            else:
                producer.produce(topics.name, b"aborted", partition=partition)
        producer.flush(30)
        (producer.abort_transaction if number % 2 else producer.commit_transaction)(30)

    def waiting():
        shown = processor.client.get("/metrics").text
        found = re.findall(r'^integration_lag_records{partition="\d+",state="waiting"} (\S+)$', shown, re.M)
        return [float(records) for records in found]

    until(lambda: topics.lag() == 0, "the lag to be 0, as Kafka tells it")
    until(lambda: waiting() == [0] * topics.partitions, "the lag to be 0, as the processor tells it")
    assert processor.stop() == 0
    producer.begin_transaction()
    producer.produce(topics.name, b"aborted", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    assert topics.lag() > 0

    start_processor()

    until(lambda: topics.lag() == 0, "a new owner to find nothing but the end")


def test_partitions_that_are_added_are_soon_read_and_replies_on_them_heard(start, start_processor, topics):
    start_processor()
    gateway = start("gateway")
    topics.send_tasks(range(topics.partitions))
    until(lambda: len(topics.read_results()) == topics.partitions, "the first results")
    topics.add_partitions(2 * topics.partitions)
    topics.partitions *= 2
    topics.producer = Producer(topics.kafka.connection)  # the old one checks for new partitions only rarely

    topics.send_tasks(range(100, 100 + topics.partitions))

    until(lambda: topics.lag() == 0, "the new partitions to be read")
    for number in range(10):
        answer = gateway.client.post("/tasks", json={"task_id": number, "task_type": "phone", "data": "8 916"})
        assert answer.status_code == 200

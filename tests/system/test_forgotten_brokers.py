"""A Kafka whose answers name no broker for a moment. librdkafka then forgets all brokers, usually for good."""

import contextlib

import pytest

from sandbox.child import free_port
from sandbox.kafka import Kafka
from tests.broker_proxy import LEAVE_GROUP, OFFSET_COMMIT, BrokerProxy
from tests.conftest import ended_at_last, until

FORGETS_FOR_GOOD = """
import confluent_kafka
from confluent_kafka.admin import AdminClient


def forgetful(begin):
    return lambda self, properties, **more: begin(self, {**properties, "metadata.recovery.strategy": "none"}, **more)


for name in ("Consumer", "Producer"):
    client = getattr(confluent_kafka, name)
    setattr(confluent_kafka, name, type(name, (client,), {"__init__": forgetful(client.__init__)}))
AdminClient.__init__ = forgetful(AdminClient.__init__)
"""  # the content of a sitecustomize module


@pytest.fixture(scope="module")
def kafka(session_folder):
    broker = Kafka(session_folder / "proxied", session_folder / "logs" / "proxied", proxied_port=free_port())
    with ended_at_last(broker):
        broker.start()
        yield broker


@pytest.fixture
def proxy(kafka):
    with contextlib.closing(BrokerProxy(kafka.proxied_port, kafka.upstream_port)) as proxy:
        yield proxy


@pytest.mark.parametrize("for_good", [True, False])
def test_both_programs_go_on_where_kafka_said_that_no_broker_is_there(
    topics, database, kafka, proxy, simulators, start, start_processor, tmp_path, for_good
):
    if for_good:
        (tmp_path / "sitecustomize.py").write_text(FORGETS_FOR_GOOD)
    through = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.proxied_port}", "PYTHONPATH": tmp_path}
    processor = start_processor(**through)
    gateway = start("gateway", **through)
    topics.send_tasks(range(100))
    until(lambda: len(topics.read_results()) == 100, "the first results")

    simulators.control(latency_ms=3000)
    topics.send_tasks(range(100, 150))
    until(lambda: simulators.calls("phone") == 150, "calls under way")
    proxy.hides = True
    if for_good:
        for program, client in [(processor, "producer"), (processor, "consumer"), (gateway, "consumer of replies")]:
            replaced = f"the {client} has failed and is replaced"
            until(lambda: replaced in program.log_text(), replaced)  # noqa: B023
    else:
        until(lambda: sum(simulators.requests()["in_flight"].values()) == 0, "the calls to end")
    simulators.control(latency_ms=0)
    topics.send_tasks(range(150, 200))
    proxy.hides = False
    until(lambda: gateway.answers("/health/ready"), "the gateway to be ready")

    answer = gateway.client.post("/tasks", json={"task_id": 200, "task_type": "phone", "data": "8 916 200"})
    assert answer.status_code == 200
    until(lambda: len(topics.read_results()) == 201, "all results")
    until(lambda: topics.lag() == 0, "no lag")
    assert len(database.rows()) == 201
    assert simulators.calls("phone") == 201
    assert gateway.answers("/health/ready")
    assert processor.answers("/health/ready")


def test_a_failed_client_whose_commits_are_never_answered_delays_no_other(
    topics, kafka, proxy, simulators, start_processor, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(FORGETS_FOR_GOOD)
    bootstrap = f"127.0.0.1:{kafka.proxied_port}"
    processor = start_processor(KAFKA_BOOTSTRAP_SERVERS=bootstrap, PYTHONPATH=tmp_path)
    topics.send_tasks(range(50))
    until(lambda: topics.lag() == 0, "no lag")

    proxy.swallows = {OFFSET_COMMIT, LEAVE_GROUP}
    topics.send_tasks(range(50, 100))
    until(lambda: len(topics.read_results()) == 100, "results whose offsets cannot be committed")
    proxy.hides = True
    until(lambda: "the consumer has failed and is replaced" in processor.log_text(), "the consumer to be replaced")
    proxy.hides, proxy.swallows = False, frozenset()

    topics.send_tasks(range(100, 150))
    until(lambda: topics.lag() == 0, "no lag")
    assert set(topics.read_results()) == set(range(150))


def test_a_stop_ends_in_time_where_commits_are_never_answered(topics, kafka, proxy, start_processor):
    processor = start_processor(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{kafka.proxied_port}")
    topics.send_tasks(range(50))
    until(lambda: topics.lag() == 0, "no lag")

    proxy.swallows = {OFFSET_COMMIT, LEAVE_GROUP}
    topics.send_tasks(range(50, 100))
    until(lambda: len(topics.read_results()) == 100, "results whose offsets cannot be committed")

    assert processor.stop() == 0
    assert "is left alone" in processor.log_text()

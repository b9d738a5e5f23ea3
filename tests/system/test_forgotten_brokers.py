"""A Kafka whose answers name no broker for a moment. librdkafka then forgets all brokers, usually for good."""

import contextlib
import socket
import struct
import threading

import pytest

from sandbox.child import free_port
from sandbox.kafka import Kafka
from tests.conftest import ended_at_last, until

METADATA, OFFSET_COMMIT, LEAVE_GROUP = 3, 8, 13  # the requests' API keys in Kafka's protocol
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


class Proxy:
    """A proxy in front of one broker.

    While `hides` is set, no metadata answer of Kafka names a broker. Requests that are in `swallows` get no answer.
    """

    def __init__(self, port, upstream_port):
        self.hides, self.swallows, self._upstream_port = False, frozenset(), upstream_port
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._upstream_port))
                self._sockets += [client, broker]
                asked = set()
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, broker, asked), daemon=True).start()

    def _ask(self, client, broker, asked):
        for request in messages(client):
            number, version, correlation_id = struct.unpack(">hhi", request[:8])
            if number == METADATA:
                assert version >= 9
                asked.add(correlation_id)
            if number not in self.swallows:
                send(broker, request)

    def _answer(self, client, broker, asked):
        for answer in messages(broker):
            if struct.unpack(">i", answer[:4])[0] in asked and self.hides:
                answer = without_brokers(answer)
            send(client, answer)


def messages(connection):
    with contextlib.suppress(OSError), connection.makefile("rb") as stream:
        while size := stream.read(4):
            yield stream.read(struct.unpack(">i", size)[0])
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def send(connection, message):
    with contextlib.suppress(OSError):  # the peer has closed; the other direction ends, too
        connection.sendall(struct.pack(">i", len(message)) + message)


def without_brokers(answer):
    """Remove the brokers from an answer, which is: correlation id, no tags, throttle time, brokers, ..."""
    start = at = 4 + 1 + 4
    brokers, at = answer[at] - 1, at + 1
    for _ in range(brokers):
        at += 4  # the broker's id
        at += answer[at] + 4  # host and port
        at += max(1, answer[at]) + 1  # rack, no tags
    return answer[:start] + b"\x01" + answer[at:]


@pytest.fixture(scope="module")
def kafka(session_folder):
    broker = Kafka(session_folder / "proxied", session_folder / "logs" / "proxied", proxied_port=free_port())
    with ended_at_last(broker):
        broker.start()
        yield broker


@pytest.fixture
def proxy(kafka):
    with contextlib.closing(Proxy(kafka.proxied_port, kafka.upstream_port)) as proxy:
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

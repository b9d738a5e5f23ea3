"""The gateway while Kafka is unavailable. Each test has its own broker, which it may stop and kill."""

import asyncio
import contextlib
import json

import pytest
from confluent_kafka import KafkaError

from gateway.kafka import tasks_out
from gateway.kafka.kafka import Kafka as GatewayKafka
from gateway.kafka.tasks_out import NotConfirmed
from gateway.settings import GatewaySettings
from sandbox.child import free_port
from sandbox.kafka import Kafka
from tests.broker_proxy import PRODUCE, BrokerProxy
from tests.conftest import Topics, ended_at_last, until
from tests.integration.test_gateway_kafka import SILENT, echoing, task


@pytest.fixture
def kafka(session_folder, tmp_path):
    broker = Kafka(tmp_path, tmp_path)
    with ended_at_last(broker):
        broker.start()
        yield broker


def post(gateway, data="1"):
    return gateway.client.post("/tasks", json=task(data), headers={"Prefer": "wait=20"})


def assert_refused(answer):
    assert (answer.status_code, answer.json()["error_code"]) == (503, "kafka_unavailable"), answer.text
    # Without a key, either Kafka certainly does not have the task, or the caller is told where its result would be.
    assert ("retry-after" in answer.headers) != ("location" in answer.headers), answer.json()


def test_a_gateway_that_starts_before_kafka_waits_for_it(start, kafka):
    kafka.kill()
    gateway = start("gateway", wait=False)
    gateway.wait_until(lambda: gateway.answers("/health/live"))

    assert gateway.client.get("/health/ready").json() == {"status": "missing", "missing": ["Kafka"]}
    answer = post(gateway)
    assert_refused(answer)
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["detail"] == "Kafka has not confirmed the task: it was not sent; missing: Kafka"

    kafka.start()
    gateway.wait()


@pytest.mark.parametrize("away", ["killed", "silent"])
def test_while_kafka_is_away_tasks_are_refused_in_time_and_then_taken_again(start, topics, kafka, away):
    gateway = start("gateway")
    with echoing(topics) as echo:
        assert post(gateway).status_code == 200

        kafka.kill() if away == "killed" else kafka.pause()
        assert_refused(post(gateway))  # refused before the caller's 20 seconds pass, which would be a 202
        until(lambda: gateway.answers("/health/ready", 503), "not ready")
        assert gateway.answers("/health/live")
        assert_refused(post(gateway))
        taken = len(echo.values)

        kafka.start() if away == "killed" else kafka.resume()
        until(lambda: gateway.answers("/health/ready"), "ready again")
        until(lambda: post(gateway, "77").json() == {"task_id": 1, "id": 77}, "tasks taken again")
        assert len(echo.values) > taken
    warnings = [line for line in gateway.log_text().splitlines() if '"warning"' in line and "Kafka:" in line]
    assert 1 <= len(warnings) <= 10, warnings


def test_a_result_that_comes_while_the_gateway_cannot_hear_it_is_found_afterwards(start, topics, kafka):
    gateway = start("gateway", REPLY_TIMEOUT_SECONDS=1)
    with echoing(topics) as echo:
        pending = gateway.client.post("/tasks", json=task("silent"))
        assert pending.status_code == 504
        gateway.pause()
        echo.reply_to(pending.headers["x-correlation-id"], 5)
        gateway.resume()

        found = until(
            lambda: (got := gateway.client.get(pending.headers["location"])).status_code == 200 and got, "the result"
        )
        assert found.json() == {"task_id": 1, "id": 5}
        assert "integration_gateway_late_replies_total 1.0" in gateway.client.get("/metrics").text


@contextlib.asynccontextmanager
async def connected(topics, bootstrap_servers):
    """Yield the gateway's own clients, ready to send."""
    kafka = GatewayKafka(
        GatewaySettings(
            kafka_bootstrap_servers=bootstrap_servers,
            kafka_import_topic=topics.name,
            kafka_result_topic=topics.results,
            kafka_dead_letter_topic=topics.dead_letters,
        )
    )
    kafka.start(lambda replies: None, lambda until: None)
    async with asyncio.timeout(60):
        while kafka.missing():
            await asyncio.sleep(0.02)
        yield kafka
    assert kafka.dead() == []
    await asyncio.to_thread(kafka.close)


def test_no_task_is_stored_twice_where_acknowledgements_are_lost_until_another_tasks_time_is_over(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tasks_out, "SEND_SECONDS_MAX", 3.0)
    broker = Kafka(tmp_path, tmp_path, proxied_port=free_port())

    def send(kafka, number):
        return kafka.send(json.dumps(task(SILENT) | {"task_id": number}).encode(), [("any", b"header")])

    async def conversation(topics, proxy):
        async with connected(topics, f"127.0.0.1:{broker.proxied_port}") as kafka:
            await send(kafka, 1)
            proxy.mutes = {PRODUCE}
            sent = [send(kafka, 2)]
            await asyncio.sleep(1.5)
            sent += [send(kafka, number) for number in range(3, 20)]
            with pytest.raises(NotConfirmed):
                await sent[0]
            proxy.mutes = frozenset()
            await asyncio.gather(*sent, return_exceptions=True)
            await send(kafka, 20)

    with ended_at_last(broker):
        broker.start()
        proxy, topics = BrokerProxy(broker.proxied_port, broker.upstream_port), Topics(broker, "tasks")
        with contextlib.closing(proxy), contextlib.closing(topics), echoing(topics) as echo:
            asyncio.run(conversation(topics, proxy))

            def taken():
                return [json.loads(value)["task_id"] for value, _ in echo.values]

            until(lambda: 20 in taken(), "the last task")
            assert len(taken()) == len(set(taken()))


def test_a_producer_that_has_failed_for_good_is_replaced(topics):
    broken = KafkaError(KafkaError._FATAL, "made up by the test", True)

    async def conversation():
        async with connected(topics, topics.kafka.bootstrap_servers) as kafka:
            await kafka.send(b"1", [])
            before = kafka.tasks_out.producer
            kafka.tasks_out.note_error(broken)
            while kafka.tasks_out.producer is before:
                await asyncio.sleep(0.02)
            await kafka.send(b"2", [])

    asyncio.run(conversation())

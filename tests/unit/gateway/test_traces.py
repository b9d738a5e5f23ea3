"""The gateway's spans for tasks that Kafka does not accept, and for bugs."""

import asyncio

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.kafka.kafka import Kafka
from gateway.kafka.tasks_out import NotTaken
from gateway.settings import GatewaySettings
from gateway.traces import TracedGateway

CANARY = "canary-7d1f"
HEADERS = [("kafka_correlationId", b"01a208a4-51f7-7b5c-9d3e-6f0c8f4a2b11")]


@pytest.fixture
def exporter(monkeypatch):
    exporter = InMemorySpanExporter()
    monkeypatch.setattr("shared.traces.OTLPSpanExporter", lambda **_: exporter)
    return exporter


def kafka(traced):
    return traced.kafka(GatewaySettings(kafka_import_topic="tasks", kafka_result_topic="results"))


def test_a_task_that_kafka_refuses_at_once_is_a_failed_send(exporter, monkeypatch):
    def refuse(self, value, headers):
        raise NotTaken(CANARY)

    monkeypatch.setattr(Kafka, "send", refuse)
    traced = TracedGateway()

    with pytest.raises(NotTaken):
        kafka(traced).send(b"{}", HEADERS)

    traced.close()
    [span] = exporter.get_finished_spans()
    assert (span.name, span.attributes["error.type"]) == ("send tasks", "NotTaken")
    assert not span.status.is_ok
    assert CANARY not in span.to_json()


@pytest.mark.parametrize(("error", "error_type"), [(None, None), (NotTaken(CANARY), "NotTaken")])
def test_a_send_ends_when_kafka_has_told_what_became_of_it(exporter, monkeypatch, error, error_type):
    traced = TracedGateway()

    async def main():
        told = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(Kafka, "send", lambda self, value, headers: told)
        sent = kafka(traced).send(b"{}", HEADERS)
        await asyncio.sleep(0)
        traced._traces._provider.force_flush()
        assert exporter.get_finished_spans() == ()
        told.set_exception(error) if error else told.set_result(None)
        return await asyncio.wait({sent})

    asyncio.run(main())

    traced.close()
    [span] = exporter.get_finished_spans()
    assert span.attributes.get("error.type") == error_type
    assert CANARY not in span.to_json()


@pytest.mark.parametrize(("status", "failed"), [(200, False), (422, False), (499, False), (503, True)])
def test_a_request_has_failed_where_the_service_is_to_blame(exporter, status, failed):
    traced = TracedGateway()

    async def answer(scope, receive, send):
        scope["state"] = {"correlation_id": "its own"}
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        transport = httpx.ASGITransport(traced.app(answer))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.post(f"/tasks?{CANARY}", content=CANARY)

    assert asyncio.run(main()).status_code == status

    traced.close()
    [span] = exporter.get_finished_spans()
    assert (not span.status.is_unset) == failed
    assert span.attributes.get("error.type") == ("503" if failed else None)
    assert CANARY not in span.to_json()

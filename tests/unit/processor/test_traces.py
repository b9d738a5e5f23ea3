"""The spans around the processor's steps, with many records on one event loop."""

import asyncio
import math
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from processor.enrich.circuit import FAILURES_MAX
from processor.enrich.enrich import Enrich, Lane
from processor.enrich.errors import ProviderUnavailable
from processor.enrich.gate import Gate, Ticket
from processor.outcome import result
from processor.record import Position, Record
from processor.settings import ProcessorSettings
from processor.store.rows import Ledger, Row
from processor.traces import TracedSteps
from shared.messages import decode_task

MESSAGE = SimpleNamespace(partition=lambda: 1, offset=lambda: 2, latency=lambda: 3600.0)


class Turn:
    elsewhere = False

    def begin(self):
        pass

    def end(self):
        pass


class Bench:
    """The steps, and the spans that they exported."""

    def __init__(self, monkeypatch):
        self.exporter = InMemorySpanExporter()
        monkeypatch.setattr("shared.traces.OTLPSpanExporter", lambda **_: self.exporter)
        names = ("KAFKA_IMPORT_TOPIC", "KAFKA_RESULT_TOPIC", "POSTGRES_PASSWORD")
        for name in names:
            monkeypatch.setenv(name, name.lower())
        self.steps = TracedSteps(ProcessorSettings())

    def run(self, process, offsets=(0,)):
        """Process records concurrently and return each one's outcome or exception."""
        process = self.steps.process(process)

        async def main():
            records = [Record("import", 0, n, task(n), None, 0, [("traceparent", traceparent(n))]) for n in offsets]
            running = [asyncio.ensure_future(process(record, None, Turn())) for record in records]
            return await asyncio.gather(*running, return_exceptions=True)

        return asyncio.run(main())

    def spans(self):
        self.steps.close()
        return self.exporter.get_finished_spans()


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def task(n):
    return b'{"task_id": %d, "task_type": "phone", "data": "8 916"}' % n


def traceparent(n):
    return b"00-%032x-%016x-01" % (n + 1, n + 1)


def test_records_that_run_at_once_are_traces_of_their_own(bench):
    failed = set()

    async def ask(data, line):
        line.sent()
        await asyncio.sleep(0)
        if len(failed) < FAILURES_MAX - 1:  # one more would open the circuit
            failed.add(len(failed))
            raise ProviderUnavailable("canary", retry_after_seconds=0)
        return {"answer": 42}

    class FakeLedger(Ledger):
        async def write(self, rows, *, suspect=False):
            await asyncio.sleep(0)
            return {row.position: 7 for row in rows}

    gate = Gate("dadata", quota=None, requests_max=8)
    gate.valid_until = math.inf
    lanes = bench.steps.lanes({"phone": Lane("dadata_phone", ask, gate), "email": Lane("dadata_email", None, gate)})
    assert lanes["email"].ask is None, "an account without keys makes no request"
    enrich = bench.steps.enrich(Enrich(lanes, attempts_max=3))
    store = bench.steps.sink(FakeLedger(None).store)

    async def process(record, finished, turn):
        read = decode_task(record.value)
        await enrich(read, Ticket(), turn)
        return result(record, read.task_id, await store(Row(Position("id", 0, record.offset), "{}", "phone")))

    outcomes = bench.run(process, range(20))
    for outcome in outcomes:
        bench.steps.delivered(outcome, None, MESSAGE)

    spans = bench.spans()
    assert [span.name for span in spans].count("POST") == 20 + FAILURES_MAX - 1
    for n in range(20):
        own = [span for span in spans if span.context.trace_id == n + 1]
        [record] = [span for span in own if span.name == "process import"]
        assert (record.parent.span_id, record.attributes["messaging.kafka.offset"]) == (n + 1, n)
        below = sorted(span.name for span in own if span.parent.span_id == record.context.span_id)
        assert below.count("INSERT integration_service") == 1
        assert below.count("send kafka_result_topic") == 1
        attempts = [span.attributes["integration.attempt"] for span in own if span.name == "POST"]
        assert sorted(attempts) == list(range(1, len(attempts) + 1))
        assert len(own) == 3 + len(attempts)


def test_an_outcomes_span_ends_when_kafka_has_it_and_not_when_somebody_looks(bench):
    async def process(record, finished, turn):
        return result(record, 1, 7)

    [outcome] = bench.run(process)
    bench.steps.delivered(outcome, None, MESSAGE)

    [span] = [span for span in bench.spans() if span.name == "send kafka_result_topic"]
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(3600, abs=60)
    assert span.attributes["messaging.destination.partition.id"] == "1"


def test_an_outcome_of_which_kafka_says_only_that_it_has_it_has_a_span_without_an_offset(bench, caplog):
    async def process(record, finished, turn):
        return result(record, 1, 7)

    [outcome] = bench.run(process)
    bench.steps.delivered(outcome, None, SimpleNamespace(partition=lambda: 1, offset=lambda: None, latency=lambda: 1.0))

    [span] = [span for span in bench.spans() if span.name == "send kafka_result_topic"]
    assert "messaging.kafka.offset" not in span.attributes
    assert not caplog.records


def test_a_record_of_another_groups_leaves_no_span(bench):
    async def process(record, finished, turn):
        return None

    assert bench.run(process) == [None]

    assert bench.spans() == ()


def test_a_record_that_is_handed_back_has_not_failed(bench):
    async def process(record, finished, turn):
        raise asyncio.CancelledError

    [cancelled] = bench.run(process)

    assert isinstance(cancelled, asyncio.CancelledError)
    [span] = bench.spans()
    assert span.attributes["integration.outcome"] == "handed_back"
    assert span.status.is_unset

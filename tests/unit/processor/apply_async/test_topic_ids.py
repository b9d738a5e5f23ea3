"""Topic ids: who requests them from Kafka, how often, and which answers count."""

import asyncio
import contextlib
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.apply_async import topic_ids as module
from processor.apply_async.topic_ids import TopicIds

AWAY = KafkaException(KafkaError(KafkaError._TIMED_OUT))


class Kafka:
    """Returns the given answers in turn, and then repeats the last one."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def ask(self, names):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(3600)
        return answer


@pytest.fixture
def watching(monkeypatch):
    """Return a function that makes the ids of one topic and watches them, a hundred times as fast as usual."""
    for name in [name for name in vars(module) if "SECONDS" in name]:
        monkeypatch.setattr(module, name, getattr(module, name) / 100)

    @contextlib.asynccontextmanager
    async def watching(kafka):
        ids = TopicIds(("import",), kafka.ask, "cluster")
        watch = asyncio.ensure_future(ids.watch())
        yield ids
        assert not watch.done()
        watch.cancel()

    return watching


def test_who_waits_gets_the_answer_to_a_question_that_was_asked_after_that(watching):
    async def scenario():
        kafka = Kafka({"import": "1"}, {"import": "2"})
        async with watching(kafka) as ids:
            await ids.first_answer()
            assert ids.known == {"import": "1"}
            first = ids.next_answer()
            assert ids.next_answer() is first, "one question for all"
            await first
            assert ids.known == {"import": "2"}

    asyncio.run(scenario())


def test_a_question_that_is_under_way_does_not_count_for_who_comes_now(watching):
    async def scenario():
        under_way, answer = asyncio.Event(), asyncio.Event()

        async def ask(names):
            under_way.set()
            await answer.wait()
            return {"import": "1"}

        ids = TopicIds(("import",), ask, "cluster")
        watch = asyncio.ensure_future(ids.watch())
        first = ids.next_answer()
        await under_way.wait()
        second = ids.next_answer()
        under_way.clear()
        answer.set()
        await first
        assert not second.done()
        await second
        assert under_way.is_set()
        watch.cancel()

    asyncio.run(scenario())


def test_an_answer_is_valid_for_a_while_for_who_has_requested_records_since_before(monkeypatch):
    async def scenario():
        kafka = Kafka({"import": "1"})
        ids = TopicIds(("import",), kafka.ask, "cluster")
        assert not ids.is_known(0.0)
        before = time.monotonic()
        watch = asyncio.ensure_future(ids.watch())
        await ids.first_answer()
        after = time.monotonic()
        assert ids.is_known(before)
        assert not ids.is_known(after)
        watch.cancel()
        monkeypatch.setattr(module, "VALID_SECONDS", 0.0)
        assert not ids.is_known(before)

    asyncio.run(scenario())


def test_no_answer_is_valid_once_kafka_has_said_something_else(watching):
    async def scenario():
        kafka = Kafka({"import": "1"}, {"import": "2"})
        async with watching(kafka) as ids:
            await ids.first_answer()
            while kafka.asked < 2:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert ids.known == {"import": "1"}
            assert not ids.is_known(0.0)

    asyncio.run(scenario())


def test_kafka_is_asked_more_often_while_records_come(watching, monkeypatch):
    monkeypatch.setattr(module, "IDLE_LOOK_SECONDS", 3600.0)

    async def scenario():
        kafka = Kafka({"import": "1"})
        async with watching(kafka) as ids:
            await ids.first_answer()
            ids.is_known(0.0)
            await ids.next_answer()
            while kafka.asked < 5:
                ids.is_known(0.0)
                await asyncio.sleep(0.001)
            asked = kafka.asked
            while kafka.asked != asked or time.monotonic() - ids._record_at < 2 * module.IDLE_SECONDS:
                asked = kafka.asked
                await asyncio.sleep(2 * (module.LOOK_SECONDS + module.PAUSE_SECONDS))

    asyncio.run(scenario())


def test_the_ids_are_another_object_only_where_they_have_changed(watching):
    async def scenario():
        kafka = Kafka({"import": "1"})
        async with watching(kafka) as ids:
            await ids.first_answer()
            known = ids.known
            while kafka.asked < 5:  # Kafka is polled although no one waits for an id
                await asyncio.sleep(0.01)
            assert ids.known is known

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", [AWAY, None], ids=["refused", "hangs"])
def test_a_question_without_an_answer_is_asked_again_and_told_once(watching, caplog, trouble):
    async def scenario():
        kafka = Kafka(trouble, trouble, trouble, {"import": "1"})
        async with watching(kafka) as ids:
            await ids.first_answer()
            assert kafka.asked == 4

    asyncio.run(scenario())

    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (trouble is not None)


def test_a_topic_that_is_gone_is_missing_after_a_while_and_who_waits_goes_on_waiting(watching, caplog):
    async def scenario():
        kafka = Kafka({"import": "1"}, {})
        async with watching(kafka) as ids:
            await ids.first_answer()
            waiting = ids.next_answer()
            while not ids.missing:
                await asyncio.sleep(0.01)
            assert ids.missing == ["the topic import"]
            assert ids.known == {"import": "1"}
            assert not waiting.done()
            kafka.answers = [{"import": "2"}]
            await waiting
            assert (ids.missing, ids.known) == ([], {"import": "2"})

    asyncio.run(scenario())

    assert caplog.messages == ["waiting for Kafka: missing: the topic import"]


@pytest.mark.parametrize("answers", [[{}, {"import": "1"}], [{"import": "1"}, {}, {"import": "1"}]])
def test_a_topic_that_one_broker_has_not_heard_of_yet_is_not_told(watching, caplog, answers):
    async def scenario():
        kafka = Kafka(*answers)
        async with watching(kafka) as ids:
            await ids.first_answer()
            known = ids.known
            await ids.next_answer()
            assert ids.known is known

    asyncio.run(scenario())

    assert caplog.messages == []


@pytest.mark.parametrize("first", ["before", "now"], ids=["while it runs", "at the start"])
def test_brokers_that_tell_of_the_topic_before_are_not_believed_and_do_no_lasting_harm(watching, first):
    """A broker that hung may report the old topic's id after it is back, until it has caught up."""

    async def scenario():
        answers = [{"import": topic} for topic in (first, "now", "before", "now", "before", "now")]
        kafka = Kafka(*answers)
        async with watching(kafka) as ids:
            await ids.first_answer()
            seen = {ids.known["import"]}
            while len(kafka.answers) > 1:
                await asyncio.sleep(0.001)
                seen.add(ids.known["import"])
            assert seen == {first}
            await ids.next_answer()
            assert ids.known == {"import": "now"}

    asyncio.run(scenario())

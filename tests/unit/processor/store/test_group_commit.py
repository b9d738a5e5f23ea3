"""Group commit: rows that gather while a statement runs are written by the next one."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from processor.record import Position
from processor.store.group_commit import ITEMS_MAX, GroupCommit
from processor.store.postgres import RowRefused, RowTooSlow
from processor.store.rows import ROWS_WAITING_MAX, Ledger, Row


class FakeLedger(Ledger):
    """Keeps rows in a dict; refuses batches that contain the data `bad`."""

    def __init__(self):
        super().__init__(None)
        self.batches = []
        self.ids = {}

    async def write(self, rows, *, suspect=False):
        self.batches.append(len(rows))
        await asyncio.sleep(0)
        assert not suspect or len(rows) == 1
        if any(row.data == "slow" for row in rows):
            raise RowTooSlow("slow")
        if any(row.data == "bad" for row in rows):
            raise RowRefused("refused")
        assert len({row.position for row in rows}) == len(rows)
        return {row.position: self.ids.setdefault(row.position, len(self.ids) + 1) for row in rows}


def row(offset, data="{}"):
    return Row(Position("topic-id", 0, offset), data, "phone")


def write_all(rows):
    ledger = FakeLedger()

    async def run():
        return await asyncio.gather(*(ledger.store(row) for row in rows), return_exceptions=True)

    return ledger, asyncio.run(run())


def test_rows_that_wait_together_are_written_together():
    ledger, ids = write_all([row(offset) for offset in range(50)])

    assert ids == list(range(1, 51))
    assert ledger.batches == [50]


def test_a_batch_has_a_limit():
    ledger, ids = write_all([row(offset) for offset in range(ITEMS_MAX + 1)])

    assert sorted(ids) == list(range(1, ITEMS_MAX + 2))
    assert ledger.batches == [ITEMS_MAX, 1]


def test_large_answers_are_written_in_smaller_batches():
    ledger, ids = write_all([row(offset, "x" * 5_000_000) for offset in range(3)])

    assert ids == [1, 2, 3]
    assert ledger.batches == [1, 1, 1]


def test_a_position_that_comes_twice_at_once_is_one_row_and_one_id():
    ledger, ids = write_all([row(1), row(1), row(2)])

    assert ids == [1, 1, 2]
    assert ledger.batches == [2]


@pytest.mark.parametrize("bad", [{0}, {6}, {3, 4}, set(range(7))])
def test_a_row_that_is_refused_fails_alone(bad):
    _, ids = write_all([row(offset, "bad" if offset in bad else "{}") for offset in range(7)])

    for offset, outcome in enumerate(ids):
        assert isinstance(outcome, RowRefused) == (offset in bad)


def test_a_row_that_takes_too_long_costs_its_time_twice_and_not_once_for_each_half():
    ledger, ids = write_all([row(offset, "slow" if offset == 77 else "{}") for offset in range(200)])

    assert [offset for offset, outcome in enumerate(ids) if isinstance(outcome, RowTooSlow)] == [77]
    assert ledger.batches == [200] + 200 * [1]


def test_rows_that_come_after_a_refused_one_are_written():
    async def run():
        ledger = FakeLedger()
        with pytest.raises(RowRefused):
            await ledger.store(row(1, "bad"))
        return await ledger.store(row(2))

    assert asyncio.run(run()) == 1


def test_the_sizes_of_batches_are_counted():
    def counted(name):
        return REGISTRY.get_sample_value(f"integration_group_commit_{name}")

    batches, rows, seconds = counted("rows_count"), counted("rows_sum"), counted("seconds_count")

    write_all([row(1), row(2), row(3)])

    assert counted("rows_sum") - rows == 3
    assert counted("rows_count") - batches == counted("seconds_count") - seconds > 0


def submit_all(questions, fail_at=None, cancel=()):
    """Return the groups that were submitted, and the answer or exception for each question."""
    groups = []

    async def ask(group, *, suspect):
        groups.append(list(group))
        await asyncio.sleep(0)
        if fail_at in group:
            raise LookupError
        return [question * 10 for question in group]

    async def run():
        grouped = GroupCommit(ask)
        asked = [asyncio.ensure_future(grouped.submit(question)) for question in questions]
        await asyncio.sleep(0)
        for number in cancel:
            asked[number].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    return groups, asyncio.run(run())


def test_questions_that_gather_are_asked_together_and_each_gets_its_own_answer():
    groups, answers = submit_all([1, 2, 2, 3])

    assert groups == [[1, 2, 2, 3]]
    assert answers == [10, 20, 20, 30]


def test_a_group_has_a_limit():
    groups, answers = submit_all(range(2 * ITEMS_MAX + 5))

    assert [len(group) for group in groups] == [ITEMS_MAX, ITEMS_MAX, 5]
    assert answers == [question * 10 for question in range(2 * ITEMS_MAX + 5)]


def test_a_question_that_fails_fails_alone():
    groups, answers = submit_all(range(ITEMS_MAX + 1), fail_at=5)

    assert [number for number, answer in enumerate(answers) if isinstance(answer, LookupError)] == [5]
    assert [answer for number, answer in enumerate(answers) if number != 5] == [
        question * 10 for question in range(ITEMS_MAX + 1) if question != 5
    ]
    assert len(groups) < 30


def test_who_is_cancelled_harms_no_other():
    _, answers = submit_all([1, 2, 3], cancel=[1])

    assert isinstance(answers[1], asyncio.CancelledError)
    assert (answers[0], answers[2]) == (10, 30)


def test_items_without_an_answer_are_counted_whether_they_wait_or_run():
    counts = []

    async def run():
        async def execute(items, *, suspect):
            counts.append(grouped.unanswered)
            await asyncio.sleep(0)
            counts.append(grouped.unanswered)
            if 3 in items:
                raise LookupError
            return items

        grouped = GroupCommit(execute)
        assert grouped.unanswered == 0
        answers = [grouped.submit(item) for item in (1, 2)]
        assert grouped.unanswered == 2
        await asyncio.sleep(0)
        answers += [grouped.submit(item) for item in (3, 4, 5)]
        await asyncio.gather(*answers, return_exceptions=True)
        await asyncio.sleep(0)
        return grouped.unanswered

    assert asyncio.run(run()) == 0
    assert counts[:2] == [2, 5]
    assert set(counts[2:]) == {3}, "the items of a refused batch count until it has ended"


def test_items_that_are_cancelled_count_until_their_batch_has_ended():
    async def execute(items, *, suspect):
        return list(items)

    async def run():
        grouped = GroupCommit(execute)
        answers = [grouped.submit(item) for item in (1, 2)]
        for answer in answers:
            answer.cancel()
        before = grouped.unanswered
        await asyncio.wait(answers)
        await asyncio.sleep(0)
        return before, grouped.unanswered

    assert asyncio.run(run()) == (2, 0)


@pytest.mark.parametrize(
    ("waiting", "connected", "storable"), [(0, True, True), (499, True, True), (500, True, False), (0, False, False)]
)
def test_an_answer_is_storable_while_postgresql_answers_and_few_rows_wait(waiting, connected, storable):
    async def run():
        ledger = Ledger(SimpleNamespace(connected=connected))
        ledger.write = never
        rows = [ledger.store(row(offset)) for offset in range(waiting)]
        await asyncio.sleep(0)  # the first batch runs
        found = ledger.storable
        for waiting_row in rows:
            waiting_row.cancel()
        return found

    async def never(rows, *, suspect=False):
        await asyncio.Event().wait()

    assert ROWS_WAITING_MAX == 500
    assert asyncio.run(run()) == storable

"""Group commit of questions: what gathers while one statement runs makes the next."""

import asyncio

from processor.store.grouped import QUESTIONS_MAX, Grouped


def ask_all(questions, fail_at=None, cancel=()):
    """Return the groups that were asked for, and what each question came to."""
    groups = []

    async def ask(group):
        groups.append(list(group))
        await asyncio.sleep(0)
        if fail_at in group:
            raise LookupError
        return [question * 10 for question in group]

    async def run():
        grouped = Grouped(ask)
        asked = [asyncio.ensure_future(grouped(question)) for question in questions]
        await asyncio.sleep(0)
        for number in cancel:
            asked[number].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    return groups, asyncio.run(run())


def test_questions_that_gather_are_asked_together_and_each_gets_its_own_answer():
    groups, answers = ask_all([1, 2, 2, 3])

    assert groups == [[1, 2, 2, 3]]
    assert answers == [10, 20, 20, 30]


def test_a_group_has_a_limit():
    groups, answers = ask_all(range(2 * QUESTIONS_MAX + 5))

    assert [len(group) for group in groups] == [QUESTIONS_MAX, QUESTIONS_MAX, 5]
    assert answers == [question * 10 for question in range(2 * QUESTIONS_MAX + 5)]


def test_a_question_that_fails_fails_alone():
    groups, answers = ask_all(range(QUESTIONS_MAX + 1), fail_at=5)

    assert [number for number, answer in enumerate(answers) if isinstance(answer, LookupError)] == [5]
    assert [answer for number, answer in enumerate(answers) if number != 5] == [
        question * 10 for question in range(QUESTIONS_MAX + 1) if question != 5
    ]
    assert len(groups) < 30


def test_who_is_cancelled_harms_no_other():
    _, answers = ask_all([1, 2, 3], cancel=[1])

    assert isinstance(answers[1], asyncio.CancelledError)
    assert (answers[0], answers[2]) == (10, 30)

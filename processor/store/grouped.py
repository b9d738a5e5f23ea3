"""Many questions to PostgreSQL in one statement, by group commit, as the sink does it with rows.

Records' questions must not queue for the connection one by one: the rows of other records would wait behind them. A
question that fails alone fails no other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

QUESTIONS_MAX = 1000
"""Of one statement."""

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Grouped(Generic[Question, Answer]):
    """Asks what gathered while the last statement ran. Lives on the event loop."""

    def __init__(self, ask: Callable[[list[Question]], Awaitable[list[Answer]]]) -> None:
        """Note how to ask.

        Args:
            ask: answers questions, in their order.
        """
        self._ask = ask
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asker: asyncio.Task[None] | None = None

    async def __call__(self, question: Question) -> Answer:
        """Return the question's answer. Who is cancelled meanwhile may have been asked for or not."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answered))
        if self._asker is None:
            self._asker = asyncio.ensure_future(self._ask_all())
        return await answered

    async def _ask_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:QUESTIONS_MAX], self._waiting[QUESTIONS_MAX:]
            await self._ask_for(group)
        self._asker = None

    async def _ask_for(self, group: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        group = [(question, answered) for question, answered in group if not answered.done()]
        try:
            answers = await self._ask([question for question, _ in group]) if group else []
        except Exception as error:  # noqa: BLE001 - handed to the record it is about, whose boundary deals with it
            if len(group) > 1:
                middle = len(group) // 2
                await self._ask_for(group[:middle])
                await self._ask_for(group[middle:])
            elif not group[0][1].done():
                group[0][1].set_exception(error)
        else:
            for (_, answered), answer in zip(group, answers, strict=True):
                if not answered.done():  # a record that was handed back meanwhile
                    answered.set_result(answer)

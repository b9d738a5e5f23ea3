"""Group commit: what gathers while a statement runs makes the next one.

There is no timer, and nothing waits for a batch to fill: one item when idle, a thousand under load.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

from processor.store.postgres import RowTooSlow

ITEMS_MAX = 1000
"""Items of one statement."""

SIZE_MAX = 8 * 1024 * 1024
"""Sum of the sizes of a statement's items. One item may be larger, and then goes alone."""

Item = TypeVar("Item", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Execute(Protocol[Item, Answer]):
    """Runs one statement for all items, and returns their answers in the same order."""

    def __call__(self, items: Sequence[Item], /, *, suspect: bool) -> Coroutine[Any, Any, Sequence[Answer]]:
        """Run it. `suspect`: the batch with this one item was refused."""


class GroupCommit(Generic[Item, Answer]):
    """Collects items for one statement at a time. Lives on the event loop.

    Invariant: an item that is refused fails no other item.
    """

    def __init__(self, execute: Execute[Item, Answer], *, size_of: Callable[[Item], int] = lambda item: 0) -> None:
        """Start empty.

        Args:
            execute: runs the statement.
            size_of: an item's share of SIZE_MAX.
        """
        self._execute = execute
        self._size_of = size_of
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Return the item's answer. If the caller is cancelled, the statement may have run or not.

        Raises:
            Exception: whatever the statement raises for this item alone.
        """
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answered))
        if self._runner is None:
            self._runner = asyncio.ensure_future(self._run_all())
        return await answered

    async def _run_all(self) -> None:
        while self._waiting:
            await self._run(self._next_batch())
        self._runner = None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        size = 0
        while self._waiting and len(batch) < ITEMS_MAX:
            size += self._size_of(self._waiting[0][0])
            if batch and size > SIZE_MAX:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Answer]]], *, suspect: bool = False) -> None:
        batch = [(item, answered) for item, answered in batch if not answered.done()]  # the others were cancelled
        if not batch:
            return
        try:
            answers = await self._execute([item for item, _ in batch], suspect=suspect)
        except Exception as error:  # noqa: BLE001 - passed on to the record it is about, which deals with it
            if len(batch) > 1:
                # Each part with a slow item takes all its time again, so there is only one more part for each item.
                size = 1 if isinstance(error, RowTooSlow) else (len(batch) + 1) // 2
                for first in range(0, len(batch), size):
                    part = batch[first : first + size]
                    await self._run(part, suspect=len(part) == 1)
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
        else:
            for (_, answered), answer in zip(batch, answers, strict=True):
                if not answered.done():
                    answered.set_result(answer)

"""Group commit: the items that arrive while a statement runs are written together by the next one.

There is no timer, and no item waits for a batch to fill: a batch is one item when idle, a thousand under load.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

from processor.store.postgres import RowTooSlow

ITEMS_MAX = 1000
"""Items of one statement."""

SIZE_MAX = 8 * 1024 * 1024
"""Total size of a statement's items. A larger item has a statement of its own."""

Item = TypeVar("Item", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Execute(Protocol[Item, Answer]):
    """Runs one statement for all items, and returns their answers in the items' order."""

    def __call__(self, items: Sequence[Item], /, *, suspect: bool) -> Coroutine[Any, Any, Sequence[Answer]]:
        """Run the statement. `suspect`: this is one item, of a batch that was refused."""


class GroupCommit(Generic[Item, Answer]):
    """Collects items, and runs one statement at a time. Lives on the event loop.

    Invariant: a refused item fails no other item.
    """

    def __init__(self, execute: Execute[Item, Answer], *, size_of: Callable[[Item], int] = lambda item: 0) -> None:
        """Start empty. `size_of` returns an item's part of SIZE_MAX."""
        self._execute = execute
        self._size_of = size_of
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._running = 0

    @property
    def unanswered(self) -> int:
        """Number of items without an answer."""
        return len(self._waiting) + self._running

    def submit(self, item: Item) -> "asyncio.Future[Answer]":
        """Return the item's answer to be awaited, which raises what the statement raised for this item alone.

        If it is cancelled, the statement may or may not have run.
        """
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answered))
        if self._runner is None:
            self._runner = asyncio.ensure_future(self._run_all())
        return answered

    async def _run_all(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            self._running = len(batch)
            await self._run(batch)
            self._running = 0
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
        batch = [(item, answered) for item, answered in batch if not answered.done()]  # without cancelled ones
        if not batch:
            return
        try:
            answers = await self._execute([item for item, _ in batch], suspect=suspect)
        except Exception as error:  # noqa: BLE001 - passed on to the record that it is about
            if len(batch) > 1:
                # Each part with a slow item takes the full time again, so items are not halved but tried one by one.
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

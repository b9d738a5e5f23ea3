"""What a provider knows about a task: how often it is asked, and when."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import stamina

from processor.apply_async import Turn
from processor.gate import Gate, Pass
from processor.metrics import provider_seconds
from processor.providers import Answer, Provider, ProviderUnavailable
from shared.messages import Task, TaskType

BACK_OFF_SECONDS_FIRST = 0.2
BACK_OFF_SECONDS_MAX = 10.0
BACK_OFF_JITTER_SECONDS = 0.2
RETRY_AFTER_SECONDS_MAX = 60.0
"""A provider that asks for more is asked again all the same: the task would hold its partition's offset for as long."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What a task type's tasks go through. Task types of one provider share its gate."""

    name: str
    ask: Provider
    gate: Gate | None
    """None where the account has no keys: then nobody is asked."""


class Enrich:
    """Asks the task's provider, again after failures that may pass."""

    def __init__(self, lanes: Mapping[TaskType, Lane], attempts_max: int) -> None:
        """Note how to ask.

        Args:
            lanes: one for each task type that a provider answers,
            attempts_max: tries of one task, the first included.
        """
        self._lanes = lanes
        self._retry = stamina.AsyncRetryingCaller(
            attempts=attempts_max,
            timeout=None,
            wait_initial=BACK_OFF_SECONDS_FIRST,
            wait_max=BACK_OFF_SECONDS_MAX,
            wait_jitter=BACK_OFF_JITTER_SECONDS,
        ).on(_back_off)

    async def __call__(self, task: Task, turn: Turn) -> Answer:
        """Return the provider's answer.

        Args:
            task: what is asked.
            turn: begins with each request and, where the request is to be made again, ends with it.

        Raises:
            ProviderError: there is none, after as many attempts as the kind of failure deserves.
        """
        lane = self._lanes[task.task_type]
        gate = lane.gate
        if gate is None:
            return await lane.ask(task.data)
        first: list[ProviderUnavailable] = []
        try:
            return await _ask(lane, gate, await gate.enter(again=False), task, turn)
        except ProviderUnavailable as error:
            first.append(error)

        # stamina's first attempt is the one that was made: to set stamina up costs more than all else that a task that
        # succeeds at once needs of us. Without arguments, as its hooks would log them.
        async def attempt() -> Answer:
            if first:
                raise first.pop()
            return await _ask(lane, gate, await gate.enter(again=True), task, turn)

        return await self._retry(attempt)


async def _ask(lane: Lane, gate: Gate, leave: Pass, task: Task, turn: Turn) -> Answer:
    try:
        turn.begin()
    except asyncio.CancelledError:
        gate.cancel(leave)
        raise
    started_at = time.monotonic()
    error: BaseException | None = None
    try:
        return await lane.ask(task.data)
    except BaseException as other:
        error = other
        raise
    finally:
        if isinstance(error, ProviderUnavailable):
            turn.end()
        gate.leave(leave, error)
        if not isinstance(error, asyncio.CancelledError):  # cut off by a stop: nobody knows what would have come
            outcome = "answered" if error is None else getattr(error, "code", "unforeseen")
            provider_seconds(lane.name, outcome).observe(time.monotonic() - started_at)


def _back_off(error: Exception) -> bool | float:
    if not isinstance(error, ProviderUnavailable) or not error.retryable:
        return False
    if error.retry_after_seconds is None:
        return True
    # Not all at the same moment, or the provider refuses them together again.
    return min(error.retry_after_seconds, RETRY_AFTER_SECONDS_MAX) + random.uniform(0, BACK_OFF_JITTER_SECONDS)  # noqa: S311

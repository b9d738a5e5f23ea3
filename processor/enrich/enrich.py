"""The enrich step: asks the task's provider, and retries failures that may pass."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from processor.enrich.errors import Answer, Provider, ProviderUnavailable, UnusableAnswer
from processor.enrich.gate import Gate, Pass
from processor.metrics import provider_seconds
from processor.record import Turn
from shared.back_off import back_off_seconds
from shared.messages import Task, TaskType

BACK_OFF_SECONDS_FIRST = 0.2
BACK_OFF_SECONDS_MAX = 10.0
BACK_OFF_JITTER_SECONDS = 0.2
RETRY_AFTER_SECONDS_MAX = 60.0
"""A provider that asks for more is asked again all the same: the task would hold its partition's offset for as long."""

UNUSABLE_ANSWERS_MAX = 2
"""Of one task: each is paid for, and the second is as good as proof that there will be no other."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A task type's provider and its gate. Task types of one account share a gate."""

    name: str
    ask: Provider
    gate: Gate | None
    """None where the account has no keys: then nobody is asked."""


class Enrich:
    """Asks the task's provider, again after failures that may pass."""

    def __init__(self, lanes: Mapping[TaskType, Lane], attempts_max: int) -> None:
        """Use these providers.

        Args:
            lanes: one for each task type that a provider answers,
            attempts_max: tries of one task, the first included.
        """
        self._lanes = lanes
        self._attempts_max = attempts_max

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
        attempt = unusable = 0
        while True:
            attempt += 1
            try:
                return await _ask(lane, gate, await gate.enter(again=attempt > 1), task, turn)
            except ProviderUnavailable as error:
                if attempt == self._attempts_max or not error.retryable:
                    raise
                seconds = pause_seconds(attempt, error.retry_after_seconds)
            except UnusableAnswer:
                unusable += 1
                if attempt == self._attempts_max or unusable == UNUSABLE_ANSWERS_MAX:
                    raise
                seconds = pause_seconds(attempt)
            await asyncio.sleep(seconds)


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
        if isinstance(error, ProviderUnavailable | UnusableAnswer):
            turn.end()
        gate.leave(leave, error)
        if not isinstance(error, asyncio.CancelledError):  # cut off by a stop: nobody knows what would have come
            outcome = "answered" if error is None else getattr(error, "code", "unforeseen")
            provider_seconds(lane.name, outcome).observe(time.monotonic() - started_at)


def pause_seconds(attempt: int, retry_after_seconds: float | None = None) -> float:
    """Return how long to wait after this attempt, of which the first is 1.

    Not all tasks at the same moment, or the provider refuses them together again.
    """
    jitter = random.uniform(0, BACK_OFF_JITTER_SECONDS)  # noqa: S311
    if retry_after_seconds is not None:
        return min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX) + jitter
    seconds = back_off_seconds(attempt, BACK_OFF_SECONDS_FIRST, BACK_OFF_SECONDS_MAX)
    return min(seconds + jitter, BACK_OFF_SECONDS_MAX)

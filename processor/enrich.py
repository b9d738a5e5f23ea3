"""What a provider knows about a task: how often it is asked, how long each time, how many at once."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass

import stamina

from processor.apply_async import Turn
from processor.metrics import PROVIDER_SECONDS
from processor.providers import Answer, Provider, ProviderError, ProviderUnavailable
from shared.messages import Task, TaskType

BACK_OFF_SECONDS_FIRST = 0.2
BACK_OFF_SECONDS_MAX = 10.0
BACK_OFF_JITTER_SECONDS = 0.2
RETRY_AFTER_SECONDS_MAX = 60.0
"""A provider that asks for more is asked again all the same: the task would hold its partition's offset for as long."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One provider with its own queue: work that waits for a slot here does not delay another provider's."""

    name: str
    ask: Provider
    slots: asyncio.Semaphore
    timeout_seconds: float


class Enrich:
    """Asks the task's provider, again after failures that may pass."""

    def __init__(self, lanes: Mapping[TaskType, Lane], attempts_max: int) -> None:
        """Note how to ask.

        Args:
            lanes: the provider of each task type. Task types may share one lane's slots.
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

        # Without arguments: stamina's hooks would log them.
        async def attempt() -> Answer:
            return await _ask(lane, task, turn)

        return await self._retry(attempt)


async def _ask(lane: Lane, task: Task, turn: Turn) -> Answer:
    loop = asyncio.get_running_loop()
    async with lane.slots:
        turn.begin()
        started_at = loop.time()
        outcome = "unforeseen"
        try:
            async with asyncio.timeout(lane.timeout_seconds):
                answer = await lane.ask(task.data)
            outcome = "answered"
            return answer
        except TimeoutError:
            outcome = ProviderUnavailable.code
            raise ProviderUnavailable(f"no answer within {lane.timeout_seconds:g} seconds") from None
        except ProviderError as error:
            outcome = error.code
            raise
        finally:
            if outcome == ProviderUnavailable.code:
                turn.end()
            PROVIDER_SECONDS.labels(lane.name, outcome).observe(loop.time() - started_at)


def _back_off(error: Exception) -> bool | float:
    if not isinstance(error, ProviderUnavailable) or not error.retryable:
        return False
    if error.retry_after_seconds is None:
        return True
    # Not all at the same moment, or the provider refuses them together again.
    return min(error.retry_after_seconds, RETRY_AFTER_SECONDS_MAX) + random.uniform(0, BACK_OFF_JITTER_SECONDS)  # noqa: S311

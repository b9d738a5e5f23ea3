"""The enrich step: calls the task's provider, and retries failures that may pass."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from processor.enrich.errors import (
    AccountRefused,
    Answer,
    Misconfigured,
    NotNow,
    Provider,
    ProviderUnavailable,
    TaskRejected,
    UnusableAnswer,
)
from processor.enrich.gate import Gate, Pass, Ticket
from processor.metrics import provider_seconds
from processor.record import Turn
from shared.back_off import back_off_seconds
from shared.messages import Task, TaskType

BACK_OFF_SECONDS_FIRST = 0.2
BACK_OFF_SECONDS_MAX = 10.0
BACK_OFF_JITTER_SECONDS = 0.2
RETRY_AFTER_SECONDS_MAX = 60.0
"""Longest Retry-After that is respected, because a waiting task holds back its partition's committed offset."""

UNUSABLE_ANSWERS_MAX = 2
"""Unusable answers to one task. Each is paid for, and after the second a usable one is not to be expected."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A task type's provider, and its account's gate."""

    name: str
    ask: Provider | None
    gate: Gate
    missing: str = ""
    """Names of the account's keys, if they are not set. There is no `ask` then."""


@dataclass(frozen=True, slots=True)
class Enrich:
    """Calls the task's provider, at most `attempts_max` times."""

    lanes: Mapping[TaskType, Lane]
    attempts_max: int

    async def __call__(self, task: Task, ticket: Ticket, turn: Turn) -> Answer:
        """Return the provider's answer.

        The turn begins with each request, and ends with it if the request may be repeated.

        Raises:
            ProviderError: the provider has not answered, and the kind of failure permits no further attempt.
        """
        lane = self.lanes[task.task_type]
        gate = lane.gate
        if lane.ask is None:
            raise AccountRefused(f"{lane.missing} are not set")
        attempt = unusable = 0
        while True:
            try:
                return await _ask(lane.name, lane.ask, await gate.enter(ticket), task, turn)
            except NotNow:
                continue  # not an attempt
            except (TaskRejected, Misconfigured) as error:
                if await gate.stands(ticket, error):
                    raise
                turn.end()
                continue
            except ProviderUnavailable as error:
                attempt += 1
                if attempt >= self.attempts_max or not error.retryable:
                    raise
                seconds = pause_seconds(attempt, error.retry_after_seconds)
            except UnusableAnswer:
                attempt += 1
                unusable += 1
                if attempt >= self.attempts_max or unusable == UNUSABLE_ANSWERS_MAX:
                    raise
                seconds = pause_seconds(attempt)
            await asyncio.sleep(seconds)


async def _ask(provider: str, ask: Provider, permit: Pass, task: Task, turn: Turn) -> Answer:
    gate = permit.gate
    try:
        turn.begin()
    except asyncio.CancelledError:
        gate.cancel(permit)
        raise
    started_at = time.monotonic()
    error: BaseException | None = None
    try:
        return await ask(task.data, permit)
    except BaseException as other:
        error = other
        raise
    finally:
        if isinstance(error, ProviderUnavailable | UnusableAnswer | NotNow):
            turn.end()
        if isinstance(error, NotNow):
            gate.cancel(permit)
        else:
            gate.leave(permit, error)
            if not isinstance(error, asyncio.CancelledError):  # a stop cut it off: its outcome is unknown
                outcome = "answered" if error is None else getattr(error, "code", "unforeseen")
                provider_seconds(provider, outcome).observe(time.monotonic() - started_at)


def pause_seconds(attempt: int, retry_after_seconds: float | None = None) -> float:
    """Return how long to wait after this attempt; the first is 1. The jitter keeps tasks from retrying all at once."""
    jitter = random.uniform(0, BACK_OFF_JITTER_SECONDS)  # noqa: S311
    if retry_after_seconds is not None:
        return min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX) + jitter
    seconds = back_off_seconds(attempt, BACK_OFF_SECONDS_FIRST, BACK_OFF_SECONDS_MAX)
    return min(seconds + jitter, BACK_OFF_SECONDS_MAX)

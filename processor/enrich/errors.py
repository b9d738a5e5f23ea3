"""Providers, `async (data) -> answer`, and the tree of their errors, sorted by what the caller should do.

ProviderError
├── ProviderUnavailable     retry later: 429, 5xx, timeout, no connection, a truncated answer, invalid JSON
├── TaskRejected            never retry this input: 400, 413, content filter
├── AccountRefused          never retry with this account: 401, 402, 403, no key
├── UnexpectedAnswer        never retry with this program: a redirect, 404, 405, 415
└── UnusableAnswer          retry once at most: a complete 200 that breaks the contract
    └── UnstorableAnswer    ... or that PostgreSQL cannot store
"""

from collections.abc import Awaitable, Callable
from typing import Any

from shared.messages import ErrorCode

Answer = dict[str, Any]
"""A provider's answer, as it goes into the row."""

Provider = Callable[[str], Awaitable[Answer]]
"""Makes one request to a provider, for a bounded time. Raises a ProviderError."""


class ProviderError(Exception):
    """A provider did not answer the task. Messages never repeat the task, the answer or a key."""

    code: ErrorCode


class ProviderUnavailable(ProviderError):
    """The provider cannot answer now."""

    code = ErrorCode.PROVIDER_UNAVAILABLE

    def __init__(self, message: str, *, retryable: bool = True, retry_after_seconds: float | None = None) -> None:
        """Describe the failure; `retry_after_seconds` is the provider's Retry-After."""
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class TaskRejected(ProviderError):
    """The provider refuses this input."""

    code = ErrorCode.TASK_REJECTED


class AccountRefused(ProviderError):
    """The provider refuses our key, or our quota or balance is used up."""

    code = ErrorCode.PROVIDER_REFUSED_ACCOUNT


class UnexpectedAnswer(ProviderError):
    """The provider reports that the request itself is wrong: a bug here or a wrong address."""

    code = ErrorCode.INTERNAL_ERROR


class UnusableAnswer(ProviderError):
    """The provider answered, and was paid, but the answer cannot be used; the next one will probably be the same."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class UnstorableAnswer(UnusableAnswer):
    """The answer meets the contract, but PostgreSQL would refuse its row."""

    code = ErrorCode.INTERNAL_ERROR


def without_keys(names: str) -> Provider:
    """Return a provider for an account without keys: it refuses every task and names the missing settings."""

    async def refuse(data: str) -> Answer:
        raise AccountRefused(f"{names} are not set")

    return refuse

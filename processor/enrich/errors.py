"""Providers, `async (data) -> answer`, and the tree of their failures by what the caller should do.

ProviderError
├── ProviderUnavailable     try again later: 429, 5xx, timeout, no connection, a cut answer, no JSON
├── TaskRejected            never with this input: 400, 413, content filter
├── AccountRefused          never with this account: 401, 402, 403, no key
├── UnexpectedAnswer        never with this program: a redirect, 404, 405, 415
└── UnusableAnswer          once more at most: a whole 200 that breaks the contract
    └── UnstorableAnswer    ... or that PostgreSQL cannot store
"""

from collections.abc import Awaitable, Callable
from typing import Any

from shared.messages import ErrorCode

Answer = dict[str, Any]
"""What the provider answered, as it goes into the row."""

Provider = Callable[[str], Awaitable[Answer]]
"""Asks a provider once, for a bounded time. Raises a ProviderError."""


class ProviderError(Exception):
    """A provider did not answer the task. No message repeats the task, the answer or a key."""

    code: ErrorCode


class ProviderUnavailable(ProviderError):
    """The provider cannot answer now."""

    code = ErrorCode.PROVIDER_UNAVAILABLE

    def __init__(self, message: str, *, retryable: bool = True, retry_after_seconds: float | None = None) -> None:
        """Describe the failure.

        Args:
            message: what happened.
            retryable: whether asking again may help.
            retry_after_seconds: how long the provider asks us to wait, where it does.
        """
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class TaskRejected(ProviderError):
    """The provider refuses this very input."""

    code = ErrorCode.TASK_REJECTED


class AccountRefused(ProviderError):
    """The provider refuses our key, or our quota or balance is used up."""

    code = ErrorCode.PROVIDER_REFUSED_ACCOUNT


class UnexpectedAnswer(ProviderError):
    """The provider says that the request itself is wrong: a bug here or a wrong address."""

    code = ErrorCode.INTERNAL_ERROR


class UnusableAnswer(ProviderError):
    """The provider answered, and was paid, but the answer cannot be used; the next one will hardly differ."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class UnstorableAnswer(UnusableAnswer):
    """The answer is as the contract has it, and PostgreSQL would refuse its row."""

    code = ErrorCode.INTERNAL_ERROR


def without_keys(names: str) -> Provider:
    """Return a provider for an account that we have no keys of: it refuses every task, naming the settings."""

    async def refuse(data: str) -> Answer:
        raise AccountRefused(f"{names} are not set")

    return refuse

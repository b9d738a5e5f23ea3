"""Providers, `async (data) -> answer`, and the tree of their errors, sorted by what the caller should do.

ProviderError
├── ProviderUnavailable     retry later: 429, 5xx, timeout, no connection, a truncated answer, invalid JSON
├── TaskRejected            never retry this input, unless the provider rejects every input: 400, 422
│   └── InputRejected       ... and it says why it rejects this very input: 413, 414, content filter
├── AccountRefused          never retry with this account: 401, 402, 403, no key
├── Misconfigured           wait until our configuration is mended: 404, 405, 415
├── UnexpectedAnswer        never retry with this program: a redirect
└── UnusableAnswer          retry once at most: a complete 200 that breaks the contract
    └── UnstorableAnswer    ... or that PostgreSQL cannot store
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from shared.messages import ErrorCode

Answer = dict[str, Any]
"""A provider's answer, as it goes into the row."""


class Line(Protocol):
    """A request's connection, and who is told that it is sent."""

    connection: Any
    """A providers.wire.Connection; None if one is to be opened. The one that was used stays here."""

    def sent(self) -> None:
        """Called when the connection is open, right before the request is sent. May raise, and nothing is sent."""


Provider = Callable[[str, Line], Awaitable[Answer]]
"""Makes one request to a provider, over the given connection, for a bounded time. Raises a ProviderError."""


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


class InputRejected(TaskRejected):
    """The provider refuses this input for its length or its meaning, which says nothing about other inputs."""


class AccountRefused(ProviderError):
    """The provider refuses our key, or our quota or balance is used up."""

    code = ErrorCode.PROVIDER_REFUSED_ACCOUNT


class Misconfigured(ProviderError):
    """The provider has no such service at this address: no task can succeed."""

    code = ErrorCode.INTERNAL_ERROR


class UnexpectedAnswer(ProviderError):
    """The provider answers something that this program does not understand."""

    code = ErrorCode.INTERNAL_ERROR


class UnusableAnswer(ProviderError):
    """The provider answered, and was paid, but the answer cannot be used; the next one will probably be the same."""

    code = ErrorCode.PROVIDER_UNAVAILABLE


class UnstorableAnswer(UnusableAnswer):
    """The answer meets the contract, but PostgreSQL would refuse its row."""

    code = ErrorCode.INTERNAL_ERROR


class NotNow(Exception):
    """The request must not be sent now. It was not sent."""

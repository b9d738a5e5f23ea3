"""One log format for both programs and the libraries below them: JSON lines, or text on a terminal."""

import logging
import math
import os
import re
import sys
import threading
import time
import traceback
from types import TracebackType

import structlog

from shared.settings import LogFormat, LogLevel

CLIENT_LINE_SECONDS = 30.0
"""Between two lines of the same kind from a client of Kafka or of a trace collector, which repeat themselves in an
outage."""

USUAL_AT_FIRST = "Failed to acquire idempotence PID"
"""librdkafka's warning about a producer that Kafka is not ready for. When Kafka starts it is over within seconds."""

CAUSES_MAX = 10
"""Exceptions of one chain that are logged, beginning with the last one."""

FIELDS = (
    "correlation_id",
    "request_id",
    "position",
    "task_type",
    "outcome",
    "reason",
    "attempts",
    "method",
    "route",
    "status",
    "seconds",
)
"""Fields that a line may have besides its text, through the standard library's `extra`. Other extras are dropped."""


def configure_logs(level: LogLevel, log_format: LogFormat | None) -> None:
    """Send everything that is logged, and uncaught exceptions, to stderr in one format.

    An exception is logged with its type and traceback, never its text, which may repeat a task, an answer or a key.

    Args:
        level: lowest level that is logged, also for Quix Streams, librdkafka and the other libraries.
        log_format: None chooses `console` if stderr is a terminal, else `json`.
    """
    console = sys.stderr.isatty() if log_format is None else log_format == "console"
    renderer: list[structlog.types.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,  # other formatters show variables
            )
        ]
        if console
        else [structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    processors: list[structlog.types.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(FIELDS),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                *renderer,
            ],
        )
    )
    handler.addFilter(_without_objects)
    handler.addFilter(_ClientLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These repeat what the service logs itself, and httpx and aiohttp log addresses.
    for name in ("httpx", "httpcore", "asyncio", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # It warns of the errors that follow the first one of a connection.
    logging.getLogger("psycopg").setLevel(max(logging.ERROR, root.level))
    logging.raiseExceptions = False  # an error in logging would print the line's arguments
    sys.excepthook = lambda _, error, __: _log_uncaught("unforeseen %s ends the program", error)
    threading.excepthook = lambda ended: _log_uncaught("unforeseen %s ends a thread", ended.exc_value)
    sys.unraisablehook = lambda ignored: _log_uncaught("unforeseen %s, and Python goes on", ignored.exc_value)


def _traceback(exc_info: "tuple[type[BaseException], BaseException, TracebackType | None]") -> str:
    """Return the exception's type and frames, after those of its causes."""
    chain: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(chain) < CAUSES_MAX:
        frames = "".join(traceback.format_tb(error.__traceback__))
        chain.append(f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\n".join(reversed(chain))


def _without_objects(record: logging.LogRecord) -> bool:
    # asyncio logs the repr of tasks, callbacks and exceptions, with arguments and texts. Only the words before it stay.
    if record.name == "asyncio":
        record.msg, record.args = re.split(r"[\n(<{\[]", record.getMessage(), maxsplit=1)[0].rstrip(), ()
    return True


def _log_uncaught(event: str, error: BaseException | None) -> None:
    if isinstance(error, SystemExit):  # ends a thread normally
        return
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    logging.getLogger("python").critical(event, type(error).__name__, exc_info=exc_info)


class _ClientLines(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop a client's line if one of its kind was logged less than CLIENT_LINE_SECONDS ago."""
        if not record.name.startswith(("quixstreams.kafka", "librdkafka", "opentelemetry")):
            return True
        kind = re.sub(r"\d+", "", record.getMessage())[:100]
        now = time.monotonic()
        silent_seconds = now - self._logged_at.get(kind, -math.inf)
        if silent_seconds < CLIENT_LINE_SECONDS:
            return False
        if len(self._logged_at) > 1000:  # there are few kinds, but memory must stay bounded
            self._logged_at.clear()
        self._logged_at[kind] = now
        if USUAL_AT_FIRST in kind and silent_seconds > 2 * CLIENT_LINE_SECONDS:
            record.levelno, record.levelname = logging.INFO, "INFO"
            return logging.getLogger().isEnabledFor(logging.INFO)
        return True

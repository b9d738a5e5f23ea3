"""One log format for both programs and the libraries below them: JSON lines, or text on a terminal."""

import logging
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
"""Between two lines of the same kind by a client of Kafka or of a collector of traces: in an outage each says the same
again and again."""

CAUSES_MAX = 10
"""Exceptions of one chain that are told, the last one first."""

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
"""What a line may carry beside its text, by the standard library's `extra`. No other library's extras get through."""


def configure_logs(level: LogLevel, log_format: LogFormat | None) -> None:
    """Send every record of the standard library's loggers to stderr in one format, and what ends threads too.

    Of an exception a line tells its type and where it was, never its text: that may repeat a task, an answer or a key.

    Args:
        level: the least level that is logged, for this service and for Quix Streams, librdkafka and the others.
        log_format: None chooses `console` where stderr is a terminal, else `json`.
    """
    console = sys.stderr.isatty() if log_format is None else log_format == "console"
    renderer: list[structlog.types.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,  # others show variables; here it gets text only
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
                structlog.processors.ExceptionRenderer(_where_it_was),
                *renderer,
            ],
        )
    )
    handler.addFilter(_without_objects)
    handler.addFilter(_ClientLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These say what the service's own lines say already, and httpx and aiohttp put addresses into theirs.
    for name in ("httpx", "httpcore", "asyncio", "aiohttp.access", "uvicorn.access", "psycopg"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.raiseExceptions = False  # a line that cannot be written would be told with its arguments
    sys.excepthook = lambda _, error, __: _tell("unforeseen %s ends the program", error)
    threading.excepthook = lambda ended: _tell("unforeseen %s ends a thread", ended.exc_value)
    sys.unraisablehook = lambda ignored: _tell("unforeseen %s, and Python goes on", ignored.exc_value)


def _where_it_was(exc_info: "tuple[type[BaseException], BaseException, TracebackType | None]") -> str:
    """Return the exception's type and frames, and before them those of what led to it."""
    told: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(told) < CAUSES_MAX:
        frames = "".join(traceback.format_tb(error.__traceback__))
        told.append(f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\n".join(reversed(told))


def _without_objects(record: logging.LogRecord) -> bool:
    # asyncio tells tasks, callbacks and exceptions by their repr, arguments and texts included: not beyond its words.
    if record.name == "asyncio":
        record.msg, record.args = re.split(r"[\n(<{\[]", record.getMessage(), maxsplit=1)[0].rstrip(), ()
    return True


def _tell(event: str, error: BaseException | None) -> None:
    if isinstance(error, SystemExit):  # a thread's way to end
        return
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    logging.getLogger("python").critical(event, type(error).__name__, exc_info=exc_info)


class _ClientLines(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass what is not by such a client, and of what is the first of its kind in a while."""
        if not record.name.startswith(("quixstreams.kafka", "librdkafka", "opentelemetry")):
            return True
        kind = re.sub(r"\d+", "", record.getMessage())[:100]
        now = time.monotonic()
        if now - self._said_at.get(kind, -CLIENT_LINE_SECONDS) < CLIENT_LINE_SECONDS:
            return False
        if len(self._said_at) > 1000:  # kinds are few; should they not be, forget rather than grow
            self._said_at.clear()
        self._said_at[kind] = now
        return True

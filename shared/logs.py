"""One log format for both programs and the libraries below them: JSON lines, or text on a terminal."""

import logging
import os
import re
import sys
import time

import structlog

from shared.settings import LogFormat, LogLevel

CLIENT_LINE_SECONDS = 30.0
"""Between two lines of the same kind by a client of Kafka or of a collector of traces: in an outage each says the same
again and again."""


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
    """Send every record of the standard library's loggers to stderr in one format.

    Args:
        level: the least level that is logged, for this service and for Quix Streams, librdkafka and the others.
        log_format: None chooses `console` where stderr is a terminal, else `json`.
    """
    console = sys.stderr.isatty() if log_format is None else log_format == "console"
    renderer: list[structlog.types.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                # By itself it shows local variables where rich is installed: tasks, keys, tokens.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    handler.addFilter(_ClientLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These say what the service's own lines say already, and httpx and aiohttp put addresses into theirs.
    for name in ("httpx", "httpcore", "asyncio", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


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

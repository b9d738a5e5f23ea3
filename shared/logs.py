"""One log format for both programs and the libraries below them: JSON lines, or text on a terminal."""

import logging
import os
import re
import sys
import time

import structlog

from shared.settings import LogFormat, LogLevel

KAFKA_LINE_SECONDS = 30.0
"""Between two lines of the same kind by a Kafka client: in an outage each says the same several times a second."""


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
    shared_processors: list[structlog.types.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    handler.addFilter(_KafkaLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # These say what the service's own lines say already, and httpx and aiohttp put addresses into theirs.
    for name in ("httpx", "httpcore", "asyncio", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared_processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class _KafkaLines(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass what is not by a Kafka client, and of what is the first of its kind in a while."""
        if not record.name.startswith(("quixstreams.kafka", "librdkafka")):
            return True
        kind = re.sub(r"\d+", "", record.getMessage())[:100]
        now = time.monotonic()
        if now - self._said_at.get(kind, -KAFKA_LINE_SECONDS) < KAFKA_LINE_SECONDS:
            return False
        if len(self._said_at) > 1000:  # kinds are few; should they not be, forget rather than grow
            self._said_at.clear()
        self._said_at[kind] = now
        return True

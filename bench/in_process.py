"""The processor with an in-process provider that answers immediately, to measure only the pipeline and PostgreSQL.

python -m bench.in_process      # takes the processor's environment variables
"""

from typing import Any

from processor import service
from processor.enrich import task_types
from processor.enrich.errors import Answer, Line, Provider
from processor.settings import ProcessorSettings
from sandbox.answers import clean_phone
from shared.settings import read_settings

ANSWER: Answer = clean_phone("8 916 823 34 54")


def at_once(*_: Any, **__: Any) -> Provider:
    """Return a provider that answers without a request."""

    async def answer(data: str, line: Line) -> Answer:
        line.sent()
        return ANSWER

    return answer


if __name__ == "__main__":
    task_types.dadata = at_once  # type: ignore[attr-defined]
    service.main(read_settings(ProcessorSettings))

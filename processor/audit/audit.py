"""The audit at the start: in the background, beside the work, which it neither delays nor stops."""

import asyncio
import logging
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from processor.audit.findings import Finding, TopicNames, database_findings, kafka_findings
from processor.audit.kafka import topics
from processor.audit.postgres import NoAnswer, database
from processor.settings import ProcessorSettings
from shared.messages import TASK_TYPES

logger = logging.getLogger(__name__)

START_SECONDS = 2.0
"""Between the start and the audit: replicas that start together then have their leases, by which they are counted."""

RETRY_SECONDS = 10.0
"""Until the next attempt if Kafka or PostgreSQL does not answer. That is logged elsewhere."""


async def findings(settings: ProcessorSettings, admin: AdminClient) -> list[Finding]:
    """Return what Kafka and PostgreSQL cannot promise.

    Raises:
        KafkaException: Kafka does not answer.
        NoAnswer: PostgreSQL does not answer.
    """
    names = TopicNames(settings.kafka_import_topic, settings.kafka_result_topic, settings.kafka_dead_letter_topic)
    described = await topics(admin, (names.tasks, names.results, names.dead_letters))
    of_postgres = await database(settings.postgres_connection())
    # The leases do not say which group a replica belongs to.
    replicas = of_postgres.replicas if set(settings.task_types) == set(TASK_TYPES) else None
    return [*kafka_findings(names, described, replicas), *database_findings(of_postgres)]


class Audit:
    """Makes the audit once. Lives on the event loop."""

    def __init__(self, settings: ProcessorSettings, admin: Callable[[], AdminClient]) -> None:
        """Request nothing. `admin` returns Kafka's client."""
        self._settings = settings
        self._admin = admin
        self.findings: list[str] | None = None
        """What was found, in words; None until the audit is made. May be read from any thread."""

    async def run(self) -> None:
        """Make the audit, and log each finding once."""
        pause = START_SECONDS
        while self.findings is None:
            await asyncio.sleep(pause)
            try:
                found = await findings(self._settings, self._admin())
            except (KafkaException, NoAnswer) as error:
                why = error.args[0].str() if isinstance(error, KafkaException) else str(error)
                logger.debug("the audit is made later: %s", why)
                pause = RETRY_SECONDS
            else:
                for finding in found:
                    logger.warning("audit: %s", finding)
                self.findings = [str(finding) for finding in found]

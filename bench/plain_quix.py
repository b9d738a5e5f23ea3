"""The comparison program with Quix Streams out of the box: one record after another, each waiting for its provider.

    python -m bench.plain_quix      # takes the processor's environment variables; phone tasks only

It delivers at least once: an offset is committed only after its row and its result. Compared with the service, it
lacks

- speed: a process has one call in flight, so with 100 ms of DaData it does at most 10 tasks a second; each further call
  in flight needs another process, up to the number of partitions;
- identity: there is no ledger, so after a crash or an unclean rebalance the tasks since the last commit, up to 5
  seconds of work, are paid for, written and answered again with new ids; and there are no idempotency keys;
- dead letters: a task that DaData refuses, or that keeps failing, is only a line in the log;
- outages: retries of one task block all others; an outage of DaData uses up the attempts of all tasks that arrive
  meanwhile, and an outage of PostgreSQL ends the program, so that a supervisor has to restart it.
"""

import logging
import tempfile
import warnings
from typing import Any

import httpx
import psycopg
import stamina.instrumentation
from psycopg.types.json import Jsonb

from bench.rival import ATTEMPTS, NEW_ID, PHONE_PATH, TIMEOUT_SECONDS, WORTH_ANOTHER_TRY, Settings

# authlib, which Quix imports for its schema registry client, warns on every start about a change for httpx users.
with warnings.catch_warnings(record=True):
    from quixstreams import Application

INSERT = f"INSERT INTO integration_service (id, data, task_type) VALUES ({NEW_ID}, %s, 'phone') RETURNING id"


def main() -> None:
    """Run until SIGTERM."""
    stamina.instrumentation.set_on_retry_hooks([])  # the default hooks would log the tasks' data
    with tempfile.TemporaryDirectory() as state_folder:  # Quix creates one even for a stateless pipeline
        run(Settings(), state_folder)


def run(settings: Settings, state_folder: str) -> None:
    """Build the pipeline and run it."""
    dadata = httpx.Client(
        base_url=settings.dadata_url, headers=settings.dadata_headers(), timeout=TIMEOUT_SECONDS, trust_env=False
    )
    postgres = psycopg.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value(),
        dbname=settings.postgres_db,
        autocommit=True,
    )

    @stamina.retry(on=_worth_another_try, attempts=ATTEMPTS)
    def call(task: dict[str, Any]) -> dict[str, Any]:
        response = dadata.post(PHONE_PATH, json=[task["data"]])
        response.raise_for_status()
        [answer] = response.json()
        return {"task_id": task["task_id"], "answer": answer}

    def insert(enriched: dict[str, Any]) -> dict[str, Any]:
        [(row_id,)] = postgres.execute(INSERT, [Jsonb(enriched["answer"])]).fetchall()
        return {"task_id": enriched["task_id"], "id": row_id}

    app = Application(
        broker_address=settings.kafka_bootstrap_servers,
        consumer_group=settings.kafka_consumer_group,
        auto_offset_reset="earliest",
        on_consumer_error=_pass_over,
        on_processing_error=_pass_over,
        state_dir=state_folder,
    )
    tasks = app.topic(settings.kafka_import_topic, value_deserializer="json")
    results = app.topic(settings.kafka_result_topic, value_serializer="json")

    sdf = app.dataframe(tasks)
    sdf = sdf.filter(lambda task: task["task_type"] == "phone")
    sdf = sdf.apply(call).apply(insert)
    sdf.to_topic(results)

    app.run()


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in WORTH_ANOTHER_TRY
    return isinstance(error, httpx.TransportError)


def _pass_over(error: Exception, record: Any, logger: logging.Logger) -> bool:
    """Return whether Quix may skip the error: yes if it concerns one record, no if PostgreSQL or Kafka is away."""
    if record is None or isinstance(error, psycopg.OperationalError):
        return False
    logger.exception("A record is skipped")
    return True


if __name__ == "__main__":
    main()

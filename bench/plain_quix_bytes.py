"""The floor under the pipeline: Quix Streams that passes bytes from one topic to another.

    python -m bench.plain_quix_bytes      # takes the processor's environment variables

It reads nothing of a task, asks no provider and stores no row.
"""

import tempfile
import warnings

from bench.rival import Settings

# authlib, which Quix imports for its schema registry client, warns on every start about a change for httpx users.
with warnings.catch_warnings(record=True):
    from quixstreams import Application


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as state_folder:  # Quix creates one even for a stateless pipeline
        app = Application(
            broker_address=settings.kafka_bootstrap_servers,
            consumer_group=settings.kafka_consumer_group,
            auto_offset_reset="earliest",
            state_dir=state_folder,
            loglevel="ERROR",
        )
        tasks = app.topic(settings.kafka_import_topic, value_deserializer="bytes")
        results = app.topic(settings.kafka_result_topic, value_serializer="bytes")
        app.dataframe(tasks).to_topic(results)
        app.run()


if __name__ == "__main__":
    main()

"""What Prometheus can ask a processor."""

from functools import cache

from prometheus_client import Counter, Enum, Histogram

TASKS = Counter(
    "integration_tasks",
    "Records finished, by what became of them: stored, known (done before, answered from the ledger), passed_over, "
    "or the dead letter's error_code.",
    ["task_type", "outcome"],
)
tasks = cache(TASKS.labels)  # for each task, and `labels` takes a lock and longer than the counting

PROVIDER_SECONDS = Histogram(
    "integration_provider_request_seconds",
    "Requests to a provider, one for each attempt.",
    ["provider", "outcome"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120),
)
provider_seconds = cache(PROVIDER_SECONDS.labels)

CIRCUIT = Enum(
    "integration_circuit",
    "Whether a provider is asked: closed (yes), unavailable or refused (only now and then, to see whether it answers).",
    ["provider"],
    states=["closed", "unavailable", "refused"],
)

"""What Prometheus can ask a processor."""

from prometheus_client import Counter, Histogram

TASKS = Counter(
    "integration_tasks",
    "Records finished, by what became of them: stored, known (done before, answered from the ledger), passed_over, "
    "or the dead letter's error_code.",
    ["task_type", "outcome"],
)

PROVIDER_SECONDS = Histogram(
    "integration_provider_request_seconds",
    "Requests to a provider, one for each attempt.",
    ["provider", "outcome"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120),
)

"""The processor's metrics. observability/README.md lists them for people; a test compares the two."""

from functools import cache

from prometheus_client import Counter, Enum, Gauge, Histogram

from shared.messages import ErrorCode

TASKS = Counter(
    "integration_tasks",
    "Records finished, by what became of them: stored, known (done before, answered from the ledger), passed_over, "
    "or the dead letter's error_code.",
    ["task_type", "outcome"],
)
tasks = cache(TASKS.labels)  # for each task, and `labels` takes a lock and longer than the counting

TASK_SECONDS = Histogram(
    "integration_task_seconds",
    "From the moment in which work on a record begins to its outcome: waiting for a slot, all attempts, the row.",
    ["task_type"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600),
)
task_seconds = cache(TASK_SECONDS.labels)

DEAD_LETTERS = Counter("integration_dead_letters", "Dead letters, by their error_code.", ["error_code"])
for code in ErrorCode:  # an alert sees the first one only if there was a 0 before it
    DEAD_LETTERS.labels(code)

PROVIDER_SECONDS = Histogram(
    "integration_provider_request_seconds",
    "Requests to a provider, one for each attempt, by what came: answered, or what a dead letter of it would be.",
    ["provider", "outcome"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120),
)
provider_seconds = cache(PROVIDER_SECONDS.labels)

WAITING_FOR_SLOT = Gauge(
    "integration_waiting_for_slot", "Tasks that wait until their provider may be asked.", ["provider"]
)
QUOTA_SLOTS = Gauge(
    "integration_quota_slots", "This replica's share of the fleet's quota: requests a second, or at once.", ["provider"]
)
QUOTA_USED_SLOTS = Gauge("integration_quota_used_slots", "How much of its share this replica uses now.", ["provider"])

CIRCUIT = Enum(
    "integration_circuit",
    "Whether a provider is asked: closed (yes), unavailable or refused (only now and then, to see whether it answers).",
    ["provider"],
    states=["closed", "unavailable", "refused"],
)

IN_FLIGHT = Gauge("integration_in_flight_records", "Records taken and not finished.")
IN_FLIGHT_MAX = Gauge("integration_in_flight_max_records", "At how many of them reading stops: IN_FLIGHT_MAX.")
HELD = Gauge(
    "integration_held_records",
    "Records whose outcome Kafka refuses: not in flight, not committed, sent again until Kafka takes it.",
)
OLDEST_UNFINISHED = Gauge(
    "integration_oldest_unfinished_seconds", "Since when the record is in flight that was taken first; 0 without any."
)

GROUP_COMMIT_ROWS = Histogram(
    "integration_group_commit_rows",
    "Rows that were written together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
GROUP_COMMIT_SECONDS = Histogram(
    "integration_group_commit_seconds",
    "From sending rows to PostgreSQL to their commit; outages included, as they are waited for.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
POSTGRES_CONNECTED = Gauge("integration_postgres_connected", "1 while PostgreSQL answers.")

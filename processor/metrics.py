"""The processor's metrics. observability/README.md lists them; a test compares the two."""

from functools import cache

from prometheus_client import Counter, Enum, Gauge, Histogram

from shared.messages import ErrorCode

TASKS = Counter(
    "integration_tasks",
    "Records finished, by outcome: stored, known (done before, answered from the ledger), passed_over (of other "
    "TASK_TYPES), or the dead letter's error_code.",
    ["task_type", "outcome"],
)
tasks = cache(TASKS.labels)  # called for each task; `labels` takes a lock, and longer than counting

TASK_SECONDS = Histogram(
    "integration_task_seconds",
    "Time from the start of work on a record to its outcome, including the wait for a slot, all attempts and the row.",
    ["task_type"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600),
)
task_seconds = cache(TASK_SECONDS.labels)

DEAD_LETTERS = Counter("integration_dead_letters", "Dead letters, by their error_code.", ["error_code"])
for code in ErrorCode:  # an alert notices the first dead letter only if there was a 0 before it
    DEAD_LETTERS.labels(code)

PROVIDER_SECONDS = Histogram(
    "integration_provider_request_seconds",
    "Time of requests to a provider, one for each attempt, by outcome: answered, or its dead letter's error_code.",
    ["provider", "outcome"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120),
)
provider_seconds = cache(PROVIDER_SECONDS.labels)

WAITING_FOR_SLOT = Gauge(
    "integration_waiting_for_slot", "Tasks that wait until a request to their provider may start.", ["provider"]
)
AWAITED_WAITING = Gauge(
    "integration_awaited_waiting_for_slot", "Those of them whose result somebody waits for.", ["provider"]
)
QUOTA_SLOTS = Gauge(
    "integration_quota_slots",
    "This replica's slots of the fleet's quota, by its lease: requests a second, or at once.",
    ["provider"],
)
QUOTA_USED_SLOTS = Gauge("integration_quota_used_slots", "How many of its slots this replica uses now.", ["provider"])
NEW_CONNECTIONS = Gauge(
    "integration_new_connections", "Connections that this replica has opened in the last minute.", ["provider"]
)
NEW_CONNECTIONS_LEFT = Gauge(
    "integration_new_connections_left", "Connections that this replica's lease lets it open now.", ["provider"]
)

BALANCE = Gauge("integration_provider_balance_rubles", "Balance of the account at the provider.", ["provider"])
REMAINING_TODAY = Gauge(
    "integration_provider_remaining_today", "Requests that the provider still accepts today.", ["provider"]
)

CIRCUIT = Enum(
    "integration_circuit",
    "1 for the state of the fleet's circuit breaker: closed (requests are made), or, with only occasional probes, "
    "unavailable, refused (the account) or misconfigured (every task is rejected).",
    ["provider"],
    states=["closed", "unavailable", "refused", "misconfigured"],
)

IN_FLIGHT = Gauge("integration_in_flight_records", "Records taken that are neither finished nor held.")
IN_FLIGHT_MAX = Gauge(
    "integration_in_flight_max_records", "Number of records in flight at which reading stops: IN_FLIGHT_MAX."
)
HELD = Gauge(
    "integration_held_records",
    "Records whose outcome Kafka refuses: neither in flight nor committed, sent again until Kafka accepts it.",
)
OLDEST_UNFINISHED = Gauge(
    "integration_oldest_unfinished_seconds", "Age in seconds of the oldest record in flight; 0 if none."
)

GROUP_COMMIT_ROWS = Histogram(
    "integration_group_commit_rows",
    "Rows that were written together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
GROUP_COMMIT_SECONDS = Histogram(
    "integration_group_commit_seconds",
    "Time from sending rows to PostgreSQL to their commit, including outages.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
POSTGRES_CONNECTED = Gauge("integration_postgres_connected", "1 while PostgreSQL answers.")

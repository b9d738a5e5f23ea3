"""The gateway's metrics. observability/README.md lists them; a test compares the two."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = Histogram(
    "integration_gateway_request_seconds",
    "Time of requests, from their headers to the end of the answer; status 499: the caller disconnected.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

TASKS_SENT = Counter(
    "integration_gateway_tasks_sent",
    "Tasks sent to Kafka: taken, or not_taken if Kafka does not accept them in time or at all.",
    ["outcome"],
)
TASKS_TAKEN, TASKS_NOT_TAKEN = TASKS_SENT.labels("taken"), TASKS_SENT.labels("not_taken")

WAITING_REPLIES = Gauge("integration_gateway_waiting_replies", "Requests that wait for their reply.")
WAITING_REPLIES_MAX = Gauge(
    "integration_gateway_waiting_replies_max",
    "Number of waiting requests at which more are refused: WAITING_REPLIES_MAX.",
)

REPLY_SECONDS = Histogram(
    "integration_gateway_reply_seconds",
    "Time for which requests waited for their reply, by its kind: result, dead_letter, or none.",
    ["outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RESULT_SECONDS, DEAD_LETTER_SECONDS, NO_REPLY_SECONDS = map(REPLY_SECONDS.labels, ("result", "dead_letter", "none"))

LATE_REPLIES = Counter(
    "integration_gateway_late_replies", "Replies that came when no request waited for them any more."
)

READY = Gauge(
    "integration_gateway_ready", "1 while tasks can be accepted: Kafka answers and the gateway receives all replies."
)

CONNECTIONS = Gauge("integration_gateway_connections", "Connections to the gateway.")

/** The texts that explain replies and the states of tasks. */

/** The failures after which the same task may succeed. */
const MAY_HELP = new Set([
  "too_many_requests", "provider_unavailable", "overloaded", "kafka_unavailable", "too_many_waiting", "unreachable",
  "foreign",
]);

const SEND_AGAIN = [
  "It is safe to send it again with the same idempotency key.",
  "The task had no idempotency key: sent again, it may be done and paid for twice.",
];

/** [title, advice], and where it makes a difference, further advice with and without an idempotency key. */
const WORDS = {
  unauthorized: [
    "The gateway needs a valid token",
    "Nothing was sent to Kafka. The token in the field above was not made by this gateway, or has expired.",
  ],
  too_many_requests: [
    "Too many requests",
    "Nothing was sent to Kafka. The number of requests that one caller may make in a minute is limited.",
  ],
  invalid_task: [
    "This is not a valid task",
    "The gateway refused it, and nothing was sent to Kafka. The message below says why.",
  ],
  invalid_idempotency_key: [
    "This idempotency key is not valid",
    "Nothing was sent to Kafka.",
  ],
  body_too_large: [
    "The task is too large",
    "Nothing was sent to Kafka. The page shows how many characters a task of each type may have.",
  ],
  unsupported_media_type: [
    "The task did not arrive as JSON",
    "Nothing was sent to Kafka. Something between this page and the gateway has changed the request.",
  ],
  task_rejected: [
    "The task is rejected",
    "The provider refuses this input, or the idempotency key belongs to another task. Sending the same task again " +
      "will not help.",
  ],
  provider_unavailable: [
    "The provider does not answer",
    "The service tried several times, and then moved the task to the dead-letter topic. The operator can put it back " +
      "from there.",
    "Wait for that, or send the task again with the same idempotency key: it is not paid for twice.",
    "Wait for that. The task had no idempotency key: sent again, it may be done and paid for twice.",
  ],
  provider_refused_account: [
    "The provider refuses the service's account",
    "The service's key at the provider is wrong, or its quota or balance is used up. Your task is kept on the " +
      "dead-letter topic. Inform the operator.",
  ],
  internal_error: [
    "The service failed to process this task",
    "This is a fault of the service, not of your task. Give the operator the correlation id.",
  ],
  bad_request: [
    "The gateway does not understand the request",
    "Nothing was sent to Kafka. Something between this page and the gateway has changed the request.",
  ],
  headers_too_large: [
    "The browser sends too many headers",
    "Nothing was sent to Kafka. The usual reason is cookies of other programs at this address: delete them.",
  ],
  overloaded: [
    "The gateway is overloaded",
    "The server in front of the gateways refused the request. It is not known whether the task reached Kafka.",
    ...SEND_AGAIN,
  ],
  kafka_unavailable: [
    "The gateway cannot accept tasks now",
    "Kafka, one of its topics or the connection to it is missing. The task was probably not accepted.",
    ...SEND_AGAIN,
  ],
  too_many_waiting: [
    "Too many requests are waiting for their reply",
    "The task was not accepted. A request with respond-async does not wait, so this limit does not apply to it.",
  ],
  reply_timeout: [
    "No reply in time",
    "The task is in Kafka and will be done. This page keeps checking for its result.",
  ],
  not_found: [
    "The gateway no longer knows this task",
    "It is older than the gateway remembers. If it was done, its row is in the database.",
  ],
  unreachable: [
    "The gateway cannot be reached",
    "No reply arrived. If the request reached the gateway, the task is done anyway.",
    ...SEND_AGAIN,
  ],
  foreign: [
    "The reply is not from the gateway",
    "Something between this page and the gateway replied instead. It is not known whether the task reached the " +
      "gateway.",
    ...SEND_AGAIN,
  ],
  left: [
    "The page was left before the reply arrived",
    "The outcome of this task is not known here.",
  ],
};

/** Return [title, advice] for a task. */
export function told(task) {
  switch (task.state) {
    case "sending":
      return ["Sent to the gateway", "The reply appears here."];
    case "working":
      return task.code === "reply_timeout"
        ? inWords(task)
        : ["Kafka has the task", "It is being processed. This page checks for its result until it arrives."];
    case "done":
      return [`Stored as row ${task.id}`, "The provider's answer is in this row of the table integration_service."];
    default:
      return inWords(task);
  }
}

/** Return [title, advice] for a failure: its code is an error_code, "unreachable", "foreign" or "left". */
export function inWords({ code, repeatable }) {
  if (!Object.hasOwn(WORDS, code)) {
    return ["The gateway refuses this", "This page has no explanation beyond the gateway's message."];
  }
  const [title, advice, withKey, withoutKey] = WORDS[code];
  const further = repeatable ? withKey : withoutKey;
  return [title, further ? `${advice} ${further}` : advice];
}

export function inName(task) {
  return `${task.task_type}, task_id ${task.task_id}`;
}

export function inShort(task) {
  if (task.state === "sending") return "sent, no reply yet";
  if (task.state === "working") return "in Kafka, no result yet";
  if (task.state === "done") return `row ${task.id} ${inAfter(task)}`;
  return inWords(task)[0];
}

/** Return whether it may help to send the task again, and is safe. */
export function isSafeToRepeat({ code, repeatable }) {
  return MAY_HELP.has(code) && (repeatable || WORDS[code].length === 2);
}

export function inAfter(task) {
  return task.ms === null ? "" : `after ${inTime(task.ms)}`;
}

export function inStatus(status) {
  return status === null ? "None" : `HTTP ${status}`;
}

export function inTime(ms) {
  return ms < 10_000 ? `${inDigits(ms)} ms` : `${inDigits(Math.round(ms / 1000))} s`;
}

export function inDate(at) {
  const isToday = new Date(at).toDateString() === new Date().toDateString();
  const style = isToday ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Date(at).toLocaleString("en-GB", style);
}

export function inDigits(number) {
  return number.toLocaleString("en");
}

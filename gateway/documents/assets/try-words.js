/** The texts that explain answers and the states of tasks. */

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
    "The gateway refused it, and nothing was sent to Kafka. Correct what the message names and send it again.",
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
    "Nothing was sent to Kafka. Send the task again in a moment.",
  ],
  kafka_unavailable: [
    "The gateway cannot accept tasks now",
    "Kafka, one of its topics or the connection to it is missing. The task was probably not accepted; with an " +
      "idempotency key it is safe to send it again.",
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
    "No answer arrived. If the request reached the gateway, the task is done anyway: with an idempotency key it is " +
      "safe to send it again.",
  ],
  foreign: [
    "The answer is not from the gateway",
    "Something between this page and the gateway answered instead. It is not known whether the task reached the " +
      "gateway.",
  ],
  left: [
    "The page was left before the answer arrived",
    "The outcome of this task is not known here.",
  ],
};

/** Return [title, advice] for a task. */
export function told(task) {
  switch (task.state) {
    case "sending":
      return ["Sent", "Waiting for the answer."];
    case "working":
      return task.code === "reply_timeout"
        ? inWords(task.code)
        : ["Kafka has the task", "It is being processed. This page checks for its result until it arrives."];
    case "done":
      return [`Stored as row ${task.id}`, "The provider's answer is in the table integration_service, under this id."];
    default:
      return inWords(task.code);
  }
}

/** Return [title, advice] for a failure: error_code of the answer, "unreachable", "foreign" or "left". */
export function inWords(code) {
  if (Object.hasOwn(WORDS, code)) return WORDS[code];
  return ["The gateway refuses this", "This page has no explanation beyond the gateway's message."];
}

export function inName(task) {
  return `${task.task_type}, ${task.task_id === null ? "no task number" : `task ${task.task_id}`}`;
}

export function inShort(task) {
  const after = task.ms === null ? "" : ` after ${inTime(task.ms)}`;
  if (task.state === "sending") return "waiting for the answer";
  if (task.state === "working") return "in Kafka, no result yet";
  if (task.state === "done") return `row ${task.id}${after}`;
  return inWords(task.code)[0];
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

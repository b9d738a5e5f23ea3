/** What an answer means, and what became of a task, in words for a person. */

const WORDS = {
  unauthorized: [
    "The gateway wants to know who you are",
    "Nothing was sent. The token in the field above is not one of this gateway's, or has expired.",
  ],
  too_many_requests: [
    "Too many requests",
    "Nothing was sent. One caller may make only so many in a minute.",
  ],
  invalid_task: [
    "This is no task",
    "The gateway has refused it, and nothing was sent. Mend what it says and send it again.",
  ],
  invalid_idempotency_key: [
    "This idempotency key cannot be used",
    "Nothing was sent.",
  ],
  body_too_large: [
    "The task is too large",
    "Nothing was sent. The page counts the characters that a task of each type may have.",
  ],
  unsupported_media_type: [
    "The task did not arrive as JSON",
    "Nothing was sent. Something between this page and the gateway has changed the request.",
  ],
  task_rejected: [
    "The task is rejected",
    "The provider refuses this very input, or the idempotency key belongs to another task. Sending the same again " +
      "will not help.",
  ],
  provider_unavailable: [
    "The provider does not answer",
    "The service has tried several times, and put the task aside on the dead-letter topic, from where the operator " +
      "can put it back.",
  ],
  provider_refused_account: [
    "The provider refuses the service",
    "The service's key at the provider is wrong, or its quota or balance is used up. Your task is kept on the " +
      "dead-letter topic: tell the operator.",
  ],
  internal_error: [
    "The service has failed over this task",
    "This is a fault of the service, not of your task. Tell the operator the correlation id.",
  ],
  bad_request: [
    "The gateway does not understand the request",
    "Nothing was sent. Something between this page and the gateway has changed it.",
  ],
  headers_too_large: [
    "The browser sends too many headers",
    "Nothing was sent. Cookies of other programs at this address are the usual reason: delete them.",
  ],
  overloaded: [
    "The gateway has too much to do",
    "Nothing was sent. Send it again in a moment.",
  ],
  kafka_unavailable: [
    "The gateway cannot take tasks now",
    "Kafka, its topics or the connection to them are missing. The task was hardly taken; with an idempotency key it is " +
      "safe to send it again.",
  ],
  too_many_waiting: [
    "Too many requests wait for their reply",
    "The task was not taken. One that is answered at once needs no place to wait.",
  ],
  reply_timeout: [
    "No reply in time",
    "The task is in Kafka and will be done. This page goes on asking for its result.",
  ],
  not_found: [
    "The gateway does not know this task any more",
    "It is older than the gateway remembers. If it was done, its row is in the database.",
  ],
  unreachable: [
    "The gateway cannot be reached",
    "No answer has come. If the request got through, the task is done all the same: with an idempotency key it is " +
      "safe to send it again.",
  ],
  foreign: [
    "An answer that is not the gateway's",
    "Something between this page and the gateway has answered in its place. Whether the task got through is not " +
      "known.",
  ],
  left: [
    "The page was left before the answer",
    "What became of the task is not known here.",
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
        : ["Kafka has the task", "It is at work. This page asks for its result until it is there."];
    case "done":
      return [`Stored as row ${task.id}`, "The provider's answer is in the table integration_service, under this id."];
    default:
      return inWords(task.code);
  }
}

/** Return [title, advice] for a failure: error_code of the answer, "unreachable", "foreign" or "left". */
export function inWords(code) {
  if (Object.hasOwn(WORDS, code)) return WORDS[code];
  return ["The gateway refuses this", "This page knows no more than what the gateway says about it."];
}

export function inName(task) {
  return `${task.task_type}, ${task.task_id === null ? "no task number" : `task ${task.task_id}`}`;
}

export function inShort(task) {
  const after = task.ms === null ? "" : ` after ${inTime(task.ms)}`;
  if (task.state === "sending") return "waiting for the answer";
  if (task.state === "working") return "in Kafka, its result is to come";
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

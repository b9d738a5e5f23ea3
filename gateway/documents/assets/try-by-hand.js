/** How a task is sent without this page: as a curl line, and as a record on the import topic. */

const ARGUMENT_BYTES_MAX = 100_000; // Linux takes 131,072 for one argument

/** Return the task as JSON: the very bytes that are sent, shown and copied. */
export function taskBody(taskId, taskType, data) {
  // A number goes in as it was typed, as JavaScript would round a long one; what is none is for the gateway to refuse.
  const number = /^-?\d+$/.test(taskId) ? String(BigInt(taskId)) : JSON.stringify(taskId);
  const body = `{"task_id": ${number}, "task_type": ${JSON.stringify(taskType)}, "data": ${JSON.stringify(data)}}`;
  // Characters that would not show when it is pasted into a terminal, or would turn what is shown around.
  return body.replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Return the request as a command for sh, bash or zsh. A token is not in it: the shell has it in TOKEN. */
export function curlLine(url, body, headers, withToken) {
  const options = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (withToken) options.unshift('-H "Authorization: Bearer $TOKEN"');
  const short = new TextEncoder().encode(quoted(body)).length <= ARGUMENT_BYTES_MAX;
  const line = [`curl -i --json ${short ? quoted(body) : "@-"}`, ...options, quoted(url)].join(" \\\n  ");
  return short ? line : `${line} <<'TASK'\n${body}\nTASK`; // the body is one line that begins with {
}

/** Return the headers of the task's record, one a line: what the gateway has made of the request. */
export function recordHeaders(correlationId, idempotencyKey, withToken) {
  const ownKey = withToken ? "(SHA-256 of the token's subject and the key)" : idempotencyKey;
  const key = idempotencyKey ? `\nidempotency_key: ${ownKey}` : "";
  return `kafka_correlationId: ${correlationId}${key}`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

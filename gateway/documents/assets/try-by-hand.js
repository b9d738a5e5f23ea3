/** Shows how to do the same without this page: the SQL line, the curl line, and the record on the import topic. */

const ARGUMENT_BYTES_MAX = 100_000; // Linux allows 131,072 for one argument

/** Return the line that shows a task's stored answer, of whatever type. */
export function sqlLine(id) {
  return `SELECT jsonb_pretty(data) FROM integration_service WHERE id = ${id};`;
}

/** Return the task as JSON, exactly as it is sent, shown and copied. */
export function taskBody(taskId, taskType, data) {
  const body = `{"task_id": ${taskId}, "task_type": ${JSON.stringify(taskType)}, "data": ${JSON.stringify(data)}}`;
  // Escape characters that are invisible in a terminal, or that change the direction of the text.
  return body.replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Return the request as a command for sh, bash or zsh. It reads the token from the variable TOKEN. */
export function curlLine(url, body, headers, withToken) {
  const options = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (withToken) options.unshift('-H "Authorization: Bearer $TOKEN"');
  const short = new TextEncoder().encode(quoted(body)).length <= ARGUMENT_BYTES_MAX;
  const line = [`curl -i --json ${short ? quoted(body) : "@-"}`, ...options, quoted(url)].join(" \\\n  ");
  return short ? line : `${line} <<'TASK'\n${body}\nTASK`; // the body is one line that begins with {
}

/** Return the headers of the record that the gateway makes from a request with these headers, one a line. */
export function recordHeaders(correlationId, headers, withToken) {
  const lines = [`kafka_correlationId: ${correlationId}`];
  const key = headers["Idempotency-Key"];
  if (key) lines.push(`idempotency_key: ${withToken ? "(SHA-256 of the token's subject and the key)" : key}`);
  const waits = !/^(respond-async|wait=0+)$/.test(headers.Prefer ?? "");
  if (waits) lines.push("integration_awaited_until: (until when the gateway waits, in milliseconds since 1970)");
  return lines.join("\n");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

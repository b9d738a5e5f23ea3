/** Sends requests to the gateway and classifies the answers. */

/** Error codes of tasks that failed for good. */
export const TASK_FAILED = new Set([
  "invalid_task", "task_rejected", "provider_unavailable", "provider_refused_account", "internal_error",
]);

/**
 * Send a request and return the classified answer.
 *
 * Its code is the error_code of an error, null for a result (200) or an accepted task (202), "unreachable" if no
 * complete answer arrived, and "foreign" if the answer is not from a gateway.
 */
export async function request(path, options) {
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    return { status: null, code: "unreachable" }; // browsers hide the reason from pages
  }
  const { status, headers } = response;
  const body = parsed(text);
  const correlationId = headers.get("X-Correlation-ID");
  const retryAfterSeconds = Number(headers.get("Retry-After")) || null;
  if (typeof body?.error_code === "string") {
    return { status, code: body.error_code, body, correlationId, retryAfterSeconds };
  }
  const ours = (status === 200 && Number.isInteger(body?.id)) || (status === 202 && correlationId);
  return { status, code: ours ? null : "foreign", body: ours ? body : null, correlationId, retryAfterSeconds };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not from a gateway
  }
}

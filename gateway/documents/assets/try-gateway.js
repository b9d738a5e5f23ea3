/** Requests to the gateway, and what their answers are. */

/** Codes of a task that has failed for good. */
export const TASK_FAILED = new Set([
  "invalid_task", "task_rejected", "provider_unavailable", "provider_refused_account", "internal_error",
]);

/**
 * Ask the gateway, and return what its answer is.
 *
 * Its code is null for a result (200) or for one that is to come (202), "unreachable" where no answer came or not the
 * whole of it, and "foreign" where it is none of a gateway's.
 */
export async function request(path, options) {
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    return { status: null, code: "unreachable" }; // why is not told to pages
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
    return null; // then it is none of a gateway's
  }
}

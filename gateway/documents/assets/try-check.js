/** Checks what was typed, as the gateway would, so that all problems are shown before anything is sent. */

/**
 * Return {name of a field: what is wrong with it}, in the order of the form; empty if the task may be sent.
 *
 * @param fields the form's elements.
 * @param charactersMax of the data of this task type.
 * @param asksForToken whether this gateway accepts tasks only with a token.
 */
export function problemsOf(fields, charactersMax, asksForToken) {
  const found = {
    token: asksForToken ? problemOfToken(fields.token.value.trim()) : "",
    data: problemOfData(fields.data.value, charactersMax),
    task_id: problemOfTaskId(fields.task_id.value.trim()),
    idempotency_key: problemOfKey(fields.idempotency_key.value.trim()),
    seconds: fields.answer.value === "bounded" ? problemOfSeconds(fields.seconds.value.trim()) : "",
  };
  return Object.fromEntries(Object.entries(found).filter(([, text]) => text));
}

function problemOfToken(token) {
  if (!token) return "Paste a token.";
  return /^[!-~]+$/.test(token) ? "" : "A token has only visible ASCII characters, and no spaces.";
}

function problemOfData(data, charactersMax) {
  if (!data.trim()) return "Write something.";
  if ([...data].length > charactersMax) return `At most ${charactersMax.toLocaleString("en")} characters.`;
  return data.includes("\0") ? "Leave out the character U+0000: it cannot be stored." : "";
}

function problemOfTaskId(taskId) {
  if (!/^-?\d+$/.test(taskId)) return "A whole number.";
  if (Number.isSafeInteger(Number(taskId))) return "";
  return `A whole number from ${Number.MIN_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}.`;
}

function problemOfKey(key) {
  return /^[!-~]{0,255}$/.test(key) ? "" : "1 to 255 visible ASCII characters, without spaces.";
}

function problemOfSeconds(seconds) {
  return /^\d{1,4}$/.test(seconds) ? "" : "A whole number of seconds, at most 9999.";
}

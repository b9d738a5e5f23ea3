/** The try-it page: sends tasks, shows their results, and follows pending tasks. */

import { curlLine, recordHeaders, taskBody } from "./try-by-hand.js";
import { TASK_FAILED, request } from "./try-gateway.js";
import { STATES, add, areKept, forget, lastTasks, onChange, update } from "./try-tasks.js";
import { inDate, inDigits, inName, inShort, inStatus, inTime, inWords, told } from "./try-words.js";

const ASK_FIRST_MS = 250;
const ASK_MS_MAX = 15_000;
const ASK_TIMEOUT_MS = 15_000;
const REMEMBERED_MS = 3_600_000; // how long the gateway remembers a task
const COPIED_MS = 2_000;
const IN_KAFKA = new Set([
  null, "reply_timeout", "task_rejected", "provider_unavailable", "provider_refused_account", "internal_error",
]);

const byId = (id) => document.getElementById(id);
const form = byId("form");
const inHead = (name) => document.querySelector(`meta[name=${name}]`).content;
const asksForToken = inHead("auth") === "required";
const fields = form.elements;
let shown = null; // the key of the task in the reply panel
let sending = false;

// The form -------------------------------------------------------------------------------------------------------

function setUp() {
  for (const choice of fields.task_type) {
    choice.addEventListener("change", () => {
      fillExample();
      showLimit();
    });
  }
  fields.data.addEventListener("input", showLimit);
  fields.seconds.addEventListener("input", () => (fields.answer.value = "bounded"));
  form.addEventListener("input", ({ target }) => showProblem(target.name === "answer" ? "seconds" : target.name, ""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!sending) send();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  for (const button of document.querySelectorAll("button[data-copies]")) {
    button.addEventListener("click", () => copy(button));
  }
  byId("forget").addEventListener("click", () => {
    forget();
    showTasks();
    say("The list is cleared.");
    byId("tasks-heading").focus(); // the button is hidden now
  });
  byId("record-topic").textContent = inHead("import-topic");
  byId("token-field").hidden = !asksForToken;
  onChange(showTasks);
  fillExample();
  showLimit();
  fields.task_id.value = nextTaskId(lastTasks().find((task) => task.task_id)?.task_id ?? "0");
}

function fillExample() {
  const examples = [...fields.task_type].map((choice) => choice.dataset.example);
  if (["", ...examples].includes(fields.data.value)) fields.data.value = chosenType().dataset.example;
}

function showLimit() {
  const max = Number(chosenType().dataset.charactersMax);
  const characters = [...fields.data.value].length; // as Python counts them
  byId("data-count").textContent = `${inDigits(characters)} of at most ${inDigits(max)} characters`;
  byId("data-count").classList.toggle("over", characters > max);
}

function chosenType() {
  return [...fields.task_type].find((choice) => choice.checked);
}

function nextTaskId(taskId) {
  const next = BigInt(taskId) + 1n;
  return String(next <= BigInt(Number.MAX_SAFE_INTEGER) ? next : 1n);
}

/** Return the request's headers, or null if a field has to be corrected first. */
function requestHeaders() {
  const headers = {};
  if (asksForToken && !/^[!-~]+$/.test(fields.token.value.trim())) {
    showProblem("token", "This gateway accepts tasks only with a token: visible ASCII characters, without spaces.");
  }
  const key = fields.idempotency_key.value.trim();
  if (key && !/^[!-~]{1,255}$/.test(key)) {
    showProblem("idempotency_key", "1 to 255 visible ASCII characters, without spaces.");
  } else if (key) headers["Idempotency-Key"] = key;
  const seconds = fields.seconds.value.trim();
  if (fields.answer.value === "async") headers.Prefer = "respond-async";
  if (fields.answer.value === "bounded" && !/^\d{1,4}$/.test(seconds)) {
    showProblem("seconds", "A whole number of seconds, at most 9999.");
  } else if (fields.answer.value === "bounded") headers.Prefer = `wait=${seconds}`;
  return form.querySelector("[aria-invalid]") ? null : headers;
}

/** Return the header with the typed token. The token is stored only in its field. */
function bearer() {
  const token = fields.token.value.trim();
  return /^[!-~]+$/.test(token) ? { Authorization: `Bearer ${token}` } : {};
}

/** Show the problem of a field; "" clears it. */
function showProblem(name, text) {
  const place = byId(`${name}-problem`);
  if (!place) return;
  place.textContent = text;
  place.hidden = !text;
  if (text) byId(name)?.setAttribute("aria-invalid", "true");
  else byId(name)?.removeAttribute("aria-invalid");
}

// The life of a task ---------------------------------------------------------------------------------------------

async function send() {
  for (const place of form.querySelectorAll(".problem")) showProblem(place.id.replace("-problem", ""), "");
  const headers = requestHeaders();
  if (headers === null) {
    form.querySelector("[aria-invalid]").focus();
    say("Nothing was sent: a field has to be corrected first.");
    return;
  }
  const taskId = fields.task_id.value.trim();
  const body = taskBody(taskId, chosenType().value, fields.data.value);
  const task = {
    key: `${Date.now()}-${Math.random()}`,
    at: Date.now(),
    task_id: /^-?\d{1,16}$/.test(taskId) ? taskId : null, // not stored otherwise: it could be anything
    task_type: chosenType().value,
    state: "sending",
    correlation_id: null,
    id: null,
    code: null,
    status: null,
    ms: null,
  };
  add(task);
  shown = task.key;
  setSending(true);
  show(task);
  say("Sent.");
  showRecord(task, body, headers);
  byId("curl").textContent = curlLine(new URL("/tasks", location).href, body, headers, asksForToken);
  byId("reply-card").scrollIntoView({ block: "nearest" }); // on a phone it is below the form
  const sentAt = performance.now();
  const answer = await request("/tasks", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...bearer(), ...headers },
    body,
  });
  task.ms = Math.round(performance.now() - sentAt);
  setSending(false);
  settle(task, answer);
  showRecord(task, body, headers);
  byId("reply-card").scrollIntoView({ block: "nearest" });
  if (task.code === "invalid_task") showFieldProblems(answer.body.detail);
  else if (task.task_id) fields.task_id.value = nextTaskId(task.task_id);
  if (task.state === "working") follow(task);
}

/** Poll for a task's outcome, with growing pauses, until it is known or the gateway no longer remembers the task. */
async function follow(task) {
  let pauseMs = ASK_FIRST_MS;
  let trouble = null;
  while (task.state === "working") {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const answer = await request(`/tasks/${encodeURIComponent(task.correlation_id)}`, {
      headers: bearer(),
      cache: "no-store",
      signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
    });
    pauseMs = Math.min(ASK_MS_MAX, Math.max(1.5 * pauseMs, 1000 * (answer.retryAfterSeconds ?? 1)));
    const isDone = answer.code === null && answer.status === 200;
    const isLastWord = isDone || TASK_FAILED.has(answer.code) || answer.code === "not_found";
    if (isLastWord || Date.now() - task.at > REMEMBERED_MS) {
      task.ms = Date.now() - task.at;
      settle(task, isLastWord ? answer : { status: null, code: "not_found" });
      return;
    }
    const news = answer.code === null ? null : inWords(answer.code)[0];
    if (news !== trouble) show(task, (trouble = news));
  }
}

/** Update a task from an answer, and show it. */
function settle(task, { status, code, body, correlationId, retryAfterSeconds }) {
  task.status = status;
  task.code = code;
  task.correlation_id ??= correlationId ?? null;
  if (code === null && status === 200) [task.state, task.id] = ["done", body.id];
  else if (code === null || code === "reply_timeout") task.state = "working";
  else task.state = ["unreachable", "foreign", "not_found"].includes(code) ? "unknown" : "failed";
  update(task);
  show(task, body?.detail, retryAfterSeconds);
  say(`${inName(task)}: ${STATES[task.state]}, ${inShort(task)}.`);
}

// Showing --------------------------------------------------------------------------------------------------------

function show(task, detail, retryAfterSeconds) {
  showTasks();
  if (task.key !== shown) return;
  const [title, text] = told(task);
  byId("no-reply").hidden = true;
  byId("reply").hidden = false;
  byId("by-hand").hidden = false;
  showState(byId("reply-state"), task.state);
  byId("reply-title").textContent = title;
  byId("reply-text").textContent =
    text + (retryAfterSeconds && task.state === "failed" ? ` Try again in ${retryAfterSeconds} seconds.` : "");
  showPart("reply-detail", detail);
  showPart("reply-row", task.id);
  byId("reply-task").textContent = inName(task);
  showPart("reply-answer", task.ms === null ? null : `${inStatus(task.status)} after ${inTime(task.ms)}`);
  showPart("reply-correlation", task.correlation_id);
}

function showRecord(task, body, headers) {
  const has = task.state !== "sending" && IN_KAFKA.has(task.code);
  byId("record").hidden = byId("record-value-part").hidden = !has;
  byId("no-record").hidden = has;
  byId("no-record").textContent =
    { sending: "Shown when the answer arrives.", unknown: "It is not known whether Kafka has the task." }[task.state] ??
    (task.code === "kafka_unavailable" ? "The task probably did not reach Kafka." : "The task did not reach Kafka.");
  byId("record-headers").textContent = recordHeaders(task.correlation_id, headers, asksForToken);
  byId("record-value").textContent = body;
}

/** Show each part of an error's detail at the field that it names: "the task is not valid: FIELD: TEXT; ...". */
function showFieldProblems(detail) {
  for (const part of detail.replace(/^[^:]*: /, "").split("; ")) {
    const [, name, text] = /^(task_id|data):? (.*)$/s.exec(part) ?? [];
    if (name) showProblem(name, text);
  }
}

function showTasks() {
  const tasks = lastTasks();
  byId("no-tasks").hidden = tasks.length > 0;
  byId("forget").hidden = tasks.length === 0;
  byId("tasks").replaceChildren(...tasks.map(inList));
  byId("tasks-note").hidden = !areKept();
  byId("tasks-not-kept").hidden = areKept();
}

function inList(task) {
  const item = byId("task").content.cloneNode(true);
  showState(item.querySelector(".state"), task.state);
  item.querySelector(".what").textContent = inName(task);
  item.querySelector(".words").textContent = inShort(task);
  item.querySelector(".correlation").textContent = task.correlation_id ?? "";
  item.querySelector("time").dateTime = new Date(task.at).toISOString();
  item.querySelector("time").textContent = inDate(task.at);
  return item;
}

function showState(place, state) {
  place.textContent = STATES[state];
  place.dataset.state = state;
}

function showPart(id, value) {
  byId(id).textContent = value ?? "";
  (byId(`${id}-part`) ?? byId(id)).hidden = (value ?? "") === "";
}

function setSending(is) {
  sending = is;
  byId("send").setAttribute("aria-disabled", String(is)); // not `disabled`, which would lose the focus
}

/** Announce the text to screen readers. */
function say(text) {
  byId("said").textContent = text;
}

async function copy(button) {
  const source = byId(button.dataset.copies);
  const label = button.firstChild;
  if (await isCopied(source)) {
    label.data = "Copied";
    say("Copied.");
    setTimeout(() => (label.data = "Copy"), COPIED_MS);
  } else say("This browser does not let the page copy. The text is selected: copy it with the keyboard.");
}

async function isCopied(source) {
  if (navigator.clipboard) {
    // Refused if the page does not have the focus, or by the user. Then fall back to the selection below.
    const isWritten = await navigator.clipboard.writeText(source.textContent).then(() => true, () => false);
    if (isWritten) return true;
  }
  getSelection().selectAllChildren(source); // works without https too
  return document.execCommand("copy");
}

// Start ----------------------------------------------------------------------------------------------------------

setUp();
for (const task of lastTasks()) {
  if (task.state === "sending") update({ ...task, state: "unknown", code: "left" });
  if (task.state === "working") follow(task);
}
showTasks();

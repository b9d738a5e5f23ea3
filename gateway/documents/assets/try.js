/** The try-it page: sends tasks, shows their results, and follows pending tasks. */

import { curlLine, recordHeaders, sqlLine, taskBody } from "./try-by-hand.js";
import { problemsOf } from "./try-check.js";
import { TASK_FAILED, request } from "./try-gateway.js";
import { STATES, add, areKept, forget, lastTasks, onChange, update } from "./try-tasks.js";
import { inAfter, inDate, inDigits, inName, inShort, inStatus, inWords, isSafeToRepeat, told } from "./try-words.js";

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
const asSent = new Map(); // key of a task -> { body, headers, detail, retryAfterSeconds }, until the page is left
let shown = null; // the task in the reply panel
let sending = false;
let keyIsUsed = false; // whether the idempotency key in the form was sent already

// The form -------------------------------------------------------------------------------------------------------

function setUp() {
  for (const choice of fields.task_type) {
    choice.addEventListener("change", () => {
      fillExample();
      showLimit();
      showProblem("data", ""); // the limit is another
    });
  }
  fields.data.addEventListener("input", showLimit);
  fields.seconds.addEventListener("input", () => (fields.answer.value = "bounded"));
  fields.new_key.addEventListener("change", () => fields.new_key.checked && fillNewKey());
  fields.idempotency_key.addEventListener("input", () => (fields.new_key.checked = false));
  form.addEventListener("input", ({ target }) => {
    showProblem(target.name === "answer" ? "seconds" : target.name, "");
    const isAnotherTask = target.name === "data" || target.name === "task_type";
    if (isAnotherTask && keyIsUsed && fields.new_key.checked) fillNewKey();
  });
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
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button?.matches(".copy")) copy(button);
    else if (button?.matches(".what")) open(button.closest("li").dataset.key);
  });
  byId("again").addEventListener("click", () => {
    if (sending) return;
    byId("reply-heading").focus(); // the button is hidden now
    deliver(shown, asSent.get(shown.key));
  });
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
  fillNewKey();
  showLimit();
  fields.task_id.value = nextTaskId(lastTasks()[0]?.task_id ?? "0");
  setInterval(showClock, 1000);
}

function fillExample() {
  const examples = [...fields.task_type].map((choice) => choice.dataset.example);
  if (["", ...examples].includes(fields.data.value)) fields.data.value = chosenType().dataset.example;
}

function fillNewKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID exists only with https
  fields.idempotency_key.value = `try-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  keyIsUsed = false;
  showProblem("idempotency_key", "");
}

function showLimit() {
  const max = charactersMax();
  const characters = [...fields.data.value].length; // as Python counts them
  byId("data-count").textContent = `${inDigits(characters)} of at most ${inDigits(max)} characters`;
  byId("data-count").classList.toggle("over", characters > max);
}

function chosenType() {
  return [...fields.task_type].find((choice) => choice.checked);
}

function charactersMax() {
  return Number(chosenType().dataset.charactersMax);
}

function nextTaskId(taskId) {
  const next = BigInt(taskId) + 1n;
  return String(next <= BigInt(Number.MAX_SAFE_INTEGER) ? next : 1n);
}

function requestHeaders() {
  const headers = {};
  const key = fields.idempotency_key.value.trim();
  if (key) headers["Idempotency-Key"] = key;
  if (fields.answer.value === "async") headers.Prefer = "respond-async";
  if (fields.answer.value === "bounded") headers.Prefer = `wait=${fields.seconds.value.trim()}`;
  return headers;
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
  if (text) byId(name).setAttribute("aria-invalid", "true");
  else byId(name).removeAttribute("aria-invalid");
}

// The life of a task ---------------------------------------------------------------------------------------------

function send() {
  const problems = problemsOf(fields, charactersMax(), asksForToken);
  for (const place of form.querySelectorAll(".problem")) {
    const name = place.id.replace("-problem", "");
    showProblem(name, problems[name] ?? "");
  }
  if (Object.keys(problems).length > 0) {
    form.querySelector("[aria-invalid]").focus();
    say("Nothing was sent: correct the marked fields first.");
    return;
  }
  const taskId = String(BigInt(fields.task_id.value.trim()));
  const taskType = chosenType().value;
  const body = taskBody(taskId, taskType, fields.data.value);
  keyIsUsed = true;
  deliver({ task_id: taskId, task_type: taskType }, { body, headers: requestHeaders() });
}

/** Send a task, for the first time or again. */
async function deliver({ task_id, task_type }, { body, headers }) {
  const task = {
    key: `${Date.now()}-${Math.random()}`,
    at: Date.now(),
    task_id,
    task_type,
    repeatable: "Idempotency-Key" in headers,
    state: "sending",
    correlation_id: null,
    id: null,
    code: null,
    status: null,
    ms: null,
  };
  add(task);
  asSent.set(task.key, { body, headers });
  shown = task;
  setSending(true);
  show(task);
  say("Sent.");
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
  byId("reply-card").scrollIntoView({ block: "nearest" });
  if (task.state === "done" || task.state === "working") prepareNext(task_id, headers["Idempotency-Key"] ?? "");
  if (task.state === "working") follow(task);
}

/** Prepare the form for the next task. After a failure it keeps the number and the key, to send the same task again. */
function prepareNext(taskId, key) {
  if (fields.idempotency_key.value.trim() !== key) return; // another task was prepared meanwhile
  fields.task_id.value = nextTaskId(taskId);
  if (fields.new_key.checked) fillNewKey();
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
    const news = answer.code === null ? null : inWords(answer)[0];
    if (news !== trouble) {
      trouble = news;
      remember(task, { detail: news });
      show(task);
    }
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
  remember(task, { detail: body?.detail, retryAfterSeconds });
  show(task);
  say(`${inName(task)}: ${STATES[task.state]}, ${inShort(task)}.`);
}

/** Add to what is known of a task until the page is left. */
function remember(task, parts) {
  asSent.set(task.key, { ...asSent.get(task.key), ...parts });
}

// Showing --------------------------------------------------------------------------------------------------------

/** Show a task of the list in the reply panel. */
function open(key) {
  shown = lastTasks().find((task) => task.key === key);
  show(shown);
  byId("reply-card").scrollIntoView({ block: "nearest" });
  byId("reply-heading").focus();
}

/** Show the new state of a task, in the list and, if it is there, in the reply panel. */
function show(task) {
  const isShown = task.key === shown?.key;
  if (isShown) shown = task;
  showTasks();
  if (!isShown) return;
  const [title, text] = told(task);
  const { body, headers, detail, retryAfterSeconds } = asSent.get(task.key) ?? {};
  const mayRepeat = (task.state === "failed" || task.state === "unknown") && isSafeToRepeat(task);
  byId("no-reply").hidden = true;
  byId("reply").hidden = false;
  showState(byId("reply-state"), task.state);
  showClock();
  byId("reply-title").textContent = title;
  byId("reply-text").textContent =
    text + (mayRepeat && retryAfterSeconds ? ` Try again in ${retryAfterSeconds} seconds.` : "");
  byId("again").hidden = !(mayRepeat && body);
  showPart("reply-detail", detail);
  showPart("reply-row", task.id);
  byId("reply-task").textContent = inName(task);
  showPart("reply-http", task.ms === null ? null : `${inStatus(task.status)} ${inAfter(task)}`);
  showPart("reply-correlation", task.correlation_id);
  byId("by-hand").hidden = task.id === null && !body;
  showPart("sql", task.id && sqlLine(task.id));
  showPart("curl", body && curlLine(new URL("/tasks", location).href, body, headers, asksForToken));
  byId("record-part").hidden = !body;
  if (body) showRecord(task, body, headers);
}

/** Show for how long the shown task has been waiting. */
function showClock() {
  if (shown?.state !== "sending" && shown?.state !== "working") return;
  byId("reply-state").textContent = `Waiting, ${inDigits(Math.floor((Date.now() - shown.at) / 1000))} s`;
}

function showRecord(task, body, headers) {
  const has = task.state !== "sending" && IN_KAFKA.has(task.code);
  byId("record").hidden = byId("record-value-part").hidden = !has;
  byId("no-record").hidden = has;
  byId("no-record").textContent =
    { sending: "Shown when the reply arrives.", unknown: "It is not known whether Kafka has the task." }[task.state] ??
    (task.code === "kafka_unavailable" ? "The task probably did not reach Kafka." : "The task did not reach Kafka.");
  byId("record-headers").textContent = recordHeaders(task.correlation_id, headers, asksForToken);
  byId("record-value").textContent = body;
}

function showTasks() {
  const tasks = lastTasks();
  byId("no-tasks").hidden = tasks.length > 0;
  byId("forget").hidden = tasks.length === 0;
  byId("tasks-note").hidden = !areKept();
  byId("tasks-not-kept").hidden = areKept();
  const keys = new Set(tasks.map((task) => task.key));
  for (const key of asSent.keys()) if (!keys.has(key) && key !== shown?.key) asSent.delete(key);
  // Rows that stay are not replaced, because one of their buttons may have the focus.
  const rows = new Map([...byId("tasks").children].map((row) => [row.dataset.key, row]));
  for (const [key, row] of rows) if (!keys.has(key)) row.remove();
  tasks.forEach((task, number) => {
    const row = rows.get(task.key) ?? byId("task").content.firstElementChild.cloneNode(true);
    const place = byId("tasks").children[number];
    if (row !== place) byId("tasks").insertBefore(row, place ?? null);
    showRow(row, task);
  });
}

function showRow(row, task) {
  const within = (selector) => row.querySelector(selector);
  const isDone = task.state === "done";
  row.dataset.key = task.key;
  within(".name").textContent = inName(task);
  within(".what").setAttribute("aria-current", String(task.key === shown?.key));
  showState(within(".state"), task.state);
  within(".before").textContent = isDone ? "row " : inShort(task);
  within(".id").textContent = isDone ? task.id : "";
  within(".after").textContent = isDone ? ` ${inAfter(task)}` : "";
  within(".words .copy").hidden = !isDone;
  within(".correlation code").textContent = task.correlation_id ?? "";
  within(".correlation .copy").hidden = !task.correlation_id;
  within("time").dateTime = new Date(task.at).toISOString();
  within("time").textContent = inDate(task.at);
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
  const source = byId(button.dataset.copies) ?? button.parentElement.querySelector("[data-copied]");
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
shown = lastTasks()[0] ?? null;
if (shown) show(shown);
else showTasks();

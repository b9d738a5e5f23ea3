/**
 * The last tasks of this browser, stored in localStorage, which all its tabs share.
 *
 * A task is { key, at, task_id, task_type, repeatable, state, correlation_id, id, code, status, ms }, without its data
 * and anything else that was typed. It is repeatable if it was sent with an idempotency key. If the browser refuses to
 * store tasks, they live only as long as the page.
 */

const TASKS_MAX = 20;
const NAME = "integration-service.tasks";

export const STATES = {
  sending: "Waiting",
  working: "Waiting",
  done: "Done",
  failed: "Failed",
  unknown: "Unknown",
};

let memory = null; // replaces localStorage from its first refusal on

/** Return the tasks, the newest first. */
export function lastTasks() {
  const text = read();
  try {
    const tasks = JSON.parse(text);
    return Array.isArray(tasks) ? tasks.filter(isTask).slice(0, TASKS_MAX) : [];
  } catch {
    return []; // written by another program, or truncated: the next task replaces it
  }
}

/** Add a new task, and drop the oldest if there are too many. */
export function add(task) {
  write([task, ...lastTasks()].slice(0, TASKS_MAX));
}

/** Store the new state of a task. A task that was cleared is not added again. */
export function update(task) {
  write(lastTasks().map((known) => (known.key === task.key ? task : known)));
}

/** Clear the list. */
export function forget() {
  write([]);
}

/** Return whether the tasks outlive the page. */
export function areKept() {
  return memory === null;
}

/** Call `changed` when another tab has changed the tasks. */
export function onChange(changed) {
  addEventListener("storage", (event) => {
    if (event.key === NAME || event.key === null) changed();
  });
}

function isTask(task) {
  return (
    typeof task?.key === "string" &&
    Object.hasOwn(STATES, task.state) &&
    !Number.isNaN(new Date(task.at).valueOf()) &&
    /^-?\d{1,16}$/.test(task.task_id)
  );
}

function read() {
  try {
    return memory ?? localStorage.getItem(NAME) ?? "[]";
  } catch {
    return (memory = "[]");
  }
}

function write(tasks) {
  const text = JSON.stringify(tasks);
  try {
    if (memory === null) localStorage.setItem(NAME, text);
    else memory = text;
  } catch {
    memory = text;
  }
}

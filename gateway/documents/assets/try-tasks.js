/**
 * The last tasks of this browser, in localStorage, which all its tabs share.
 *
 * A task is { key, at, task_id, task_type, state, correlation_id, id, code, status, ms }: never its data, nor anything
 * else that was typed. Where the browser refuses to keep them they live as long as the page.
 */

const TASKS_MAX = 20;
const NAME = "integration-service.tasks";

export const STATES = {
  sending: "Sent",
  working: "At work",
  done: "Done",
  failed: "Failed",
  unknown: "Unknown",
};

let memory = null; // in place of localStorage, from the first time that it refuses

/** Return the tasks, the newest first. */
export function lastTasks() {
  const text = read();
  try {
    const tasks = JSON.parse(text);
    return Array.isArray(tasks) ? tasks.filter(isTask).slice(0, TASKS_MAX) : [];
  } catch {
    return []; // not ours, or cut off: the next task replaces it
  }
}

/** Note a new task, and let the oldest go where there are too many. */
export function add(task) {
  write([task, ...lastTasks()].slice(0, TASKS_MAX));
}

/** Note what has become of a task; one that was forgotten stays so. */
export function update(task) {
  write(lastTasks().map((known) => (known.key === task.key ? task : known)));
}

/** Forget them all. */
export function forget() {
  write([]);
}

/** Tell whether they outlive the page. */
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
    (task.task_id === null || /^-?\d{1,16}$/.test(task.task_id))
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

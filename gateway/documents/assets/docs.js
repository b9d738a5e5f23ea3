// Swagger UI with our OpenAPI document.
"use strict";

// Swagger UI has a dark mode, but the page has to turn it on.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// What screen readers need, and Swagger UI lacks.
const ATTRIBUTES = [
  [".info .title", "aria-level", "2"],
  [".information-container, .scheme-container", "role", "region"],
  [".information-container", "aria-label", "The service"],
  [".scheme-container", "aria-label", "Authorization"],
  [".body-param__text", "aria-label", "Request body"],
  [".examples-select-element", "aria-label", "Example"],
];
const place = document.getElementById("swagger-ui");
new MutationObserver(() => {
  for (const [selector, name, value] of ATTRIBUTES) {
    for (const element of place.querySelectorAll(selector)) element.setAttribute(name, value);
  }
}).observe(place, { childList: true, subtree: true });

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: false, // its links are within buttons, which screen readers do not expect
  displayRequestDuration: true,
  tryItOutEnabled: true,
  onComplete: open,
  validatorUrl: null, // its badge would be loaded from another host
});

// Begin with the form that sends a task.
function open() {
  ui.layoutActions.show(["operations", "tasks", "postTask"], true);
  ui.layoutActions.show(["operations-tag", "pages"], false);
}

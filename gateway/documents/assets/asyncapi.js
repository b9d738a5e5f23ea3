// Shows our AsyncAPI document. Supports only the parts of AsyncAPI 3.0 that this document uses.
"use strict";

function show(api) {
  const resolve = (part) => {
    while (part && part.$ref) {
      part = part.$ref.slice(2).split("/").reduce((place, name) => place[name], api);
    }
    return part;
  };
  const named = (parts) => Object.entries(parts).map(([name, part]) => [name, resolve(part)]);
  const topicOf = (side) => resolve(side.channel).address;

  return [
    element("h1", {}, `${api.info.title} ${api.info.version}`),
    ...paragraphs(api.info.description),
    element("h2", {}, "Server"),
    ...named(api.servers).flatMap(([name, server]) => serverOf(name, server)),
    element("h2", {}, "Operations"),
    element("p", {}, "Actions are those of the service: it receives tasks and sends results."),
    table(
      ["Operation", "Action", "Topic", "Reply on"],
      named(api.operations).map(([name, operation]) => [
        [element("strong", {}, name), ...paragraphs(operation.summary), ...paragraphs(operation.description)],
        [element("span", { class: operation.action }, operation.action)],
        [element("code", {}, topicOf(operation))],
        operation.reply ? [element("code", {}, topicOf(operation.reply))] : [],
      ]),
    ),
    ...named(api.channels).flatMap(([name, channel]) => [
      element("h2", { id: name }, "Topic ", element("code", {}, channel.address)),
      ...paragraphs(channel.description),
      ...named(channel.messages).map(([key, message]) => messageOf(key, message, resolve)),
    ]),
  ];
}

function serverOf(name, server) {
  const rows = [[["Protocol"], [element("code", {}, server.protocol)]]];
  for (const [variable, { default: value, description }] of Object.entries(server.variables || {})) {
    rows.push([[element("code", {}, `{${variable}}`)], [element("code", {}, value), " ", description]]);
  }
  for (const scheme of server.security || []) {
    rows.push([["Security"], [element("code", {}, scheme.type)]]);
  }
  return [element("p", {}, element("strong", {}, name), " at ", element("code", {}, server.host)), table(["Setting", "Value"], rows)];
}

function messageOf(name, message, resolve) {
  const payload = resolve(message.payload);
  return element(
    "section",
    { id: name },
    element("h3", {}, message.title),
    ...paragraphs(message.summary),
    element("h4", {}, "Value ", element("small", {}, message.contentType)),
    ...paragraphs(payload.description),
    ...(payload.properties ? [propertiesOf(payload)] : []),
    element("h4", {}, "Headers"),
    propertiesOf(message.headers),
    ...paragraphs(message.headers.description),
    element("h4", {}, "Examples"),
    ...message.examples.map((example) =>
      element(
        "details",
        {},
        element("summary", {}, example.name),
        element("pre", { tabindex: "0" }, exampleText(example)),
      ),
    ),
  );
}

function exampleText({ headers = {}, payload }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const value = typeof payload === "string" ? payload : JSON.stringify(payload, null, 2);
  return [...lines, ...(lines.length ? [""] : []), value].join("\n");
}

function propertiesOf(schema) {
  return table(
    ["Name", "Type", "Meaning"],
    Object.entries(schema.properties).map(([name, property]) => [
      [element("code", {}, name), ...((schema.required || []).includes(name) ? [] : [" ", element("small", {}, "optional")])],
      [property.type],
      [...words(property.description), ...limitsOf(property)],
    ]),
  );
}

function limitsOf(property) {
  const limits = [
    ...(property.enum ? [`one of ${property.enum.join(", ")}`] : []),
    ...["minimum", "maximum", "minLength", "maxLength", "pattern"]
      .filter((name) => name in property)
      .map((name) => `${name} ${property[name]}`),
  ];
  return limits.length ? [" ", element("small", {}, limits.join("; "))] : [];
}

function table(head, rows) {
  const headCells = head.map((name) => element("th", {}, name));
  const rowOf = (cells) =>
    element("tr", {}, ...cells.map((cell, column) => element("td", { "data-head": head[column] }, ...cell)));
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...headCells)),
    element("tbody", {}, ...rows.map(rowOf)),
  );
}

function paragraphs(text) {
  return (text || "").split("\n\n").filter(Boolean).map((paragraph) => element("p", {}, ...words(paragraph)));
}

// The only Markdown that is supported is `code`.
function words(text) {
  return (text || "").split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

async function main() {
  const page = document.getElementById("asyncapi");
  try {
    const answer = await fetch("/asyncapi.json");
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    page.replaceChildren(...show(await answer.json()));
  } catch (error) {
    page.replaceChildren(element("p", { role: "alert" }, `asyncapi.json cannot be shown: ${error.message}`));
    throw error;
  }
}

main();

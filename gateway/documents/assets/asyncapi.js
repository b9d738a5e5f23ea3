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
  const channels = named(api.channels).map(([name, channel]) => [name, channel, named(channel.messages)]);
  const common = sharedHeaders(channels.flatMap(([, , messages]) => messages.map(([, message]) => message)));
  const shownAt = new Map(); // a payload -> the first message that has it
  const [first, ...further] = (api.info.description || "").split("\n\n");
  const topics = table(
    ["Topic", "Content", "Messages"],
    channels.map(([name, channel, messages]) => [
      [link(name, element("code", {}, channel.address))],
      words(channel.description),
      messages.flatMap(([key, message]) => [...(key === messages[0][0] ? [] : [", "]), link(key, message.title)]),
    ]),
  );
  const sections = [
    ...channels.map(([name, channel, messages]) => [
      name,
      ["Topic ", element("code", {}, channel.address)],
      ...paragraphs(channel.description),
      ...messagesOf(messages, common, resolve, shownAt),
    ]),
    [
      "headers",
      "Headers of every message",
      element("p", {}, "All are optional. A result or a dead letter has those of its task."),
      propertiesOf(common),
    ],
    ["rules", "Values, keys and delivery", ...paragraphs(further[0])],
    [
      "operations",
      "Operations",
      ...paragraphs(further.slice(1).join("\n\n")),
      table(
        ["Operation", "Action", "Topic", "Reply on"],
        named(api.operations).map(([name, operation]) => [
          [element("strong", {}, name), ...paragraphs(operation.summary), ...paragraphs(operation.description)],
          [operation.action],
          [element("code", {}, topicOf(operation))],
          operation.reply ? [element("code", {}, topicOf(operation.reply))] : [],
        ]),
      ),
    ],
  ];
  return [
    element("h2", {}, "Messages on Kafka ", element("small", {}, api.info.version)),
    ...paragraphs(first),
    sectionOf("topics", "Topics and addresses", ...named(api.servers).map(([, server]) => serverOf(server)), topics),
    element(
      "nav",
      { "aria-label": "Contents" },
      ...sections.map(([id, title]) => element("a", { href: `#${id}` }, ...[title].flat().map(copyOf))),
    ),
    ...sections.map((section) => sectionOf(...section)),
  ];
}

function sectionOf(id, title, ...content) {
  return element("section", { id, class: "card" }, element("h3", {}, ...[title].flat()), ...content);
}

function serverOf(server) {
  // A host in braces is not known: the variable describes how to learn it.
  const variables = Object.values(server.variables || {});
  const address = variables.length
    ? variables.flatMap(({ description }) => words(description))
    : [element("code", {}, server.host)];
  const schemes = (server.security || []).map(({ description }) => [["Log in"], words(description)]);
  return table(["Kafka", "Value"], [[["Address"], address], [["Protocol"], [element("code", {}, server.protocol)]], ...schemes]);
}

/** Return the headers that all these messages have, described in the same words, as a schema. */
function sharedHeaders(messages) {
  const [first, ...others] = messages.map(({ headers }) => headers.properties);
  const isShared = ([name, property]) =>
    others.every((properties) => JSON.stringify(properties[name]) === JSON.stringify(property));
  const required = (name) => messages.every(({ headers }) => (headers.required || []).includes(name));
  const properties = Object.fromEntries(Object.entries(first).filter(isShared));
  return { properties, required: Object.keys(properties).filter(required) };
}

/** Return a topic's messages, and then the headers that all of them have, unless all topics have them. */
function messagesOf(messages, common, resolve, shownAt) {
  const shared = messages.length > 1 ? without(sharedHeaders(messages.map(([, message]) => message)), common) : null;
  return [
    ...messages.map(([key, message]) => {
      const payload = resolve(message.payload);
      if (!shownAt.has(payload)) shownAt.set(payload, key);
      const like = shownAt.get(payload);
      return messageOf(key, message, like === key ? payload : like, without(message.headers, common, shared));
    }),
    ...(shared ? [element("h4", {}, "Headers of both"), propertiesOf(shared)] : []),
  ];
}

function without(headers, ...others) {
  const isOwn = ([name]) => others.every((other) => !other || !(name in other.properties));
  return { ...headers, properties: Object.fromEntries(Object.entries(headers.properties).filter(isOwn)) };
}

/** Describe a message. Its payload is a schema, or the name of a message that has the same. */
function messageOf(name, message, payload, headers) {
  return element(
    "section",
    { id: name },
    element("h4", {}, message.title),
    ...paragraphs(message.summary),
    element("h5", {}, "Value ", element("small", {}, message.contentType)),
    ...(typeof payload === "string"
      ? [element("p", {}, link(payload, "The same as above"), ".")]
      : [...paragraphs(payload.description), ...(payload.properties ? [propertiesOf(payload)] : [])]),
    element("h5", {}, "Headers"),
    ...(Object.keys(headers.properties).length ? [propertiesOf(headers)] : []),
    element("p", {}, ...words(message.headers.description), " ", link("headers", "Headers of every message")),
    element("h5", {}, "Examples"),
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

function link(id, ...children) {
  return element("a", { href: `#${id}` }, ...children);
}

function copyOf(part) {
  return typeof part === "string" ? part : part.cloneNode(true);
}

function exampleText({ headers = {}, payload }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const value = typeof payload === "string" ? payload : JSON.stringify(payload, null, 2);
  return [...lines, ...(lines.length ? [""] : []), value].join("\n");
}

function propertiesOf(schema) {
  const isRequired = (name) => (schema.required || []).includes(name);
  return table(
    ["Name", "Type", "Meaning"],
    Object.entries(schema.properties).map(([name, property]) => [
      [element("code", {}, name), ...(isRequired(name) ? [] : [" ", element("small", {}, "optional")])],
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
  const api = await read().catch(() => null);
  if (api === null) {
    page.replaceChildren(element("p", { role: "alert", class: "card" }, "asyncapi.json cannot be read. Reload the page."));
    return;
  }
  page.replaceChildren(...show(api));
  document.getElementById(location.hash.slice(1))?.scrollIntoView(); // it was not there when the page was loaded
}

/** Return the document, or null if something else was answered. */
async function read() {
  const answer = await fetch("/asyncapi.json");
  return answer.ok ? answer.json() : null;
}

main();

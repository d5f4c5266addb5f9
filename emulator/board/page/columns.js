// Columns and cards. Each column shows its newest cards; the counts come from the portal.

import { byId, element } from "./dom.js";
import { number, t } from "./texts.js";

const MOST_CARDS = 60;
const columns = new Map();
const origins = new Map(); // "originator/origin" -> ids, to mark doubles

export function build(stages) {
  columns.clear();
  origins.clear();
  byId("board").replaceChildren();
  for (const stage of stages) column(stage.status, t(stage.name), stage.color);
}

export function stageBeside(stage, step) {
  const names = [...columns.keys()];
  return names[names.indexOf(stage) + step];
}

export function names() {
  return [...columns].map(([status, column]) => [status, column.name]);
}

export function put(data, { fresh = false } = {}) {
  const old = cardOf(data.id);
  const inPlace = old?.dataset.stage === data.stage;
  const made = card(data);
  const hadFocus = old !== null && old === document.activeElement;
  if (fresh) made.classList.add("fresh");
  if (inPlace) {
    old.replaceWith(made);
  } else {
    old?.remove();
    const { cards } = column(data.stage, data.stage);
    cards.prepend(made);
    while (cards.childElementCount > MOST_CARDS) cards.lastElementChild.remove();
  }
  if (hadFocus) made.focus();
}

export function remove(data) {
  origins.get(originOf(data))?.delete(data.id);
  cardOf(data.id)?.remove();
}

export function count(counts) {
  for (const stage of Object.keys(counts)) column(stage, stage);
  for (const [stage, column] of columns) {
    const total = counts[stage] ?? 0;
    column.count.textContent = number(total);
    const hidden = total - column.cards.childElementCount;
    column.more.textContent = hidden > 0 ? t("and {n} more", { n: number(hidden) }) : "";
  }
}

function column(stage, name, color) {
  const there = columns.get(stage);
  if (there) return there;
  const made = { name, count: element("span", { class: "count" }, "0") };
  made.cards = element("div", { class: "cards", role: "list" });
  made.more = element("p", { class: "more" });
  const heading = element("h2", { title: stage }, name);
  const whole = element("section", { class: "column", "data-stage": stage, "aria-label": name });
  if (color) whole.style.setProperty("--stage", color);
  whole.append(element("header", {}, heading, made.count), made.cards, made.more);
  byId("board").append(whole);
  columns.set(stage, made);
  return made;
}

function card(data) {
  const title = data.title || data.name || t("No name");
  const sub = [`#${data.id}`, data.name !== title && data.name, ...data.phones];
  const made = element(
    "article",
    { class: "card", tabindex: "0", role: "listitem", "data-id": data.id, "data-stage": data.stage },
    element("div", { class: "title" }, title),
    element("div", { class: "sub" }, sub.filter(Boolean).join(" · ")),
  );
  const doubles = doublesOf(data);
  if (doubles) made.append(element("div", { class: "sub double" }, t("origin {origin} has {n} leads", { origin: data.origin_id, n: doubles })));
  return made;
}

function doublesOf(data) {
  if (data.origin_id === null) return 0;
  const ids = origins.get(originOf(data)) ?? new Set();
  origins.set(originOf(data), ids.add(data.id));
  return ids.size > 1 ? ids.size : 0;
}

const originOf = (data) => JSON.stringify([data.originator_id, data.origin_id]);
const cardOf = (id) => document.querySelector(`.card[data-id="${Number(id)}"]`);

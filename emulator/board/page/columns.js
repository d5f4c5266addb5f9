// Columns and cards. Each column shows its newest cards; the counts come from the portal.

import { byId, element } from "./dom.js";
import { number, t } from "./texts.js";

const MAX_CARDS = 60; // per column, as many as the portal sends
const columns = new Map(); // by stage
const origins = new Map(); // originator and origin (see originOf) -> ids of the shown objects, to mark duplicates

export function build(stages) {
  columns.clear();
  origins.clear();
  byId("board").replaceChildren();
  for (const stage of stages) columnOf(stage.status, t(stage.name), stage.color);
}

// The stage to the right (1) or to the left (-1), if there is one.
export function neighbourStage(stage, step) {
  const names = [...columns.keys()];
  return names[names.indexOf(stage) + step];
}

// [stage, name] of each column.
export function names() {
  return [...columns].map(([status, column]) => [status, column.name]);
}

// Shows an object's card in place of its old one, or on top of its column; a fresh one is highlighted.
export function showCard(data, { fresh = false } = {}) {
  const old = cardOf(data.id);
  const inPlace = old?.dataset.stage === data.stage;
  const created = card(data);
  const hadFocus = old !== null && old === document.activeElement;
  if (fresh) created.classList.add("fresh");
  if (inPlace) {
    old.replaceWith(created);
  } else {
    old?.remove();
    const { cards } = columnOf(data.stage, data.stage);
    cards.prepend(created);
    while (cards.childElementCount > MAX_CARDS) cards.lastElementChild.remove();
  }
  if (hadFocus) created.focus();
}

export function removeCard(data) {
  origins.get(originOf(data))?.delete(data.id);
  cardOf(data.id)?.remove();
}

export function showCounts(counts) {
  for (const stage of Object.keys(counts)) columnOf(stage, stage);
  for (const [stage, column] of columns) {
    const total = counts[stage] ?? 0;
    column.count.textContent = number(total);
    const hidden = total - column.cards.childElementCount;
    column.more.textContent = hidden > 0 ? t("and {n} more", { n: number(hidden) }) : "";
  }
}

// The column of a stage; the first call adds it, with this name and color.
function columnOf(stage, name, color) {
  const existing = columns.get(stage);
  if (existing) return existing;
  const created = { name, count: element("span", { class: "count" }, "0") };
  created.cards = element("div", { class: "cards", role: "list" });
  created.more = element("p", { class: "more" });
  const heading = element("h2", { title: stage }, name);
  const whole = element("section", { class: "column", "data-stage": stage, "aria-label": name });
  if (color) whole.style.setProperty("--stage", color);
  whole.append(element("header", {}, heading, created.count), created.cards, created.more);
  byId("board").append(whole);
  columns.set(stage, created);
  return created;
}

function card(data) {
  const title = data.title || data.name || t("No name");
  const sub = [`#${data.id}`, data.name !== title && data.name, ...data.phones];
  const created = element(
    "article",
    { class: "card", tabindex: "0", role: "listitem", "data-id": data.id, "data-stage": data.stage },
    element("div", { class: "title" }, title),
    element("div", { class: "sub" }, sub.filter(Boolean).join(" · ")),
  );
  const duplicates = duplicatesOf(data);
  if (duplicates) created.append(element("div", { class: "sub double" }, t("origin {origin} has {n} leads", { origin: data.origin_id, n: duplicates })));
  return created;
}

// How many leads the origin has, if more than one.
function duplicatesOf(data) {
  if (data.origin_id === null) return 0;
  const ids = origins.get(originOf(data)) ?? new Set();
  origins.set(originOf(data), ids.add(data.id));
  return ids.size > 1 ? ids.size : 0;
}

const originOf = (data) => JSON.stringify([data.originator_id, data.origin_id]);
const cardOf = (id) => document.querySelector(`.card[data-id="${Number(id)}"]`);

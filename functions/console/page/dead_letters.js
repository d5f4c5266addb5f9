// Dead letters: list, read, replay, discard.

import { get, post } from "./api.js";
import { ask, byId, element, say } from "./dom.js";
import { number, t, when } from "./texts.js";

let letters = null;

export async function load() {
  letters = (await get("dead-letters")).items;
  list();
}

export function list() {
  if (letters === null) return;
  byId("dead-letters-found").textContent = letters.length ? t("deadLettersSome", { n: number(letters.length) }) : t("deadLettersNone");
  byId("dead-letters").replaceChildren(...letters.map(item));
}

function item(letter) {
  const button = (name, onclick) => element("button", { type: "button", onclick, "aria-label": `${t(name)} ${letter.id}` }, t(name));
  return element("li", {},
    element("b", {}, letter.queue),
    element("span", { class: "grow" }, `${when(letter.died_at)} · ${letter.id} · ${number(letter.attempts)} ${t("attempts")}`),
    button("read", () => read(letter)),
    button("replay", () => act("replay", letter, "replayed")),
    button("discard", () => discard(letter)),
    element("span", { class: "why bad" }, letter.reason));
}

async function read(letter) {
  const whole = await get(`dead-letters/${letter.id}`);
  byId("one-title").textContent = `${letter.queue} · ${letter.id}`;
  byId("one-body").replaceChildren(
    element("p", { class: "reason bad" }, whole.reason),
    element("pre", { tabindex: "0" }, typeof whole.body === "string" ? whole.body : JSON.stringify(whole.body, null, 2)),
    element("pre", { tabindex: "0" }, JSON.stringify(whole.headers, null, 2)));
  byId("one").showModal();
  byId("one-title").focus();
}

async function discard(letter) {
  const confirmed = await ask({ title: t("discardTitle"), words: letter.reason, yes: t("discard") });
  if (confirmed !== null) await act("discard", letter, "discarded");
}

async function act(action, letter, message) {
  const response = await post(`dead-letters/${action}`, { ids: [letter.id] });
  say(t(response.done ? message : "goneAlready"));
  await load();
}

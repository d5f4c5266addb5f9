// Dead letters: by reason and one by one; read, replay, discard. A whole group is a job.

import { get, post } from "../api.js";
import { ask, byId, element, fill, setText, replaceEntries, showMessage } from "../dom.js";
import * as jobs from "./jobs.js";
import { number, t, when } from "../texts/translate.js";

let found = null;

export async function load() {
  found = await get("dead-letters");
  showList();
}

export function showList() {
  if (found === null) return;
  const { items, groups, counted_at_most: most } = found;
  const total = groups.reduce((sum, { letters }) => sum + letters, 0);
  const more = total >= most ? ` ${t("countedMore", { n: number(most) })}` : "";
  setText("dead-letters-found", items.length ? t("deadLettersSome", { n: number(items.length) }) + more : t("deadLettersNone"));
  replaceEntries("dead-letter-groups", groups.length > 1 || total > 1 ? groups.map(group) : []);
  replaceEntries("dead-letters", items.map(entry));
}

function group({ queue, reason, reason_id, letters, since, latest }) {
  const n = number(letters);
  const button = (kind) => element("button", { type: "button", "aria-label": `${t(`${kind}Group`)}: ${reason}`, onclick: () => actOnGroup(kind, n, reason, { queue, reason_id }) }, t(`${kind}Group`));
  return element("li", { "data-key": `${queue} ${reason}` },
    element("b", { class: "why bad" }, reason),
    element("span", { class: "grow" }, [queue, t("lettersIn", { n }), since ? t("sinceUntil", { since: when(since), latest: when(latest) }) : ""].filter(Boolean).join(" · ")),
    button("replay"), button("discard"));
}

function entry(letter) {
  const button = (name, onclick) => element("button", { type: "button", onclick, "aria-label": `${t(name)} ${letter.id}` }, t(name));
  return element("li", { "data-key": letter.id },
    element("b", {}, letter.queue),
    element("span", { class: "grow" }, `${when(letter.died_at)} · ${letter.id} · ${number(letter.attempts)} ${t("attempts")}`),
    button("read", () => read(letter)),
    button("replay", () => act("replay", letter, "replayed")),
    button("discard", () => discard(letter)),
    element("span", { class: "why bad" }, letter.reason));
}

async function read(letter) {
  const whole = await get(`dead-letters/${letter.id}`);
  byId("details-title").textContent = `${letter.queue} · ${letter.id}`;
  fill("details-body",
    element("p", { class: "reason bad" }, whole.reason),
    element("pre", { tabindex: "0" }, typeof whole.body === "string" ? whole.body : JSON.stringify(whole.body, null, 2)),
    element("pre", { tabindex: "0" }, JSON.stringify(whole.headers, null, 2)));
  byId("details").showModal();
  byId("details-title").focus();
}

async function actOnGroup(kind, n, reason, selection) {
  if (await ask({ title: t(`${kind}AllTitle`, { n }), message: reason, confirm: t(kind) }) === null) return;
  await jobs.begin({ kind, ...selection });
}

async function discard(letter) {
  const confirmed = await ask({ title: t("discardTitle"), message: letter.reason, confirm: t("discard") });
  if (confirmed !== null) await act("discard", letter, "discarded");
}

async function act(action, letter, message) {
  const response = await post(`dead-letters/${action}`, { ids: [letter.id] });
  showMessage(t(response.done ? message : "goneAlready"));
  await load();
}

// The requests of an event and their answers; masked until an operator asks for the values.

import { element } from "../dom.js";
import { number, t, when } from "../texts/translate.js";

// Ids of the events whose requests are shown; they stay so when the user is shown again.
const unfolded = new Set();

export function callList(eventId, calls) {
  if (!calls?.length) return null;
  return element("details", { class: "calls", open: unfolded.has(eventId) ? "" : undefined, ontoggle: ({ target }) => unfolded[target.open ? "add" : "delete"](eventId) },
    element("summary", {}, t("calls", { n: number(calls.length) })),
    ...calls.map(callEntry));
}

function callEntry({ at_ms: at, ms, status, method, params, answer, error }) {
  const facts = [when(new Date(at).toISOString(), true), status ? `HTTP ${status}` : t("noAnswer"), t("took", { n: number(ms) })];
  return element("div", { class: error ? "refused" : "made" },
    element("b", {}, method), ` ${facts.join(" · ")}`,
    json(t("request"), params),
    error ? element("p", { class: "bad" }, [error.kind, error.code, error.text].filter(Boolean).join(" · ")) : json(t("answer"), answer));
}

const json = (label, value) => element("pre", { tabindex: "0", "aria-label": label }, `${label} ${JSON.stringify(value, null, 1)}`);

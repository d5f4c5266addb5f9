// Keyboard: / searches, j and k go through a list, 1 to 6 open a view, ? explains.

import { byId, element } from "./dom.js";
import { t } from "./texts/translate.js";

const VIEWS = ["#/", "#/users", "#/failures", "#/dead-letters", "#/audit", "#/first-match"];
const HELP = [["/", "key_search"], ["j", "key_next"], ["k", "key_previous"], ["Enter", "key_open"], ["1 … 6", "key_views"], ["?", "key_help"]];

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const act = ACTIONS[event.key] ?? (VIEWS[event.key - 1] ? () => { location.hash = VIEWS[event.key - 1]; } : null);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

const isTyping = (target) => target.matches?.("input:not([type=checkbox]), select, textarea");

const ACTIONS = {
  "/": find, "?": help, j: () => step(1), k: () => step(-1),
};

function find() {
  if (!location.hash.startsWith("#/users")) location.hash = "#/users";
  // The view is shown once the address has changed.
  setTimeout(() => byId("search").elements.find.focus(), 50);
}

function step(by) {
  const entries = [...document.querySelectorAll("main section:not([hidden]) .list > li")].filter((entry) => entry.offsetParent);
  const at = entries.indexOf(document.activeElement?.closest("li"));
  const next = entries[at < 0 ? (by > 0 ? 0 : entries.length - 1) : Math.min(entries.length - 1, Math.max(0, at + by))];
  next?.querySelector("a.open, a, button, input")?.focus();
}

export function help() {
  byId("one-title").textContent = t("keysHelp");
  byId("one-body").replaceChildren(element("dl", { class: "pairs keys" }, ...HELP.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, t(what))])));
  byId("one").showModal();
  byId("one-title").focus();
}

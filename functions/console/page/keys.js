// Keyboard shortcuts: / searches, j and k move through a list, 1 to 6 open a view, ? shows these shortcuts.

import { byId, element } from "./dom.js";
import { t } from "./texts/translate.js";

const VIEWS = ["#/", "#/users", "#/failures", "#/dead-letters", "#/audit", "#/first-match"];
const HELP = [["/", "key_search"], ["j", "key_next"], ["k", "key_previous"], ["Enter", "key_open"], ["1 … 6", "key_views"], ["?", "key_help"]];

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const view = VIEWS[Number(event.key) - 1];
    const action = ACTIONS[event.key] ?? (view && (() => { location.hash = view; }));
    if (!action) return;
    event.preventDefault();
    action();
  });
}

const isTyping = (target) => target.matches?.("input:not([type=checkbox]), select, textarea");

const ACTIONS = {
  "/": focusSearch, "?": help, j: () => moveFocus(1), k: () => moveFocus(-1),
};

function focusSearch() {
  if (!location.hash.startsWith("#/users")) location.hash = "#/users";
  // The view is shown once the address has changed.
  setTimeout(() => byId("search").elements.find.focus(), 50);
}

// To the next (1) or previous (-1) entry of the shown lists; without a focused entry, to the first or last one.
function moveFocus(step) {
  const entries = [...document.querySelectorAll("main section:not([hidden]) .list > li")].filter((entry) => entry.offsetParent);
  const focused = entries.indexOf(document.activeElement?.closest("li"));
  const last = entries.length - 1;
  const beyondEnds = step > 0 ? -1 : last + 1;
  const index = (focused < 0 ? beyondEnds : focused) + step;
  entries[Math.min(last, Math.max(0, index))]?.querySelector("a.open, a, button, input")?.focus();
}

export function help() {
  byId("details-title").textContent = t("keysHelp");
  byId("details-body").replaceChildren(element("dl", { class: "pairs keys" }, ...HELP.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, t(what))])));
  byId("details").showModal();
  byId("details-title").focus();
}

// The audit trail: writes and operators' actions, newest first.

import { get } from "./api.js";
import { byId, element } from "./dom.js";
import { number, t, when } from "./texts.js";

let items = null;
let next = null;

export async function load(fresh = true) {
  const page = await get("audit", { only_orders: byId("audit-actions").checked, limit: 50, before: fresh ? null : next });
  items = fresh ? page.items : [...items, ...page.items];
  next = page.next;
  list();
}

export function list() {
  if (items === null) return;
  byId("audit-found").textContent = items.length ? t(next ? "foundMore" : "foundSome", { n: number(items.length) }) : t("auditNone");
  byId("audit-more").hidden = next === null;
  byId("audit").replaceChildren(...items.map(item));
}

// Writes are named as in a user's journey; stored names of actions get a label where one exists.
function item(one) {
  const isResync = one.kind === "write" && one.about.changed[0] === "look";
  const what = one.kind === "write" ? t(isResync ? "resynced" : one.action) : t(one.action);
  const about = Object.entries(one.about).filter(([, value]) => value !== "" && value !== null)
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : value}`).join(" · ");
  return element("li", {},
    element("time", { datetime: one.at }, when(one.at)),
    element("b", {}, one.caller ?? t("noCaller")),
    element("span", { class: "grow" }, [what, one.user_id ? `${t("user")} ${one.user_id}` : "", about].filter(Boolean).join(" · ")),
    element("span", { class: one.outcome === "failed" ? "bad" : "quiet" }, one.outcome ?? t("notYet")));
}

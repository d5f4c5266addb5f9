// The audit trail: writes and operators' actions, newest first.

import { get } from "../api.js";
import { byId, element, setText, replaceEntries } from "../dom.js";
import { address, go } from "../route.js";
import { number, t, when } from "../texts/translate.js";

const PAGE = 50;
let query = {};
let items = null;
let next = null; // the entry before which the next page ends

// Shows the trail of this address.
export function enter(given) {
  const form = byId("audit-filter").elements;
  query = given;
  form.caller.value = given.caller ?? "";
  form.user.value = given.user ?? "";
  form.actions.checked = given.writes !== "1";
  return load();
}

export function submit(form) {
  const { caller, user, actions } = Object.fromEntries(new FormData(form));
  const given = { caller: caller.trim(), user, writes: actions ? "" : "1" };
  if (address("audit", given) === location.hash) return load();
  go("audit", given);
  return Promise.resolve();
}

export const load = () => loadPage(null);
export const loadMore = () => loadPage(next);

// The page before this entry is added to the list; the first page (null) replaces the list.
async function loadPage(before) {
  const page = await get("audit", {
    only_orders: query.writes !== "1", caller: query.caller ?? "", user_id: query.user ?? "", limit: PAGE, before });
  const shownBefore = JSON.stringify(items);
  items = before === null ? page.items : [...items, ...page.items];
  next = page.next;
  if (shownBefore !== JSON.stringify(items)) showList();
}

// Keeps the first page up to date; a longer list stays as it was read.
export async function refresh() {
  if (items !== null && items.length <= PAGE) await load();
}

export function showList() {
  if (items === null) return;
  setText("audit-found", items.length ? t(next ? "foundMore" : "foundSome", { n: number(items.length) }) : t("auditNone"));
  byId("audit-more").hidden = next === null;
  replaceEntries("audit", items.map(entry));
}

// Writes are named as in a user's journey, a resync (stored as the change `look`) among them; stored names of actions
// get a label where one exists.
function entry(item) {
  const isResync = item.kind === "write" && item.about.changed[0] === "look";
  const what = item.kind === "write" ? t(isResync ? "resynced" : item.action) : t(item.action);
  const { asked, user_ids: users, ...others } = item.about;
  const about = Object.entries(others).filter(([, value]) => value !== "" && value !== null && value !== false)
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : value}`);
  const user = item.user_id ?? (users?.length === 1 ? users[0] : null);
  return element("li", { "data-key": item.id },
    element("time", { datetime: item.at }, when(item.at)),
    element("b", {}, item.caller ?? t("noCaller")),
    element("span", { class: "grow" },
      [what, asked === undefined ? "" : t("onHowMany", { n: number(asked) }), ...about].filter(Boolean).join(" · "),
      ...(user ? [" · ", element("a", { href: `#/users/${user}` }, `${t("user")} ${user}`)] : [])),
    element("span", { class: item.outcome === "failed" ? "bad" : "quiet" }, item.outcome ?? t("notYet")));
}

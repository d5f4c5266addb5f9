// Users: search and filter, a live list, choosing some for a retry, export.

import { get, post } from "../api.js";
import { csv } from "../csv.js";
import { byId, download, element, setText, replaceEntries, showMessage } from "../dom.js";
import * as jobs from "./jobs.js";
import { explain } from "../texts/reasons.js";
import { address, current, go } from "../route.js";
import { number, t } from "../texts/translate.js";

const CLASS_OF_STATE = { synced: "good", waiting: "warn", failed: "bad" };
const PAGE = 20;
// How many users a search may name exactly; they precede the first page (leadline/users/search.py).
const EXACT_MAX = 3;
// The list is loaded again after this many times what loading it took: it takes at most 5 % of the time.
const PAUSE_FACTOR = 20;
const WITHIN_S = { "15m": 900, "1h": 3600, "24h": 86400, "7d": 604800 };
let query = {};
let next = null; // the key after which the next page begins
let latestSearch = 0; // the number of the latest search
let shown = [];
let chosen = new Set(); // ids of failed users to retry
let notBefore = 0; // when the list may be loaded again

export const stateLabel = (name) => element("span", { class: `state ${CLASS_OF_STATE[name]}` }, t(`is_${name}`));

// Shows the list of this address.
export function enter(given) {
  const form = byId("search").elements;
  for (const name of ["find", "sync", "stage", "within"]) form[name].value = given[name] ?? "";
  query = given;
  chosen = new Set();
  return search();
}

export function submit(form) {
  const given = Object.fromEntries(new FormData(form));
  if (given.sync === "failed" || !given.sync) given.reason = query.reason;
  if (address("users", given) === location.hash) return search();
  go("users", given);
  return Promise.resolve();
}

const parameters = () => ({
  find: query.find ?? "", sync: query.sync ?? "", stage: query.stage ?? "", reason_id: query.reason ?? "",
  active_since: WITHIN_S[query.within] ? new Date(Date.now() - WITHIN_S[query.within] * 1000).toISOString() : "",
});

const search = () => loadPage(null);
export const loadMore = () => loadPage(next);

// The page after this key is added to the list; the first page (null) replaces the list.
async function loadPage(after) {
  latestSearch += 1;
  const thisSearch = latestSearch;
  const began = performance.now();
  const page = await get("users", { ...parameters(), limit: PAGE, after });
  notBefore = performance.now() + PAUSE_FACTOR * (performance.now() - began);
  // Only the latest search counts, even if an older response arrives last.
  if (thisSearch !== latestSearch) return;
  const shownBefore = JSON.stringify(shown);
  shown = after === null ? page.items : [...shown, ...page.items];
  next = page.next;
  if (after !== null || shownBefore !== JSON.stringify(shown)) showList();
  else showCounts();
}

// Keeps the first page up to date; a longer list stays as it was read.
export async function refresh() {
  if (shown.length <= PAGE + EXACT_MAX && performance.now() >= notBefore) await search();
}

function showCounts() {
  setText("found", shown.length ? t(next ? "foundMore" : "foundSome", { n: number(shown.length) }) : t("foundNone"));
  byId("more").hidden = next === null;
  byId("of-reason").hidden = !query.reason;
  if (query.reason) setText("of-reason", `${t("reason")}: ${explain(shown[0]?.sync.reason) || query.reason}`);
  byId("retry-chosen").hidden = !chosen.size;
  setText("retry-chosen", t("retryChosen", { n: number(chosen.size) }));
}

export function showList() {
  showCounts();
  replaceEntries("list", shown.map(entry));
}

function entry(user) {
  const { status, reason, bitrix_lead_id: lead } = user.sync;
  const choose = status === "failed" ? element("input", {
    type: "checkbox", "aria-label": t("choose", { id: user.id }), checked: chosen.has(user.id), onchange: () => {
      if (!chosen.delete(user.id)) chosen.add(user.id); // a second click takes the choice back
      showCounts();
    } }) : null;
  return element("li", { "data-key": user.id },
    choose,
    element("b", {}, `${user.id}`),
    element("span", { class: "grow" }, `${user.full_name} · ${user.phone} · ${user.stage}`),
    element("span", {}, lead ? `${t("lead")} ${lead}` : t("noLead")),
    stateLabel(status),
    element("a", { class: "button open", href: `#/users/${user.id}`, "aria-label": t("openUser", { id: user.id }) }, t("open")),
    reason ? element("span", { class: "why bad" }, explain(reason)) : null);
}

export async function retryChosen() {
  await jobs.begin({ kind: "resync", user_ids: [...chosen] });
  chosen = new Set();
  await search();
}

export async function exportShown() {
  const wanted = Object.fromEntries(Object.entries(parameters()).filter(([, value]) => value));
  const { items, is_all: isAll } = await post("users/export", wanted);
  const rows = items.map(({ id, full_name, phone, stage, sync }) => [id, full_name, phone, stage, sync.status, sync.reason, sync.bitrix_lead_id, sync.version]);
  download("users.csv", csv([["id", "full_name", "phone", "stage", "status", "reason", "bitrix_lead_id", "version"], ...rows]));
  showMessage(t(isAll ? "exportDone" : "exportPart", { n: number(items.length) }));
}

export const listAddress = () => (current().view === "users" ? address("users", query) : "#/users");

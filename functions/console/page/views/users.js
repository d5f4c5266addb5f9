// Users: search and filter, a live list, choosing some for a retry, export.

import { get, post } from "../api.js";
import { csv } from "../csv.js";
import { byId, download, element, put, replaceEntries, say } from "../dom.js";
import * as jobs from "./jobs.js";
import { explain } from "../texts/reasons.js";
import { address, current, go } from "../route.js";
import { number, t } from "../texts/translate.js";

const KINDS = { synced: "good", waiting: "warn", failed: "bad" };
const PAGE = 20;
//: The list is loaded again after this many times what loading it took: at most 5 % of the time.
const REST = 20;
const WITHIN_S = { "15m": 900, "1h": 3600, "24h": 86400, "7d": 604800 };
let query = {};
let next = null;
let searches = 0;
let shown = [];
let chosen = new Set();
let notBefore = 0;

export const state = (name) => element("span", { class: `state ${KINDS[name]}` }, t(`is_${name}`));

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

export async function search(fresh = true) {
  searches += 1;
  const [number_, began] = [searches, performance.now()];
  const page = await get("users", { ...parameters(), limit: PAGE, after: fresh ? null : next });
  notBefore = performance.now() + REST * (performance.now() - began);
  // Only the latest search counts, even if an older response arrives last.
  if (number_ !== searches) return;
  const before = JSON.stringify(shown);
  shown = fresh ? page.items : [...shown, ...page.items];
  next = page.next;
  if (!fresh || before !== JSON.stringify(shown)) list();
  else count();
}

// Keeps the first page up to date; a longer list stays as it was read.
export async function refresh() {
  if (shown.length <= PAGE + 2 && performance.now() >= notBefore) await search();
}

function count() {
  put("found", shown.length ? t(next ? "foundMore" : "foundSome", { n: number(shown.length) }) : t("foundNone"));
  byId("more").hidden = next === null;
  byId("of-reason").hidden = !query.reason;
  if (query.reason) put("of-reason", `${t("reason")}: ${explain(shown[0]?.sync.reason) || query.reason}`);
  byId("retry-chosen").hidden = !chosen.size;
  put("retry-chosen", t("retryChosen", { n: number(chosen.size) }));
}

export function list() {
  count();
  replaceEntries("list", shown.map(entry));
}

function entry(user) {
  const { status, reason, bitrix_lead_id: lead } = user.sync;
  const choose = status === "failed" ? element("input", {
    type: "checkbox", "aria-label": t("choose", { id: user.id }), checked: chosen.has(user.id), onchange: () => {
      if (!chosen.delete(user.id)) chosen.add(user.id);
      count();
    } }) : null;
  return element("li", { "data-key": user.id },
    choose,
    element("b", {}, `${user.id}`),
    element("span", { class: "grow" }, `${user.full_name} · ${user.phone} · ${user.stage}`),
    element("span", {}, lead ? `${t("lead")} ${lead}` : t("noLead")),
    state(status),
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
  say(t(isAll ? "exportDone" : "exportPart", { n: number(items.length) }));
}

export const listAddress = () => (current().view === "users" ? address("users", query) : "#/users");

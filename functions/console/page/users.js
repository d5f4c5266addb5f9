// Users: search, open with the journey of the last writes, retry.

import { get, post } from "./api.js";
import { ask, byId, element, say } from "./dom.js";
import { number, t, when } from "./texts.js";

const KINDS = { synced: "good", waiting: "warn", failed: "bad" };
let query = { find: "", sync: "" };
let next = null;
let searches = 0;
let shown = [];
let opened = null;
let status = {};

const state = (name) => element("span", { class: `state ${KINDS[name]}` }, t(`is_${name}`));
export const setStatus = (latest) => { status = latest; };

export async function search(fresh = true) {
  searches += 1;
  const current = searches;
  const page = await get("users", { ...query, limit: 20, after: fresh ? null : next });
  // Only the latest search counts, whichever response arrives last.
  if (current !== searches) return;
  shown = fresh ? page.items : [...shown, ...page.items];
  next = page.next;
  list();
}

export function list() {
  byId("found").textContent = shown.length ? t(next ? "foundMore" : "foundSome", { n: number(shown.length) }) : t("foundNone");
  byId("more").hidden = next === null;
  byId("list").replaceChildren(...shown.map((user) => element("li", {},
    element("b", {}, `${user.id}`),
    element("span", { class: "grow" }, `${user.full_name} · ${user.phone} · ${user.stage}`),
    element("span", {}, user.sync.bitrix_lead_id ? `${t("lead")} ${user.sync.bitrix_lead_id}` : t("noLead")),
    state(user.sync.status),
    element("button", { type: "button", "aria-label": t("openUser", { id: user.id }), onclick: () => open(user.id) }, t("open")),
    user.sync.reason ? element("span", { class: "why bad" }, user.sync.reason) : null,
  )));
}

export async function open(id) {
  opened = await get(`users/${id}`);
  show();
  if (!byId("one").open) byId("one").showModal();
  byId("one-title").focus();
}

// Refreshes an open user until it is synced; the focus stays.
export async function refresh() {
  if (!opened || !byId("one").open || opened.sync.status === "synced") return;
  const latest = await get(`users/${opened.id}`);
  const before = opened.sync.status;
  opened = latest;
  show();
  if (before !== latest.sync.status) await search();
}

export const close = () => { opened = null; };

export function show() {
  if (!opened) return;
  const { sync } = opened;
  byId("one-title").textContent = `${t("user")} ${opened.id} · ${opened.full_name}`;
  const button = element("button", { type: "button", class: "primary", id: "retry", disabled: sync.status === "waiting", onclick: retry }, t("retry"));
  const hadFocus = document.activeElement?.id === "retry";
  byId("one-body").replaceChildren(
    element("p", { class: "bar" },
      element("span", {}, state(sync.status), ` · ${sync.bitrix_lead_id ? `${t("lead")} ${sync.bitrix_lead_id}` : t("noLead")}`), button),
    element("p", { class: "quiet" }, `${t("phone")} ${opened.phone} · ${t("stage")} ${opened.stage}`),
    verdict(opened),
    element("h3", {}, t("journey")),
    ...(sync.events.length ? sync.events.map(event) : [element("p", { class: "quiet" }, t("noEvents"))]),
  );
  if (hadFocus) (button.disabled ? byId("one-title") : button).focus();
}

// One sentence: what blocks the user, and what to do. The server decides (operations/diagnosis/why.py).
function verdict({ sync, why }) {
  if (sync.status === "synced") return element("div", { class: "reason good" }, element("h3", {}, t("allWell")));
  const isFailed = sync.status === "failed";
  return element("div", { class: `reason ${KINDS[sync.status]}` },
    element("h3", {}, t(isFailed ? "why" : "waitsWhy")),
    isFailed ? element("p", {}, element("b", {}, sync.reason)) : null,
    element("p", {}, t(why.code, { at: when(why.at), why: why.reason || t("byOperator") })));
}

function event(one) {
  const action = one.changed.startsWith("look") ? "resynced" : one.action;
  return element("section", { class: "event" },
    element("h3", {}, `${t(action)} · ${t("version", { n: one.version })}`),
    element("ol", { class: "steps" }, ...one.steps.map(step),
      one.state === "open" ? element("li", { class: "warn" }, element("b", {}, t("replied")), ` ${t("notYet")}`) : null),
    element("p", { class: "quiet" }, `${t("caller")}: ${one.caller ?? t("noCaller")} · ${t("correlation")}: ${one.correlation_id}`));
}

function step(one) {
  const name = one.step === "published" && one.times > 1 ? t("publishedTimes", { n: one.times }) : t(one.step, { n: one.number });
  const outcome = one.outcome ? `: ${t(`outcome_${one.outcome}`)}` : "";
  return element("li", { class: one.error ? "bad" : "good" },
    element("b", {}, name + outcome),
    " ",
    element("time", { datetime: one.at }, when(one.at, true)),
    one.error ? element("p", { class: "bad" }, one.error) : null);
}

async function retry() {
  const { id } = opened;
  const response = await post(`users/${id}/again`);
  say(t(response.asked_again ? "retryDone" : "retryWaits", { id }));
  opened = await get(`users/${id}`);
  show();
  await search();
}

export async function retryAllFailed() {
  const words = t("allWords", { n: number(status.ledger?.failed) });
  if (await ask({ title: t("allTitle"), words, yes: t("allFailed") }) === null) return;
  let [retried, after] = [0, 0];
  while (after !== null) {
    const part = await post("failed/again", { after });
    [retried, after] = [retried + part.asked_again, part.next];
    say(t("allDone", { n: number(retried) }));
  }
  await search();
}

export function submit(form) {
  query = Object.fromEntries(new FormData(form));
  return search();
}

// One user: what holds it up, the journey of its last writes, what was sent, retry.

import { get, post } from "../api.js";
import { calls } from "./calls.js";
import { byId, element, fill, say } from "../dom.js";
import { explain, translated } from "../texts/reasons.js";
import { number, t, when } from "../texts/translate.js";
import { state } from "./users.js";

const KINDS = { synced: "good", waiting: "warn", failed: "bad" };
const OWN = new Set(["id", "full_name", "phone", "stage", "external_id", "created_at", "updated_at", "sync", "why", "error"]);
let opened = null;
let sent = null;
let status = {};

export const setStatus = (latest) => { status = latest; };

export async function open(id) {
  const user = await get(`users/${id}`);
  [opened, sent] = [user, null];
  show();
  if (!byId("one").open) byId("one").showModal();
  byId("one-title").focus();
}

// `#/leads/456`, the way back from Bitrix24.
export async function openByLead(lead) {
  const { items } = await get("users", { find: `lead:${lead}`, limit: 1 });
  if (items.length) location.replace(`#/users/${items[0].id}`);
  else say(t("noLeadFound", { id: lead }));
}

// Refreshes an open user until it is synced; the focus stays.
export async function refresh() {
  if (!opened || !byId("one").open || opened.sync.status === "synced") return;
  const latest = await get(`users/${opened.id}`);
  if (opened?.id !== latest.id) return;
  opened = latest;
  show();
}

export function close() {
  [opened, sent] = [null, null];
}

export function show() {
  if (!opened) return;
  const { sync } = opened;
  byId("one-title").textContent = `${t("user")} ${opened.id} · ${opened.full_name}`;
  const focused = document.activeElement?.id;
  const button = element("button", { type: "button", class: "primary", id: "retry", disabled: sync.status === "waiting", onclick: retry }, t("retry"));
  fill("one-body",
    element("p", { class: "bar" }, element("span", {}, state(sync.status), " · ", lead(sync.bitrix_lead_id)), button),
    element("p", { class: "quiet" }, `${t("phone")} ${opened.phone} · ${t("stage")} ${opened.stage}`),
    further(opened),
    hindrance(opened),
    element("h3", {}, t("journey")),
    ...(sync.events.length ? sync.events.map(event) : [element("p", { class: "quiet" }, t("noEvents"))]),
    element("p", { class: "quiet" }, t("sentNote")),
    sent ? null : element("button", { type: "button", id: "show-sent", title: t("showSentHint"), onclick: showSent }, t("showSent")));
  if (focused === "retry" || focused === "show-sent") {
    const again = byId(focused);
    (again && !again.disabled ? again : byId("one-title")).focus();
  }
}

// The fields of the map, and those that the lead could not take.
function further(user) {
  const names = Object.keys(user).filter((name) => !OWN.has(name));
  if (!names.length) return null;
  const rows = names.flatMap((name) => [element("dt", {}, name), element("dd", {}, shown(user[name]))]);
  const open = user.sync.open_fields;
  return element("div", {}, element("dl", { class: "pairs" }, ...rows),
    open ? element("p", { class: "bad" }, t("openFields", { fields: open.join(", ") })) : null);
}

const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "boolean" ? t(value ? "valueYes" : "valueNo") : String(value));

// Only a web address becomes a link.
function lead(id) {
  if (!id) return t("noLead");
  const site = status.portal?.site;
  if (!/^https?:\/\//.test(site ?? "")) return `${t("lead")} ${id}`;
  return element("a", { href: `${site}/crm/lead/details/${id}/`, target: "_blank", rel: "noopener noreferrer" }, t("openLead", { id }));
}

// What blocks the user, and what to do. The server decides (operations/diagnosis/why.py).
function hindrance({ sync, why }) {
  if (sync.status === "synced") return element("div", { class: "reason good" }, element("h3", {}, t("allWell")));
  const isFailed = sync.status === "failed";
  return element("div", { class: `reason ${KINDS[sync.status]}` },
    element("h3", {}, t(isFailed ? "why" : "waitsWhy")),
    isFailed ? element("p", {}, element("b", {}, explain(sync.reason))) : null,
    isFailed && translated(sync.reason) ? element("p", { class: "quiet" }, t("errorOriginal", { text: sync.reason })) : null,
    element("p", {}, t(why.code, { at: when(why.at), why: why.reason || t("byOperator") })),
    sync.users_before ? element("p", {}, t("position", { n: number(sync.users_before) })) : null);
}

function event(record) {
  const fields = record.changed.split(",");
  const carried = sent?.find(({ event_id: id }) => id === record.event_id);
  const action = record.changed.startsWith("look") ? "resynced" : record.action;
  return element("section", { class: "event" },
    element("h3", {}, `${t(action)} · ${t("version", { n: record.version })}`),
    element("p", { class: "quiet" }, t("sentFields", { fields: fields.map((name) => fieldName(name)).join(", ") })),
    values(carried),
    element("ol", { class: "steps" }, ...record.steps.map(step),
      record.state === "open" ? element("li", { class: "warn" }, element("b", {}, t("replied")), ` ${t("notYet")}`) : null),
    calls(record.event_id, carried?.calls ?? record.calls),
    element("p", { class: "quiet" }, `${t("caller")}: ${record.caller ?? t("noCaller")} · ${t("correlation")}: ${record.correlation_id}`));
}

const fieldName = (name) => (t(`field_${name}`) === `field_${name}` ? name : t(`field_${name}`));

function values(carried) {
  if (!carried) return null;
  const all = { full_name: carried.full_name, phone: carried.phone, stage: carried.stage, ...carried.fields };
  const rows = Object.keys(all).flatMap((name) => [element("dt", {}, fieldName(name)), element("dd", {}, shown(all[name]))]);
  return element("dl", { class: "pairs" }, ...rows);
}

function step(record) {
  const name = record.step === "published" && record.times > 1 ? t("publishedTimes", { n: record.times }) : t(record.step, { n: record.number });
  const outcome = record.outcome ? `: ${t(`outcome_${record.outcome}`)}` : "";
  return element("li", { class: record.error ? "bad" : "good" },
    element("b", {}, name + outcome),
    " ",
    element("time", { datetime: record.at }, when(record.at, true)),
    record.error ? element("p", { class: "bad" }, explain(record.error)) : null);
}

async function showSent() {
  sent = (await post(`users/${opened.id}/sent`)).events;
  show();
}

async function retry() {
  const { id } = opened;
  const response = await post(`users/${id}/again`);
  say(t(response.asked_again ? "retryDone" : "retryWaits", { id }));
  opened = await get(`users/${id}`);
  show();
}

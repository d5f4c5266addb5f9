// One user: what holds it up, the journey of its last writes, what was sent, retry.

import { get, post } from "../api.js";
import { callList } from "./calls.js";
import { byId, element, fill, showMessage } from "../dom.js";
import { explain, translated } from "../texts/reasons.js";
import { number, t, when } from "../texts/translate.js";
import { stateLabel } from "./users.js";

const CLASS_OF_STATE = { synced: "good", waiting: "warn", failed: "bad" };
// What every user has; everything else is a further field of the field map.
const FIXED_FIELDS = new Set(["id", "full_name", "phone", "stage", "external_id", "created_at", "updated_at", "sync", "why", "error"]);
let opened = null; // the user in the dialog
let sent = null; // what was sent for its events, once an operator has asked for it
let status = {};

export const setStatus = (latest) => { status = latest; };

export async function open(id) {
  const user = await get(`users/${id}`);
  opened = user;
  sent = null;
  show();
  if (!byId("details").open) byId("details").showModal();
  byId("details-title").focus();
}

// `#/leads/456`, the way back from Bitrix24.
export async function openByLead(lead) {
  const { items } = await get("users", { find: `lead:${lead}`, limit: 1 });
  if (items.length) location.replace(`#/users/${items[0].id}`);
  else showMessage(t("noLeadFound", { id: lead }));
}

// Refreshes an open user until it is synced; the focus stays.
export async function refresh() {
  if (!opened || !byId("details").open || opened.sync.status === "synced") return;
  const latest = await get(`users/${opened.id}`);
  if (opened?.id !== latest.id) return;
  opened = latest;
  show();
}

export function close() {
  opened = null;
  sent = null;
}

export function show() {
  if (!opened) return;
  const { sync } = opened;
  byId("details-title").textContent = `${t("user")} ${opened.id} · ${opened.full_name}`;
  const focused = document.activeElement?.id;
  const button = element("button", { type: "button", class: "primary", id: "retry", disabled: sync.status === "waiting", onclick: retry }, t("retry"));
  fill("details-body",
    element("p", { class: "bar" }, element("span", {}, stateLabel(sync.status), " · ", lead(sync.bitrix_lead_id)), button),
    element("p", { class: "quiet" }, `${t("phone")} ${opened.phone} · ${t("stage")} ${opened.stage}`),
    furtherFields(opened),
    obstacle(opened),
    element("h3", {}, t("journey")),
    ...(sync.events.length ? sync.events.map(eventSection) : [element("p", { class: "quiet" }, t("noEvents"))]),
    element("p", { class: "quiet" }, t("sentNote")),
    sent ? null : element("button", { type: "button", id: "show-sent", title: t("showSentHint"), onclick: showSent }, t("showSent")));
  if (focused === "retry" || focused === "show-sent") {
    const sameButton = byId(focused);
    (sameButton && !sameButton.disabled ? sameButton : byId("details-title")).focus();
  }
}

// The further fields, and those that the lead could not take.
function furtherFields(user) {
  const names = Object.keys(user).filter((name) => !FIXED_FIELDS.has(name));
  if (!names.length) return null;
  const rows = names.flatMap((name) => [element("dt", {}, name), element("dd", {}, valueText(user[name]))]);
  const open = user.sync.open_fields;
  return element("div", {}, element("dl", { class: "pairs" }, ...rows),
    open ? element("p", { class: "bad" }, t("openFields", { fields: open.join(", ") })) : null);
}

function valueText(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "boolean" ? t(value ? "valueYes" : "valueNo") : String(value);
}

// Only a web address becomes a link.
function lead(id) {
  if (!id) return t("noLead");
  const site = status.portal?.site;
  if (!/^https?:\/\//.test(site ?? "")) return `${t("lead")} ${id}`;
  return element("a", { href: `${site}/crm/lead/details/${id}/`, target: "_blank", rel: "noopener noreferrer" }, t("openLead", { id }));
}

// What blocks the user, and what to do. The server decides (operations/diagnosis/why.py).
function obstacle({ sync, why }) {
  if (sync.status === "synced") return element("div", { class: "reason good" }, element("h3", {}, t("allWell")));
  const isFailed = sync.status === "failed";
  return element("div", { class: `reason ${CLASS_OF_STATE[sync.status]}` },
    element("h3", {}, t(isFailed ? "why" : "waitsWhy")),
    isFailed ? element("p", {}, element("b", {}, explain(sync.reason))) : null,
    isFailed && translated(sync.reason) ? element("p", { class: "quiet" }, t("errorOriginal", { text: sync.reason })) : null,
    element("p", {}, t(why.code, { at: when(why.at), why: why.reason || t("byOperator") })),
    sync.users_before ? element("p", {}, t("position", { n: number(sync.users_before) })) : null);
}

function eventSection(record) {
  const fields = record.changed.split(",");
  const sentEvent = sent?.find(({ event_id: id }) => id === record.event_id);
  const action = record.changed.startsWith("look") ? "resynced" : record.action;
  return element("section", { class: "event" },
    element("h3", {}, `${t(action)} · ${t("version", { n: record.version })}`),
    element("p", { class: "quiet" }, t("sentFields", { fields: fields.map((name) => fieldName(name)).join(", ") })),
    sentValues(sentEvent),
    element("ol", { class: "steps" }, ...record.steps.map(stepEntry),
      record.state === "open" ? element("li", { class: "warn" }, element("b", {}, t("replied")), ` ${t("notYet")}`) : null),
    callList(record.event_id, sentEvent?.calls ?? record.calls),
    element("p", { class: "quiet" }, `${t("caller")}: ${record.caller ?? t("noCaller")} · ${t("correlation")}: ${record.correlation_id}`));
}

const fieldName = (name) => (t(`field_${name}`) === `field_${name}` ? name : t(`field_${name}`));

function sentValues(sentEvent) {
  if (!sentEvent) return null;
  const { full_name, phone, stage, fields } = sentEvent;
  const values = Object.entries({ full_name, phone, stage, ...fields });
  const rows = values.flatMap(([name, value]) => [element("dt", {}, fieldName(name)), element("dd", {}, valueText(value))]);
  return element("dl", { class: "pairs" }, ...rows);
}

function stepEntry(record) {
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
  showMessage(t(response.asked_again ? "retryDone" : "retryWaits", { id }));
  opened = await get(`users/${id}`);
  show();
}

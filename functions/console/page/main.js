// The console: asks for the figures every two seconds and lets an operator decide.

import { get, post } from "./api.js";
import * as audit from "./audit.js";
import { ask, byId, element, say } from "./dom.js";
import * as letters from "./letters.js";
import * as plots from "./plots.js";
import { number, span, speak, t, when } from "./texts.js";
import * as users from "./users.js";

const EVERY_MS = 2000;
//: So many seconds without a sign of life and no worker works.
const SILENT_S = 10;
let told = null;

function show() {
  if (!told) return;
  const { ledger, work, portal, rate, queues, hour } = told;
  users.know(told);
  figures(ledger, hour);
  state(portal, work);
  if (!rate.error && !portal.error) plots.rate(rate, portal.requests_left);
  if (!hour.error) plots.hour(hour, told.now);
  depths(queues, work);
  const errors = Object.values(told).map((part) => part.error).filter(Boolean);
  set("trouble", [...new Set(errors)].join(" · "));
}

function figures(ledger, hour) {
  const known = ledger.error ? {} : ledger;
  const pairs = [
    ["synced", number(known.synced), "good"], ["waiting", number(known.waiting), known.waiting ? "warn" : ""],
    ["failed", number(known.failed), known.failed ? "bad" : ""], ["superseded", number(hour.superseded), ""],
    ["oldest", span(known.oldest_s), ""], ["total", number(known.users), ""],
    ["retrying", number(known.retrying), ""], ["unpublished", number(known.unpublished), ""],
  ];
  byId("figures").replaceChildren(...pairs.map(([name, value, kind]) => element("div", {},
    element("dt", {}, t(name)), element("dd", { class: kind, id: `figure-${name}` }, value))));
}

function state(portal, work) {
  if (portal.error) {
    set("portal-state", portal.error);
    return;
  }
  byId("portal").classList.toggle("stopped", portal.paused || !portal.reachable);
  byId("pause").hidden = portal.paused && portal.by_operator;
  byId("resume").hidden = !portal.paused;
  const at = when(portal.since);
  const held = () => `${t("heldBy", { at })}${portal.reason ? ` ${t("reasonIs", { why: portal.reason })}` : ""}`;
  const down = () => t(portal.code === "SIMPLE_CRM_MODE" ? "pausedSimple" : "pausedBy", { at, why: portal.reason, next: when(portal.next_probe) });
  const unreachable = () => t("unreachable", { at: when(portal.unreachable_since), kind: t(portal.unreachable_kind), why: portal.unreachable_reason });
  if (portal.paused) set("portal-state", portal.by_operator ? held() : down());
  else if (work.worker_seen_s_ago === null) set("portal-state", t("noWorkerEver"));
  else if (work.worker_seen_s_ago > SILENT_S) set("portal-state", t("noWorker", { ago: span(work.worker_seen_s_ago) }));
  else if (!portal.reachable) set("portal-state", unreachable());
  else set("portal-state", t("running"));
}

function depths(queues, work) {
  const known = [
    ...(work.error ? [] : [[t("due"), work.users_due], [t("inCall"), work.users_in_a_call]]),
    // Delays matter only while something waits there.
    ...(queues.error ? [] : Object.entries(queues).filter(([name, depth]) => depth || !name.includes(".delay."))),
  ];
  byId("queues").replaceChildren(...known.flatMap(([name, depth]) => [element("dt", {}, name),
    element("dd", { class: depth && name.endsWith(".dead") ? "bad" : "" }, depth === null ? t("gone") : number(depth))]));
}

// Whoever listens to the page hears what is new, not the same every two seconds.
function set(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function live(error) {
  byId("live").className = `pill ${error ? "bad" : "good"}`;
  set("live", error ? t("lost", { why: error.message }) : t("live"));
}

async function poll() {
  if (document.hidden) return;
  told = await get("status");
  show();
  await users.refresh();
}

async function turn() {
  try {
    await poll();
    live(null);
  } catch (error) {
    live(error);
  }
  setTimeout(turn, EVERY_MS);
}

// A button works once at a time, and says so when it could not.
function on(id, work, event = "click") {
  byId(id).addEventListener(event, (happened) => {
    happened.preventDefault();
    work().catch((error) => say(error.message));
  });
}

async function pause() {
  const reason = await ask({ title: t("pauseTitle"), words: t("pauseWords"), label: t("pauseWhy"), yes: t("pause") });
  if (reason === null) return;
  await post("pause", { reason });
  await poll();
  byId("resume").focus();
}

async function resume() {
  await post("resume");
  await poll();
  byId("pause").focus();
}

on("search", () => users.wish(byId("search")), "submit");
on("more", () => users.search(false));
on("all-failed", users.allFailedAgain);
on("look", letters.look);
on("audit-look", () => audit.look());
on("audit-more", () => audit.look(false));
on("pause", pause);
on("resume", resume);
byId("search").elements.sync.addEventListener("change", () => byId("search").requestSubmit());
byId("one").addEventListener("close", users.close);
byId("one").querySelector(".close").addEventListener("click", () => byId("one").close());
window.addEventListener("unhandledrejection", (event) => say(event.reason?.message ?? String(event.reason)));
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll().catch(live); });
for (const each of document.querySelectorAll("[data-language]")) {
  each.addEventListener("click", () => {
    speak(each.dataset.language);
    for (const again of [show, users.list, users.show, letters.list, audit.list]) again();
  });
}

speak();
turn();
users.search().catch(live);

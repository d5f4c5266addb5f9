// The console: polls the status every two seconds and offers an operator's actions.

import { get, post } from "./api.js";
import * as audit from "./audit.js";
import { ask, byId, element, say } from "./dom.js";
import * as deadLetters from "./dead_letters.js";
import * as plots from "./plots.js";
import { number, span, speak, t, when } from "./texts.js";
import * as users from "./users.js";

const POLL_MS = 2000;
//: After this time without a heartbeat no worker is running.
const SILENT_S = 10;
let status = null;

function show() {
  if (!status) return;
  const { ledger, work, portal, rate, queues, hour } = status;
  users.setStatus(status);
  figures(ledger, hour);
  state(portal, work);
  if (!rate.error && !portal.error) plots.rate(rate, portal.requests_left);
  if (!hour.error) plots.hour(hour, status.now);
  depths(queues, work);
  const errors = Object.values(status).map((part) => part.error).filter(Boolean);
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
    ...(work.error ? [] : [[t("ready"), work.users_due], [t("inFlight"), work.users_in_a_call]]),
    // Delay queues are shown only while something waits in them.
    ...(queues.error ? [] : Object.entries(queues).filter(([name, depth]) => depth || !name.includes(".delay."))),
  ];
  byId("queues").replaceChildren(...known.flatMap(([name, depth]) => [element("dt", {}, name),
    element("dd", { class: depth && name.endsWith(".dead") ? "bad" : "" }, depth === null ? t("gone") : number(depth))]));
}

// Unchanged text is not set again: screen readers would announce it every two seconds.
function set(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function live(error) {
  byId("live").className = `pill ${error ? "bad" : "good"}`;
  set("live", error ? t("lost", { why: error.message }) : t("live"));
}

async function poll() {
  if (document.hidden) return;
  status = await get("status");
  show();
  await users.refresh();
}

async function loop() {
  try {
    await poll();
    live(null);
  } catch (error) {
    live(error);
  }
  setTimeout(loop, POLL_MS);
}

// Runs an action and shows its error.
function on(id, action, event = "click") {
  byId(id).addEventListener(event, (trigger) => {
    trigger.preventDefault();
    action().catch((error) => say(error.message));
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

on("search", () => users.submit(byId("search")), "submit");
on("more", () => users.search(false));
on("all-failed", users.retryAllFailed);
on("dead-letters-show", deadLetters.load);
on("audit-show", () => audit.load());
on("audit-more", () => audit.load(false));
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
    for (const render of [show, users.list, users.show, deadLetters.list, audit.list]) render();
  });
}

speak();
loop();
users.search().catch(live);

// The console: polls the status every two seconds, shows the view of the address, offers an operator's actions.

import { get, post } from "./api.js";
import * as audit from "./views/audit.js";
import * as deadLetters from "./views/dead_letters.js";
import { ask, byId, say } from "./dom.js";
import * as failures from "./views/failures.js";
import * as firstMatch from "./views/first_match.js";
import * as jobs from "./views/jobs.js";
import * as keys from "./keys.js";
import * as plots from "./views/plots.js";
import { current } from "./route.js";
import * as summary from "./views/summary.js";
import { speak, t } from "./texts/translate.js";
import * as user from "./views/user.js";
import * as users from "./views/users.js";
import * as verdict from "./views/verdict.js";

const POLL_MS = 2000;
let status = null;
let failure = null;
let view = null;

function show() {
  if (status || failure) verdict.show(status, failure);
  if (!status) return;
  for (const part of [user, failures, jobs]) part.setStatus(status);
  summary.show(status);
}

// What a view loads with each poll.
const REFRESH = { overview: () => plots.show(status), users: users.refresh, failures: failures.load, audit: audit.refresh,
  "first-match": firstMatch.load };
const ENTER = {
  overview: ({ range }) => { plots.enter(range); return status ? plots.show(status) : null; },
  users: users.enter, failures: failures.load, "dead-letters": deadLetters.load, audit: audit.enter,
  "first-match": firstMatch.load,
};

async function poll() {
  if (document.hidden) return;
  try {
    status = await get("status");
    failure = null;
  } catch (error) {
    failure = error;
  }
  show();
  if (failure) return;
  await user.refresh();
  if (view in REFRESH) await REFRESH[view]();
}

async function loop() {
  await poll().catch((error) => say(error.message));
  setTimeout(loop, POLL_MS);
}

// Shows what the address names. A user or lead is shown above the view that it was opened from.
async function route() {
  const { view: wanted, id, query } = current();
  const isOne = id !== null && (wanted === "users" || wanted === "leads");
  const next = isOne ? view ?? "users" : wanted === "leads" ? "users" : wanted;
  if (!isOne && byId("one").open) byId("one").close();
  const isNew = next !== view;
  view = next;
  for (const section of document.querySelectorAll("[data-of]")) section.hidden = !section.dataset.of.split(" ").includes(view);
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isOne || isNew) await ENTER[view](isOne ? {} : query);
  if (isOne) await (wanted === "users" ? user.open(id) : user.openByLead(id));
}

const guarded = (action) => () => action().catch((error) => say(error.message));

// Runs an action and shows its error.
function on(id, action, event = "click") {
  byId(id).addEventListener(event, (trigger) => {
    trigger.preventDefault();
    guarded(async () => action())();
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

// Back to the address of the list that the user was opened from.
function closed() {
  user.close();
  if (current().id !== null) history.replaceState(null, "", view === "users" ? users.listAddress() : `#/${view === "overview" ? "" : view}`);
}

on("search", () => users.submit(byId("search")), "submit");
on("more", () => users.search(false));
on("export", users.exportShown);
on("retry-chosen", users.retryChosen);
on("all-failed", failures.retryAll);
on("dead-letters-show", deadLetters.load);
on("audit-filter", () => audit.submit(byId("audit-filter")), "submit");
on("audit-more", () => audit.load(false));
on("pause", pause);
on("resume", resume);
on("help", keys.help);
for (const name of ["sync", "within"]) byId("search").elements[name].addEventListener("change", () => byId("search").requestSubmit());
byId("one").addEventListener("close", closed);
byId("one").querySelector(".close").addEventListener("click", () => byId("one").close());
window.addEventListener("hashchange", guarded(route));
window.addEventListener("unhandledrejection", (event) => say(event.reason?.message ?? String(event.reason)));
document.addEventListener("visibilitychange", () => { if (!document.hidden) guarded(poll)(); });
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    speak(button.dataset.language);
    show();
    for (const part of [users, failures, jobs, deadLetters, audit, firstMatch]) part.list();
    user.show();
    if (status && view === "overview") guarded(() => plots.show(status))();
  });
}

speak();
keys.listen();
guarded(route)();
loop();

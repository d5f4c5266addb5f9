// The console: polls the status every two seconds, shows the view of the address, offers an operator's actions.

import { get, post } from "./api.js";
import * as audit from "./views/audit.js";
import * as deadLetters from "./views/dead_letters.js";
import { ask, byId, showMessage } from "./dom.js";
import * as failures from "./views/failures.js";
import * as firstMatch from "./views/first_match.js";
import * as jobs from "./views/jobs.js";
import * as keys from "./keys.js";
import * as plots from "./views/plots.js";
import { current } from "./route.js";
import * as summary from "./views/summary.js";
import { setLanguage, t } from "./texts/translate.js";
import * as user from "./views/user.js";
import * as users from "./views/users.js";
import * as verdict from "./views/verdict.js";

const POLL_MS = 2000;
let status = null; // the last one received
let failure = null; // the error of the last poll
let view = null; // the name of the shown view

function show() {
  if (status || failure) verdict.show(status, failure);
  if (!status) return;
  for (const part of [user, failures, jobs]) part.setStatus(status);
  summary.show(status);
}

// What a view loads with each poll.
const REFRESH = { overview: () => plots.show(status), users: users.refresh, failures: failures.load, audit: audit.refresh,
  "first-match": firstMatch.load };
// What a view loads when its address is opened; gets the query of the address.
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
  await poll().catch((error) => showMessage(error.message));
  setTimeout(loop, POLL_MS);
}

// Shows what the address names. A user or lead is shown in a dialog above the view that it was opened from.
async function route() {
  const { view: named, id, query } = current();
  const listed = named === "leads" ? "users" : named;
  const showsDetails = id !== null && listed === "users";
  if (!showsDetails && byId("details").open) byId("details").close();
  const previous = view;
  view = showsDetails ? previous ?? "users" : listed;
  for (const section of document.querySelectorAll("[data-of]")) section.hidden = !section.dataset.of.split(" ").includes(view);
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!showsDetails || view !== previous) await ENTER[view](showsDetails ? {} : query);
  if (showsDetails) await (named === "users" ? user.open(id) : user.openByLead(id));
}

// The action as a handler of events: an error is shown instead of thrown.
const guarded = (action) => () => action().catch((error) => showMessage(error.message));

// Runs the action on each such event of the element.
function on(id, action, event = "click") {
  byId(id).addEventListener(event, (trigger) => {
    trigger.preventDefault();
    guarded(async () => action())();
  });
}

async function pause() {
  const reason = await ask({ title: t("pauseTitle"), message: t("pauseWords"), label: t("pauseWhy"), confirm: t("pause") });
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

// Restores the address of the view that the user was opened from.
function onDetailsClosed() {
  user.close();
  if (current().id === null) return;
  const path = view === "overview" ? "" : view;
  history.replaceState(null, "", view === "users" ? users.listAddress() : `#/${path}`);
}

on("search", () => users.submit(byId("search")), "submit");
on("more", users.loadMore);
on("export", users.exportShown);
on("retry-chosen", users.retryChosen);
on("all-failed", failures.retryAll);
on("dead-letters-show", deadLetters.load);
on("audit-filter", () => audit.submit(byId("audit-filter")), "submit");
on("audit-more", audit.loadMore);
on("pause", pause);
on("resume", resume);
on("help", keys.help);
for (const name of ["sync", "within"]) byId("search").elements[name].addEventListener("change", () => byId("search").requestSubmit());
byId("details").addEventListener("close", onDetailsClosed);
byId("details").querySelector(".close").addEventListener("click", () => byId("details").close());
window.addEventListener("hashchange", guarded(route));
window.addEventListener("unhandledrejection", (event) => showMessage(event.reason?.message ?? String(event.reason)));
document.addEventListener("visibilitychange", () => { if (!document.hidden) guarded(poll)(); });
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    setLanguage(button.dataset.language);
    show();
    for (const part of [users, failures, jobs, deadLetters, audit, firstMatch]) part.showList();
    user.show();
    if (status && view === "overview") guarded(() => plots.show(status))();
  });
}

setLanguage();
keys.listen();
guarded(route)();
loop();

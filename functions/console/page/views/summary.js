// The overview's figures: users by state, the backlog with its forecast, queues, the operating budget.

import { byId, element, setText } from "../dom.js";
import { address } from "../route.js";
import { number, span, t, when } from "../texts/translate.js";

export function show(status) {
  showFigures(status);
  showBacklog(status);
  showQueuesAndBudget(status);
  const parts = ["ledger", "work", "portal", "rate", "queues", "hour", "jobs"];
  const errors = parts.map((name) => status[name]?.error).filter(Boolean);
  setText("trouble", [...new Set(errors)].join(" · "));
}

function showFigures({ ledger, hour }) {
  const known = ledger.error ? {} : ledger;
  const figures = [
    ["synced", number(known.synced), "good", address("users", { sync: "synced" })],
    ["waiting", number(known.waiting), known.waiting ? "warn" : "", address("users", { sync: "waiting" })],
    ["failed", number(known.failed), known.failed ? "bad" : "", address("failures")],
    ["superseded", number(hour.superseded), ""],
    ["oldest", span(known.oldest_s), ""], ["total", number(known.users), "", address("users")],
    ["retrying", number(known.retrying), "", address("failures")], ["unpublished", number(known.unpublished), ""],
  ];
  const hadFocus = document.activeElement?.closest("#figures div")?.dataset.name;
  byId("figures").replaceChildren(...figures.map(([name, value, kind, href]) => element("div", { "data-name": name },
    element("dt", {}, t(name)),
    element("dd", { class: kind, id: `figure-${name}` }, href ? element("a", { href, title: t("openList", { name: t(name) }) }, value) : value))));
  if (hadFocus) byId("figures").querySelector(`[data-name="${hadFocus}"] a`)?.focus();
}

function showBacklog({ ledger, work, throughput, forecast, verdict }) {
  setText("forecast", forecastText(forecast, verdict));
  const rows = [
    ...(work.error ? [] : [["ready", number(work.users_due)], ["delayed", number(work.users_delayed)], ["inFlight", number(work.users_in_a_call)]]),
    ...(ledger.error ? [] : [["unpublished", number(ledger.unpublished)]]),
    ...(throughput.error || !forecast ? [] : [["ratePerMin", number(forecast.settled_per_min, 1)], ["acceptedPerMin", number(forecast.accepted_per_min, 1)]]),
  ];
  byId("backlog").replaceChildren(...pairs(rows.map(([name, value]) => [t(name), value])));
}

function forecastText(forecast, verdict) {
  if (!forecast) return t("forecast_none");
  if (forecast.low_s === null) return t(`forecast_${forecast.outlook}`);
  if (verdict.state === "stopped") return t("forecast_blocked");
  const [low, high] = [span(forecast.low_s), span(forecast.high_s)];
  if (forecast.outlook === "growing") return t("forecast_growing", { low, high });
  return low === high ? t("forecast_one", { low }) : t("forecast_range", { low, high });
}

function showQueuesAndBudget({ queues, budget }) {
  // Delay queues are shown only while something waits in them.
  const known = queues.error ? [] : Object.entries(queues).filter(([name, depth]) => depth || !name.includes(".delay."));
  byId("queues").replaceChildren(...known.flatMap(([name, depth]) => [
    element("dt", {}, depth && name.endsWith(".dead") ? element("a", { href: address("dead-letters") }, name) : name),
    element("dd", { class: depth && name.endsWith(".dead") ? "bad" : "" }, depth === null ? t("gone") : number(depth))]));
  const methods = Object.entries(budget.methods ?? {});
  byId("budget").replaceChildren(...pairs(methods.map(([name, used]) => [name,
    t("budgetOf", { used: number(used.used_s), limit: number(budget.limit_s) }) + (used.is_used_up ? ` · ${t("notBefore", { at: when(used.frees_at) })}` : "")])));
}

const pairs = (rows) => rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);

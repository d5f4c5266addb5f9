// The verdict on top: the state, why, since when, and what happens next. Nothing old is shown as if it were new.

import { byId, element, put } from "../dom.js";
import { explain } from "../texts/reasons.js";
import { number, span, t, when } from "../texts/translate.js";

const KINDS = { healthy: "good", slowed: "warn", stopped: "bad", unknown: "bad" };
let lastAnswer = null;

export function show(status, error) {
  if (!error) lastAnswer = status.now;
  if (error) head("unknown", null, t("pollFailed", { why: error.message, at: when(lastAnswer) }), t("pollRetry"), []);
  else {
    const { verdict } = status;
    head(verdict.state, verdict.since, sentence(verdict, "why"), sentence(verdict, "next"), verdict.also);
  }
  document.body.classList.toggle("outdated", Boolean(error));
  live(status, error);
  buttons(status);
}

export function sentence({ reason, values }, kind) {
  return t(`verdict_${reason}_${kind}`, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, text(name, value, values)])));
}

function text(name, value, values) {
  if (value === "" || value === null) return t(`${name}_unknown`);
  if (name === "at") return when(value);
  if (name === "ago") return span(value);
  if (name === "kind") return t(value);
  if (name === "why") return explain(value, values.code);
  return typeof value === "number" ? number(value, 1) : value;
}

function head(state, since, why, next, also) {
  byId("portal").className = `banner ${state}`;
  byId("verdict-state").className = `state ${KINDS[state]}`;
  put("verdict-state", t(state));
  put("verdict-since", since ? t("since", { at: when(since) }) : "");
  put("portal-state", why);
  put("verdict-next", next);
  const others = also.map((other) => element("li", {}, `${t("also")} ${sentence(other, "why")}`));
  byId("verdict-also").replaceChildren(...others);
}

// Green only while the page has fresh figures, Postgres' among them.
function live(status, error) {
  const isPartial = !error && Boolean(status.ledger.error);
  byId("live").className = `pill ${error || isPartial ? "bad" : "good"}`;
  put("live", error ? t("lost", { why: error.message }) : t(isPartial ? "partly" : "live"));
}

function buttons(status) {
  const portal = status?.portal;
  if (!portal || portal.error) return;
  byId("pause").hidden = portal.paused && portal.by_operator;
  byId("resume").hidden = !portal.paused;
}

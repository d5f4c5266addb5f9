// The verdict on top: the state, why, since when, and what happens next. Outdated figures are shown as such.

import { byId, element, setText } from "../dom.js";
import { explain } from "../texts/reasons.js";
import { number, span, t, when } from "../texts/translate.js";

const CLASS_OF_STATE = { healthy: "good", slowed: "warn", stopped: "bad", unknown: "bad" };
let lastAnswerAt = null;

// `error`: of the last poll; the status is then the last one received, or null.
export function show(status, error) {
  if (error) {
    showVerdict("unknown", null, t("pollFailed", { why: error.message, at: when(lastAnswerAt) }), t("pollRetry"), []);
  } else {
    lastAnswerAt = status.now;
    const { verdict } = status;
    showVerdict(verdict.state, verdict.since, sentence(verdict, "why"), sentence(verdict, "next"), verdict.also);
  }
  document.body.classList.toggle("outdated", Boolean(error));
  showConnection(status, error);
  showButtons(status);
}

export function sentence({ reason, values }, kind) {
  return t(`verdict_${reason}_${kind}`, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, valueText(name, value, values)])));
}

function valueText(name, value, values) {
  if (value === "" || value === null) return t(`${name}_unknown`);
  if (name === "at") return when(value);
  if (name === "ago") return span(value);
  if (name === "kind") return t(value);
  if (name === "why") return explain(value, values.code);
  return typeof value === "number" ? number(value, 1) : value;
}

function showVerdict(state, since, why, next, also) {
  byId("portal").className = `banner ${state}`;
  byId("verdict-state").className = `state ${CLASS_OF_STATE[state]}`;
  setText("verdict-state", t(state));
  setText("verdict-since", since ? t("since", { at: when(since) }) : "");
  setText("portal-state", why);
  setText("verdict-next", next);
  const others = also.map((other) => element("li", {}, `${t("also")} ${sentence(other, "why")}`));
  byId("verdict-also").replaceChildren(...others);
}

// Green only while the page has fresh figures, Postgres' among them.
function showConnection(status, error) {
  const isPartial = !error && Boolean(status.ledger.error);
  byId("live").className = `pill ${error || isPartial ? "bad" : "good"}`;
  setText("live", error ? t("lost", { why: error.message }) : t(isPartial ? "partly" : "live"));
}

function showButtons(status) {
  const portal = status?.portal;
  if (!portal || portal.error) return;
  byId("pause").hidden = portal.paused && portal.by_operator;
  byId("resume").hidden = !portal.paused;
}

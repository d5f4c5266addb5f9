// Buttons for the common faults, and what is broken at present.

import { breakWith, change, clearFaults, reset } from "./api.js";
import { byId, element, say } from "./dom.js";

const FAULTS = [
  ["Lose the next answer", { method: "*", action: "drop_after", count: 1 }],
  ["Lose 5 % of answers", { method: "*", action: "drop_after", share: 0.05 }],
  ["Lose the next request", { method: "*", action: "drop_before", count: 1 }],
  ["Commit 5 s late", { method: "*", action: "late_commit", delay_ms: 5000, count: 1 }],
  ["500 to everything", { method: "*", action: "error", status: 500 }],
  ["502 ten times", { method: "*", action: "html_502", count: 10 }],
  ["Cut the next answer", { method: "*", action: "truncate", count: 1 }],
];

const SWITCHES = [
  ["Webhook revoked", { mode: "revoked" }, { mode: "ok" }],
  ["Plan expired", { mode: "plan_expired" }, { mode: "ok" }],
  ["Overload", { mode: "overload" }, { mode: "ok" }],
  ["Slow: 0.3 s a command", { command_ms: 300 }, { command_ms: 0 }],
];

const switches = [];

export function build() {
  const buttons = byId("faults");
  for (const [name, rule] of FAULTS) buttons.append(button(name, () => breakWith(rule)));
  for (const [name, on, off] of SWITCHES) {
    const made = button(name, () => change(made.ariaPressed === "true" ? off : on));
    made.ariaPressed = "false";
    switches.push([made, on]);
    buttons.append(made);
  }
  byId("mend").append(
    button("All well again", allWell, "clear"),
    button("Empty the portal", () => confirm("Remove all leads?") && reset(), "reset"),
  );
}

export function show({ faults, settings }) {
  for (const [made, on] of switches) {
    const active = Object.entries(on).every(([name, value]) => settings[name] === value);
    made.ariaPressed = String(active);
  }
  const waiting = faults.filter((rule) => rule.count === null || rule.bitten < rule.count);
  byId("active").replaceChildren(...waiting.map(describe));
}

function describe(rule) {
  const share = rule.share < 1 ? `${rule.share * 100} % of ` : "";
  const left = rule.count === null ? "" : `, ${rule.count - rule.bitten} to go`;
  const what = `${rule.action} on ${share}${rule.method === "*" ? "all calls" : rule.method}${left}: `;
  return element("li", {}, what, element("b", {}, `bit ${rule.bitten} times`));
}

async function allWell() {
  await clearFaults();
  await change({ mode: "ok", command_ms: 0, request_ms: 0 });
}

function button(name, act, kind) {
  const onclick = () => Promise.resolve(act()).catch((error) => say(error.message));
  return element("button", { type: "button", class: kind, onclick }, name);
}

// Buttons for common faults, and the active ones.

import { addFault, change, clearFaults, reset } from "./api.js";
import { byId, element, showMessage } from "./dom.js";
import { t } from "./texts.js";

// Label and rule.
const FAULTS = [
  ["Lose the next answer", { method: "*", action: "drop_after", count: 1 }],
  ["Lose 5 % of answers", { method: "*", action: "drop_after", share: 0.05 }],
  ["Lose the next request", { method: "*", action: "drop_before", count: 1 }],
  ["Commit 5 s late", { method: "*", action: "late_commit", delay_ms: 5000, count: 1 }],
  ["500 to everything", { method: "*", action: "error", status: 500 }],
  ["502 ten times", { method: "*", action: "html_502", count: 10 }],
  ["Cut the next answer", { method: "*", action: "truncate", count: 1 }],
];

// Label, settings when it is on, settings when it is off.
const SWITCHES = [
  ["Webhook revoked", { mode: "revoked" }, { mode: "ok" }],
  ["Plan expired", { mode: "plan_expired" }, { mode: "ok" }],
  ["Overload", { mode: "overload" }, { mode: "ok" }],
  ["Slow: 0.3 s a command", { command_ms: 300 }, { command_ms: 0 }],
];

// What the button Robots sets if the portal has no rules.
const ROBOT = { entityTypeId: 1, on: "add", set: { COMMENTS: "Robot" } };
let robots = [];
const switches = [];

export function build() {
  const buttons = byId("faults");
  for (const [name, rule] of FAULTS) buttons.append(button(name, () => addFault(rule)));
  for (const [name, on, off] of SWITCHES) {
    const toggle = button(name, () => change(toggle.ariaPressed === "true" ? off : on));
    toggle.ariaPressed = "false";
    switches.push([toggle, on]);
    buttons.append(toggle);
  }
  const robotsOn = () => ({ robots_on: true, robots: robots.length ? robots : [ROBOT] });
  const robot = button("Robots", () => change(robot.ariaPressed === "true" ? { robots_on: false } : robotsOn()));
  robot.id = "robots";
  robot.title = t("Rules of the setting robots; without any, a comment on each new lead.");
  buttons.append(robot);
  byId("repair").append(
    button("Clear all faults", clearAll, "clear"),
    button("Reset the portal", () => confirm(t("Delete all leads?")) && reset(), "reset"),
  );
}

export function show({ faults, settings }) {
  for (const [toggle, on] of switches) {
    const isOn = Object.entries(on).every(([name, value]) => settings[name] === value);
    toggle.ariaPressed = String(isOn);
  }
  robots = settings.robots;
  byId("robots").ariaPressed = String(settings.robots_on && robots.length > 0);
  const active = faults.filter((rule) => rule.count === null || rule.bitten < rule.count);
  byId("active").replaceChildren(...active.map(describe));
}

function describe(rule) {
  const share = rule.share < 1 ? t("{share} % of ", { share: rule.share * 100 }) : "";
  const left = rule.count === null ? "" : t(", {left} left", { left: rule.count - rule.bitten });
  const what = t("{action} on {share}{calls}{left}: ", { action: rule.action, share, calls: rule.method === "*" ? t("all calls") : rule.method, left });
  return element("li", {}, what, element("b", {}, t("applied {times} times", { times: rule.bitten })));
}

async function clearAll() {
  await clearFaults();
  await change({ mode: "ok", command_ms: 0, request_ms: 0 });
}

function button(name, action, kind) {
  const onclick = () => Promise.resolve(action()).catch((error) => showMessage(error.message));
  return element("button", { type: "button", class: kind, onclick }, t(name));
}

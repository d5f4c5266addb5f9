// First match: the newest plan, and users that are held until an operator decides.

import { get, post } from "../api.js";
import { ask, element, setText, replaceEntries, showMessage } from "../dom.js";
import { address } from "../route.js";
import { explain } from "../texts/reasons.js";
import { number, t, when } from "../texts/translate.js";

const KINDS = ["create", "match", "update", "ambiguous", "foreign"];
let found = null;

export async function load() {
  const latest = await get("first-match");
  const isNew = JSON.stringify(found) !== JSON.stringify(latest);
  found = latest;
  if (isNew) showList();
}

export function showList() {
  if (found === null) return;
  setText("held-found", found.held.length ? t("heldSome", { n: number(found.held.length) }) : t("heldNone"));
  replaceEntries("held", found.held.map(heldUser));
  setText("plan-found", planWords(found.plan));
  replaceEntries("plan", (found.plan?.lines ?? []).map(planLine));
}

function planWords(plan) {
  if (!plan) return t("planNone");
  if (!plan.ready_at) return t("planReading", { id: plan.id, n: number(plan.leads) });
  const counts = KINDS.filter((kind) => plan.counts[kind]).map((kind) => `${t(`plan_${kind}`)} ${number(plan.counts[kind])}`);
  const words = [t("planOf", { id: plan.id, at: when(plan.ready_at) }), `${t("plan_linked")} ${number(plan.linked)}`, ...counts];
  return [...words, plan.applied_at ? t("planApplied", { at: when(plan.applied_at) }) : t("planHow", { id: plan.id })].join(" · ");
}

function heldUser(user) {
  const decide = (text, lead, label) => element("button", { type: "button", "aria-label": label, onclick: () => choose(user, lead, label) }, text);
  return element("li", { "data-key": user.user_id },
    element("a", { href: address(`users/${user.user_id}`) }, `${user.full_name} · ${user.phone}`),
    element("span", { class: "grow" }, `${explain(user.reason)} · ${when(user.since)}`),
    ...user.lead_ids.map((lead) => decide(t("linkTo", { lead }), lead, t("linkUser", { user: user.user_id, lead }))),
    decide(t("createAnyway"), null, t("createFor", { user: user.user_id })));
}

function planLine(line) {
  const changes = Object.entries(line.changes ?? {}).map(([name, [had, has]]) => `${name}: ${had ?? "–"} → ${has ?? "–"}`);
  const leads = line.lead_ids.length ? `${t("lead")} ${line.lead_ids.join(", ")}` : "";
  const contacts = line.contact_ids.length ? `${t("contact")} ${line.contact_ids.join(", ")}` : "";
  const outcome = line.outcome ? t(`plan_${line.outcome}`) : "";
  return element("li", { "data-key": line.number },
    element("b", {}, t(`plan_${line.kind}`)),
    line.user_id ? element("a", { href: address(`users/${line.user_id}`) }, `${t("user")} ${line.user_id}`) : null,
    element("span", { class: "grow" }, [leads, contacts, ...changes, outcome].filter(Boolean).join(" · ")));
}

async function choose(user, lead, label) {
  if (await ask({ title: `${label}?`, message: explain(user.reason), confirm: t("go") }) === null) return;
  await post(`users/${user.user_id}/choose`, { lead_id: lead });
  showMessage(t("decided", { user: user.user_id }));
  await load();
}

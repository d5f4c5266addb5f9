// Failed users, grouped by reason; a group or all of them are retried as a job.

import { get } from "../api.js";
import { ask, element, setText, replaceEntries } from "../dom.js";
import * as jobs from "./jobs.js";
import { explain, translated } from "../texts/reasons.js";
import { address } from "../route.js";
import { number, t, when } from "../texts/translate.js";

const MAX_GROUPS = 50; // as many as the API returns
let groups = null;
let status = {};

export const setStatus = (latest) => { status = latest; };

export async function load() {
  const found = await get("failures");
  if (found.error) throw new Error(found.error);
  const isNew = JSON.stringify(groups) !== JSON.stringify(found.groups);
  groups = found.groups;
  if (isNew) showList();
}

export function showList() {
  if (groups === null) return;
  setText("failures-found", groups.length === MAX_GROUPS ? t("failuresMore") : groups.length ? "" : t("failuresNone"));
  replaceEntries("failures", groups.map(entry));
}

function entry(group) {
  const n = number(group.users);
  return element("li", { "data-key": group.reason_id },
    element("b", { class: "why bad" }, explain(group.reason)),
    translated(group.reason) ? element("span", { class: "why quiet" }, t("errorOriginal", { text: group.reason })) : null,
    element("span", { class: "grow" }, [
      t("usersIn", { n }), group.retrying ? t("retryingIn", { n: number(group.retrying) }) : "",
      group.since ? t("sinceUntil", { since: when(group.since), latest: when(group.latest) }) : ""].filter(Boolean).join(" · ")),
    element("a", { class: "button", href: address("users", { sync: "failed", reason: group.reason_id }) }, t("showUsers")),
    element("button", { type: "button", onclick: () => retry(n, { reason_id: group.reason_id }) }, t("retryGroup", { n })));
}

export const retryAll = () => retry(number(status.ledger?.failed), {}, t("allFailed"));

async function retry(n, selection, confirm = t("retry")) {
  if (await ask({ title: t("retryGroupTitle", { n }), message: t("retryGroupWords"), confirm }) === null) return;
  await jobs.begin({ kind: "resync", ...selection });
  await load();
}

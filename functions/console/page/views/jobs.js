// Bulk jobs: begin, follow, cancel.

import { post } from "../api.js";
import { byId, element, setText, replaceEntries, showMessage } from "../dom.js";
import { number, t, when } from "../texts/translate.js";

const CLASS_OF_STATE = { running: "warn", done: "good", cancelled: "quiet" };
let items = null;

export async function begin(job) {
  const begun = await post("jobs", job);
  showMessage(t("jobBegun", { n: number(begun.total) }));
}

export function setStatus({ jobs }) {
  if (jobs.error) return;
  const isNew = JSON.stringify(items) !== JSON.stringify(jobs.items);
  items = jobs.items;
  if (isNew) showList();
}

export function showList() {
  if (items === null) return;
  setText("jobs-found", items.length ? "" : t("jobsNone"));
  replaceEntries("jobs", items.map(entry));
  byId("jobs").hidden = !items.length;
}

function entry(job) {
  const { done, total, changed } = job;
  const isGroup = job.selection.reason_ids || job.selection.reason_id;
  const about = t(job.selection.chosen ? "jobChosen" : isGroup ? "jobGroup" : "jobAll");
  const max = Math.max(total, done, 1);
  const progress = element("progress", { max, value: job.state === "done" ? max : done, "aria-label": t(`job_${job.kind}`) });
  return element("li", { "data-key": job.id },
    element("b", {}, t(`job_${job.kind}`)),
    element("span", { class: "grow" }, [about, when(job.created_at), job.caller ?? t("noCaller")].join(" · ")),
    progress,
    element("span", {}, t("jobWords", { done: number(done), total: number(total), changed: number(changed) })),
    element("span", { class: `state ${CLASS_OF_STATE[job.state]}` }, t(`job_${job.state}`)),
    job.state === "running" ? element("button", { type: "button", "aria-label": t("cancelJobOf", { at: when(job.created_at) }), onclick: () => cancel(job) }, t("cancelJob")) : null,
    job.outcome ? element("span", { class: "why quiet" }, outcomeText(job.outcome)) : null,
    job.problem ? element("span", { class: "why bad" }, t("jobProblem", { why: job.problem })) : null);
}

const outcomeText = ({ open = 0, synced = 0, superseded = 0, failed = 0 }) => t("jobOutcome", { open: number(open), synced: number(synced + superseded), failed: number(failed) });

async function cancel(job) {
  await post(`jobs/${job.id}/cancel`);
  showMessage(t("jobCancelled"));
}

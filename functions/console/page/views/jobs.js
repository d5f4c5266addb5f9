// Bulk jobs: begin, follow, cancel.

import { post } from "../api.js";
import { byId, element, put, replaceEntries, say } from "../dom.js";
import { number, t, when } from "../texts/translate.js";

const KINDS = { running: "warn", done: "good", cancelled: "quiet" };
let items = null;

export async function begin(job) {
  const begun = await post("jobs", job);
  say(t("jobBegun", { n: number(begun.total) }));
}

export function setStatus({ jobs }) {
  if (jobs.error) return;
  const isNew = JSON.stringify(items) !== JSON.stringify(jobs.items);
  items = jobs.items;
  if (isNew) list();
}

export function list() {
  if (items === null) return;
  put("jobs-found", items.length ? "" : t("jobsNone"));
  replaceEntries("jobs", items.map(entry));
  byId("jobs").hidden = !items.length;
}

function entry(job) {
  const { done, total, changed } = job;
  const about = job.selection.chosen ? t("jobChosen") : (job.selection.reason_ids || job.selection.reason_id ? t("jobGroup") : t("jobAll"));
  const progress = element("progress", { max: Math.max(total, done, 1), value: job.state === "done" ? Math.max(total, done, 1) : done, "aria-label": t(`job_${job.kind}`) });
  return element("li", { "data-key": job.id },
    element("b", {}, t(`job_${job.kind}`)),
    element("span", { class: "grow" }, [about, when(job.created_at), job.caller ?? t("noCaller")].join(" · ")),
    progress,
    element("span", {}, t("jobWords", { done: number(done), total: number(total), changed: number(changed) })),
    element("span", { class: `state ${KINDS[job.state]}` }, t(`job_${job.state}`)),
    job.state === "running" ? element("button", { type: "button", "aria-label": t("cancelJobOf", { at: when(job.created_at) }), onclick: () => cancel(job) }, t("cancelJob")) : null,
    job.outcome ? element("span", { class: "why quiet" }, outcome(job.outcome)) : null,
    job.problem ? element("span", { class: "why bad" }, t("jobProblem", { why: job.problem })) : null);
}

const outcome = ({ open = 0, synced = 0, superseded = 0, failed = 0 }) => t("jobOutcome", { open: number(open), synced: number(synced + superseded), failed: number(failed) });

async function cancel(job) {
  await post(`jobs/${job.id}/cancel`);
  say(t("jobCancelled"));
}

// One lead's own page: its phones, its writes in order, and where it can go.

import * as api from "./api.js";
import { byId, element, say } from "./dom.js";
import { language, t } from "./texts.js";

byId("lead-close").addEventListener("click", () => byId("lead").close());

export async function open(id, stages) {
  const lead = await api.lead(id).catch((error) => say(error.message));
  if (!lead) {
    say(t("Lead {id} does not exist.", { id }));
    return;
  }
  byId("lead-title").textContent = `${lead.TITLE} · #${lead.ID}`;
  byId("lead-stages").replaceChildren(...stages.map((stage) => choice(lead, stage)));
  const phones = lead.PHONE.map((row) => t("{phone} ({type}, row {row})", { phone: row.VALUE, type: row.VALUE_TYPE, row: row.ID }));
  byId("lead-phones").replaceChildren(
    ...(phones.length ? phones : [t("none")]).map((text) => element("li", {}, text)),
  );
  byId("lead-history").replaceChildren(...lead.history.map(write));
  if (!byId("lead").open) byId("lead").showModal();
}

function choice(lead, [status, name]) {
  const onclick = async () => {
    byId("lead").close();
    if (status !== lead.STATUS_ID) await api.move(Number(lead.ID), status).catch((error) => say(error.message));
  };
  const pressed = String(status === lead.STATUS_ID);
  return element("button", { type: "button", "aria-pressed": pressed, onclick }, name);
}

function write({ time, method, fields }) {
  const at = new Date(time * 1000);
  return element(
    "li",
    {},
    element("time", { datetime: at.toISOString() }, at.toLocaleTimeString(language === "ru" ? "ru" : "en-GB")),
    method,
    element("code", {}, JSON.stringify(fields)),
  );
}

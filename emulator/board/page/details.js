// The dialog of an object: its fields and phones, its writes in order, and the stages to which it can move.

import * as api from "./api.js";
import { byId, element, showMessage } from "./dom.js";
import { language, t } from "./texts.js";

const DEAL = 2; // deals have no phones
// The fields that can be changed here, by entityTypeId: of leads, deals, contacts.
const FIELDS = {
  1: ["TITLE", "NAME", "LAST_NAME", "COMMENTS", "OPPORTUNITY"],
  2: ["TITLE", "OPPORTUNITY", "COMMENTS"],
  3: ["NAME", "LAST_NAME", "POST", "COMMENTS"],
};
let shown = null;

byId("lead-close").addEventListener("click", () => byId("lead").close());
byId("lead-form").addEventListener("submit", save);
byId("lead-delete").addEventListener("click", () => {
  if (!confirm(t("Delete it?"))) return;
  byId("lead").close();
  api.remove(shown.type, shown.id).catch((error) => showMessage(error.message));
});

export async function open(type, id, stages) {
  const found = await api.item(type, id).catch(() => null);
  if (!found) {
    showMessage(t("#{id} does not exist.", { id }));
    return;
  }
  shown = { type, id, found };
  byId("lead-title").textContent = `${found.TITLE ?? found.NAME ?? t("No name")} · #${found.ID}`;
  byId("lead-stages").replaceChildren(...stages.map((stage) => stageButton(found, stage)));
  byId("lead-fields").replaceChildren(
    ...FIELDS[type].map((name) => field(name, name, found[name])),
    ...(type === DEAL ? [] : phoneFields(found)),
  );
  const rows = ["PHONE", "EMAIL"].flatMap((kind) => found[kind] ?? []);
  const phones = rows.map((row) => t("{phone} ({type}, row {row})", { phone: row.VALUE, type: row.VALUE_TYPE, row: row.ID }));
  byId("lead-phones").replaceChildren(
    ...(phones.length ? phones : [t("none")]).map((text) => element("li", {}, text)),
  );
  byId("lead-history").replaceChildren(...found.history.map(historyEntry));
  if (!byId("lead").open) byId("lead").showModal();
}

// A field for each phone row, named by its id, and one for a new phone.
function phoneFields(found) {
  const rows = (found.PHONE ?? []).map((row) => field(t("Phone"), `PHONE-${row.ID}`, row.VALUE));
  return [...rows, field(t("Another phone"), "PHONE-", "")];
}

function field(label, name, value) {
  return element("label", {}, label, element("input", { name, value: value ?? "", autocomplete: "off" }));
}

async function save() {
  const fields = {};
  const phones = [];
  for (const input of byId("lead-fields").querySelectorAll("input")) {
    if (input.value === input.getAttribute("value")) continue;
    const [, row] = /^PHONE-([0-9]*)$/.exec(input.name) ?? [];
    if (row === undefined) fields[input.name] = input.value;
    else phones.push(row ? { ID: row, VALUE: input.value } : { VALUE: input.value, VALUE_TYPE: "WORK" });
  }
  if (phones.length) fields.PHONE = phones;
  if (Object.keys(fields).length) await api.edit(shown.type, shown.id, fields).catch((error) => showMessage(error.message));
}

function stageButton(found, [status, name]) {
  const current = found.STATUS_ID ?? found.STAGE_ID;
  const onclick = async () => {
    byId("lead").close();
    if (status !== current) await api.move(shown.type, shown.id, status).catch((error) => showMessage(error.message));
  };
  return element("button", { type: "button", "aria-pressed": String(status === current), onclick }, name);
}

function historyEntry({ time, method, fields }) {
  const at = new Date(time * 1000);
  return element(
    "li",
    {},
    element("time", { datetime: at.toISOString() }, at.toLocaleTimeString(language === "ru" ? "ru" : "en-GB")),
    method,
    element("code", {}, JSON.stringify(fields)),
  );
}

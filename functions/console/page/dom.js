// Elements from data. Text is only ever inserted as text, since messages contain user input.

const MESSAGE_MS = 6000;
const DOWNLOAD_MS = 10000; // how long a browser may take to begin a download

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else if (name === "disabled" || name === "checked") created[name] = value;
    else if (value !== undefined) created.setAttribute(name, value);
  }
  created.append(...withoutNull(children));
  return created;
}

const withoutNull = (children) => children.filter((child) => child !== null && child !== undefined);

// Replaces the content; a child that is null is left out, which the browser itself would show as a word.
export function fill(id, ...children) {
  byId(id).replaceChildren(...withoutNull(children));
}

// Unchanged text is not set again: screen readers would announce it with every poll.
export function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

// Replaces the entries of a list; the focus stays on the same control of the same entry (`data-key`).
export function replaceEntries(id, entries) {
  const list = byId(id);
  const focused = document.activeElement?.closest(`#${id} > li`);
  const controls = (entry) => [...entry.querySelectorAll("a, button, input")];
  const index = focused ? controls(focused).indexOf(document.activeElement) : -1;
  list.replaceChildren(...entries);
  if (!focused) return;
  const sameEntry = entries.find((entry) => entry.dataset.key === focused.dataset.key);
  if (sameEntry) (controls(sameEntry)[index] ?? controls(sameEntry)[0])?.focus();
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_MS);
}

export function svgElement(tag, attributes, text = "") {
  const created = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.textContent = text;
  return created;
}

export function showMessage(text) {
  byId("toast").textContent = text;
  clearTimeout(showMessage.timer);
  showMessage.timer = setTimeout(() => { byId("toast").textContent = ""; }, MESSAGE_MS);
}

// Asks in a dialog, with a text field if it has a label. `confirm`: the text of the button that confirms.
// Returns the entered text, "" without a field, null if the dialog was cancelled.
export function ask({ title, message = "", label, kind = "text", confirm, error = "" }) {
  const dialog = byId("ask");
  const field = dialog.querySelector("input");
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = message;
  byId("ask-label").hidden = label === undefined;
  byId("ask-label").firstElementChild.textContent = label ?? "";
  byId("ask-error").textContent = error;
  byId("ask-yes").textContent = confirm;
  field.type = kind;
  field.value = "";
  dialog.returnValue = "no";
  // Enter would press the form's first button, which is Cancel.
  field.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("yes");
  };
  dialog.showModal();
  (label === undefined ? byId("ask-yes") : field).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const entered = dialog.returnValue === "yes" ? field.value.trim() : null;
      field.value = "";
      resolve(entered);
    }, { once: true });
  });
}

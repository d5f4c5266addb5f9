// Elements from data. Text is only ever inserted as text, since messages contain user input.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") created.addEventListener("click", value);
    else if (name === "disabled") created.disabled = value;
    else if (value !== undefined) created.setAttribute(name, value);
  }
  created.append(...children.filter((child) => child !== null && child !== undefined));
  return created;
}

export function shape(tag, attributes, text = "") {
  const created = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.textContent = text;
  return created;
}

export function say(text) {
  byId("toast").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { byId("toast").textContent = ""; }, 6000);
}

// Asks in a dialog; returns the text, "" if it has no field, null if it was cancelled.
export function ask({ title, words = "", label, kind = "text", yes, error = "" }) {
  const dialog = byId("ask");
  const field = dialog.querySelector("input");
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = words;
  byId("ask-label").hidden = label === undefined;
  byId("ask-label").firstElementChild.textContent = label ?? "";
  byId("ask-error").textContent = error;
  byId("ask-yes").textContent = yes;
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

// Elements from data. Text only ever becomes text: messages hold what users typed.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (name === "disabled") made.disabled = value;
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function shape(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

export function say(text) {
  byId("toast").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { byId("toast").textContent = ""; }, 6000);
}

// A question in a dialog; the text given, "" where none was asked for, null where nobody wants to.
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
  // Enter presses the form's first button, which says no: here it means yes.
  field.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("yes");
  };
  dialog.showModal();
  (label === undefined ? byId("ask-yes") : field).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "yes" ? field.value.trim() : null;
      field.value = "";
      resolve(given);
    }, { once: true });
  });
}

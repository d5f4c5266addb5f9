// Elements from data. Text is only ever inserted as text, since leads contain user input.

export function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") created.addEventListener("click", value);
    else if (value !== undefined) created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
}

const MESSAGE_MS = 4000;

export const byId = (id) => document.getElementById(id);

export function showMessage(text) {
  const toast = byId("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(showMessage.timer);
  showMessage.timer = setTimeout(() => { toast.hidden = true; }, MESSAGE_MS);
}

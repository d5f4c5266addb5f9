// The texts of the chosen language, and its formats of numbers and times.

import { TEXTS as en } from "./en.js";
import { TEXTS as ru } from "./ru.js";

const TEXTS = { en, ru };
const CHOICE = "leadline-language";
let language = localStorage.getItem(CHOICE) ?? document.documentElement.lang;
if (!(language in TEXTS)) language = "en";

// The text of this name, with {placeholders} replaced; the name itself if there is no such text.
export const t = (name, values = {}) => Object.entries(values).reduce(
  (text, [key, value]) => text.replace(`{${key}}`, () => value), TEXTS[language][name] ?? name);

export const number = (value, digits = 0) => value === null || value === undefined
  ? "–" : value.toLocaleString(language, { maximumFractionDigits: digits });

// A duration such as 1.5 s, 12 min or 3 h: minutes from 100 s on, hours from 100 min, days from 48 h.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [s, min, h, d] = TEXTS[language].unit;
  if (seconds < 100) return `${number(seconds, seconds < 10 ? 1 : 0)} ${s}`;
  if (seconds < 6000) return `${number(seconds / 60)} ${min}`;
  return seconds < 172800 ? `${number(seconds / 3600, 1)} ${h}` : `${number(seconds / 86400)} ${d}`;
}

// A moment in local time, without the date if it is today; `exact` adds milliseconds, for steps that follow each other closely.
export function when(moment, exact = false) {
  if (!moment) return "–";
  const at = new Date(moment);
  const day = at.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  const part = exact ? { fractionalSecondDigits: 3 } : {};
  return at.toLocaleString(language, { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", ...part });
}

// Chooses a language and translates the page; the choice is remembered.
export function setLanguage(chosen = language) {
  if (chosen !== language) localStorage.setItem(CHOICE, chosen);
  language = chosen;
  document.documentElement.lang = language;
  document.title = `Leadline · ${t("title")}`;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

// The hour and minute of a point of a plot, with its day if that is not today.
export function time(moment) {
  const day = moment.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "numeric" };
  return moment.toLocaleString(language, { ...day, hour: "2-digit", minute: "2-digit" });
}

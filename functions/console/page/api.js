// The console's API. Where the system wants a key, it is asked for once and kept for this tab only.

import { ask } from "./dom.js";
import { t } from "./texts.js";

const KEY = "leadline-key";
//: Another key is needed; one that lacks a scope is kept.
const NO_KEY = ["This key is not known.", "This key has expired."];
let asking = null;

async function send(method, path, body) {
  const key = sessionStorage.getItem(KEY);
  const headers = { "X-Leadline-Console": "1" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  // Beside this very file, whatever a gateway puts before it.
  const url = new URL(`api/${path}`, import.meta.url);
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401 || (response.status === 403 && NO_KEY.includes(answer.detail))) {
    // Whoever has typed another key meanwhile needs no second question.
    if (sessionStorage.getItem(KEY) === key) await askForKey(key ? t("wrongKey") : "");
    return send(method, path, body);
  }
  throw new Error(answer.detail ?? `${response.status}`);
}

async function askForKey(error) {
  asking ??= ask({ title: t("keyTitle"), words: t("keyWords"), label: t("key"), kind: "password", yes: t("go"), error });
  const given = await asking;
  asking = null;
  if (!given) throw new Error(t("noKey"));
  sessionStorage.setItem(KEY, given);
}

export const get = (path, query = {}) => {
  const wanted = Object.entries(query).filter(([, value]) => value !== "" && value !== null);
  return send("GET", wanted.length ? `${path}?${new URLSearchParams(wanted)}` : path);
};
export const post = (path, body = {}) => send("POST", path, body);

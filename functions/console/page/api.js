// The console's API. If the system requires a key, the page asks once and keeps it for this tab only.

import { ask } from "./dom.js";
import { t } from "./texts/translate.js";

const KEY = "leadline-key";
// Details of a 403 that require another key; a key that only lacks a scope is kept.
const INVALID_KEY = ["This key is not known.", "This key has expired."];
let openDialog = null; // one dialog for all calls that need a key at the same time

async function send(method, path, body) {
  const key = sessionStorage.getItem(KEY);
  const headers = { "X-Leadline-Console": "1" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  // Relative to this file, so that any prefix of a gateway is kept.
  const url = new URL(`api/${path}`, import.meta.url);
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  if (response.status === 401 || (response.status === 403 && INVALID_KEY.includes(content.detail))) {
    // Do not ask if another key was entered in the meantime.
    if (sessionStorage.getItem(KEY) === key) await askForKey(key ? t("wrongKey") : "");
    return send(method, path, body);
  }
  throw new Error(content.detail ?? `${response.status}`);
}

async function askForKey(error) {
  openDialog ??= ask({ title: t("keyTitle"), message: t("keyWords"), label: t("key"), kind: "password", confirm: t("go"), error });
  const entered = await openDialog;
  openDialog = null;
  if (!entered) throw new Error(t("noKey"));
  sessionStorage.setItem(KEY, entered);
}

export const get = (path, query = {}) => {
  const params = Object.entries(query).filter(([, value]) => value !== "" && value !== null);
  return send("GET", params.length ? `${path}?${new URLSearchParams(params)}` : path);
};
export const post = (path, body = {}) => send("POST", path, body);

// Reasons of failures in the reader's language, where they are known; the portal's own texts stay as they are.

import { t } from "./translate.js";

const OURS = [
  [/^Missing phone number$/, "own_no_phone"],
  [/^lead (\d+) belongs to another user$/, "own_other_lead"],
  [/^its lead vanished twice in a row/, "own_vanished"],
  [/has no origin, and neither this user's name nor phone/, "own_no_origin"],
  [/^no answer from Bitrix24: (\w+)$/, "own_no_answer"],
  [/^HTTP (\d+) without a readable answer$/, "own_unreadable"],
  [/^HTTP (\d+)$/, "own_http"],
];

// The translation, or null. `code`: Bitrix24's error code, where it is known.
export function translated(reason, code = "") {
  for (const [pattern, name] of OURS) {
    const match = pattern.exec(reason ?? "");
    if (match) return t(name, { 1: match[1] ?? "" });
  }
  for (const text of [code, reason]) {
    const name = `code_${String(text ?? "").toLowerCase()}`;
    if (t(name) !== name) return t(name);
  }
  return null;
}

export const explain = (reason, code) => translated(reason, code) ?? reason ?? "";

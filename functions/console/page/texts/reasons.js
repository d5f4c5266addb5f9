// Reasons of failures in the reader's language, where they are known; the portal's own texts stay as they are.

import { t } from "./translate.js";

const OWN_REASONS = [
  [/^Missing phone number$/, "own_no_phone"],
  [/^lead (\d+) belongs to another user$/, "own_other_lead"],
  [/^lead (\d+) belongs to another installation$/, "own_other_installation"],
  [/^lead (\d+) belongs to another user or installation: nothing was erased there$/, "own_not_erased"],
  [/^the lead still has a name or phone after it was erased/, "own_still_there"],
  [/^several open leads have this phone: ([\d, ]+)$/, "own_several_leads_phone"],
  [/^several open leads have this phone or e-mail: ([\d, ]+)$/, "own_several_leads"],
  [/^several contacts have this phone: ([\d, ]+)$/, "own_several_contacts_phone"],
  [/^several contacts have this phone or e-mail: ([\d, ]+)$/, "own_several_contacts"],
  [/^its lead vanished twice in a row/, "own_vanished"],
  [/has no origin, and neither this user's name nor phone/, "own_no_origin"],
  [/^no answer from Bitrix24: (\w+)$/, "own_no_answer"],
  [/^HTTP (\d+) without a readable answer$/, "own_unreadable"],
  [/^HTTP (\d+)$/, "own_http"],
  // Why an endpoint did not accept a result.
  [/^no answer within (\S+) s$/, "endpoint_no_answer"],
  [/^no connection within (\S+) s$/, "endpoint_no_connection"],
  [/^status (\d+)$/, "endpoint_status"],
  // What does not fit the portal, as leadline/mapping/portal_fields.py names it.
  [/^the portal requires it \((.*)\), and the map does not fill it$/, "misfit_not_filled"],
  [/^is required by the portal: set `required = true`, or a default$/, "misfit_required"],
  [/^the portal has no such field$/, "misfit_missing"],
  [/^is read-only in the portal$/, "misfit_read_only"],
  [/^holds several values in the portal, which a map can't fill$/, "misfit_several"],
  [/^holds (\S+) in the portal, which a map can't fill$/, "misfit_unfillable"],
  [/^holds (\S+) in the portal: type must be (?:one of )?(.*)$/, "misfit_type"],
  [/^the portal's list has no (.*?): one of (.*)$/, "misfit_value"],
  [/^the portal has no active user (.*)$/, "misfit_person"],
];

// The reason in the reader's language, or null if it is not known here. `code`: Bitrix24's error code, if there is one.
export function translated(reason, code = "") {
  for (const [pattern, name] of OWN_REASONS) {
    const match = pattern.exec(reason ?? "");
    if (match) return t(name, { 1: match[1] ?? "", 2: match[2] ?? "" });
  }
  for (const text of [code, reason]) {
    const name = `code_${String(text ?? "").toLowerCase()}`;
    if (t(name) !== name) return t(name);
  }
  return null;
}

export const explain = (reason, code) => translated(reason, code) ?? reason ?? "";

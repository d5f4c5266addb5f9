"""Decides the next call for the leads of an erased user, and its settlement. Pure rules, no I/O.

The lead is looked up before each write and after the last one: the erasure is done once a lookup
finds no personal data. So it also covers a create that was in flight when the user was erased, a
lost answer, and a second lead. Names and phones of the leads are not stored in Redis.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import orjson

from leadline.bitrix24 import leads
from leadline.bitrix24.lead_fields import further_fields, neutral
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import LastApplied
from leadline.bitrix24.stored_lead import Fields, dump_last_applied
from leadline.errors import BitrixError, LeadGone, OutcomeUnknown, Rejected
from leadline.messages.contract import ERASED_NAME, LeadOutcome
from leadline.settings import settings
from leadline.sync import decide
from leadline.sync.decide import LEAD_KNOWN, LOOKUP_RETRY_MS, Lookup, NoCall, Write
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome, OutcomeStatus, PendingEvent
from leadline.workqueue.entries.settlement import AT_ONCE_MS, Settlement

#: The value of an entry's field `erased` once its lead was deleted.
DELETED = "deleted"
#: `erased` of an entry whose portal refused to empty a field: the next write has neutral values.
NEUTRAL = "neutral"
STILL_THERE = "the lead still has a name or phone after it was erased: does the CRM restore them?"
LEAD_OF_OTHER = "lead {} belongs to another user or installation: nothing was erased there"
#: Phones, in whatever notation, and email addresses.
_CONTACT = re.compile(r"[^\s@]+@[^\s@]+|\+?\d(?:[\s().-]*\d){5,}")


def without_contacts(text: str) -> str:
    """The portal's text about an erased user, without phones and email addresses that it quotes.

    The user's name is no longer known here, so it can't be found in the text.
    """
    return _CONTACT.sub("…", text)


def plan(entry: Entry) -> NoCall | Lookup | Write:
    """Decide what the next call does for the leads of this erased user."""
    if settings().erase_lead == "keep" or all(event.outcome for event in entry.events):
        return NoCall()
    lead = entry.last_applied
    is_claimed = lead is None and entry.claimed_lead_id is not None
    if entry.is_lookup_requested or entry.needs_lookup or is_claimed:
        return Lookup()
    if lead is None or (_is_blank(lead) and settings().erase_lead == "blank"):
        return NoCall()
    if settings().erase_lead == "delete":
        return Write(leads.delete(lead.lead_id), is_create=False)
    blank = leads.blank(
        lead.lead_id,
        ERASED_NAME,
        entry.phone_rows,
        entry.other_rows,
        is_neutral=entry.erased == NEUTRAL,
    )
    return Write(blank, is_create=False)


def settle_lookup(entry: Entry, leads_found: Sequence[FoundLead], now_ms: int) -> Settlement:
    """Settle a lookup that found these leads; the first that needs a write is written next."""
    if not leads_found and entry.wait_until_ms > now_ms:
        # A lost create may still run.
        remaining_ms = entry.wait_until_ms - now_ms
        return Settlement(entry, delay_ms=min(remaining_ms, LOOKUP_RETRY_MS))
    unfinished = next((lead for lead in leads_found if not _is_done(lead)), None)
    if unfinished is not None and unfinished.lead_id in entry.erased_leads:
        return settle_failure(entry, OutcomeUnknown(STILL_THERE), now_ms)
    lead = unfinished or next(iter(leads_found), None)
    rows = [str(row) for _, row in lead.phones] if lead else []
    fields: Fields = {
        "agreed": _last_applied(lead) if lead else "",
        "agreed_order": 0,
        "phone_rows": ",".join(rows),
        "other_rows": ",".join(further_fields.rows_of(lead.further)) if lead else "",
        "epoch": entry.redis_epoch,
        **LEAD_KNOWN,
        **decide.lookup_done(entry),
    }
    return Settlement(entry, fields, delay_ms=AT_ONCE_MS)


def settle_lookup_by_id(entry: Entry, lead: FoundLead | None, now_ms: int) -> Settlement:
    """As `settle_lookup`, for a lead without this user's origin: imported, or named by a reply."""
    if lead is not None and lead.belongs_to_other(decide.originator_of(entry)):
        reason = LEAD_OF_OTHER.format(lead.lead_id)
        return decide.reject_claimed_lead(entry, reason, taken_lead_id=lead.lead_id)
    return settle_lookup(entry, [lead] if lead else [], now_ms)


def settle_written(entry: Entry) -> Settlement:
    """Settle a write that blanked or deleted the lead; a lookup has to confirm it."""
    lead = entry.last_applied
    written_ids = {*entry.erased_leads, *([lead.lead_id] if lead else [])}
    fields: Fields = {"doubt": 1, "erased_leads": ",".join(map(str, sorted(written_ids)))}
    if settings().erase_lead == "delete":
        fields |= {"agreed": "", "erased": DELETED}
    return Settlement(entry, fields, entry.events, AT_ONCE_MS)


def settle_failure(
    entry: Entry, error: BitrixError, now_ms: int, *, is_write: bool = False
) -> Settlement:
    """As `decide.settle_failure`, but a lead that is gone counts as success.

    A portal may require a field, such as the phone: where it rejects an update that empties fields,
    the next one writes neutral values.
    """
    if isinstance(error, LeadGone):
        return Settlement(entry, {"doubt": 1, "agreed": ""}, entry.events, AT_ONCE_MS)
    is_blanking = is_write and settings().erase_lead == "blank"
    if is_blanking and isinstance(error, Rejected) and entry.erased != NEUTRAL:
        return Settlement(entry, {"erased": NEUTRAL}, entry.events, AT_ONCE_MS)
    return decide.settle_failure(entry, error, now_ms, is_write=is_write)


def settle_done(entry: Entry) -> Settlement:
    """Settle a user whose lead needs no more writes: every event gets its outcome."""
    is_kept = settings().erase_lead == "keep"
    lead = entry.last_applied
    fields: Fields = {
        # A lead that is kept has the person's data, which must not be stored here.
        "agreed": orjson.dumps({"lead_id": lead.lead_id}) if lead and is_kept else _agreed(lead),
        "agreed_order": entry.desired_seq,
        "agreed_stage_order": entry.desired_stage_seq,
        "erased_leads": "",
        "phone_rows": "",
        "other_rows": "",
    }
    applied_id = lead.lead_id if lead else None
    lead_id = entry.known_lead_id if is_kept else applied_id
    outcome = _outcome(entry, lead_id)
    newest = max((event.seq for event in entry.events if event.outcome is None), default=0)
    events = tuple(_after_success(entry, event, lead_id, outcome, newest) for event in entry.events)
    return Settlement(entry, fields, events)


def _outcome(entry: Entry, lead_id: int | None) -> LeadOutcome:
    if lead_id is None:
        return "deleted" if entry.erased == DELETED else "none"
    return "kept" if settings().erase_lead == "keep" else "blanked"


def _after_success(
    entry: Entry,
    event: PendingEvent,
    lead_id: int | None,
    lead_outcome: LeadOutcome,
    newest: int,
) -> PendingEvent:
    if event.outcome is not None:
        return event
    status: OutcomeStatus = "synced" if event.seq == newest else "superseded"
    outcome = Outcome(status, event.attempts + 1, lead_id, fence=entry.fence, lead=lead_outcome)
    return replace(event, outcome=outcome)


def _is_done(lead: FoundLead) -> bool:
    """Whether this lead needs no write."""
    return settings().erase_lead == "blank" and _is_blank_name(lead) and not _has_other_data(lead)


def _has_other_data(lead: FoundLead) -> bool:
    """Whether it has personal data in addition to the name."""
    has_phone = any(number != neutral.phone(lead.lead_id) for number, _ in lead.phones)
    return has_phone or not further_fields.is_blank(lead.further, lead.lead_id)


def _is_blank_name(lead: FoundLead) -> bool:
    return lead.full_name == ERASED_NAME


def _is_blank(lead: LastApplied) -> bool:
    return lead.full_name == ERASED_NAME and lead.phone is None


def _last_applied(lead: FoundLead) -> str | bytes | int:
    """The lead as stored, without the person's data.

    Instead of a name that is not blank it has None, and an empty phone if it has other data.
    """
    name = ERASED_NAME if _is_blank_name(lead) else None
    phone = "" if _has_other_data(lead) else None
    return dump_last_applied(LastApplied(lead.lead_id, name, phone), None)["agreed"]


def _agreed(lead: LastApplied | None) -> str | bytes | int:
    """This last applied as stored; empty, which deletes the field, if there is no lead."""
    return dump_last_applied(lead, None)["agreed"] if lead else b""

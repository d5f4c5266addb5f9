"""Decides whether to search before a create, and how to settle the search. Pure rules, no I/O.

A create is preceded by two steps: `Find` finds leads and contacts that may have the phone or an
e-mail, `Read` reads those. Then the user is linked to the only free open lead, or held for an
operator, or its lead is created, perhaps attached to a contact.
"""

from collections.abc import Sequence
from dataclasses import replace

from leadline.bitrix24 import leads
from leadline.bitrix24.duplicates import Found, Search
from leadline.bitrix24.lead_fields.contact_details import ContactDetails
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.settings import settings
from leadline.sync import decide
from leadline.sync.decide import AHEAD_MS, Find, Lookup, Plan, Read, Write, originator_of
from leadline.sync.duplicates.commands import finds_leads
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome, PendingEvent
from leadline.workqueue.entries.settlement import Settlement

#: How long the result of a search may be used: leads may be linked, closed or created meanwhile.
#: Longer than a call, for which the next step may have to wait.
FRESH_MS = 120_000
SEVERAL_LEADS = "several open leads have this {}: {}"
SEVERAL_CONTACTS = "several contacts have this {}: {}"


def plan(entry: Entry, planned: Plan) -> Plan:
    """Decide as `decide.plan`, which returned `planned`, but with a search before a create."""
    if not isinstance(planned, Write):
        return planned
    if planned.is_create:
        searches_first = settings().duplicates and not entry.creates_anyway
        return _plan_create(entry, planned) if searches_first else planned
    is_stale = entry.leased_at_ms - entry.linked_at_ms > FRESH_MS
    return Lookup() if entry.lacks_origin and is_stale else planned


def _plan_create(entry: Entry, planned: Write) -> Plan:
    search = entry.search
    if search is None or entry.leased_at_ms - search.at_ms > FRESH_MS:
        return Find()
    if not search.is_read:
        return Read()
    if search.contact_id is None or entry.state is None:
        return planned
    create = leads.create(entry.user_id, entry.state, originator_of(entry), search.contact_id)
    return Write(create, is_create=True)


def settle_found(
    entry: Entry, found_leads: Found | None, found_contacts: Found | None, now_ms: int
) -> Settlement:
    """Settle a `Find`, whose answers hold for all users that share it."""
    answers = [found for found in (found_leads, found_contacts) if found]
    if not all(found.is_complete for found in answers) and not entry.needs_own_request:
        return decide.settle_inconclusive(entry)
    lead_ids = found_leads.ids if found_leads else ()
    contact_ids = found_contacts.ids if found_contacts else ()
    taken = entry.search.taken if entry.search else ()
    nothing_to_read = not (lead_ids or contact_ids)
    search = Search(now_ms, lead_ids, contact_ids, is_read=nothing_to_read, taken=taken)
    return _due_at_once(entry, search)


def settle_read(
    entry: Entry, leads_read: Sequence[FoundLead], contacts_read: Sequence[FoundLead], now_ms: int
) -> Settlement:
    """Settle a `Read`: link, hold, or create next."""
    search = entry.search
    if search is None or entry.state is None:
        return Settlement(entry)
    details = ContactDetails.of(entry.state)
    free = [
        lead
        for lead in leads_read
        if lead.is_free
        and lead.lead_id not in search.taken
        and lead.contact_details.matches(details)
    ]
    ids = tuple(lead.lead_id for lead in free)
    if len(free) > 1 and "hold" in settings().duplicates:
        return _hold(entry, _reason(SEVERAL_LEADS, free, details), lead_ids=ids)
    if len(free) == 1 and finds_leads():
        linked = decide.settle_lookup(entry, free[0], now_ms)
        fields = linked.fields | {"search": replace(search, linked=ids[0]).dumps()}
        return replace(linked, fields=fields)
    matching = [contact for contact in contacts_read if contact.contact_details.matches(details)]
    # Contacts are parsed as leads are: `lead_id` is the contact's id.
    contact_ids = tuple(contact.lead_id for contact in matching)
    if len(matching) > 1 and "hold" in settings().duplicates:
        reason = _reason(SEVERAL_CONTACTS, matching, details)
        return _hold(entry, reason, contact_ids=contact_ids)
    contact_id = contact_ids[0] if len(matching) == 1 else None
    return _due_at_once(entry, replace(search, is_read=True, contact_id=contact_id))


def settle_taken(entry: Entry) -> Settlement:
    """Settle a user whose lead is another user's.

    If a search found the lead, search for another one; if a message claimed it, reject the claim.
    """
    lead_id = entry.known_lead_id
    search = entry.search
    if search is None or lead_id is None or search.linked != lead_id:
        reason = f"lead {lead_id} belongs to another user"
        return decide.reject_claimed_lead(entry, reason, taken_lead_id=lead_id)
    taken = (*search.taken, lead_id)
    cleared = dict.fromkeys(("agreed", "lacks_origin", "linked_at"), "")
    settlement = _due_at_once(entry, replace(search, linked=None, taken=taken))
    return replace(settlement, fields=settlement.fields | cleared)


def _due_at_once(entry: Entry, search: Search) -> Settlement:
    """Store the search; the user's next step comes before the calls of other users."""
    return Settlement(entry, {"search": search.dumps(), "alone": ""}, delay_ms=AHEAD_MS)


def _reason(text: str, entities: Sequence[FoundLead], details: ContactDetails) -> str:
    """Why an operator must choose: the detail that these leads or contacts share, and their ids."""
    by_phone = all(entity.contact_details.has_phone(details) for entity in entities)
    detail = "phone" if by_phone else "phone or e-mail"
    return text.format(detail, ", ".join(str(entity.lead_id) for entity in entities))


def _hold(
    entry: Entry,
    reason: str,
    *,
    lead_ids: tuple[int, ...] = (),
    contact_ids: tuple[int, ...] = (),
) -> Settlement:
    """Hold the user for an operator: its events stay open in the ledger."""

    def after_hold(event: PendingEvent) -> PendingEvent:
        if event.outcome is not None:
            return event
        outcome = Outcome(
            "held",
            event.attempts + 1,
            reason=reason,
            fence=entry.fence,
            lead_ids=lead_ids,
            contact_ids=contact_ids,
        )
        return replace(event, outcome=outcome)

    # The duplicates may be resolved in the CRM: the next event searches again.
    return Settlement(entry, {"search": "", "alone": ""}, tuple(map(after_hold, entry.events)))

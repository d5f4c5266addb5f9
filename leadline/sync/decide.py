"""Decides what a call does for a leased user, and its settlement after it. Pure rules, no I/O.

To apply an event is to make the lead match its state, unless something newer was applied. So the
desired state is compared with last applied, and all events of an entry get their outcome together,
the older ones as superseded.
"""

from dataclasses import dataclass

from leadline.bitrix24 import leads
from leadline.bitrix24.command import CALL_MARGIN_S, Command
from leadline.bitrix24.lead_fields import further_fields
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.bitrix24.stored_lead import Fields, dump_last_applied
from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
    RequestRejected,
)
from leadline.settings import settings
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent
from leadline.workqueue.entries.settlement import Settlement

#: Delays after the first and the second failed attempt; the third is the last.
RETRY_DELAYS_MS = (2000, 4000)
MAX_ATTEMPTS = len(RETRY_DELAYS_MS) + 1
#: Delay before the retry of a refused command; the token bucket spaces out the requests.
REFUSED_DELAY_MS = 1000
#: Interval of lookups for a lost create while it may still run.
LOOKUP_RETRY_MS = 5000
#: Negative: the user is due before all waiting ones, since what was read may be used only briefly.
AHEAD_MS = -600_000


@dataclass(frozen=True, slots=True)
class NoCall:
    """No call is needed: the lead has the desired state, or no message carried a state."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Look the lead up first."""


@dataclass(frozen=True, slots=True)
class Write:
    """Create or update the lead."""

    command: Command
    is_create: bool


@dataclass(frozen=True, slots=True)
class Find:
    """Before a create, find leads and contacts that may have the user's phone."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the leads and contacts that were found."""


#: What the next call does for one user.
Plan = NoCall | Lookup | Write | Find | Read

#: Fields of an entry once it is certain which lead is the user's, or that there is none.
LEAD_KNOWN: Fields = {"doubt": "", "hint": "", "wait_until": "", "alone": ""}
#: The next request is for this user alone.
_OWN_REQUEST: Fields = {"alone": 1}
#: A lead that vanishes so often in a row, as in simple CRM mode, makes the events fail.
VANISHED_MAX = 2
VANISHED = "its lead vanished twice in a row: is it deleted at once, or is the CRM in simple mode?"
#: Why a lead that a message claims is not recognised as the user's.
NOT_RECOGNISED = (
    "has no origin, and neither this user's name nor phone: correct the lead, then resync"
)
#: ORIGINATOR_ID if neither the setting nor the sender has one.
DEFAULT_ORIGINATOR = "leadline"


def originator_of(entry: Entry) -> str:
    """ORIGINATOR_ID of this user's lead: the setting's, else that of the sender's installation."""
    return settings().originator_id or entry.originator or DEFAULT_ORIGINATOR


def plan(entry: Entry) -> Plan:
    """Decide what the next call does for this user."""
    if entry.state is None or all(event.outcome is not None for event in entry.events):
        return NoCall()
    if _must_look_up(entry, entry.state):
        return Lookup()
    if entry.last_applied is None:
        create = leads.create(entry.user_id, entry.state, originator_of(entry))
        return Write(create, is_create=True)
    with_stage = entry.desired_stage_seq > entry.applied_stage_seq
    if entry.applied_seq >= entry.desired_seq and not with_stage:
        return NoCall()
    # A lead recognised by name or phone, which may change: its first update writes the origin.
    origin = leads.origin(entry.user_id, originator_of(entry)) if entry.lacks_origin else None
    command = leads.update(entry.last_applied, entry.state, with_stage=with_stage, origin=origin)
    return Write(command, is_create=False) if command else NoCall()


def _must_look_up(entry: Entry, state: DesiredState) -> bool:
    """Whether the lead must be looked up before anything is concluded."""
    if entry.is_lookup_requested or entry.needs_lookup:
        return True
    if entry.last_applied is None:
        return entry.claimed_lead_id is not None
    if leads.needs_phone_row(entry.last_applied, state):
        return True
    is_newer = entry.applied_seq < entry.desired_seq
    return is_newer and further_fields.needs_lookup(entry.last_applied.further, state)


def settle_applied(
    entry: Entry, last_applied: LastApplied | None, *, is_create: bool = False
) -> Settlement:
    """Settle an entry whose lead has the desired state: every event gets its outcome.

    If `last_applied` is None, no call was needed, and the entry's own remains valid.
    """
    was_updated = last_applied is not None and not is_create
    last_applied = last_applied or entry.last_applied
    unsettled = [event.seq for event in entry.events if event.outcome is None]
    if last_applied is None or not unsettled:
        # All events have an outcome (such as one without a phone), or no state was ever known.
        return Settlement(entry, events=entry.events)
    fields: Fields = {
        **dump_last_applied(last_applied, entry.last_applied),
        "agreed_order": entry.desired_seq,
        # A create wrote the stage as part of the state; an update only if it was touched, and an
        # older message that touched it may still arrive.
        "agreed_stage_order": entry.desired_seq if is_create else entry.desired_stage_seq,
        "epoch": entry.redis_epoch,
        "lacks_origin": "",
        "linked_at": "",
        "search": "",
        "anyway": "",
        "quiet": "",
        **LEAD_KNOWN,
    }
    if was_updated:
        fields["vanished"] = ""
    open_fields = ""
    if entry.state is not None and (entry.state.fields or entry.state.refused):
        open_fields = ",".join(further_fields.open_fields(last_applied.further, entry.state))
        fields["refused"] = ""
    # An older message may arrive after a newer one was applied and answered.
    newest = max(*unsettled, entry.applied_seq)
    events = tuple(
        event.after_success(entry.fence, last_applied.lead_id, newest, open_fields)
        for event in entry.events
    )
    return Settlement(entry, fields, events)


def settle_lookup(entry: Entry, lead: FoundLead | None, now_ms: int) -> Settlement:
    """Settle a lookup that found this lead; if it found none, create one as soon as it is safe."""
    if lead is None:
        if entry.wait_until_ms > now_ms:
            remaining_ms = entry.wait_until_ms - now_ms
            return Settlement(entry, delay_ms=min(remaining_ms, LOOKUP_RETRY_MS))
        if entry.times_vanished >= VANISHED_MAX and not entry.is_lookup_requested:
            return settle_failure(entry, Rejected(VANISHED), now_ms)
        no_lead: Fields = {"agreed": "", "epoch": entry.redis_epoch}
        return Settlement(entry, no_lead | LEAD_KNOWN | lookup_done(entry))
    if entry.state is None:
        return Settlement(entry)
    is_same_stage = lead.stage == entry.state.stage
    fields: Fields = {
        **dump_last_applied(lead.last_applied(entry.state, entry.last_applied), entry.last_applied),
        "agreed_order": 0,  # so that the next plan compares the lead with the desired state
        "epoch": entry.redis_epoch,
        "vanished": "",
        # A stage that was applied before and differs now was set by a person in the CRM.
        "agreed_stage_order": entry.desired_stage_seq if is_same_stage else entry.applied_stage_seq,
        "lacks_origin": "" if lead.origin else 1,
        "linked_at": "" if lead.origin else now_ms,
        **LEAD_KNOWN,
        **lookup_done(entry),
    }
    return Settlement(entry, fields, delay_ms=0 if lead.origin else AHEAD_MS)


def lookup_done(entry: Entry) -> Fields:
    """The fields that mark a requested lookup as done."""
    return {"looked_order": entry.lookup_requested_seq} if entry.is_lookup_requested else {}


def settle_lookup_by_id(entry: Entry, lead: FoundLead | None, now_ms: int) -> Settlement:
    """As `settle_lookup`, for a lead that was found by its id alone.

    A message may claim any lead, by mistake or malice. A lead without an origin is the user's if it
    has a name or phone of the user, current or of a pending event, or was last applied for it.
    """
    if lead is None:
        return settle_lookup(entry, lead=None, now_ms=now_ms)
    if lead.belongs_to_other(originator_of(entry)):
        other = "user" if lead.originator == originator_of(entry) else "installation"
        reason = f"lead {lead.lead_id} belongs to another {other}"
        return reject_claimed_lead(entry, reason, taken_lead_id=lead.lead_id)
    was_applied = entry.last_applied is not None and entry.last_applied.lead_id == lead.lead_id
    if was_applied or entry.state is None or any(map(lead.resembles, entry.known_states)):
        return settle_lookup(entry, lead, now_ms)
    return reject_claimed_lead(entry, f"lead {lead.lead_id} {NOT_RECOGNISED}")


def reject_claimed_lead(entry: Entry, reason: str, taken_lead_id: int | None = None) -> Settlement:
    """Fail the events and drop the claimed lead; a later event without a claim creates one.

    `taken_lead_id`: the claimed lead, if it is another user's; the ledger then drops it, too.
    """
    events = tuple(event.after_failure(Rejected(reason), taken_lead_id) for event in entry.events)
    return Settlement(entry, {"agreed": "", "hint": "", "doubt": 1}, events)


def defer(entry: Entry, wait_ms: int) -> Settlement:
    """Settle an entry that the operating budget has no room for: no attempt is spent."""
    return Settlement(entry, delay_ms=wait_ms)


def settle_inconclusive(entry: Entry) -> Settlement:
    """Settle a shared lookup after which a lead may exist or not: repeat it for this user alone."""
    return Settlement(entry, _OWN_REQUEST)


def settle_failure(
    entry: Entry, error: BitrixError, now_ms: int, *, is_write: bool = False
) -> Settlement:
    """Settle a failed call: the class of the error says whether to wait, to retry or to give up.

    `is_write`: the call was a create or an update, so the lead may have been changed.
    """
    if isinstance(error, Refused | PortalDown):
        return Settlement(entry, delay_ms=REFUSED_DELAY_MS)
    fields: Fields = {}
    if isinstance(error, LeadGone):
        fields = _forget_lead(entry)
        if entry.times_vanished + 1 >= VANISHED_MAX:
            error = Rejected(VANISHED)
    elif isinstance(error, RequestRejected):
        fields = _OWN_REQUEST
    elif is_write and isinstance(error, OutcomeUnknown):
        fields = _look_up_before_retry(entry, error, now_ms)
    if isinstance(error, Rejected) and not isinstance(error, LeadGone):
        failed = tuple(event.after_failure(error) for event in entry.events)
        return Settlement(entry, fields, failed)
    events = tuple(_count_attempt(event, error) for event in entry.events)
    waits = [RETRY_DELAYS_MS[event.attempts - 1] for event in events if event.outcome is None]
    return Settlement(entry, fields, events, delay_ms=max(waits, default=0))


def _forget_lead(entry: Entry) -> Fields:
    """Forget a lead that is gone from the portal: another one is looked up, or else created."""
    return {"doubt": 1, "agreed": "", "agreed_stage_order": 0, "vanished": entry.times_vanished + 1}


def _look_up_before_retry(entry: Entry, error: OutcomeUnknown, now_ms: int) -> Fields:
    """After an unknown outcome, require a lookup before the next write."""
    fields: Fields = {"doubt": 1}
    runs_until_ms = now_ms + int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    if error.may_still_run and entry.last_applied is None:
        fields["wait_until"] = runs_until_ms
    elif error.may_still_run:
        # Nothing newer may be written until then: the lost update could overwrite it.
        fields |= {"running_until": runs_until_ms, "running_order": entry.desired_seq}
    return fields


def _count_attempt(event: PendingEvent, error: BitrixError) -> PendingEvent:
    """Count a failed attempt; after the last one the event fails."""
    is_over = event.outcome is not None or event.attempts + 1 >= MAX_ATTEMPTS
    return event.after_failure(error) if is_over else event.after_attempt()

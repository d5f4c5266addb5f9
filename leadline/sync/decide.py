"""What to do for a leased user, and what its outcome means: pure rules, no I/O.

Applying a message means: make the lead look like this, unless something newer was applied. So an
entry's newest state is compared with what both sides last agreed on, and the events of an entry are
answered together, the older ones as superseded.
"""

from dataclasses import dataclass, replace

import orjson

from leadline.bitrix24 import leads
from leadline.bitrix24.command import CALL_MARGIN_S, Command
from leadline.bitrix24.lead_answers import Found
from leadline.bitrix24.leads import Agreed, State
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
from leadline.workqueue.entry import Answered, Entry, Fields, Outcome, Owed, Settlement

#: Waits after the first and the second failed attempt; the third is the last.
RETRY_DELAYS_MS = (2000, 4000)
MAX_ATTEMPTS = len(RETRY_DELAYS_MS) + 1
#: How soon a refused command is tried again; the token bucket spaces out the requests.
REFUSED_DELAY_MS = 1000
#: How often a lost create is looked for while it may still be running.
LOOK_AGAIN_MS = 5000


@dataclass(frozen=True, slots=True)
class Nothing:
    """The lead is as it should be: only replies are owed."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Find or read the lead first."""


@dataclass(frozen=True, slots=True)
class Write:
    """Create or update the lead."""

    command: Command
    is_create: bool


Plan = Nothing | LookUp | Write

#: It is known which lead is the user's, if any.
_CERTAIN: Fields = {"doubt": "", "hint": "", "wait_until": "", "alone": ""}
#: The next request serves this user and nobody else.
_ALONE: Fields = {"alone": 1}
#: How often in a row a lead may vanish before its user fails: in simple CRM mode each one does.
VANISHED_MAX = 2
VANISHED = "its lead vanished twice in a row: is it deleted at once, or is the CRM in simple mode?"
#: Why a lead that a message names is not taken for the user's.
UNLIKE = "has no origin, and neither this user's name nor phone: correct it there, then send again"
#: What leads bear where neither the setting nor the sender says.
DEFAULT_ORIGINATOR = "leadline"


def originator_of(entry: Entry) -> str:
    """What the leads of this user bear: the setting, else what the sender's installation says."""
    return settings().originator_id or entry.originator or DEFAULT_ORIGINATOR


def plan(entry: Entry) -> Plan:
    """The next step for this user."""
    unanswered = [event for event in entry.events if event.answered is None]
    if entry.state is None or not unanswered:
        return Nothing()
    if _must_look_up(entry, entry.state):
        return LookUp()
    if entry.agreed is None:
        create = leads.create(entry.user_id, entry.state, originator_of(entry))
        return Write(create, is_create=True)
    if entry.agreed_order >= entry.order and entry.agreed_stage_order >= entry.stage_order:
        return Nothing()
    with_stage = entry.stage_order > entry.agreed_stage_order
    # Name and phone, by which it was recognised, may change: from now on its origin says whose.
    origin = leads.origin(entry.user_id, originator_of(entry)) if entry.lacks_origin else None
    command = leads.update(entry.agreed, entry.state, with_stage=with_stage, origin=origin)
    return Write(command, is_create=False) if command else Nothing()


def _must_look_up(entry: Entry, state: State) -> bool:
    """Whether the lead must be read before anything is concluded."""
    if entry.wants_look or entry.is_doubtful:
        return True
    if entry.agreed is None:
        return entry.hint is not None
    return leads.needs_rows(entry.agreed, state)


def applied(entry: Entry, agreed: Agreed | None, *, is_create: bool = False) -> Settlement:
    """The lead looks as the entry's newest state says: answer every event of the entry.

    `agreed` None: nothing was called, what was agreed on before still holds.
    """
    was_updated = agreed is not None and not is_create
    agreed = agreed or entry.agreed
    unanswered = [event.order for event in entry.events if event.answered is None]
    if agreed is None or not unanswered:
        # Only events that carried their answer with them (a message without a phone).
        return Settlement(entry, events=entry.events)
    fields: Fields = {
        "agreed": orjson.dumps(agreed.as_dict()),
        "agreed_order": entry.order,
        # A create wrote the stage of the whole state; an update only one that was touched, and an
        # older message that touched it may still be on its way.
        "agreed_stage_order": entry.order if is_create else entry.stage_order,
        "epoch": entry.epoch,
        "lacks_origin": "",
        **_CERTAIN,
    }
    if was_updated:
        fields["vanished"] = ""
    # An older message may come after a newer one was applied and answered.
    newest = max(*unanswered, entry.agreed_order)
    return Settlement(
        entry,
        fields,
        tuple(_success(entry, event, agreed.lead_id, newest) for event in entry.events),
    )


def looked_up(entry: Entry, lead: Found | None, now_ms: int) -> Settlement:
    """The look-up is done: with a lead go on from there, without one create when that is safe."""
    if lead is None:
        if entry.wait_until_ms > now_ms:
            rest_ms = entry.wait_until_ms - now_ms
            return Settlement(entry, delay_ms=min(rest_ms, LOOK_AGAIN_MS))
        if entry.vanished >= VANISHED_MAX and not entry.wants_look:
            return failed(entry, Rejected(VANISHED), now_ms)
        fields: Fields = {"agreed": "", "epoch": entry.epoch, **_CERTAIN, **_looked(entry)}
        return Settlement(entry, fields)
    if entry.state is None:
        return Settlement(entry)
    is_same_stage = lead.stage == entry.state.stage
    fields = {
        "agreed": orjson.dumps(lead.agreed(entry.state.phone, entry.agreed).as_dict()),
        "agreed_order": 0,
        "epoch": entry.epoch,
        "vanished": "",
        # A stage that was agreed on before, and is another now, was set by hand in the CRM.
        "agreed_stage_order": entry.stage_order if is_same_stage else entry.agreed_stage_order,
        "lacks_origin": "" if lead.origin else 1,
        **_CERTAIN,
        **_looked(entry),
    }
    return Settlement(entry, fields)


def _looked(entry: Entry) -> Fields:
    """The look that was asked for is done."""
    return {"looked_order": entry.look_order} if entry.wants_look else {}


def found_by_id(entry: Entry, lead: Found | None, now_ms: int) -> Settlement:
    """As `looked_up`, for a lead that is known by its id alone.

    A message may name any lead, by mistake or by malice. One without an origin is the user's if it
    has the user's name or phone, or had when it was last seen.
    """
    if lead is None:
        return looked_up(entry, None, now_ms)
    if lead.is_of_others(originator_of(entry)):
        of = "user" if lead.originator == originator_of(entry) else "installation"
        return _refused(entry, f"lead {lead.lead_id} belongs to another {of}")
    was_seen = entry.agreed is not None and entry.agreed.lead_id == lead.lead_id
    if was_seen or entry.state is None or lead.resembles(entry.state):
        return looked_up(entry, lead, now_ms)
    return _refused(entry, f"lead {lead.lead_id} {UNLIKE}")


def _refused(entry: Entry, reason: str) -> Settlement:
    """The lead that a message named is not taken; the next event that names none gets a new one."""
    settled = failed(entry, Rejected(reason), now_ms=0)
    return replace(settled, fields={"agreed": "", "hint": "", "doubt": 1})


def deferred(entry: Entry, wait_ms: int) -> Settlement:
    """The method has used up its execution time: nothing was sent, no attempt is spent."""
    return Settlement(entry, delay_ms=wait_ms)


def unclear(entry: Entry) -> Settlement:
    """The page of a look-up that others share does not say whether there is a lead."""
    return Settlement(entry, _ALONE)


def failed(
    entry: Entry, error: BitrixError, now_ms: int, *, was_written: bool = False
) -> Settlement:
    """The call failed: the class of the error says whether to wait, to try again or to give up.

    `was_written`: a create or an update failed, so that the lead may have been changed.
    """
    if isinstance(error, Refused | PortalDown):
        return Settlement(entry, delay_ms=REFUSED_DELAY_MS)
    fields: Fields = {}
    if isinstance(error, LeadGone):
        fields = _gone(entry)
        if entry.vanished + 1 >= VANISHED_MAX:
            error = Rejected(VANISHED)
    elif isinstance(error, RequestRejected):
        fields = _ALONE
    elif was_written and isinstance(error, OutcomeUnknown):
        fields = _doubt(entry, error, now_ms)
    if isinstance(error, Rejected) and not isinstance(error, LeadGone):
        return Settlement(entry, fields, tuple(_failure(one, error) for one in entry.events))
    events = tuple(_attempted(event, error) for event in entry.events)
    waits = [RETRY_DELAYS_MS[event.attempts - 1] for event in events if event.answered is None]
    return Settlement(entry, fields, events, delay_ms=max(waits, default=0))


def _gone(entry: Entry) -> Fields:
    """The lead is not in the portal any more: look for another one, then create it again."""
    return {"doubt": 1, "agreed": "", "agreed_stage_order": 0, "vanished": entry.vanished + 1}


def _doubt(entry: Entry, error: OutcomeUnknown, now_ms: int) -> Fields:
    """After an unknown outcome the lead is looked up before anything is written again."""
    fields: Fields = {"doubt": 1}
    over_ms = now_ms + int((settings().request_limit_s + CALL_MARGIN_S) * 1000)
    if error.may_still_run and entry.agreed is None:
        fields["wait_until"] = over_ms
    elif error.may_still_run:
        # Nothing newer may be written until then, or it would be overwritten.
        fields |= {"running_until": over_ms, "running_order": entry.order}
    return fields


def _success(entry: Entry, event: Owed, lead_id: int, newest: int) -> Owed:
    if event.answered is not None:
        return event
    outcome: Outcome = "synced" if event.order == newest else "superseded"
    answered = Answered(outcome, event.attempts + 1, lead_id, fence=entry.fence)
    return replace(event, answered=answered)


def _attempted(event: Owed, error: BitrixError) -> Owed:
    """One attempt more; after the last one the event has failed."""
    if event.answered is not None:
        return event
    if event.attempts + 1 >= MAX_ATTEMPTS:
        return _failure(event, error)
    return event.after_attempt()


def _failure(event: Owed, error: BitrixError) -> Owed:
    if event.answered is not None:
        return event
    answered = Answered(
        "failed",
        event.attempts + 1,
        reason=error.detail,
        is_passing=not isinstance(error, Rejected) or isinstance(error, LeadGone),
    )
    return replace(event, answered=answered)

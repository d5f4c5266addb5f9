"""Entries of the work queue for tests of its rules."""

from dataclasses import replace
from typing import Any

from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent

#: The work queue's order of a state is its version times a million (put.lua).
MILLION = 1_000_000
STATE = DesiredState("Ann Lee", "+77001112233", "NEW")


def pending(version: int = 1, attempts: int = 0, **extra: Any) -> PendingEvent:
    """An unanswered event of this version."""
    event = PendingEvent(
        event_id=f"event-{version}",
        action="create_card" if version == 1 else "update_card",
        user={"id": 7, "full_name": "Ann Lee", "phone": "+77001112233", "stage": "NEW"},
        reply_queue="bitrix.responses",
        version=version,
        correlation_id="c",
        traceparent="t",
        attempts=attempts,
        seq=version * MILLION,
    )
    return replace(event, **extra)


def entry(*events: PendingEvent, **extra: Any) -> Entry:
    """A leased user of which nothing is known yet."""
    newest = max((event.seq for event in events), default=0)
    leased = Entry(
        user_id=7,
        fence="1",
        state=STATE,
        desired_seq=newest,
        desired_stage_seq=newest,
        last_applied=None,
        applied_seq=0,
        applied_stage_seq=0,
        claimed_lead_id=None,
        needs_lookup=False,
        wait_until_ms=0,
        events=tuple(sorted(events, key=lambda event: -event.seq)),
    )
    return replace(leased, **extra)


def known_entry(*events: PendingEvent, **extra: Any) -> Entry:
    """A leased user whose lead 55 was last applied at version 1."""
    last_applied = LastApplied(55, STATE.full_name, STATE.phone, phone_row=9)
    before = {"last_applied": last_applied, "applied_seq": MILLION, "applied_stage_seq": MILLION}
    return entry(*events, **{**before, **extra})


def found_lead(lead_id: int = 55, *, origin: str = "7", originator: str = "leadline") -> FoundLead:
    """A lead as a lookup returns it."""
    phones = ((STATE.phone, 9),)
    return FoundLead(lead_id, STATE.full_name, STATE.full_name, phones, "NEW", origin, originator)

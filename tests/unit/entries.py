"""Entries of the work queue for the tests of its rules."""

from dataclasses import replace
from typing import Any

from leadline.bitrix24.lead_answers import Found
from leadline.bitrix24.leads import Agreed, State
from leadline.workqueue.entry import Entry, Owed

MILLION = 1_000_000
STATE = State("Ann Lee", "+77001112233", "NEW")


def owed(version: int = 1, attempts: int = 0, **more: Any) -> Owed:
    """An unanswered event of this version."""
    event = Owed(
        event_id=f"event-{version}",
        action="create_card" if version == 1 else "update_card",
        user={"id": 7, "full_name": "Ann Lee", "phone": "+77001112233", "stage": "NEW"},
        reply_queue="bitrix.responses",
        version=version,
        correlation_id="c",
        traceparent="t",
        attempts=attempts,
        order=version * MILLION,
    )
    return replace(event, **more)


def entry(*events: Owed, **more: Any) -> Entry:
    """A leased user that both sides know nothing of yet."""
    newest = max((event.order for event in events), default=0)
    leased = Entry(
        user_id=7,
        fence="1",
        state=STATE,
        order=newest,
        stage_order=newest,
        agreed=None,
        agreed_order=0,
        agreed_stage_order=0,
        hint=None,
        is_doubtful=False,
        wait_until_ms=0,
        events=tuple(sorted(events, key=lambda event: -event.order)),
    )
    return replace(leased, **more)


def known(*events: Owed, **more: Any) -> Entry:
    """A leased user whose lead 55 was last agreed on at version 1."""
    agreed = Agreed(55, STATE.full_name, STATE.phone, 9)
    before = {"agreed": agreed, "agreed_order": MILLION, "agreed_stage_order": MILLION}
    return entry(*events, **{**before, **more})


def found(lead_id: int = 55, *, origin: str = "7", originator: str = "leadline") -> Found:
    """A lead as a look-up shows it."""
    phones = ((STATE.phone, 9),)
    return Found(lead_id, STATE.full_name, STATE.full_name, phones, "NEW", origin, originator)

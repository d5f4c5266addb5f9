"""The next step for a leased user."""

from dataclasses import replace
from typing import Any

import pytest

from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.sync.decide import Lookup, NoCall, Write, plan
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import Outcome
from tests.unit.entries import MILLION, STATE, entry, known_entry, pending


def command_of(leased: Entry) -> tuple[str, dict[str, Any]]:
    planned = plan(leased)
    assert isinstance(planned, Write)
    return planned.command.method, dict(planned.command.params)


def test_a_new_user_is_created_with_its_origin() -> None:
    method, params = command_of(entry(pending()))
    assert method == "crm.item.add"
    assert params["fields"]["originId"] == "7"
    assert params["fields"]["originatorId"] == "leadline"
    assert params["fields"]["stageId"] == "NEW"


def test_an_update_that_overtakes_its_create_creates_the_lead() -> None:
    method, params = command_of(
        entry(pending(2), state=DesiredState("New Name", "+77001112233", "JUNK"))
    )
    assert method == "crm.item.add"
    assert params["fields"]["title"] == "New Name"
    assert params["fields"]["stageId"] == "JUNK"


@pytest.mark.parametrize("doubt", [{"needs_lookup": True}, {"claimed_lead_id": 55}])
def test_a_doubtful_lead_is_looked_up_before_anything_is_created(doubt: dict[str, Any]) -> None:
    assert plan(entry(pending(), **doubt)) == Lookup()


def test_ten_updates_need_one_call() -> None:
    events = [pending(version) for version in range(2, 12)]
    method, params = command_of(
        known_entry(*events, state=DesiredState("Last", STATE.phone, "NEW"))
    )
    assert (method, params["id"]) == ("crm.item.update", 55)
    assert params["fields"] == {"title": "Last", "name": "Last", "stageId": "NEW"}


def test_an_untouched_stage_is_not_sent() -> None:
    leased = known_entry(
        pending(2), desired_stage_seq=MILLION, state=DesiredState("Other", STATE.phone, "NEW")
    )
    _, params = command_of(leased)
    assert params["fields"] == {"title": "Other", "name": "Other"}


def test_a_stage_touched_by_an_older_message_that_arrives_late_is_still_applied() -> None:
    # Version 3 (a name) was applied first; version 2 (a move) arrives now.
    state = DesiredState("Third", STATE.phone, "PROCESSED")
    late = known_entry(
        pending(2),
        state=state,
        desired_seq=3 * MILLION,
        desired_stage_seq=2 * MILLION,
        applied_seq=3 * MILLION,
    )
    _, params = command_of(late)
    assert params["fields"]["stageId"] == "PROCESSED"


def test_an_applied_version_is_not_sent_again() -> None:
    assert plan(known_entry(pending(1), desired_seq=MILLION, desired_stage_seq=MILLION)) == NoCall()


def test_an_update_that_changes_nothing_needs_no_call() -> None:
    assert plan(known_entry(pending(2), desired_stage_seq=MILLION)) == NoCall()


def test_an_event_that_has_its_outcome_needs_no_call() -> None:
    no_phone = pending(outcome=Outcome("failed", attempts=1, reason="Missing phone number"))
    assert plan(entry(no_phone, state=None)) == NoCall()
    assert plan(known_entry(no_phone)) == NoCall()


def test_a_user_without_a_state_needs_no_write() -> None:
    assert plan(entry(pending(), state=None)) == NoCall()


def test_an_update_is_not_a_create() -> None:
    planned = plan(known_entry(pending(2)))
    assert isinstance(planned, Write)
    assert planned.is_create is False


def test_an_applied_value_is_not_written_again_even_if_the_portal_returned_another() -> None:
    """Otherwise each duplicate message would write to a portal that truncates names."""
    cut = LastApplied(55, "Ann", STATE.phone, phone_row=9)
    leased = known_entry(pending(1), last_applied=cut)
    assert plan(leased) == NoCall()
    planned = plan(replace(leased, desired_stage_seq=2 * MILLION))
    assert isinstance(planned, Write), "a later move is written"

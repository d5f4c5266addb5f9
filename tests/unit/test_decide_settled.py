"""The stored result of each outcome, field by field; later decisions depend on it.

In `Settlement.fields`, "" removes a field of the entry.
"""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.bitrix24.stored_lead import Fields, dump_last_applied
from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    Refused,
    Rejected,
    Unavailable,
)
from leadline.sync.decide import (
    NOT_RECOGNISED,
    VANISHED,
    Write,
    defer,
    originator_of,
    plan,
    settle_applied,
    settle_failure,
    settle_inconclusive,
    settle_lookup,
    settle_lookup_by_id,
)
from leadline.workqueue.entries.pending_event import Outcome
from leadline.workqueue.entries.settlement import Settlement
from tests.unit.conftest import Configure
from tests.unit.entries import MILLION, STATE, entry, found_lead, known_entry, pending

#: In milliseconds.
NOW = 1_000_000_000
LAST_APPLIED = LastApplied(55, "Ann Lee", "+77001112233", phone_row=9)
#: Fields of an entry without any doubt.
CERTAIN = {"doubt": "", "hint": "", "wait_until": "", "alone": ""}
#: Fields of an entry with no search, decision or lookup left to do.
APPLIED = {"lacks_origin": "", "linked_at": "", "search": "", "anyway": "", "quiet": ""}
#: From the decision to send until the call can have no further effect.
LONGEST_CALL_MS = 70_000


def dump(agreed: LastApplied) -> str | bytes | int:
    return dump_last_applied(agreed, None)["agreed"]


def lead_without_origin(title: str, name: str, *phones: str) -> FoundLead:
    """A lead made by hand, as a lookup returns it."""
    rows = tuple((phone, 9) for phone in phones)
    return FoundLead(55, title, name, rows, "NEW", origin="", originator="")


def test_after_a_create_the_whole_newest_state_is_last_applied() -> None:
    leased = entry(pending(3), desired_stage_seq=MILLION, redis_epoch="e")
    assert settle_applied(leased, LAST_APPLIED, is_create=True) == Settlement(
        leased,
        {
            "agreed": dump(LAST_APPLIED),
            "agreed_order": 3 * MILLION,
            "agreed_stage_order": 3 * MILLION,
            "epoch": "e",
            **APPLIED,
            **CERTAIN,
        },
        (pending(3, outcome=Outcome("synced", attempts=1, lead_id=55, fence="1")),),
    )


def test_after_an_update_only_a_touched_stage_is_last_applied() -> None:
    leased = known_entry(pending(3), pending(2), desired_stage_seq=2 * MILLION, redis_epoch="e")
    assert settle_applied(leased, LAST_APPLIED) == Settlement(
        leased,
        {
            "agreed": dump(LAST_APPLIED),
            "agreed_order": 3 * MILLION,
            "agreed_stage_order": 2 * MILLION,
            "epoch": "e",
            **APPLIED,
            **CERTAIN,
            "vanished": "",
        },
        (
            pending(3, outcome=Outcome("synced", attempts=1, lead_id=55, fence="1")),
            pending(2, outcome=Outcome("superseded", attempts=1, lead_id=55, fence="1")),
        ),
    )


def test_without_a_call_last_applied_and_times_vanished_stay() -> None:
    leased = known_entry(pending(2), times_vanished=1)
    assert leased.last_applied
    settlement = settle_applied(leased, None)
    assert settlement.fields["agreed"] == dump(leased.last_applied)
    assert "vanished" not in settlement.fields


@pytest.mark.parametrize(
    "leased",
    [entry(pending(outcome=Outcome("failed", attempts=1))), known_entry(), entry(pending())],
)
def test_without_an_open_event_or_a_known_lead_nothing_changes(leased: Any) -> None:
    assert settle_applied(leased, None) == Settlement(leased, events=leased.events)


@pytest.mark.parametrize(("rest_ms", "delay_ms"), [(1, 1), (3000, 3000), (60_000, 5000)])
def test_a_create_that_may_still_run_is_looked_up_soon_and_again_when_it_is_over(
    rest_ms: int, delay_ms: int
) -> None:
    leased = entry(pending(), needs_lookup=True, wait_until_ms=NOW + rest_ms)
    assert settle_lookup(leased, None, NOW) == Settlement(leased, delay_ms=delay_ms)


@pytest.mark.parametrize("wait_until_ms", [0, NOW - 1, NOW])
def test_no_lead_found_after_the_wait_means_that_there_is_none(wait_until_ms: int) -> None:
    leased = known_entry(
        pending(2), needs_lookup=True, wait_until_ms=wait_until_ms, redis_epoch="e"
    )
    assert settle_lookup(leased, None, NOW) == Settlement(
        leased, {"agreed": "", "epoch": "e", **CERTAIN}
    )


def test_a_requested_lookup_is_done_whether_or_not_there_is_a_lead() -> None:
    leased = known_entry(pending(2), lookup_requested_seq=2 * MILLION, lookup_done_seq=MILLION)
    for lead in (found_lead(), None):
        assert settle_lookup(leased, lead, NOW).fields["looked_order"] == 2 * MILLION
    looked_up = replace(leased, lookup_done_seq=2 * MILLION)
    assert "looked_order" not in settle_lookup(looked_up, found_lead(), NOW).fields


@pytest.mark.parametrize(("stage", "applied_stage_version"), [("NEW", 2), ("JUNK", 1)])
def test_a_found_lead_becomes_last_applied_and_is_compared_with_the_state(
    stage: str, applied_stage_version: int
) -> None:
    before = LastApplied(55, STATE.full_name, STATE.phone, phone_row=9)
    leased = known_entry(
        pending(2),
        last_applied=before,
        needs_lookup=True,
        claimed_lead_id=8,
        times_vanished=1,
        redis_epoch="e",
    )
    lead = replace(found_lead(), title="Bob", name="Bob", stage=stage)
    assert settle_lookup(leased, lead, NOW) == Settlement(
        leased,
        {
            "agreed": dump(LastApplied(55, "Bob", STATE.phone, phone_row=9)),
            "agreed_order": 0,
            "agreed_stage_order": applied_stage_version * MILLION,
            "epoch": "e",
            "vanished": "",
            "lacks_origin": "",
            "linked_at": "",
            **CERTAIN,
        },
    )


def test_a_lookup_takes_the_phone_row_with_the_users_phone_or_the_previous_row() -> None:
    leased = known_entry(pending(2), last_applied=LastApplied(55, phone="+2", phone_row=2))
    others = (("+1", 1), ("+2", 2), ("+3", 3))
    for phones, row in (((*others, (STATE.phone, 9)), 9), (others, 2)):
        fields = settle_lookup(leased, replace(found_lead(), phones=phones), NOW).fields
        assert orjson.loads(fields["agreed"])["phone_row"] == row  # type: ignore[arg-type]


def test_a_lead_found_for_a_user_without_a_state_changes_nothing() -> None:
    leased = entry(pending(), state=None)
    assert settle_lookup(leased, found_lead(), NOW) == Settlement(leased)


def test_a_lead_that_vanished_twice_and_is_not_found_is_answered_with_the_reason() -> None:
    leased = entry(pending(), needs_lookup=True, times_vanished=2)
    outcome = Outcome("failed", attempts=1, reason=VANISHED)
    assert settle_lookup(leased, None, NOW) == Settlement(leased, {}, (pending(outcome=outcome),))
    assert settle_lookup(replace(leased, times_vanished=1), None, NOW).events == ()


def test_a_lead_of_another_user_is_named_in_the_reason_and_forgotten() -> None:
    leased = entry(pending(), claimed_lead_id=55)
    outcome = Outcome("failed", attempts=1, lead_id=55, reason="lead 55 belongs to another user")
    assert settle_lookup_by_id(leased, found_lead(origin="8"), NOW) == Settlement(
        leased, {"agreed": "", "hint": "", "doubt": 1}, (pending(outcome=outcome),)
    )


@pytest.mark.parametrize(
    ("origin", "originator", "owner"),
    [
        ("8", "leadline", "user"),
        ("7", "staging", "installation"),
        ("", "staging", "installation"),
        ("7", "", "installation"),
    ],
)
def test_a_lead_with_a_foreign_origin_is_not_adopted(
    origin: str, originator: str, owner: str
) -> None:
    leased = entry(pending(), claimed_lead_id=55)
    (event,) = settle_lookup_by_id(
        leased, found_lead(origin=origin, originator=originator), NOW
    ).events
    assert event.outcome is not None
    assert event.outcome.reason == f"lead 55 belongs to another {owner}"


@pytest.mark.parametrize(
    ("title", "name", "phone"),
    [
        ("Ann Lee", "Ann Lee", "+49301112233"),
        ("ann  LEE ", "", "+49301112233"),
        ("A request from the site", "Ann Lee", "+49301112233"),
        ("A request from the site", "", "8 (700) 111-22-33"),
        ("", "", "700 111 22 33"),
        ("", "", "0700 111 22 33"),
        ("", "", "+77001112233"),
    ],
)
def test_a_lead_without_an_origin_is_adopted_by_its_name_or_phone_and_gets_its_origin(
    title: str, name: str, phone: str
) -> None:
    leased = entry(pending(), claimed_lead_id=55)
    settled = settle_lookup_by_id(leased, lead_without_origin(title, name, phone), NOW)
    assert (settled.events, settled.fields["lacks_origin"]) == ((), 1)
    agreed = LastApplied(55, STATE.full_name, STATE.phone, phone_row=9)
    planned = plan(
        replace(leased, last_applied=agreed, lacks_origin=True, applied_stage_seq=MILLION)
    )
    assert isinstance(planned, Write)
    assert planned.command.params["id"] == 55
    assert planned.command.params["fields"] == {"originatorId": "leadline", "originId": "7"}
    assert settle_applied(leased, agreed).fields["lacks_origin"] == ""


@pytest.mark.parametrize(
    "phone",
    ["", "112233", "+77001112234", "33", "+7 700", "0", "+77101112233", "+76001112233", "0112233"],
)
def test_a_lead_without_an_origin_is_not_adopted_only_because_a_message_names_it(
    phone: str,
) -> None:
    phones = [phone] if phone else []
    stranger = lead_without_origin("Bob Stone", "Bob", *phones)
    leased = entry(pending(), claimed_lead_id=55)
    outcome = Outcome("failed", attempts=1, reason=f"lead 55 {NOT_RECOGNISED}")
    assert settle_lookup_by_id(leased, stranger, NOW) == Settlement(
        leased, {"agreed": "", "hint": "", "doubt": 1}, (pending(outcome=outcome),)
    )
    # A lead once recognised stays the user's, even if both are renamed.
    assert (
        settle_lookup_by_id(known_entry(pending(2), needs_lookup=True), stranger, NOW).events == ()
    )
    assert settle_lookup_by_id(leased, None, NOW).events == ()


def test_a_lead_is_recognised_by_what_a_waiting_message_says_of_its_user() -> None:
    """The user was matched, and got another phone afterwards."""
    before = pending(user={"full_name": "Ann Lee", "phone": "+77001112233", "email": "a@b.cc"})
    changed = {"full_name": "Ann Lee", "phone": "+77005556677"}
    lead = lead_without_origin("By Hand", "By Hand", "8 700 111 22 33")
    state = replace(STATE, phone="+77005556677")
    leased = entry(before, pending(2, user=changed), claimed_lead_id=55, state=state)
    assert settle_lookup_by_id(leased, lead, NOW).events == ()
    alone = entry(pending(2, user=changed), claimed_lead_id=55, state=state)
    assert settle_lookup_by_id(alone, lead, NOW).events != ()


def test_a_name_longer_than_its_column_is_recognised_by_either_part() -> None:
    state = replace(STATE, full_name="Ann " * 20 + "Lee")
    leased = entry(pending(), claimed_lead_id=55, state=state)
    for title, name in (state.full_name, ""), ("A request", state.full_name[:50]):
        lead = lead_without_origin(title, name)
        assert settle_lookup_by_id(leased, lead, NOW).events == ()


def test_a_phone_is_recognised_without_its_country_code() -> None:
    leased = entry(pending(), claimed_lead_id=55, state=replace(STATE, phone="+46701234567"))
    lead = lead_without_origin("", "", "070-123 45 67")
    assert settle_lookup_by_id(leased, lead, NOW).events == ()


def test_a_lead_with_our_originator_and_without_a_user_may_be_adopted() -> None:
    leased = entry(pending(), claimed_lead_id=55)
    assert (
        settle_lookup_by_id(leased, found_lead(origin="", originator="leadline"), NOW).events == ()
    )


def test_a_lead_without_name_and_phone_matches_no_user() -> None:
    blank = lead_without_origin("", "")
    leased = entry(pending(), claimed_lead_id=55, state=DesiredState("", "", None))
    assert settle_lookup_by_id(leased, blank, NOW).events != ()


def test_without_operating_budget_a_user_waits_unchanged() -> None:
    leased = entry(pending())
    assert defer(leased, wait_ms=1234) == Settlement(leased, delay_ms=1234)


def test_a_user_whose_shared_lookup_was_inconclusive_is_looked_up_alone_at_once() -> None:
    leased = entry(pending(), needs_lookup=True)
    assert settle_inconclusive(leased) == Settlement(leased, {"alone": 1})


def test_a_refused_command_is_repeated_after_a_second() -> None:
    leased = entry(pending(attempts=2))
    assert settle_failure(leased, Refused("limit"), NOW, is_write=True) == Settlement(
        leased, delay_ms=1000
    )


def test_a_lost_create_is_waited_for_as_long_as_it_can_run() -> None:
    leased = entry(pending())
    lost = OutcomeUnknown("reset", may_still_run=True)
    assert settle_failure(leased, lost, NOW, is_write=True) == Settlement(
        leased,
        {"doubt": 1, "wait_until": NOW + LONGEST_CALL_MS},
        (pending(attempts=1),),
        delay_ms=2000,
    )


def test_a_lost_update_delays_newer_writes_as_long_as_it_can_run() -> None:
    leased = known_entry(pending(2, attempts=1))
    lost = OutcomeUnknown("reset", may_still_run=True)
    assert settle_failure(leased, lost, NOW, is_write=True) == Settlement(
        leased,
        {"doubt": 1, "running_until": NOW + LONGEST_CALL_MS, "running_order": 2 * MILLION},
        (pending(2, attempts=2),),
        delay_ms=4000,
    )


def test_a_longer_request_limit_of_the_portal_is_a_longer_wait(configure: Configure) -> None:
    configure(request_limit_s="300")
    lost = OutcomeUnknown("reset", may_still_run=True)
    fields = settle_failure(entry(pending()), lost, NOW, is_write=True).fields
    assert fields["wait_until"] == NOW + LONGEST_CALL_MS + 240_000


def test_an_unknown_outcome_that_is_over_needs_only_a_lookup() -> None:
    leased = known_entry(pending(2))
    assert settle_failure(leased, OutcomeUnknown("500"), NOW, is_write=True).fields == {"doubt": 1}


def test_a_missing_lead_is_looked_up_as_if_nothing_were_known_about_it() -> None:
    leased = known_entry(pending(2))
    forgotten: Fields = {"doubt": 1, "agreed": "", "agreed_stage_order": 0}
    assert settle_failure(leased, LeadGone("Not found"), NOW, is_write=True) == Settlement(
        leased, {**forgotten, "vanished": 1}, (pending(2, attempts=1),), delay_ms=2000
    )
    repeat = known_entry(pending(3), times_vanished=1)
    outcome = Outcome("failed", attempts=1, reason=VANISHED)
    assert settle_failure(repeat, LeadGone("Not found"), NOW, is_write=True) == Settlement(
        repeat, {**forgotten, "vanished": 2}, (pending(3, outcome=outcome),)
    )


@pytest.mark.parametrize("kind", [Unavailable, OutcomeUnknown, LeadGone])
def test_the_third_failure_is_answered_with_its_reason_as_transient(
    kind: type[BitrixError],
) -> None:
    leased = known_entry(pending(2, attempts=2))
    outcome = Outcome("failed", attempts=3, reason="away", is_transient=True)
    settlement = settle_failure(leased, kind("away"), NOW)
    assert settlement.events == (pending(2, attempts=2, outcome=outcome),)
    assert settlement.delay_ms == 0


def test_a_rejection_is_answered_at_once_as_permanent() -> None:
    leased = known_entry(pending(2), pending(1, attempts=1))
    assert settle_failure(leased, Rejected("no"), NOW, is_write=True) == Settlement(
        leased,
        {},
        (
            pending(2, outcome=Outcome("failed", attempts=1, reason="no")),
            pending(1, attempts=1, outcome=Outcome("failed", attempts=2, reason="no")),
        ),
    )


def test_the_originator_is_the_setting_else_the_senders_else_the_default(
    configure: Configure,
) -> None:
    assert originator_of(entry(pending())) == "leadline"
    assert originator_of(entry(pending(), originator="staging")) == "staging"
    configure(originator_id="chosen")
    assert originator_of(entry(pending(), originator="staging")) == "chosen"
    assert originator_of(entry(pending())) == "chosen"

"""The effect of a call's outcome on a user and its events.

In `Settlement.fields`, "" removes a field of the entry.
"""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
    RequestRejected,
    Unavailable,
)
from leadline.sync.decide import (
    NoCall,
    plan,
    settle_applied,
    settle_failure,
    settle_lookup,
    settle_lookup_by_id,
)
from leadline.workqueue.entries.pending_event import PendingEvent
from tests.unit.entries import MILLION, STATE, entry, found_lead, known_entry, pending

#: In milliseconds.
NOW = 1_000_000_000
#: Errors that cost an attempt.
COUNTED = (Unavailable, OutcomeUnknown, LeadGone)
LAST_APPLIED = found_lead().last_applied(STATE)

EVENTS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 2)),
    min_size=1,
    max_size=6,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [pending(version, attempts) for version, attempts in pairs])


def outcomes(events: tuple[PendingEvent, ...]) -> dict[int, str]:
    return {event.seq // MILLION: event.outcome.status for event in events if event.outcome}


@given(EVENTS)
def test_the_newest_event_is_synced_and_every_older_one_superseded(
    events: list[PendingEvent],
) -> None:
    settlement = settle_applied(entry(*events), LAST_APPLIED, is_create=True)
    by_version = outcomes(settlement.events)
    newest = max(by_version)
    assert len(by_version) == len(events)
    assert {version for version, outcome in by_version.items() if outcome == "synced"} == {newest}
    assert all(event.outcome and event.outcome.lead_id == 55 for event in settlement.events)


def test_an_event_that_arrives_after_a_newer_one_was_applied_is_superseded() -> None:
    late = known_entry(pending(2), desired_seq=3 * MILLION, applied_seq=3 * MILLION)
    assert outcomes(settle_applied(late, None).events) == {2: "superseded"}


def test_a_duplicate_of_an_applied_event_is_answered_as_synced_again() -> None:
    leased = known_entry(pending(3), applied_seq=3 * MILLION)
    assert outcomes(settle_applied(leased, None).events) == {3: "synced"}


def test_a_reply_counts_the_attempt_that_led_to_it() -> None:
    (event,) = settle_applied(entry(pending(attempts=2)), LAST_APPLIED, is_create=True).events
    assert event.outcome is not None
    assert event.outcome.attempts == 3


@given(EVENTS, st.sampled_from(COUNTED))
def test_there_are_never_more_than_three_attempts(
    events: list[PendingEvent], kind: type[BitrixError]
) -> None:
    settlement = settle_failure(entry(*events), kind("no"), NOW)
    for before in events:
        (after,) = [event for event in settlement.events if event.event_id == before.event_id]
        attempts = after.outcome.attempts if after.outcome else after.attempts
        assert attempts == before.attempts + 1 <= 3
        assert (after.outcome is not None) == (attempts == 3)


@given(EVENTS, st.sampled_from(COUNTED))
def test_a_newer_event_never_shortens_the_wait(
    events: list[PendingEvent], kind: type[BitrixError]
) -> None:
    settlement = settle_failure(entry(*events), kind("no"), NOW)
    waiting = [event.attempts for event in settlement.events if event.outcome is None]
    assert settlement.delay_ms == max(({1: 2000, 2: 4000}[tries] for tries in waiting), default=0)


@pytest.mark.parametrize("error", [Refused("limit"), PortalDown("no plan")])
def test_a_refusal_or_a_paused_portal_spends_no_attempt(error: BitrixError) -> None:
    settlement = settle_failure(entry(pending(attempts=2)), error, NOW)
    assert settlement.events == ()
    assert settlement.fields == {}
    assert settlement.delay_ms > 0


def test_a_permanent_error_is_answered_once_with_its_reason() -> None:
    (event,) = settle_failure(entry(pending()), Rejected("Invalid stage"), NOW).events
    assert event.outcome is not None
    assert (event.outcome.status, event.outcome.attempts) == ("failed", 1)
    assert event.outcome.reason == "Invalid stage"
    assert not event.outcome.is_transient


def test_a_request_rejected_as_a_whole_is_not_a_permanent_error_of_its_users() -> None:
    settlement = settle_failure(entry(pending()), RequestRejected("One is not accepted"), NOW)
    assert settlement.fields == {"alone": 1}
    assert (outcomes(settlement.events), settlement.delay_ms) == ({}, 2000)
    last = settle_failure(entry(pending(attempts=2)), RequestRejected("One is not accepted"), NOW)
    (event,) = last.events
    assert event.outcome is not None
    assert event.outcome.is_transient


def test_a_reply_once_given_is_never_changed() -> None:
    event = settle_applied(entry(pending()), LAST_APPLIED, is_create=True).events[0]
    for error in (Rejected("no"), OutcomeUnknown("?"), Unavailable("away")):
        assert event in settle_failure(known_entry(event, pending(2)), error, NOW).events
    assert event in settle_applied(known_entry(event, pending(2)), LAST_APPLIED).events


@pytest.mark.parametrize("error", [OutcomeUnknown("reset"), LeadGone("Not found")])
def test_after_an_unknown_outcome_the_lead_is_looked_up(error: BitrixError) -> None:
    assert settle_failure(known_entry(pending(2)), error, NOW, is_write=True).fields["doubt"] == 1


def test_a_missing_lead_is_not_looked_up_by_its_id() -> None:
    assert (
        settle_failure(known_entry(pending(2)), LeadGone("Not found"), NOW).fields["agreed"] == ""
    )
    settlement = settle_failure(
        known_entry(pending(2)), OutcomeUnknown("reset"), NOW, is_write=True
    )
    assert "agreed" not in settlement.fields


def test_a_lost_lookup_does_not_delay_a_user_as_a_lost_create_does() -> None:
    settlement = settle_failure(
        entry(pending(), claimed_lead_id=55), OutcomeUnknown("time-out", may_still_run=True), NOW
    )
    assert settlement.fields == {}
    assert settlement.delay_ms == 2000


def test_a_lead_that_vanishes_twice_in_a_row_is_an_error_of_its_user() -> None:
    """In simple CRM mode each update would create another lead."""
    once = settle_failure(known_entry(pending(2)), LeadGone("Not found"), NOW)
    assert (once.fields["vanished"], outcomes(once.events)) == (1, {})
    twice = settle_failure(known_entry(pending(3), times_vanished=1), LeadGone("Not found"), NOW)
    assert outcomes(twice.events) == {3: "failed"}
    later = entry(pending(4), needs_lookup=True, times_vanished=int(twice.fields["vanished"]))
    assert outcomes(settle_lookup(later, None, NOW).events) == {4: "failed"}
    assert (
        outcomes(settle_lookup(replace(later, lookup_requested_seq=4 * MILLION), None, NOW).events)
        == {}
    )


def test_a_lead_that_was_updated_or_found_has_not_vanished() -> None:
    assert (
        settle_applied(known_entry(pending(2), times_vanished=1), LAST_APPLIED).fields["vanished"]
        == ""
    )
    assert (
        settle_lookup(entry(pending(2), times_vanished=2), found_lead(), NOW).fields["vanished"]
        == ""
    )
    assert (
        "vanished"
        not in settle_applied(
            entry(pending(2), times_vanished=1), LAST_APPLIED, is_create=True
        ).fields
    )


def test_a_request_that_never_reached_the_portal_needs_no_lookup() -> None:
    assert settle_failure(entry(pending()), Unavailable("refused"), NOW).fields == {}


def test_a_lost_create_is_not_repeated_while_it_may_still_run() -> None:
    error = OutcomeUnknown("time-out", may_still_run=True)
    settlement = settle_failure(entry(pending()), error, NOW, is_write=True)
    wait_until = int(settlement.fields["wait_until"])
    assert wait_until >= NOW + 60_000
    unknown = entry(pending(attempts=1), needs_lookup=True, wait_until_ms=wait_until)
    early = settle_lookup(unknown, None, NOW + 2000)
    assert early.fields == {}
    assert early.events == ()
    assert 0 < early.delay_ms <= wait_until - NOW
    assert settle_lookup(unknown, None, wait_until).fields["doubt"] == ""


def test_an_error_returned_by_bitrix24_itself_needs_no_long_wait() -> None:
    settlement = settle_failure(entry(pending()), OutcomeUnknown("500"), NOW, is_write=True)
    assert "wait_until" not in settlement.fields


def test_a_found_lead_is_adopted_and_not_created() -> None:
    settlement = settle_lookup(entry(pending(), needs_lookup=True), found_lead(56), NOW)
    assert orjson.loads(str(settlement.fields["agreed"], "ascii"))["lead_id"] == 56  # type: ignore[arg-type]
    assert settlement.fields["doubt"] == ""
    assert settlement.fields["agreed_order"] == 0
    assert settlement.delay_ms == 0


def test_a_lookup_spends_no_attempt() -> None:
    assert settle_lookup(entry(pending(), needs_lookup=True), found_lead(), NOW).events == ()
    assert settle_lookup(entry(pending(), needs_lookup=True), None, NOW).events == ()


def test_a_lead_of_another_user_is_never_adopted() -> None:
    conflict = settle_lookup_by_id(
        entry(pending(), claimed_lead_id=55), found_lead(origin="8"), NOW
    )
    assert conflict.fields == {"agreed": "", "hint": "", "doubt": 1}, "the lead's id is forgotten"
    (event,) = conflict.events
    assert event.outcome is not None
    assert event.outcome.status == "failed"
    assert "another user" in str(event.outcome.reason)


def test_a_stage_written_by_the_create_is_not_written_again_by_its_late_message() -> None:
    # Version 3 created the lead; the move of version 2 arrives afterwards.
    created = settle_applied(entry(pending(3), desired_stage_seq=0), LAST_APPLIED, is_create=True)
    late = known_entry(
        pending(2),
        desired_seq=3 * MILLION,
        desired_stage_seq=2 * MILLION,
        applied_seq=int(created.fields["agreed_order"]),
        applied_stage_seq=int(created.fields["agreed_stage_order"]),
    )
    assert plan(late) == NoCall()

"""Entries and events of the work queue are read as they were stored."""

from dataclasses import replace

import orjson
import pytest

from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.messages.attempt_log import Attempt, AttemptLog
from leadline.workqueue.entries.entry import Entry, UnreadableEntry
from leadline.workqueue.entries.pending_event import Outcome, PendingEvent
from leadline.workqueue.entries.settlement import Settlement
from tests.unit.entries import entry, known_entry, pending

STORED = {b"fence": b"17"}


def test_an_event_is_read_as_it_was_stored() -> None:
    outcome = Outcome("failed", attempts=3, lead_id=5, reason="no", is_transient=True, fence="17")
    attempts = AttemptLog(received_ms=5, tries=(Attempt(6, "no answer"), Attempt(7, None)))
    for event in (pending(), pending(4, attempts=2, outcome=outcome, journey=attempts, history=8)):
        assert PendingEvent.loads(event.stored()) == event


def test_an_events_position_precedes_its_stored_text() -> None:
    event = pending(3)
    assert event.stored() == b"3000000 " + event.dumps()
    assert "seq" not in orjson.loads(event.dumps())


def test_an_outcome_is_stored_by_the_names_that_other_releases_read() -> None:
    event = pending(
        outcome=Outcome("failed", attempts=3, reason="no", is_transient=True, fence="17")
    )
    assert orjson.loads(event.dumps())["answered"] == {
        "outcome": "failed",
        "attempts": 3,
        "lead_id": None,
        "reason": "no",
        "is_passing": True,
        "fence": "17",
    }


def test_an_event_stored_by_an_older_release_is_read() -> None:
    content = orjson.loads(pending().dumps())
    for name in ("journey", "history"):
        del content[name]
    assert PendingEvent.loads(b"1000000 " + orjson.dumps(content)) == pending()


def test_an_attempt_counts_with_the_reply_that_it_led_to() -> None:
    event = pending(attempts=1)
    assert event.attempts_made == 1
    assert event.after_attempt() == pending(attempts=2)
    assert replace(event, outcome=Outcome("synced", attempts=2)).attempts_made == 2


def test_a_user_that_was_never_called_for_is_read_with_nothing_known() -> None:
    assert Entry.loads(b"7", STORED, []) == Entry(
        user_id=7,
        fence="17",
        state=None,
        desired_seq=0,
        desired_stage_seq=0,
        last_applied=None,
        applied_seq=0,
        applied_stage_seq=0,
        claimed_lead_id=None,
        needs_lookup=False,
        wait_until_ms=0,
        events=(),
    )


def test_every_field_of_an_entry_is_read() -> None:
    content = {
        b"fence": b"17",
        b"state": orjson.dumps({"full_name": "Ann", "phone": "+7", "stage": None}),
        b"order": b"1",
        b"stage_order": b"2",
        b"agreed": b'{"lead_id":55,"full_name":"Bob","phone":"+8","phone_row":9}',
        b"agreed_order": b"3",
        b"agreed_stage_order": b"4",
        b"hint": b"5",
        b"doubt": b"1",
        b"wait_until": b"6",
        b"look_order": b"8",
        b"looked_order": b"7",
        b"originator": b"staging",
        b"vanished": b"1",
        b"alone": b"1",
        b"lacks_origin": b"1",
        b"streak": b"3",
    }
    events = [pending(2), pending(3), pending(1)]
    assert Entry.loads(b"7", content, [event.stored() for event in events], b"epoch-1") == Entry(
        user_id=7,
        fence="17",
        state=DesiredState("Ann", "+7", None),
        desired_seq=1,
        desired_stage_seq=2,
        last_applied=LastApplied(55, "Bob", "+8", phone_row=9),
        applied_seq=3,
        applied_stage_seq=4,
        claimed_lead_id=5,
        needs_lookup=True,
        wait_until_ms=6,
        lookup_requested_seq=8,
        lookup_done_seq=7,
        redis_epoch="epoch-1",
        originator="staging",
        times_vanished=1,
        needs_own_request=True,
        lacks_origin=True,
        events=(pending(3), pending(2), pending(1)),
    )


@pytest.mark.parametrize(
    ("user", "content", "events"),
    [
        (b"7", {}, []),
        (b"x", STORED, []),
        (b"7", STORED | {b"state": b"{"}, []),
        (b"7", STORED | {b"state": b"[]"}, []),
        (b"7", STORED | {b"state": b'{"full_name": "Ann"}'}, []),
        (b"7", STORED | {b"agreed": b"5"}, []),
        (b"7", STORED | {b"agreed": b'{"lead": 5}'}, []),
        (b"7", STORED | {b"order": b"x"}, []),
        (b"7", STORED | {b"fence": b"\xff"}, []),
        (b"7", STORED, [b"1000000 {}"]),
        (b"7", STORED, [b"x " + pending().dumps()]),
        (b"7", STORED, [b"1 []"]),
    ],
)
def test_an_entry_that_we_cannot_have_stored_is_unreadable_and_is_not_quoted(
    user: bytes, content: dict[bytes, bytes], events: list[bytes]
) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        Entry.loads(user, content, events)
    assert str(caught.value) in {
        *("KeyError", "TypeError", "ValueError", "AttributeError"),
        *("JSONDecodeError", "UnicodeDecodeError"),
    }
    assert caught.value.__cause__ is None


def test_a_lookup_is_requested_until_it_is_done() -> None:
    assert not entry().is_lookup_requested
    assert entry(lookup_requested_seq=2, lookup_done_seq=1).is_lookup_requested
    assert not entry(lookup_requested_seq=2, lookup_done_seq=2).is_lookup_requested


def test_the_known_lead_precedes_one_that_a_message_names() -> None:
    assert entry().known_lead_id is None
    assert entry(claimed_lead_id=5).known_lead_id == 5
    assert known_entry(claimed_lead_id=5).known_lead_id == 55


def test_only_the_events_that_had_an_attempt_record_it_with_its_error() -> None:
    tried, fresh, done = (
        pending(3, attempts=1),
        pending(2),
        pending(1, outcome=Outcome("failed", attempts=1)),
    )
    leased = entry(replace(tried, attempts=0), fresh, done)
    answered_event = replace(fresh, outcome=Outcome("failed", attempts=1, reason="no"))
    for after, errors in ((fresh, []), (answered_event, [None])):
        settlement = Settlement(leased, {"hint": 1}, (tried, after, done), delay_ms=2000)
        recorded = settlement.with_attempt(9, "no answer")
        assert recorded.events[0].journey.tries == (Attempt(9, "no answer"),)
        assert recorded.events[1].journey.tries == tuple(Attempt(9, error) for error in errors)
        assert recorded.events[2] == done
        assert (recorded.fields, recorded.delay_ms) == ({"hint": 1}, 2000)


def test_an_attempt_that_led_to_a_success_has_no_error() -> None:
    leased = entry(pending())
    answered_event = pending(outcome=Outcome("synced", attempts=1, lead_id=55))
    recorded = Settlement(leased, {}, (answered_event,)).with_attempt(9)
    assert recorded.events[0].journey.tries == (Attempt(9, None),)


def test_an_event_without_an_earlier_lease_records_its_first_attempt() -> None:
    recorded = Settlement(entry(), {}, (pending(attempts=1),)).with_attempt(9, "no answer")
    assert recorded.events[0].journey.tries == (Attempt(9, "no answer"),)

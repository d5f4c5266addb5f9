"""Entries and events of the work queue: what is stored is what is read."""

from dataclasses import replace

import orjson
import pytest

from leadline.bitrix24.leads import Agreed, State
from leadline.messages.attempt_log import Journey, Try
from leadline.workqueue.entry import Answered, Entry, Owed, Settlement, UnreadableEntry
from tests.unit.entries import entry, known, owed

STORED = {b"fence": b"17"}


def test_an_event_is_read_as_it_was_stored() -> None:
    answered = Answered("failed", 3, lead_id=5, reason="no", is_passing=True, fence="17")
    way = Journey(received_ms=5, tries=(Try(6, "no answer"), Try(7, None)))
    for event in (owed(), owed(4, attempts=2, answered=answered, journey=way, history=8)):
        assert Owed.loads(event.stored()) == event


def test_an_events_place_stands_before_what_is_stored_of_it() -> None:
    event = owed(3)
    assert event.stored() == b"3000000 " + event.dumps()
    assert "order" not in orjson.loads(event.dumps())


def test_an_event_that_an_older_release_stored_is_read() -> None:
    content = orjson.loads(owed().dumps())
    for name in ("journey", "history"):
        del content[name]
    assert Owed.loads(b"1000000 " + orjson.dumps(content)) == owed()


def test_an_attempt_counts_with_the_answer_that_it_led_to() -> None:
    event = owed(attempts=1)
    assert event.attempts_made == 1
    assert event.after_attempt() == owed(attempts=2)
    assert replace(event, answered=Answered("synced", 2)).attempts_made == 2


def test_a_user_that_was_never_served_is_read_with_nothing_known() -> None:
    assert Entry.loads(b"7", STORED, []) == Entry(
        user_id=7,
        fence="17",
        state=None,
        order=0,
        stage_order=0,
        agreed=None,
        agreed_order=0,
        agreed_stage_order=0,
        hint=None,
        is_doubtful=False,
        wait_until_ms=0,
        events=(),
    )


def test_every_field_of_an_entry_is_read() -> None:
    content = {
        b"fence": b"17",
        b"state": orjson.dumps({"full_name": "Ann", "phone": "+7", "stage": None}),
        b"order": b"1",
        b"stage_order": b"2",
        b"agreed": orjson.dumps(Agreed(55, "Bob", "+8", 9).as_dict()),
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
    events = [owed(2), owed(3), owed(1)]
    assert Entry.loads(b"7", content, [one.stored() for one in events], b"epoch-1") == Entry(
        user_id=7,
        fence="17",
        state=State("Ann", "+7", None),
        order=1,
        stage_order=2,
        agreed=Agreed(55, "Bob", "+8", 9),
        agreed_order=3,
        agreed_stage_order=4,
        hint=5,
        is_doubtful=True,
        wait_until_ms=6,
        look_order=8,
        looked_order=7,
        epoch="epoch-1",
        originator="staging",
        vanished=1,
        is_alone=True,
        lacks_origin=True,
        events=(owed(3), owed(2), owed(1)),
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
        (b"7", STORED, [b"x " + owed().dumps()]),
        (b"7", STORED, [b"1 []"]),
    ],
)
def test_what_we_can_not_have_stored_is_unreadable_and_is_not_quoted(
    user: bytes, content: dict[bytes, bytes], events: list[bytes]
) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        Entry.loads(user, content, events)
    assert str(caught.value) in {
        *("KeyError", "TypeError", "ValueError", "AttributeError"),
        *("JSONDecodeError", "UnicodeDecodeError"),
    }
    assert caught.value.__cause__ is None


def test_a_look_is_wanted_until_it_is_done() -> None:
    assert not entry().wants_look
    assert entry(look_order=2, looked_order=1).wants_look
    assert not entry(look_order=2, looked_order=2).wants_look


def test_the_lead_that_both_sides_know_counts_before_one_that_a_message_names() -> None:
    assert entry().known_id is None
    assert entry(hint=5).known_id == 5
    assert known(hint=5).known_id == 55


def test_only_the_events_that_had_an_attempt_note_it_with_its_error() -> None:
    tried, fresh, done = owed(3, attempts=1), owed(2), owed(1, answered=Answered("failed", 1))
    leased = entry(replace(tried, attempts=0), fresh, done)
    answered = replace(fresh, answered=Answered("failed", 1, reason="no"))
    for after, errors in ((fresh, []), (answered, [None])):
        noted = Settlement(leased, {"hint": 1}, (tried, after, done), 2000).noted(9, "no answer")
        assert noted.events[0].journey.tries == (Try(9, "no answer"),)
        assert noted.events[1].journey.tries == tuple(Try(9, error) for error in errors)
        assert noted.events[2] == done
        assert (noted.fields, noted.delay_ms) == ({"hint": 1}, 2000)


def test_an_attempt_that_led_to_a_success_has_no_error() -> None:
    leased = entry(owed())
    done = owed(answered=Answered("synced", 1, 55))
    noted = Settlement(leased, {}, (done,)).noted(9)
    assert noted.events[0].journey.tries == (Try(9, None),)


def test_an_event_that_nobody_had_leased_notes_its_first_attempt() -> None:
    noted = Settlement(entry(), {}, (owed(attempts=1),)).noted(9, "no answer")
    assert noted.events[0].journey.tries == (Try(9, "no answer"),)

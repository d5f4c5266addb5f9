"""A message can request a lookup of a lead although last applied is known."""

from dataclasses import replace
from typing import Any

import pytest

from leadline.bitrix24.stored_lead import Fields
from leadline.sync.decide import Lookup, NoCall, Write, plan, settle_lookup
from leadline.workqueue.entries.entry import Entry
from tests.unit.entries import MILLION, STATE, entry, found_lead, known_entry, pending

#: In milliseconds.
NOW = 1_000_000


def entry_to_look_up(**extra: object) -> Entry:
    """A user in sync whose message requests a lookup."""
    extra = {"desired_stage_seq": MILLION, "lookup_requested_seq": 2 * MILLION, **extra}
    return known_entry(pending(2), **extra)


def after_lookup(before: Entry, **lead: Any) -> Entry:
    """The entry as leased after the lookup has found such a lead."""
    fields = settle_lookup(before, replace(found_lead(), **lead), NOW).fields
    stored = Entry.loads(
        b"7", {name.encode(): str(value).encode() for name, value in _as_stored(fields).items()}, []
    )
    return replace(
        before,
        last_applied=stored.last_applied,
        applied_seq=stored.applied_seq,
        applied_stage_seq=stored.applied_stage_seq,
        lookup_done_seq=stored.lookup_done_seq,
    )


def _as_stored(fields: Fields) -> dict[str, object]:
    """The fields as Redis has them: an empty one is removed, and a lease adds the fence."""
    present = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in fields.items()
        if value != ""
    }
    return {"fence": 1, **present}


def test_a_requested_lookup_is_done_even_if_nothing_has_changed() -> None:
    assert isinstance(plan(entry_to_look_up()), Lookup)
    assert isinstance(plan(entry_to_look_up(lookup_requested_seq=0)), NoCall)


def test_one_lookup_is_enough() -> None:
    assert isinstance(plan(after_lookup(entry_to_look_up())), NoCall)
    assert isinstance(
        plan(replace(after_lookup(entry_to_look_up()), lookup_requested_seq=3 * MILLION)), Lookup
    )


def test_differences_that_the_lookup_finds_are_corrected() -> None:
    planned = plan(after_lookup(entry_to_look_up(), title="Somebody Else", name="Somebody"))
    assert isinstance(planned, Write)
    assert planned.command.params["fields"] == {"title": STATE.full_name, "name": STATE.full_name}


@pytest.mark.parametrize(
    ("desired_stage_seq", "is_written"), [(MILLION, False), (2 * MILLION, True)]
)
def test_a_stage_set_by_hand_stays_unless_a_write_sets_it(
    *, desired_stage_seq: int, is_written: bool
) -> None:
    planned = plan(
        after_lookup(entry_to_look_up(desired_stage_seq=desired_stage_seq), stage="JUNK")
    )
    assert isinstance(planned, Write) is is_written
    if isinstance(planned, Write):
        assert planned.command.params["fields"] == {"stageId": "NEW"}


def test_a_missing_lead_is_created_again() -> None:
    fields = settle_lookup(entry_to_look_up(), None, NOW).fields
    assert (fields["agreed"], fields["looked_order"]) == ("", 2 * MILLION)
    planned = plan(entry_to_look_up(last_applied=None, lookup_done_seq=2 * MILLION))
    assert isinstance(planned, Write)
    assert planned.is_create


def test_a_user_without_a_known_lead_is_looked_up_too() -> None:
    assert isinstance(plan(entry(pending(2), lookup_requested_seq=2 * MILLION)), Lookup)

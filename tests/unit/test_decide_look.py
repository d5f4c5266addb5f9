"""A message may ask to look at a lead that both sides had agreed on."""

from dataclasses import replace
from typing import Any

import pytest

from leadline.sync.decide import LookUp, Nothing, Write, looked_up, plan
from leadline.workqueue.entry import Entry, Fields
from tests.unit.entries import MILLION, STATE, entry, found, known, owed

NOW = 1_000_000


def asking(**more: object) -> Entry:
    """A user in step whose lead somebody doubts."""
    more = {"stage_order": MILLION, "look_order": 2 * MILLION, **more}
    return known(owed(2), **more)


def after_look(before: Entry, **lead: Any) -> Entry:
    """The entry as it is leased after the look-up has found such a lead."""
    fields = looked_up(before, replace(found(), **lead), NOW).fields
    seen = Entry.loads(
        b"7", {name.encode(): str(one).encode() for name, one in _stored(fields).items()}, []
    )
    return replace(
        before,
        agreed=seen.agreed,
        agreed_order=seen.agreed_order,
        agreed_stage_order=seen.agreed_stage_order,
        looked_order=seen.looked_order,
    )


def _stored(fields: Fields) -> dict[str, object]:
    kept = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in fields.items()
        if value != ""
    }
    return {"fence": 1, **kept}


def test_a_lead_is_looked_at_when_asked_though_nothing_has_changed() -> None:
    assert isinstance(plan(asking()), LookUp)
    assert isinstance(plan(asking(look_order=0)), Nothing)


def test_one_look_is_enough() -> None:
    assert isinstance(plan(after_look(asking())), Nothing)
    assert isinstance(plan(replace(after_look(asking()), look_order=3 * MILLION)), LookUp)


def test_what_the_look_shows_is_mended() -> None:
    step = plan(after_look(asking(), title="Somebody Else", name="Somebody"))
    assert isinstance(step, Write)
    assert step.command.params["fields"] == {"title": STATE.full_name, "name": STATE.full_name}


@pytest.mark.parametrize(("stage_order", "is_written"), [(MILLION, False), (2 * MILLION, True)])
def test_a_stage_set_by_hand_stays_unless_a_write_sets_it(
    *, stage_order: int, is_written: bool
) -> None:
    step = plan(after_look(asking(stage_order=stage_order), stage="JUNK"))
    assert isinstance(step, Write) is is_written
    if isinstance(step, Write):
        assert step.command.params["fields"] == {"stageId": "NEW"}


def test_a_lead_that_is_gone_is_created_anew() -> None:
    fields = looked_up(asking(), None, NOW).fields
    assert (fields["agreed"], fields["looked_order"]) == ("", 2 * MILLION)
    step = plan(asking(agreed=None, looked_order=2 * MILLION))
    assert isinstance(step, Write)
    assert step.is_create


def test_a_user_without_a_known_lead_is_looked_up_too() -> None:
    assert isinstance(plan(entry(owed(2), look_order=2 * MILLION)), LookUp)

"""A portal that refuses one field: the lead is written without it, and the field stays open."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadline.bitrix24.leads import DesiredState
from leadline.errors import BitrixError, LeadGone, OutcomeUnknown, Rejected
from leadline.mapping.portal_fields import Misfit
from leadline.sync import interpret
from leadline.sync.batch_request import Step
from leadline.sync.decide import Lookup, Write, plan, settle_applied
from leadline.sync.fields import refusals
from leadline.sync.fields.last_check import FieldCheck
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.settlement import Settlement
from tests.unit import maps
from tests.unit.conftest import Configure
from tests.unit.entries import entry, known_entry, pending

VALUES = {"city": "Almaty", "source": "call", "email": "ann@example.com"}
STATE = DesiredState("Ann Lee", "+77001112233", "NEW", VALUES)
TITLES = {"UF_CRM_CITY": "City", "SOURCE_ID": "Источник", "EMAIL": "E-mail", "OPENED": "Open"}
#: In milliseconds.
NOW = 1_000_000
CHECK = FieldCheck(checked_at=0, digest="", titles=TITLES)


@pytest.fixture(autouse=True)
def _map(configure: Configure, tmp_path: Path) -> None:
    maps.use(configure, tmp_path)


def settle_refusal(leased: Entry, error: BitrixError) -> Settlement:
    decided = plan(leased)
    assert isinstance(decided, Write)
    return interpret.settle(Step(leased, decided, ("u7",)), {"u7": error}, NOW, CHECK)


def leased_after(leased: Entry, settlement: Settlement) -> Entry:
    """The entry as it is leased after this settlement."""
    names = str(settlement.fields["refused"]).split(",")
    assert leased.state is not None
    return replace(leased, state=replace(leased.state, refused=frozenset(names)))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('Invalid value of field "City"', "UF_CRM_CITY"),
        ("Недопустимое значение поля «источник»", "SOURCE_ID"),
        ("UF_CRM_CITY: unknown", "UF_CRM_CITY"),
        ("sourceId is not valid", "SOURCE_ID"),
        ("E-mail is not correct", "EMAIL:WORK"),
        ('Invalid value of field "Open"', "OPENED"),  # a constant
    ],
)
def test_the_named_field_is_left_out_at_once_and_costs_no_attempt(text: str, target: str) -> None:
    leased = entry(pending(), state=STATE)
    settlement = settle_refusal(leased, Rejected(text, code="CRM_FIELD_ERROR_VALUE_NOT_VALID"))
    assert settlement.fields == {"refused": target}
    assert (settlement.events, settlement.error) == ((), None)
    assert settlement.delay_ms <= 1
    assert settlement.refused_fields == (target,)
    decided = plan(leased_after(leased, settlement))
    assert isinstance(decided, Write)
    sent = str(decided.command.params["fields"])
    texts = {"UF_CRM_CITY": "Almaty", "SOURCE_ID": "CALL", "EMAIL:WORK": "ann@", "OPENED": "opened"}
    assert [field for field, text_of_field in texts.items() if text_of_field not in sent] == [
        target
    ]


@pytest.mark.parametrize("is_outdated", [True, False])
def test_an_unexplained_refusal_is_tried_again_until_the_new_map_is_compared(
    *, is_outdated: bool
) -> None:
    """The error may name a field by a title that is not known yet."""
    leased = entry(pending(), state=STATE)
    check = replace(CHECK, is_outdated=is_outdated)
    error = Rejected('Invalid value of field "Town"')
    settlement = interpret.settle(Step(leased, plan(leased), ("u7",)), {"u7": error}, NOW, check)
    (event,) = settlement.events
    assert (event.outcome is None) is is_outdated
    assert (event.attempts, settlement.error is not None) == (1 if is_outdated else 0, True)


def test_a_field_that_did_not_fit_is_the_likely_cause_of_an_error_that_names_none() -> None:
    leased = entry(pending(), state=STATE)
    decided = plan(leased)
    misfit = Misfit("city", "UF_CRM_CITY", "the portal has no such field")
    check = FieldCheck(checked_at=0, digest="", misfits=(misfit,))
    error = Rejected("Bad request")
    settlement = interpret.settle(Step(leased, decided, ("u7",)), {"u7": error}, NOW, check)
    assert settlement.refused_fields == ("UF_CRM_CITY",)


@pytest.mark.parametrize(
    ("result", "is_possible"),
    [(Rejected("no"), True), (LeadGone("no"), False), (OutcomeUnknown("no"), False), ({}, False)],
)
def test_only_a_refused_write_may_be_the_fault_of_a_field(
    result: object, *, is_possible: bool
) -> None:
    leased = entry(pending(), state=STATE)
    assert refusals.may_concern(leased, plan(leased), result) is is_possible
    assert not refusals.may_concern(leased, Lookup(), result)
    assert not refusals.may_concern(
        known_entry(pending(2), state=STATE, erased="1"), plan(leased), result
    )


def test_a_second_field_is_left_out_as_well() -> None:
    leased = entry(pending(), state=replace(STATE, refused=frozenset({"SOURCE_ID"})))
    settlement = settle_refusal(leased, Rejected("City is wrong"))
    assert settlement.fields == {"refused": "SOURCE_ID,UF_CRM_CITY"}


@pytest.mark.parametrize(
    "error",
    [
        Rejected("The required field 'Company' is missing"),
        Rejected("Open-air is closed to citytravel"),  # only parts of words
        OutcomeUnknown("City"),
        LeadGone("City not found"),
    ],
)
def test_any_other_error_leaves_no_further_field_out(error: BitrixError) -> None:
    leased = entry(pending(), state=replace(STATE, refused=frozenset({"OPENED"})))
    settlement = settle_refusal(leased, error)
    assert settlement.error is error
    assert "refused" not in settlement.fields


def test_an_error_is_not_blamed_on_a_field_that_was_not_sent() -> None:
    leased = entry(pending(), state=DesiredState("Ann Lee", "+77001112233", "NEW"))
    assert (
        settle_refusal(leased, Rejected("The required field 'City' is missing")).error is not None
    )


def test_a_refused_field_stays_open_and_is_tried_by_the_next_event() -> None:
    leased = known_entry(pending(2), state=replace(STATE, refused=frozenset({"UF_CRM_CITY"})))
    last = leased.last_applied
    assert last is not None
    further = replace(last.further, values={"SOURCE_ID": "CALL", "EMAIL:WORK": "ann@example.com"})
    settlement = settle_applied(leased, replace(last, further=further))
    (event,) = settlement.events
    assert event.outcome is not None
    assert (event.outcome.status, event.outcome.open_fields) == ("synced", "city")
    assert settlement.fields["refused"] == ""
    assert event.outcome.as_stored()["open_fields"] == "city"


@pytest.mark.parametrize(
    ("values", "applied", "still_open"),
    [
        ({"city": "Almaty"}, {}, "city"),  # the portal has dropped it
        ({"city": "Almaty"}, {"UF_CRM_CITY": "Alm"}, ""),  # it holds what it can
        ({"city": None}, {}, ""),
        ({"source": "fax"}, {"SOURCE_ID": "CALL"}, "source"),  # the map has no such value
        ({"note": "Hi"}, {}, ""),  # the CRM owns it
        ({"colour": "red"}, {}, ""),  # the map has no such field
    ],
)
def test_a_value_that_a_written_lead_does_not_have_stays_open(
    values: dict[str, Any], applied: dict[str, str], still_open: str
) -> None:
    leased = known_entry(pending(2), state=replace(STATE, fields=values))
    last = leased.last_applied
    assert last is not None
    last_applied = replace(last, further=replace(last.further, values=applied))
    (event,) = settle_applied(leased, last_applied).events
    assert event.outcome is not None
    assert event.outcome.open_fields == still_open
    assert ("open_fields" in event.outcome.as_stored()) is bool(still_open)


def test_an_erasure_leaves_no_refused_field_out() -> None:
    leased = known_entry(pending(2), state=STATE, erased="1")
    decided = Write(plan(entry(pending(), state=STATE)).command, is_create=False)  # type: ignore[union-attr]
    error = Rejected("City is wrong")
    settlement = interpret.settle(Step(leased, decided, ("u7",)), {"u7": error}, NOW, CHECK)
    assert settlement.error is error

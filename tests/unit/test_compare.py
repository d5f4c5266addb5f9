"""A user and its leads: the kinds of drift, and who corrects them."""

from dataclasses import replace

import pytest

from leadline.bitrix24.lead_parsing import FoundLead
from leadline.sync.reconcile.compare import DRIFT, Finding, compare
from leadline.users.snapshots import UserSnapshot
from tests.unit.entries import found_lead

USER = UserSnapshot(
    id=7,
    full_name="Ann Lee",
    phone="+77001112233",
    stage="NEW",
    version=3,
    lead_id=55,
    status="synced",
    is_stage_unsynced=False,
)
LEAD = found_lead()


def finding_for(
    user: UserSnapshot, *by_origin: FoundLead, by_id: FoundLead | None = None
) -> Finding:
    return compare(user, by_origin, by_id, "leadline")


def test_a_lead_that_equals_its_user_is_ok() -> None:
    assert finding_for(USER, LEAD) == Finding("ok", 7, (55,), version=3)


def test_a_user_with_an_open_event_is_not_compared() -> None:
    waiting = replace(USER, status="waiting", full_name="Bob")
    assert finding_for(waiting, LEAD) == Finding("waiting", 7, version=3)
    assert finding_for(waiting) == Finding("waiting", 7, version=3)


def test_a_user_without_a_lead_is_missing_and_can_be_repaired() -> None:
    assert finding_for(USER) == Finding("missing", 7, version=3, is_repairable=True)


@pytest.mark.parametrize(
    ("lead", "field"),
    [
        (replace(LEAD, title="Bob", name="Bob"), "full_name"),
        (replace(LEAD, title="Bob"), "full_name"),
        (replace(LEAD, phones=()), "phone"),
        (replace(LEAD, phones=(("+77005556677", 9),)), "phone"),
    ],
)
def test_another_name_or_phone_is_drift_and_can_be_repaired(lead: FoundLead, field: str) -> None:
    expected = Finding("drifted", 7, (55,), (field,), version=3, is_repairable=True)
    assert finding_for(USER, lead) == expected


def test_every_difference_is_named() -> None:
    lead = replace(LEAD, title="Bob", phones=(), stage="JUNK")
    finding = finding_for(replace(USER, is_stage_unsynced=True), lead)
    assert finding.fields == ("full_name", "phone", "stage")


def test_another_phone_next_to_ours_is_not_drift() -> None:
    lead = replace(LEAD, phones=(("+77005556677", 8), (USER.phone, 9)))
    assert finding_for(USER, lead).kind == "ok"


def test_a_stage_set_in_the_crm_is_kept() -> None:
    finding = finding_for(USER, replace(LEAD, stage="JUNK"))
    assert finding == Finding("moved", 7, (55,), is_moved=True, version=3)
    assert finding.kind not in DRIFT


def test_a_stage_that_never_reached_the_crm_is_drift() -> None:
    unsynced = replace(USER, is_stage_unsynced=True)
    finding = finding_for(unsynced, replace(LEAD, stage="JUNK"))
    assert finding == Finding("drifted", 7, (55,), ("stage",), version=3, is_repairable=True)
    assert finding_for(unsynced, LEAD).kind == "ok"


def test_a_drifted_lead_that_was_moved_is_both() -> None:
    finding = finding_for(USER, replace(LEAD, title="Bob", stage="JUNK"))
    assert (finding.kind, finding.fields, finding.is_moved) == ("drifted", ("full_name",), True)


@pytest.mark.parametrize("lead_id", [None, 99])
def test_a_lead_that_the_ledger_does_not_name_is_unlinked(lead_id: int | None) -> None:
    finding = finding_for(replace(USER, lead_id=lead_id), LEAD)
    assert finding == Finding("unlinked", 7, (55,), version=3, is_repairable=True)


def test_duplicate_leads_are_listed_with_the_ledgers_first_then_by_age() -> None:
    leads = [found_lead(90), found_lead(20), found_lead(55)]
    assert finding_for(USER, *leads) == Finding("doubled", 7, (55, 20, 90), version=3)
    assert finding_for(USER, *leads[1:]).kind == "doubled"
    unlinked = finding_for(replace(USER, lead_id=None), *leads)
    assert (unlinked.kind, unlinked.lead_ids) == ("doubled", (20, 55, 90))
    assert unlinked.is_repairable, "its lead can be named all the same"


def test_a_failed_user_with_a_correct_lead_only_needs_a_resync() -> None:
    finding = finding_for(replace(USER, status="failed"), LEAD)
    assert finding == Finding("ok", 7, (55,), version=3, is_repairable=True)


@pytest.mark.parametrize(("origin", "originator"), [("", ""), ("", "leadline")])
def test_a_lead_without_an_origin_is_the_users_if_the_ledger_names_it(
    origin: str, originator: str
) -> None:
    lead = found_lead(origin=origin, originator=originator)
    assert finding_for(USER, by_id=lead) == Finding("ok", 7, (55,), version=3)


@pytest.mark.parametrize(
    ("origin", "originator"), [("8", "leadline"), ("8", "another system"), ("", "another system")]
)
def test_a_foreign_lead_is_not_the_users_even_if_the_ledger_names_it(
    origin: str, originator: str
) -> None:
    lead = found_lead(origin=origin, originator=originator)
    assert finding_for(USER, by_id=lead).kind == "missing"


def test_the_lead_with_the_users_origin_precedes_the_one_that_the_ledger_names() -> None:
    finding = finding_for(
        replace(USER, lead_id=99), LEAD, by_id=found_lead(99, origin="", originator="")
    )
    assert (finding.kind, finding.lead_ids) == ("unlinked", (55,))

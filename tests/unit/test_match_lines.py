"""The line of a plan for one user."""

from dataclasses import replace

from leadline.bitrix24.lead_parsing import FoundLead
from leadline.operations.first_match.lines import Line, line_for, matching
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
NEW = replace(USER, lead_id=None, status="failed")
BY_HAND = replace(found_lead(8, origin="", originator=""), title="Anna", name="Anna")


def line(
    user: UserSnapshot,
    *by_origin: FoundLead,
    by_id: FoundLead | None = None,
    free: tuple[FoundLead, ...] = (),
) -> Line | None:
    return line_for(user, by_origin, by_id, candidates=free, originator="leadline")


def test_a_user_whose_lead_equals_it_has_no_line() -> None:
    assert line(USER, found_lead()) is None
    assert line(replace(USER, full_name="Bob", status="waiting"), found_lead()) is None


def test_a_user_whose_lead_differs_is_updated_field_by_field() -> None:
    renamed = line(replace(USER, full_name="Bob"), found_lead())
    assert renamed == Line(
        "update", 7, 3, lead_id=55, lead_ids=(55,), changes={"full_name": ["Ann Lee", "Bob"]}
    )
    unlinked = line(replace(USER, lead_id=None), found_lead())
    assert unlinked is not None
    assert unlinked.changes == {"bitrix_lead_id": [55, None]}
    failed = line(replace(USER, status="failed"), found_lead())
    assert failed is not None
    assert failed.changes == {"status": ["failed", "synced"]}


def test_a_stage_set_by_a_person_is_no_change() -> None:
    assert line(USER, replace(found_lead(), stage="PROCESSED")) is None


def test_only_one_lead_made_by_hand_is_a_match() -> None:
    match = line(NEW, free=(BY_HAND,))
    assert match is not None
    assert (match.kind, match.lead_id) == ("match", 8)
    assert match.changes == {"full_name": ["Anna", "Ann Lee"]}
    several = line(NEW, free=(BY_HAND, replace(BY_HAND, lead_id=9)))
    assert several == Line("ambiguous", 7, 3, lead_ids=(8, 9))
    assert line(NEW) == Line("create", 7, 3)


def test_two_leads_of_one_user_are_left_to_a_person() -> None:
    assert line(USER, found_lead(), found_lead(56)) == Line("ambiguous", 7, 3, lead_ids=(55, 56))


def test_a_lead_of_another_installation_is_foreign() -> None:
    other = found_lead(55, origin="900", originator="another")
    assert line(USER, by_id=other, free=(BY_HAND,)) == Line("foreign", 7, 3, lead_ids=(55,))


def test_closed_owned_and_other_leads_are_not_matched() -> None:
    leads = [
        BY_HAND,
        replace(BY_HAND, semantics="F"),
        replace(BY_HAND, semantics="S"),
        replace(BY_HAND, stage="JUNK"),
        replace(BY_HAND, originator="another"),
        replace(BY_HAND, origin="9"),
        replace(BY_HAND, phones=(("+77001112234", 1),)),
        replace(BY_HAND, phones=()),
    ]
    assert matching(NEW, leads) == [BY_HAND]
    other_notation = replace(BY_HAND, phones=(("+77009998877", 1), ("8 (700) 111-22-33", 2)))
    assert matching(NEW, [other_notation]) == [other_notation]

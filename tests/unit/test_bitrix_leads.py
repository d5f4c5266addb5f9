"""A user as a lead: the commands sent, and the meaning of answers."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.bitrix24 import lead_parsing, leads
from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.errors import OutcomeUnknown

STATE = DesiredState("Ann Lee", "+77001112233", "NEW")
LAST_APPLIED = LastApplied(55, "Ann Lee", "+77001112233", phone_row=9)


def with_phone(phone: str) -> DesiredState:
    return DesiredState("Ann Lee", phone, "NEW")


UPDATE = Command(leads.UPDATE, {"entityTypeId": 1, "id": 55, "fields": {"title": "Ann Lee"}})


def fields(command: Command | None) -> dict[str, Any]:
    assert command is not None
    sent: dict[str, Any] = command.params["fields"]
    return sent


def test_a_create_carries_the_origin_the_phone_and_the_stage() -> None:
    assert fields(leads.create(7, STATE, "leadline")) == {
        "title": "Ann Lee",
        "name": "Ann Lee",
        "originatorId": "leadline",
        "originId": "7",
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": "+77001112233"}],
        "stageId": "NEW",
    }
    assert "stageId" not in fields(leads.create(7, DesiredState("Ann", "+77", None), "leadline"))


def test_a_create_and_an_update_name_the_entity_type_and_the_lead() -> None:
    created = leads.create(7, STATE, "leadline")
    assert created.method == "crm.item.add"
    assert created.params.keys() == {"entityTypeId", "fields"}
    changed = leads.update(LAST_APPLIED, STATE, with_stage=True)
    assert changed is not None
    assert changed.method == "crm.item.update"
    assert changed.params == {"entityTypeId": 1, "id": 55, "fields": {"stageId": "NEW"}}
    assert created.params["entityTypeId"] == 1


def test_all_changed_fields_are_sent_at_once() -> None:
    changed = leads.update(
        LAST_APPLIED, DesiredState("Bob", "+77005556677", "JUNK"), with_stage=True
    )
    assert fields(changed).keys() == {"title", "name", "fm", "stageId"}


def test_only_changed_fields_are_sent() -> None:
    name = leads.update(LAST_APPLIED, DesiredState("Bob", STATE.phone, "NEW"), with_stage=False)
    assert fields(name) == {"title": "Bob", "name": "Bob"}
    stage = leads.update(
        LAST_APPLIED, DesiredState("Ann Lee", STATE.phone, "JUNK"), with_stage=True
    )
    assert fields(stage) == {"stageId": "JUNK"}
    assert leads.update(LAST_APPLIED, STATE, with_stage=False) is None


def test_a_phone_is_replaced_by_its_rows_id() -> None:
    changed = leads.update(
        LAST_APPLIED, DesiredState("Ann Lee", "+77005556677", "NEW"), with_stage=False
    )
    phone = {"typeId": "PHONE", "valueType": "WORK", "value": "+77005556677"}
    assert fields(changed) == {"fm": {"9": phone}}


def test_a_lead_without_a_phone_gets_one() -> None:
    changed = leads.update(LastApplied(55, "Ann Lee"), STATE, with_stage=False)
    assert list(fields(changed)["fm"]) == ["n0"]  # Bitrix24's key of a new row


@given(st.text(min_size=1, max_size=100))
def test_a_long_name_fits_the_columns_and_the_title_has_all_of_it(name: str) -> None:
    sent = fields(leads.create(7, DesiredState(name, "+77001112233", "NEW"), "leadline"))
    assert sent["title"] == name
    assert sent["name"] == name[:50]


def test_a_written_lead_becomes_last_applied_with_its_phone_row() -> None:
    rows = [
        {"id": "8", "typeId": "EMAIL", "value": "+77001112233"},
        {"id": 9, "typeId": "PHONE", "value": "+77001112233"},
    ]
    assert (
        lead_parsing.parse_written({"item": {"id": "55", "fm": rows}}, UPDATE, STATE)
        == LAST_APPLIED
    )


@pytest.mark.parametrize(
    "rows",
    [None, [], 5, "x", ["x"], {"9": {}}, [{"typeId": "PHONE"}], [{"typeId": "PHONE", "id": 9}]],
)
def test_a_phone_whose_row_is_missing_in_the_answer_is_looked_up_before_a_change(
    rows: object,
) -> None:
    """Without its row's id a phone is added, not replaced."""
    last_applied = lead_parsing.parse_written({"item": {"id": 55, "fm": rows}}, UPDATE, STATE)
    assert (last_applied.phone, last_applied.phone_row) == (STATE.phone, None)
    assert leads.needs_phone_row(last_applied, DesiredState("Ann Lee", "+77005556677", "NEW"))
    assert not leads.needs_phone_row(last_applied, STATE)


def test_the_portals_answer_wins_over_the_request() -> None:
    rows = [{"id": 9, "typeId": "PHONE", "value": "+7 700"}]
    item = {"id": 55, "title": "ANN LEE", "name": "ANN LEE", "stageId": "JUNK", "fm": rows}
    last_applied = lead_parsing.parse_written({"item": item}, UPDATE, STATE)
    assert last_applied == LastApplied(55, "ANN LEE", "+7 700", phone_row=9)
    command = leads.update(last_applied, STATE, with_stage=False)
    assert set(fields(command)) == {"title", "name", "fm"}


@pytest.mark.parametrize("item", [{"id": 56}, {"id": 55, "originId": "8"}])
def test_the_answer_of_another_lead_proves_nothing(item: dict[str, Any]) -> None:
    create = leads.create(7, STATE, "leadline")
    command = create if "originId" in item else UPDATE
    with pytest.raises(OutcomeUnknown, match=r"^the answer is another lead's$"):
        lead_parsing.parse_written({"item": item}, command, STATE)


@pytest.mark.parametrize("origin", [{}, {"originId": None}, {"originId": ""}, {"originId": "7"}])
def test_a_created_lead_has_any_id_and_may_omit_its_origin(origin: dict[str, Any]) -> None:
    create = leads.create(7, STATE, "leadline")
    assert lead_parsing.parse_written({"item": {"id": 99, **origin}}, create, STATE).lead_id == 99


def test_an_updated_lead_may_have_any_origin() -> None:
    """A message can name a lead created by someone else."""
    item = {"id": 55, "originId": "8"}
    assert lead_parsing.parse_written({"item": item}, UPDATE, STATE).lead_id == 55


def test_the_phone_in_an_answer_that_equals_the_users_becomes_last_applied() -> None:
    rows = [
        {"id": 8, "typeId": "PHONE", "value": "+77005556677"},
        {"id": 9, "typeId": "PHONE", "value": STATE.phone},
    ]
    last_applied = lead_parsing.parse_written({"item": {"id": 55, "fm": rows}}, UPDATE, STATE)
    assert (last_applied.phone, last_applied.phone_row) == (STATE.phone, 9)


@pytest.mark.parametrize(
    "answer", [None, [], {}, True, 55, "55", {"item": None}, {"item": {}}, {"item": {"id": 0}}]
)
def test_an_answer_without_a_lead_proves_nothing(answer: object) -> None:
    with pytest.raises(OutcomeUnknown, match=r"^the answer names no lead$"):
        lead_parsing.parse_written(answer, UPDATE, STATE)


ROW = {
    "ID": "55",
    "TITLE": "Ann Lee",
    "NAME": "Ann Lee",
    "STATUS_ID": "NEW",
    "ORIGIN_ID": "7",
    "ORIGINATOR_ID": "leadline",
    "PHONE": [{"ID": "9", "VALUE": "+77001112233", "VALUE_TYPE": "WORK"}],
}


def test_a_found_lead_becomes_last_applied_as_it_is() -> None:
    (lead,) = lead_parsing.parse_leads([ROW])
    assert lead.last_applied(with_phone("+77001112233")) == LAST_APPLIED
    assert (lead.origin, lead.originator, lead.stage) == ("7", "leadline", "NEW")


def test_missing_fields_of_a_lead_are_empty() -> None:
    (bare,) = lead_parsing.parse_leads([{"ID": "55"}])
    assert bare == FoundLead(
        lead_id=55, title="", name="", phones=(), stage="", origin="", originator=""
    )
    assert bare.full_name is None
    assert bare.last_applied(with_phone("+77001112233")) == LastApplied(55)


def test_a_lead_with_a_name_longer_than_its_column_is_recognised_by_its_title() -> None:
    name = "A" * 60
    (lead,) = lead_parsing.parse_leads([{**ROW, "TITLE": name, "NAME": name[:50]}])
    assert lead.full_name == name


def test_a_lead_without_a_title_has_no_known_name() -> None:
    (lead,) = lead_parsing.parse_leads([{**ROW, "TITLE": "", "NAME": ""}])
    assert lead.full_name is None


def test_an_update_replaces_the_phone_that_is_ours_or_the_first_one() -> None:
    phones = [{"ID": "1", "VALUE": "+1"}, {"ID": "2", "VALUE": "+2"}]
    (lead,) = lead_parsing.parse_leads([{**ROW, "PHONE": phones}])
    assert lead.last_applied(with_phone("+2")).phone_row == 2
    assert lead.last_applied(with_phone("+3")).phone_row == 1
    assert lead.last_applied(with_phone("+3"), LastApplied(55, phone="+2")).phone_row == 2
    assert (
        lead.last_applied(with_phone("+3"), LastApplied(55, phone="+9", phone_row=2)).phone_row == 2
    )
    assert (
        lead.last_applied(with_phone("+1"), LastApplied(55, phone="+2", phone_row=2)).phone_row == 1
    )
    (bare,) = lead_parsing.parse_leads([{**ROW, "PHONE": None}])
    assert bare.last_applied(with_phone("+3")).phone is None


def test_a_row_of_another_type_is_not_a_phone() -> None:
    rows = [{"ID": "8", "TYPE_ID": "EMAIL", "VALUE": "+1"}, {"ID": "9", "VALUE": "+2"}]
    (lead,) = lead_parsing.parse_leads([{**ROW, "PHONE": rows}])
    assert lead.phones == (("+2", 9),)


def test_a_name_edited_by_hand_counts_as_unknown() -> None:
    (lead,) = lead_parsing.parse_leads([{**ROW, "NAME": "Anna"}])
    assert lead.last_applied(with_phone("+77001112233")).full_name is None


def test_the_oldest_of_duplicate_leads_comes_first() -> None:
    rows = [{**ROW, "ID": "70"}, {**ROW, "ID": "9"}, {**ROW, "ID": "55"}]
    assert [lead.lead_id for lead in lead_parsing.parse_leads(rows)] == [9, 55, 70]


@pytest.mark.parametrize("answer", [None, {}, "x", {"items": []}])
def test_an_answer_that_is_not_a_list_of_leads_proves_nothing(answer: object) -> None:
    with pytest.raises(OutcomeUnknown, match=r"^the answer is not a list of leads$"):
        lead_parsing.parse_leads(answer)


def test_a_lead_id_has_at_most_the_digits_that_the_ledger_can_store() -> None:
    assert lead_parsing.parse_leads([{**ROW, "ID": "9" * 18}])[0].lead_id == 10**18 - 1
    with pytest.raises(OutcomeUnknown):
        lead_parsing.parse_leads([{**ROW, "ID": "9" * 19}])


@pytest.mark.parametrize("lead_id", [None, "", "0", "-1", "x", "٣", 5.5])
def test_a_lead_without_an_id_proves_nothing(lead_id: object) -> None:
    with pytest.raises(OutcomeUnknown, match=r"^a lead can't be read$"):
        lead_parsing.parse_leads([ROW, {**ROW, "ID": lead_id}])


def test_an_empty_list_is_a_valid_answer() -> None:
    assert lead_parsing.parse_leads([]) == []
    assert lead_parsing.parse_page([]) == lead_parsing.LookupPage([], is_complete=True)


UNREADABLE: list[Any] = [None, 5, "x", [], {}, {**ROW, "ID": "9" * 40}, {**ROW, "PHONE": 5}]
UNREADABLE += [{**ROW, "PHONE": [{"VALUE": "+7"}]}, {**ROW, "PHONE": {"9": {"VALUE": "+7"}}}]


@pytest.mark.parametrize("row", UNREADABLE)
def test_an_unreadable_row_does_not_affect_the_others(row: object) -> None:
    page = lead_parsing.parse_page([ROW, row])
    assert ([lead.lead_id for lead in page.leads], page.is_complete) == ([55], False)


def test_a_full_page_may_have_left_out_a_lead() -> None:
    assert lead_parsing.parse_page([ROW] * 49).is_complete
    assert not lead_parsing.parse_page([ROW] * 50).is_complete


def query(command: Command) -> list[tuple[str, str]]:
    method, _, text = command.as_query().partition("?")
    assert method == command.method
    return parse_qsl(text, keep_blank_values=True)


COLUMNS = ["ID", "TITLE", "NAME", "STATUS_ID", "STATUS_SEMANTIC_ID"]
COLUMNS += ["ORIGINATOR_ID", "ORIGIN_ID", "PHONE"]


@pytest.mark.parametrize(
    ("ask", "where"),
    [
        (
            lambda: leads.list_by_origins([7, 8], "me"),
            {"=ORIGINATOR_ID": "me", "@ORIGIN_ID": ["7", "8"]},
        ),
        (lambda: leads.list_by_ids([55, 56]), {"@ID": [55, 56]}),
        (lambda: leads.list_after("99", "me"), {"=ORIGINATOR_ID": "me", ">ID": "99"}),
    ],
)
def test_a_lookup_requests_all_needed_fields_in_order_and_no_total(
    ask: Callable[[], Command], where: dict[str, Any]
) -> None:
    command = ask()
    assert command.method == "crm.lead.list"
    order = {"ID": "ASC"}
    expected = {"filter": where, "select": COLUMNS, "order": order, "start": -1}
    assert command.params == expected


def test_the_stages_of_leads_are_read_in_the_portals_order() -> None:
    requested = {"filter": {"ENTITY_ID": "STATUS"}, "order": {"SORT": "ASC"}}
    assert leads.list_stages() == Command("crm.status.list", requested)


def test_stages_are_read_by_their_ids() -> None:
    rows = [{"STATUS_ID": "NEW"}, {"STATUS_ID": 5}, {"STATUS_ID": ""}, {}, None, "x"]
    assert lead_parsing.parse_stage_ids(rows) == ["NEW", "5"]


@pytest.mark.parametrize("answer", [None, {}, "x", [], [{}], ["x"]])
def test_an_answer_without_stages_changes_nothing(answer: object) -> None:
    with pytest.raises(OutcomeUnknown, match=r"^the answer is not a list of stages$"):
        lead_parsing.parse_stage_ids(answer)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_no_name_can_break_out_of_its_parameter(name: str) -> None:
    requested = dict(query(leads.create(7, DesiredState(name, "+7&a=b", "NEW"), "leadline")))
    assert requested["fields[title]"] == name
    assert requested["fields[fm][0][value]"] == "+7&a=b"
    assert len(requested) == 9  # the parameters of a create, and none made from the name

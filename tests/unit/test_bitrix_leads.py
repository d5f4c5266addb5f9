"""A user as a lead: what is sent, and what answers mean."""

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.bitrix24.leads import Agreed, State
from leadline.runtime.errors import OutcomeUnknown

STATE = State("Ann Lee", "+77001112233", "NEW")
AGREED = Agreed(55, "Ann Lee", "+77001112233", 9)
UPDATE = Command(leads.UPDATE, {"entityTypeId": 1, "id": 55, "fields": {"title": "Ann Lee"}})


def fields(command: Command | None) -> dict[str, Any]:
    assert command is not None
    given: dict[str, Any] = command.params["fields"]
    return given


def test_a_create_carries_the_origin_the_phone_and_the_stage() -> None:
    assert fields(leads.create(7, STATE, "leadline")) == {
        "title": "Ann Lee",
        "name": "Ann Lee",
        "originatorId": "leadline",
        "originId": "7",
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": "+77001112233"}],
        "stageId": "NEW",
    }
    assert "stageId" not in fields(leads.create(7, State("Ann", "+77", None), "leadline"))


def test_only_what_changed_is_sent() -> None:
    name = leads.update(AGREED, State("Bob", STATE.phone, "NEW"), with_stage=False)
    assert fields(name) == {"title": "Bob", "name": "Bob"}
    stage = leads.update(AGREED, State("Ann Lee", STATE.phone, "JUNK"), with_stage=True)
    assert fields(stage) == {"stageId": "JUNK"}
    assert leads.update(AGREED, STATE, with_stage=False) is None


def test_a_phone_is_replaced_by_its_rows_id() -> None:
    changed = leads.update(AGREED, State("Ann Lee", "+77005556677", "NEW"), with_stage=False)
    phone = {"typeId": "PHONE", "valueType": "WORK", "value": "+77005556677"}
    assert fields(changed) == {"fm": {"9": phone}}


def test_a_lead_without_a_phone_gets_one() -> None:
    changed = leads.update(Agreed(55, "Ann Lee"), STATE, with_stage=False)
    assert list(fields(changed)["fm"]) == ["n0"]


@given(st.text(min_size=1, max_size=100))
def test_a_long_name_fits_the_columns_and_the_title_has_all_of_it(name: str) -> None:
    sent = fields(leads.create(7, State(name, "+77001112233", "NEW"), "leadline"))
    assert sent["title"] == name
    assert sent["name"] == name[:50]


def test_a_written_lead_is_agreed_on_with_the_row_of_its_phone() -> None:
    rows = [
        {"id": "8", "typeId": "EMAIL", "value": "+77001112233"},
        {"id": 9, "typeId": "PHONE", "value": "+77001112233"},
    ]
    assert leads.written({"item": {"id": "55", "fm": rows}}, UPDATE, STATE) == AGREED


@pytest.mark.parametrize(
    "rows",
    [None, [], 5, "x", ["x"], {"9": {}}, [{"typeId": "PHONE"}], [{"typeId": "PHONE", "id": 9}]],
)
def test_a_phone_whose_row_is_not_answered_is_looked_up_before_it_is_changed(rows: object) -> None:
    """Without its row's id a phone is added, not replaced."""
    written = leads.written({"item": {"id": 55, "fm": rows}}, UPDATE, STATE)
    assert (written.phone, written.phone_row) == (STATE.phone, None)
    assert leads.needs_rows(written, State("Ann Lee", "+77005556677", "NEW"))
    assert not leads.needs_rows(written, STATE)


def test_what_the_portal_answers_wins_over_what_was_asked() -> None:
    rows = [{"id": 9, "typeId": "PHONE", "value": "+7 700"}]
    item = {"id": 55, "title": "ANN LEE", "name": "ANN LEE", "stageId": "JUNK", "fm": rows}
    answered = leads.written({"item": item}, UPDATE, STATE)
    assert answered == Agreed(55, "ANN LEE", "+7 700", 9)
    command = leads.update(answered, STATE, with_stage=False)
    assert set(fields(command)) == {"title", "name", "fm"}


def test_the_stage_that_was_written_is_remembered_whatever_a_person_sets() -> None:
    item = {"item": {"id": 55, "stageId": "JUNK"}}
    created = leads.written(item, leads.create(7, STATE, "leadline"), STATE)
    assert created.stage_written == "NEW"
    renamed = leads.written(item, UPDATE, STATE, created)
    assert renamed.stage_written == "NEW"
    (lead,) = leads.found([{**ROW, "STATUS_ID": "JUNK"}])
    assert lead.agreed(STATE.phone, renamed).stage_written == "NEW"
    assert lead.agreed(STATE.phone).stage_written is None


@pytest.mark.parametrize("item", [{"id": 56}, {"id": 55, "originId": "8"}])
def test_the_answer_of_another_lead_proves_nothing(item: dict[str, Any]) -> None:
    create = leads.create(7, STATE, "leadline")
    command = create if "originId" in item else UPDATE
    with pytest.raises(OutcomeUnknown):
        leads.written({"item": item}, command, STATE)


@pytest.mark.parametrize(
    "answer", [None, [], {}, True, 55, "55", {"item": None}, {"item": {}}, {"item": {"id": 0}}]
)
def test_an_answer_that_names_no_lead_proves_nothing(answer: object) -> None:
    with pytest.raises(OutcomeUnknown):
        leads.written(answer, UPDATE, STATE)


ROW = {
    "ID": "55",
    "TITLE": "Ann Lee",
    "NAME": "Ann Lee",
    "STATUS_ID": "NEW",
    "ORIGIN_ID": "7",
    "ORIGINATOR_ID": "leadline",
    "PHONE": [{"ID": "9", "VALUE": "+77001112233", "VALUE_TYPE": "WORK"}],
}


def test_a_lead_that_is_found_is_known_as_it_is() -> None:
    (lead,) = leads.found([ROW])
    assert lead.agreed("+77001112233") == AGREED
    assert (lead.origin, lead.originator, lead.stage) == ("7", "leadline", "NEW")


def test_of_several_phones_ours_is_the_one_to_replace_else_the_first() -> None:
    phones = [{"ID": "1", "VALUE": "+1"}, {"ID": "2", "VALUE": "+2"}]
    (lead,) = leads.found([{**ROW, "PHONE": phones}])
    assert lead.agreed("+2").phone_row == 2
    assert lead.agreed("+3").phone_row == 1
    assert lead.agreed("+3", Agreed(55, None, "+2", None)).phone_row == 2
    assert lead.agreed("+3", Agreed(55, None, "+9", 2)).phone_row == 2
    assert lead.agreed("+1", Agreed(55, None, "+2", 2)).phone_row == 1
    (bare,) = leads.found([{**ROW, "PHONE": None}])
    assert bare.agreed("+3").phone is None


def test_a_name_that_was_edited_by_hand_counts_as_unknown() -> None:
    (lead,) = leads.found([{**ROW, "NAME": "Anna"}])
    assert lead.agreed("+77001112233").full_name is None


def test_the_oldest_of_doubled_leads_comes_first() -> None:
    rows = [{**ROW, "ID": "70"}, {**ROW, "ID": "9"}, {**ROW, "ID": "55"}]
    assert [lead.lead_id for lead in leads.found(rows)] == [9, 55, 70]


@pytest.mark.parametrize("answer", [None, {}, "x", {"items": []}, [{"TITLE": "no id"}]])
def test_an_answer_that_is_no_list_of_leads_proves_nothing(answer: object) -> None:
    with pytest.raises(OutcomeUnknown):
        leads.found(answer)


def test_nobody_found_is_an_answer_too() -> None:
    assert leads.found([]) == []
    assert leads.page([]) == leads.Page([], is_whole=True)


UNREADABLE: list[Any] = [None, 5, "x", [], {}, {**ROW, "ID": "9" * 40}, {**ROW, "PHONE": 5}]
UNREADABLE += [{**ROW, "PHONE": [{"VALUE": "+7"}]}, {**ROW, "PHONE": {"9": {"VALUE": "+7"}}}]


@pytest.mark.parametrize("row", UNREADABLE)
def test_a_row_that_can_not_be_read_harms_no_other(row: object) -> None:
    page = leads.page([ROW, row])
    assert ([lead.lead_id for lead in page.leads], page.is_whole) == ([55], False)


def test_a_full_page_may_have_left_out_a_lead() -> None:
    assert leads.page([ROW] * 49).is_whole
    assert not leads.page([ROW] * 50).is_whole


def query(command: Command) -> list[tuple[str, str]]:
    method, _, text = command.as_query().partition("?")
    assert method == command.method
    return parse_qsl(text, keep_blank_values=True)


def test_a_look_up_asks_for_the_origins_and_everything_it_needs() -> None:
    asked = query(leads.look_up([7, 8], "leadline"))
    assert ("filter[=ORIGINATOR_ID]", "leadline") in asked
    assert ("filter[@ORIGIN_ID][0]", "7") in asked
    assert ("filter[@ORIGIN_ID][1]", "8") in asked
    assert ("start", "-1") in asked
    assert "PHONE" in {value for name, value in asked if name.startswith("select")}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_no_name_can_break_out_of_its_parameter(name: str) -> None:
    asked = dict(query(leads.create(7, State(name, "+7&a=b", "NEW"), "leadline")))
    assert asked["fields[title]"] == name
    assert asked["fields[fm][0][value]"] == "+7&a=b"
    assert len(asked) == 9

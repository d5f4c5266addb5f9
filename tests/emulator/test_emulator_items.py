"""Leads by the universal methods, crm.item.* with entityTypeId 1."""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator

WORK = {"typeId": "PHONE", "valueType": "WORK", "value": "+493012345678"}
STORED = {"id": 1, **WORK}


def add(emulator: Emulator, **fields: Any) -> Any:
    return emulator.result("crm.item.add", {"entityTypeId": 1, "fields": fields})["item"]


def update(emulator: Emulator, lead_id: int, **fields: Any) -> Any:
    params = {"entityTypeId": 1, "id": lead_id, "fields": fields}
    return emulator.result("crm.item.update", params)["item"]


def test_add_returns_the_lead_with_the_ids_of_its_rows(emulator: Emulator) -> None:
    item = add(emulator, name="Klaus", originId="7", originatorId="core", fm=[WORK])
    assert (item["id"], item["title"], item["name"], item["stageId"]) == (
        1,
        "Lead #1",
        "Klaus",
        "NEW",
    )
    assert (item["originatorId"], item["originId"], item["hasPhone"]) == ("core", "7", "Y")
    assert item["fm"] == [STORED]


def test_both_apis_see_the_same_lead(emulator: Emulator) -> None:
    add(emulator, name="Klaus", stageId="IN_PROCESS", fm=[WORK])
    lead = emulator.get(1)
    assert (lead["NAME"], lead["STATUS_ID"]) == ("Klaus", "IN_PROCESS")
    assert lead["PHONE"][0]["VALUE"] == WORK["value"]
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "Karl"}})
    item = emulator.result("crm.item.get", {"entityTypeId": 1, "id": 1})["item"]
    assert (item["name"], item["fm"]) == ("Karl", [STORED])


def test_an_fm_object_changes_and_deletes_rows_by_id(emulator: Emulator) -> None:
    add(emulator, fm=[WORK, {**WORK, "value": "2"}, {**WORK, "value": "3"}])
    fm = {
        "1": {"typeId": "PHONE", "valueType": "MOBILE", "value": "one"},
        "2": {"typeId": "PHONE", "value": ""},
        "n0": {"typeId": "EMAIL", "valueType": "HOME", "value": "klaus@example.com"},
    }
    assert update(emulator, 1, fm=fm)["fm"] == [
        {"id": 1, "valueType": "MOBILE", "value": "one", "typeId": "PHONE"},
        {"id": 3, "valueType": "WORK", "value": "3", "typeId": "PHONE"},
        {"id": 4, "valueType": "HOME", "value": "klaus@example.com", "typeId": "EMAIL"},
    ]


def test_an_fm_list_adds_rows(emulator: Emulator) -> None:
    add(emulator, fm=[WORK])
    assert [row["id"] for row in update(emulator, 1, fm=[WORK])["fm"]] == [1, 2]


@pytest.mark.parametrize(
    "fm",
    [
        {"1": {"valueType": "WORK", "value": "9"}},
        "+7700",
        {"x": WORK},
        {"99": {**WORK, "value": ""}},
    ],
    ids=str,
)
def test_an_invalid_fm_changes_no_rows_and_is_no_error(emulator: Emulator, fm: Any) -> None:
    add(emulator, fm=[WORK])
    item = update(emulator, 1, name="Karl", fm=fm)
    assert (item["name"], item["fm"]) == ("Karl", [STORED])


@pytest.mark.parametrize("key", ["99", "0"])
def test_an_fm_key_of_a_missing_row_adds_a_new_row(emulator: Emulator, key: str) -> None:
    """Documentation: how-to-change-email-or-phone.md."""
    add(emulator, fm=[WORK])
    assert update(emulator, 1, fm={key: WORK})["fm"] == [STORED, {**STORED, "id": 2}]


def test_a_row_of_another_object_is_not_changed(emulator: Emulator) -> None:
    add(emulator, fm=[WORK])
    add(emulator)
    assert update(emulator, 2, fm={"1": {**WORK, "value": "9"}})["fm"][0]["id"] == 2
    assert emulator.get(1)["PHONE"][0]["VALUE"] == WORK["value"]


def test_links_and_rows_of_unknown_types_are_kept(emulator: Emulator) -> None:
    """Documentation: how-to-change-email-or-phone.md."""
    rows = [{"typeId": kind, "valueType": "USER", "value": "x"} for kind in ("LINK", "FAX")]
    assert [row["typeId"] for row in add(emulator, fm=rows)["fm"]] == ["LINK", "FAX"]
    lead = emulator.get(1)
    assert lead["LINK"][0]["VALUE"] == "x"
    assert "FAX" not in lead


@pytest.mark.parametrize("method", ["crm.item.get", "crm.item.update", "crm.item.delete"])
def test_a_missing_item_is_not_found(emulator: Emulator, method: str) -> None:
    response = emulator.post(method, {"entityTypeId": 1, "id": 9, "fields": {}})
    assert (response.status_code, response.json()["error"]) == (400, "NOT_FOUND")


def test_an_unknown_or_missing_entity_type_is_refused(emulator: Emulator) -> None:
    response = emulator.post("crm.item.add", {"entityTypeId": 1030, "fields": {}})
    assert (response.status_code, response.json()["error"]) == (400, "NOT_FOUND")
    response = emulator.post("crm.item.add", {"fields": {}})
    assert (response.status_code, response.json()["error"]) == (400, "100")


def test_delete_removes_the_lead(emulator: Emulator) -> None:
    add(emulator)
    assert emulator.result("crm.item.delete", {"entityTypeId": 1, "id": 1}) == []
    assert emulator.leads() == []


def test_an_update_that_changes_nothing_saves_nothing(emulator: Emulator) -> None:
    """DATE_MODIFY stays, and the history has no new write."""
    before = add(emulator, name="Klaus", fm=[WORK])
    fm = {"1": {"typeId": "PHONE", "valueType": "WORK", "value": WORK["value"]}}
    assert update(emulator, 1, name="Klaus", fm=fm) == before
    assert [write["method"] for write in emulator.leads()[0]["history"]] == ["crm.item.add"]

"""Contacts, companies and deals: adding, finding, importing and binding them."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator

PHONE = [{"VALUE": "+77001112233", "VALUE_TYPE": "WORK"}]


def add(emulator: Emulator, entity: str, **fields: Any) -> int:
    return int(emulator.result(f"crm.{entity}.add", {"fields": fields}))


@pytest.mark.parametrize("entity", ["lead", "deal", "contact", "company"])
def test_all_types_are_added_changed_listed_and_deleted(emulator: Emulator, entity: str) -> None:
    object_id = add(emulator, entity, TITLE="T", NAME="N", COMMENTS="a")
    change = {"id": object_id, "fields": {"COMMENTS": "b"}}
    assert emulator.result(f"crm.{entity}.update", change) is True
    assert emulator.result(f"crm.{entity}.get", {"id": object_id})["COMMENTS"] == "b"
    listed = emulator.call(f"crm.{entity}.list", {"filter": {"COMMENTS": "b"}, "select": ["ID"]})
    assert (listed["result"], listed["total"]) == ([{"ID": "1"}], 1)
    assert emulator.result(f"crm.{entity}.fields")["ID"]["isReadOnly"] is True
    assert emulator.result(f"crm.{entity}.delete", {"id": object_id}) is True
    assert emulator.post(f"crm.{entity}.get", {"id": object_id}).json() == {
        "error": "",
        "error_description": "Not found",
    }


@pytest.mark.parametrize(("type_id", "entity"), [(2, "deal"), (3, "contact"), (4, "company")])
def test_the_universal_methods_see_the_same_objects(
    emulator: Emulator, type_id: int, entity: str
) -> None:
    fields = {"title": "T", "name": "N", "opened": "N", "assignedById": 2}
    item = emulator.result("crm.item.add", {"entityTypeId": type_id, "fields": fields})["item"]
    assert (item["id"], item["entityTypeId"], item["opened"]) == (1, type_id, "N")
    assert item["assignedById"] == 2
    assert emulator.result(f"crm.{entity}.get", {"id": 1})["ASSIGNED_BY_ID"] == "2"
    stored = emulator.result("crm.item.get", {"entityTypeId": type_id, "id": 1})["item"]
    assert stored == item
    assert ("fm" in item) == (entity != "deal")


def test_each_type_counts_its_own_ids_and_has_its_own_title(emulator: Emulator) -> None:
    for entity, title in (("lead", "Lead #1"), ("deal", "Deal #1"), ("company", "Company #1")):
        object_id = add(emulator, entity)
        assert emulator.result(f"crm.{entity}.get", {"id": object_id})["TITLE"] == title


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("contact", "Contact is not found"),
        ("company", "Company is not found"),
        ("deal", "Not found"),
    ],
)
def test_each_type_has_its_own_error_for_a_missing_object(
    emulator: Emulator, entity: str, text: str
) -> None:
    response = emulator.post(f"crm.{entity}.update", {"id": 9, "fields": {}})
    assert response.json() == {"error": "", "error_description": text}


def test_fields_must_be_an_object(emulator: Emulator) -> None:
    response = emulator.post("crm.contact.add", {"fields": "x"})
    assert response.json()["error_description"] == "Parameter 'fields' must be array."


def test_phones_are_found_in_all_types(emulator: Emulator) -> None:
    """Documentation: crm/duplicates/crm-duplicate-find-by-comm.md."""
    for entity in ("lead", "contact", "company"):
        add(emulator, entity, PHONE=PHONE, EMAIL=[{"VALUE": "A@example.com"}])
    find = {"type": "PHONE", "values": ["+7 700 111-22-33"]}
    found = {"LEAD": [1], "CONTACT": [1], "COMPANY": [1]}
    assert emulator.result("crm.duplicate.findbycomm", find) == found
    contacts = {**find, "entity_type": "CONTACT"}
    assert emulator.result("crm.duplicate.findbycomm", contacts) == {"CONTACT": [1]}
    by_mail = {"type": "EMAIL", "values": ["a@EXAMPLE.com"]}
    assert emulator.result("crm.duplicate.findbycomm", by_mail) == found


def test_twenty_duplicates_of_one_type_hide_those_of_other_types(emulator: Emulator) -> None:
    for _ in range(20):
        add(emulator, "lead", PHONE=PHONE)
    add(emulator, "contact", PHONE=PHONE)
    find = {"type": "PHONE", "values": ["+77001112233"]}
    assert emulator.result("crm.duplicate.findbycomm", find).keys() == {"LEAD"}


def test_a_lead_of_a_known_client_is_a_repeat_one(emulator: Emulator) -> None:
    contact = add(emulator, "contact", NAME="Klaus")
    lead = emulator.get(emulator.add(CONTACT_ID=contact, IS_RETURN_CUSTOMER="N"))
    assert (lead["IS_RETURN_CUSTOMER"], lead["CONTACT_ID"]) == ("Y", "1")
    assert emulator.get(emulator.add())["IS_RETURN_CUSTOMER"] == "N"
    emulator.result("crm.lead.update", {"id": 2, "fields": {"COMPANY_ID": 5}})
    assert emulator.get(2)["IS_RETURN_CUSTOMER"] == "Y"
    assert emulator.result("crm.lead.contact.items.get", {"id": 1}) == [
        {"CONTACT_ID": 1, "SORT": 10, "ROLE_ID": 0, "IS_PRIMARY": "Y"}
    ]


def test_contacts_are_bound_and_unbound(emulator: Emulator) -> None:
    for name in "abc":
        add(emulator, "contact", NAME=name)
    add(emulator, "deal")
    for contact in (1, 2):
        bind = {"id": 1, "fields": {"CONTACT_ID": contact}}
        assert emulator.result("crm.deal.contact.add", bind) is True
    assert emulator.result("crm.deal.get", {"id": 1})["CONTACT_ID"] == "1"
    items = [{"CONTACT_ID": 3, "IS_PRIMARY": "N"}, {"CONTACT_ID": 2, "IS_PRIMARY": "Y"}]
    assert emulator.result("crm.deal.contact.items.set", {"id": 1, "items": items}) is True
    item = emulator.result("crm.item.get", {"entityTypeId": 2, "id": 1})["item"]
    assert (item["contactId"], item["contactIds"]) == (2, [2, 3])
    assert emulator.result("crm.deal.contact.items.delete", {"id": 1}) is True
    assert emulator.result("crm.deal.contact.items.get", {"id": 1}) == []


def test_product_rows_make_the_amount(emulator: Emulator) -> None:
    """The prices of the documented example: crm/leads/crm-lead-productrows-get.md."""
    emulator.add()
    row = {"PRICE": 22175.328, "DISCOUNT_TYPE_ID": 2, "DISCOUNT_RATE": 40, "TAX_RATE": 12}
    rows = {"id": 1, "rows": [row, {"PRICE": 10, "PRODUCT_NAME": "A", "QUANTITY": 3}]}
    assert emulator.result("crm.lead.productrows.set", rows) is True
    first, second = emulator.result("crm.lead.productrows.get", {"id": 1})
    assert round(first["PRICE_EXCLUSIVE"], 3) == 19799.4
    assert (round(first["PRICE_NETTO"], 2), round(first["DISCOUNT_SUM"], 2)) == (32999, 13199.6)
    assert (first["PRODUCT_NAME"], second["PRODUCT_NAME"]) == ("[1]", "A")
    assert emulator.get(1)["OPPORTUNITY"] == "22205.33"
    bad = {"id": 1, "rows": [{"PRICE": 1, "DISCOUNT_TYPE_ID": 1}]}
    assert emulator.post("crm.lead.productrows.set", bad).json()["error"] == "ERROR_CORE"


def test_the_email_of_a_contact_must_be_valid(emulator: Emulator) -> None:
    """Documentation: crm/contacts/crm-contact-add.md."""
    fields = {"EMAIL": [{"VALUE": "nonsense", "VALUE_TYPE": "WORK"}]}
    response = emulator.post("crm.contact.add", {"fields": fields})
    assert response.json() == {
        "error": "ERROR_CORE",
        "error_description": "The field Work e-mail contains an invalid address",
    }


def test_invalid_contact_ids_are_ignored(emulator: Emulator) -> None:
    add(emulator, "deal", CONTACT_IDS=["x", "2", -1])
    assert emulator.result("crm.deal.contact.items.get", {"id": 1})[0]["CONTACT_ID"] == 2


def test_an_imported_item_keeps_its_dates_and_authors(emulator: Emulator) -> None:
    """Documentation: crm/universal/import/index.md."""
    past = {
        "createdTime": "2024-01-10T10:00:00+03:00",
        "updatedTime": "2024-02-10T10:00:00+03:00",
        "movedTime": "2024-01-11T10:00:00+03:00",
        "createdBy": 2,
    }
    params = {"entityTypeId": 1, "fields": {"title": "Old", **past}}
    assert emulator.result("crm.item.import", params) == {"item": {"id": 1}}
    lead = emulator.get(1)
    assert (lead["DATE_CREATE"], lead["CREATED_BY_ID"]) == (past["createdTime"], "2")
    assert (lead["DATE_MODIFY"], lead["MOVED_TIME"]) == (past["updatedTime"], past["movedTime"])
    earlier = {"entityTypeId": 1, "fields": {"createdTime": "2023-01-10T10:00:00+03:00"}}
    response = emulator.post("crm.item.import", earlier)
    assert response.json()["error"] == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
    tomorrow = (datetime.now().astimezone() + timedelta(days=1)).isoformat()
    later = {"entityTypeId": 1, "fields": {"createdTime": tomorrow}}
    assert emulator.post("crm.item.import", later).status_code == 400


def test_a_batch_import_answers_for_each_item(emulator: Emulator) -> None:
    """Documentation: crm/universal/import/crm-item-batch-import.md."""
    emulator.set(mandatory_fields=["LAST_NAME"])
    fm = [{"typeId": "PHONE", "valueType": "WORK", "value": "1"}]
    data: list[dict[str, Any]] = [{"lastName": "Weber", "fm": fm}, {"name": "Klaus"}]
    answer = emulator.result("crm.item.batchImport", {"entityTypeId": 1, "data": data})
    assert answer["items"][0] == {"item": {"id": 1}}
    assert answer["items"][1]["error"] == "CRM_FIELD_ERROR_REQUIRED"
    assert emulator.get(1)["PHONE"][0]["VALUE"] == "1"
    response = emulator.post("crm.item.batchImport", {"entityTypeId": 1, "data": [{}] * 21})
    assert response.json()["error"] == "MAX_IMPORT_BATCH_SIZE_EXCEEDED"


def test_items_of_a_directory_are_added_changed_and_deleted(emulator: Emulator) -> None:
    """Documentation: crm/status/."""
    fields = {"ENTITY_ID": "STATUS", "STATUS_ID": "CALL_LATER", "NAME": "Later", "SORT": 45}
    object_id = emulator.result("crm.status.add", {"fields": fields})
    status = emulator.result("crm.status.get", {"id": object_id})
    assert (status["STATUS_ID"], status["SYSTEM"], status["SORT"]) == ("CALL_LATER", "N", "45")
    emulator.add(STATUS_ID="CALL_LATER")
    repeat = emulator.post("crm.status.add", {"fields": fields})
    assert repeat.json()["error"] == "ERROR_CORE"
    rename = {"id": object_id, "fields": {"NAME": "Much later"}}
    assert emulator.result("crm.status.update", rename) is True
    items = emulator.result("crm.status.entity.items", {"entityId": "STATUS"})
    assert {"NAME": "Much later", "SORT": 45, "STATUS_ID": "CALL_LATER"} in items
    used = emulator.post("crm.status.delete", {"id": object_id})
    assert used.json()["error_description"] == "There are active items in this status."
    emulator.result("crm.lead.delete", {"id": 1})
    assert emulator.result("crm.status.delete", {"id": object_id}) is True
    system_item = emulator.post("crm.status.delete", {"id": 1})
    assert system_item.status_code == 400
    assert system_item.json()["error_description"].startswith(
        "CRM System Status can be deleted only"
    )
    missing = emulator.post("crm.status.get", {"id": object_id})
    assert missing.json()["error_description"] == "Status is not found."
    types = emulator.result("crm.status.entity.types")
    assert {"STATUS", "SOURCE", "DEAL_STAGE"} <= {type_["ID"] for type_ in types}


def test_sources_are_listed(emulator: Emulator) -> None:
    rows = emulator.result("crm.status.list", {"filter": {"ENTITY_ID": "SOURCE"}})
    assert rows[0]["STATUS_ID"] == "CALL"
    assert "EXTRA" not in rows[0]
    item = emulator.result("crm.item.add", {"entityTypeId": 1, "fields": {}})["item"]
    assert item["sourceId"] == "CALL"

"""Forms of cards, and user fields by userfieldconfig.*.

Documentation: crm/universal/item-details-configuration/, crm/universal/userfieldconfig/.
"""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator

SECTIONS = [
    {
        "name": "main",
        "title": "About the lead",
        "type": "section",
        "elements": [{"name": "TITLE"}, {"name": "PHONE", "optionFlags": 1}],
    }
]
CONFIGURATION = "lead.details.configuration"


def test_a_form_is_personal_or_common(emulator: Emulator) -> None:
    default_form = emulator.result(f"crm.{CONFIGURATION}.get")
    assert {row["type"] for row in default_form} == {"section"}
    assert emulator.result(f"crm.{CONFIGURATION}.set", {"data": SECTIONS}) is True
    form = emulator.result(f"crm.{CONFIGURATION}.get")
    assert [row["optionFlags"] for row in form[0]["elements"]] == ["0", "1"]
    assert emulator.result("crm.item.details.configuration.get", {"entityTypeId": 1}) == form
    assert emulator.result(f"crm.{CONFIGURATION}.get", {"scope": "C"}) == default_form
    assert (
        emulator.result(f"crm.{CONFIGURATION}.get", {"extras": {"leadCustomerType": 2}})
        == default_form
    )
    assert emulator.result(f"crm.{CONFIGURATION}.forceCommonScopeForAll") is True
    assert emulator.result(f"crm.{CONFIGURATION}.get") == default_form
    emulator.result(f"crm.{CONFIGURATION}.set", {"data": SECTIONS, "scope": "C"})
    assert emulator.result(f"crm.{CONFIGURATION}.reset", {"scope": "C"}) is True
    assert emulator.result(f"crm.{CONFIGURATION}.get", {"scope": "C"}) == default_form


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("x", "Parameter 'data' must be array."),
        ([], "There are no data to write."),
        ({"a": 1}, "The data must be indexed array."),
        ([{"type": "section", "title": "x"}], "Section at index 0 does not have name."),
        ([{"type": "section", "name": "x"}], "Section at index 0 does not have title."),
        (
            [*SECTIONS, {"type": "section", "name": "x", "title": "x", "elements": [{}]}],
            "Element at index 0 in section at index 1 does not have name.",
        ),
    ],
)
def test_a_form_with_a_mistake_is_refused(emulator: Emulator, data: object, text: str) -> None:
    response = emulator.post(f"crm.{CONFIGURATION}.set", {"data": data})
    assert response.json() == {"error": "", "error_description": text}


def test_a_form_needs_a_type_that_has_cards(emulator: Emulator) -> None:
    texts = [
        emulator.post("crm.item.details.configuration.get", params).json()["error_description"]
        for params in ({}, {"entityTypeId": 999})
    ]
    assert texts == [
        "Parameter 'entityTypeId' is not defined",
        "The entity type '999' is not supported in current context.",
    ]


def test_a_smart_process_gets_a_list_field(emulator: Emulator) -> None:
    """The documented example: userfieldconfig-add.md."""
    emulator.result("crm.type.add", {"fields": {"title": "Repairs"}})
    field: dict[str, Any] = {
        "entityId": "CRM_1",
        "fieldName": "UF_CRM_1_KIND",
        "userTypeId": "enumeration",
        "multiple": "Y",
        "editFormLabel": {"en": "Kind"},
        "enum": [{"value": "Screen", "sort": 100}, {"value": "Battery", "def": "Y", "sort": 200}],
    }
    new_field = emulator.result("userfieldconfig.add", {"moduleId": "crm", "field": field})["field"]
    assert (new_field["id"], new_field["showInList"], new_field["sort"]) == ("1", "Y", "100")
    assert new_field["editFormLabel"] == {"en": "Kind", "de": None}
    assert [(row["value"], row["def"]) for row in new_field["enum"]] == [
        ("Screen", "N"),
        ("Battery", "Y"),
    ]
    item = emulator.result("crm.item.add", {"entityTypeId": 1030, "fields": {}})["item"]
    assert item["ufCrm1Kind"] == [int(new_field["enum"][1]["id"])]
    sent = {"moduleId": "crm", "id": 1, "field": {"mandatory": "Y"}}
    assert emulator.result("userfieldconfig.update", sent)["field"]["mandatory"] == "Y"
    listing = {"moduleId": "crm", "select": {"0": "*", "language": "en"}}
    found = emulator.call("userfieldconfig.list", {**listing, "filter": {"multiple": "Y"}})
    assert found["total"] == 1
    assert found["result"]["fields"][0]["editFormLabel"] == {"en": "Kind"}
    assert emulator.result("userfieldconfig.delete", {"moduleId": "crm", "id": 1}) is None
    answer = emulator.post("userfieldconfig.get", {"moduleId": "crm", "id": 1}).json()
    assert answer["error_description"] == "You do not have permission to view user field settings"


def test_both_families_of_methods_show_the_same_user_fields(emulator: Emulator) -> None:
    field = {"entityId": "CRM_LEAD", "fieldName": "UF_CRM_WISH", "userTypeId": "string"}
    emulator.result("userfieldconfig.add", {"moduleId": "crm", "field": field})
    assert emulator.result("crm.lead.userfield.get", {"id": 1})["FIELD_NAME"] == "UF_CRM_WISH"
    lead = emulator.add(UF_CRM_WISH="tea")
    assert emulator.get(lead)["UF_CRM_WISH"] == "tea"
    types = emulator.result("userfieldconfig.getTypes", {"moduleId": "crm"})["types"]
    assert types["string"]["userTypeId"] == "string"
    unknown = {"moduleId": "disk", "field": field}
    assert emulator.post("userfieldconfig.add", unknown).status_code == 400

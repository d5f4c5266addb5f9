"""User fields: documentation crm/leads/userfield/ and crm/universal/."""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator


def add_field(emulator: Emulator, name: str, kind: str, **extra: Any) -> int:
    fields = {"FIELD_NAME": name, "USER_TYPE_ID": kind, "LABEL": name.title(), **extra}
    return int(emulator.result("crm.lead.userfield.add", {"fields": fields}))


def add_item(emulator: Emulator, **fields: Any) -> Any:
    return emulator.result("crm.item.add", {"entityTypeId": 1, "fields": fields})["item"]


@pytest.fixture
def portal(emulator: Emulator) -> Emulator:
    """A portal with a user field of each kind; their ids are 1 (WISH) to 6 (DAY)."""
    add_field(emulator, "WISH", "string")
    add_field(emulator, "UF_17", "double")
    add_field(emulator, "UF_CRM_VIP", "boolean")
    colors = [{"VALUE": "red", "DEF": "Y"}, {"VALUE": "green", "XML_ID": "g"}, {"VALUE": ""}]
    add_field(emulator, "COLOR", "enumeration", LIST=colors)
    add_field(emulator, "LINKS", "url", MULTIPLE="Y")
    add_field(emulator, "DAY", "date")
    return emulator


def test_fields_are_described_in_both_apis(portal: Emulator) -> None:
    fields = portal.result("crm.lead.fields")
    assert fields["UF_CRM_WISH"]["type"] == "string"
    assert fields["UF_CRM_WISH"]["isDynamic"] is True
    assert fields["UF_CRM_WISH"]["formLabel"] == "Wish"
    items = fields["UF_CRM_COLOR"]["items"]
    assert [item["VALUE"] for item in items] == ["red", "green"]
    camel = portal.result("crm.item.fields", {"entityTypeId": 1})["fields"]
    assert camel["ufCrmWish"]["upperName"] == "UF_CRM_WISH"
    assert camel["ufCrmWish"]["title"] == "Wish"
    assert camel["ufCrm_17"]["type"] == "double"
    assert camel["ufCrmLinks"]["isMultiple"] is True
    params = {"entityTypeId": 1, "useOriginalUfNames": "Y"}
    assert "UF_CRM_WISH" in portal.result("crm.item.fields", params)["fields"]


def test_values_arrive_and_change_in_both_apis(portal: Emulator) -> None:
    color = portal.result("crm.lead.fields")["UF_CRM_COLOR"]["items"][1]["ID"]
    item = add_item(
        portal, ufCrmWish="tea", ufCrm_17=1.5, ufCrmVip="Y", ufCrmColor=color, ufCrmDay="2026-01-31"
    )
    assert (item["ufCrmWish"], item["ufCrm_17"], item["ufCrmVip"]) == ("tea", 1.5, "Y")
    assert (item["ufCrmColor"], item["ufCrmLinks"]) == (int(color), [])
    assert item["ufCrmDay"] == "2026-01-31T03:00:00+03:00"
    lead = portal.get(1)
    assert (lead["UF_CRM_WISH"], lead["UF_CRM_VIP"], lead["UF_CRM_COLOR"]) == ("tea", True, color)
    fields = {"UF_CRM_LINKS": ["a", "b"], "UF_CRM_WISH": "coffee", "UF_CRM_VIP": 0}
    portal.result("crm.lead.update", {"id": 1, "fields": fields})
    item = portal.result("crm.item.get", {"entityTypeId": 1, "id": 1})["item"]
    assert (item["ufCrmWish"], item["ufCrmVip"], item["ufCrmLinks"]) == ("coffee", "N", ["a", "b"])
    original = {"entityTypeId": 1, "id": 1, "useOriginalUfNames": "Y"}
    changed = {**original, "fields": {"UF_CRM_WISH": "water"}}
    assert portal.result("crm.item.update", changed)["item"]["UF_CRM_WISH"] == "water"
    assert "ufCrmWish" not in portal.result("crm.item.get", original)["item"]


def test_a_boolean_field_is_false_in_leads_older_than_the_field(emulator: Emulator) -> None:
    emulator.add()
    add_field(emulator, "VIP", "boolean")
    assert emulator.get(1)["UF_CRM_VIP"] is False
    find = {"entityTypeId": 1, "filter": {"ufCrmVip": 0}, "select": ["ufCrmVip"]}
    assert emulator.result("crm.item.list", find)["items"] == [{"id": 1, "ufCrmVip": "N"}]


def test_a_new_lead_gets_the_default(portal: Emulator) -> None:
    red = portal.result("crm.lead.fields")["UF_CRM_COLOR"]["items"][0]["ID"]
    assert portal.get(portal.add())["UF_CRM_COLOR"] == red
    assert portal.get(portal.add(UF_CRM_COLOR=""))["UF_CRM_COLOR"] is None


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ufCrm_17", "much", "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
        ("ufCrmColor", 999, "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
        ("ufCrmDay", "soon", "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
        ("ufCrmLinks", "one", "100"),
    ],
)
def test_a_wrong_value_is_refused(portal: Emulator, name: str, value: Any, code: str) -> None:
    response = portal.post("crm.item.add", {"entityTypeId": 1, "fields": {name: value}})
    assert (response.status_code, response.json()["error"]) == (400, code)
    assert portal.leads() == []


def test_lists_can_filter_by_and_select_user_fields(portal: Emulator) -> None:
    add_item(portal, ufCrmWish="tea", ufCrmVip="Y", ufCrmLinks=["a", "b"], ufCrm_17=7)
    add_item(portal, ufCrmWish="milk")

    def ids(conditions: Any) -> list[int]:
        params = {"entityTypeId": 1, "filter": conditions, "select": ["id"]}
        return [item["id"] for item in portal.result("crm.item.list", params)["items"]]

    assert ids({"ufCrmWish": "tea"}) == [1]
    assert ids({"%ufCrmWish": "i"}) == [2]
    assert (ids({"ufCrmVip": 1}), ids({"ufCrmVip": 0})) == ([1], [2])
    assert ids({"ufCrmLinks": "b"}) == [1]
    assert ids({">ufCrm_17": 6}) == [1]
    rows = portal.result("crm.lead.list", {"select": ["ID", "UF_*"], "filter": {"ID": 1}})
    assert rows[0].keys() == {
        "ID",
        *(f"UF_CRM_{name}" for name in ("WISH", "17", "VIP", "COLOR", "LINKS", "DAY")),
    }
    assert "UF_CRM_WISH" not in portal.result("crm.lead.list", {"select": ["*"]})[0]


def test_a_mandatory_field_is_required_when_a_lead_is_added_or_moved(portal: Emulator) -> None:
    lead_id = portal.add()
    add_field(portal, "CITY", "string", MANDATORY="Y")
    assert portal.result("crm.lead.fields")["UF_CRM_CITY"]["isRequired"] is True
    response = portal.post("crm.item.add", {"entityTypeId": 1, "fields": {}})
    assert response.json()["error"] == "CRM_FIELD_ERROR_REQUIRED"
    assert portal.result("crm.lead.update", {"id": lead_id, "fields": {"NAME": "x"}}) is True
    move = {"id": lead_id, "fields": {"STATUS_ID": "IN_PROCESS"}}
    assert portal.post("crm.lead.update", move).status_code == 400
    move["fields"] = {"STATUS_ID": "IN_PROCESS", "UF_CRM_CITY": "Almaty"}
    assert portal.result("crm.lead.update", move) is True
    clear = {"id": lead_id, "fields": {"UF_CRM_CITY": ""}}
    assert portal.post("crm.lead.update", clear).status_code == 400
    portal.set(required_userfields="ignore")
    assert portal.add() == 2


def test_a_stage_may_need_a_field(emulator: Emulator) -> None:
    emulator.set(stage_mandatory_fields=["PROCESSED:EMAIL"])
    emulator.add()
    move: dict[str, Any] = {"id": 1, "fields": {"STATUS_ID": "PROCESSED"}}
    assert emulator.post("crm.lead.update", move).status_code == 400
    move["fields"]["EMAIL"] = [{"VALUE": "a@example.com"}]
    assert emulator.result("crm.lead.update", move) is True
    assert emulator.post("crm.lead.add", {"fields": {"STATUS_ID": "PROCESSED"}}).status_code == 400


def test_a_field_is_shown_changed_listed_and_deleted(portal: Emulator) -> None:
    portal.add(UF_CRM_WISH="tea")
    field = portal.result("crm.lead.userfield.get", {"id": 1})
    assert (field["FIELD_NAME"], field["MANDATORY"]) == ("UF_CRM_WISH", "N")
    assert field["EDIT_FORM_LABEL"]["en"] == "Wish"
    changes = {"MANDATORY": "Y", "EDIT_FORM_LABEL": {"en": "Hope"}, "FIELD_NAME": "OTHER"}
    assert portal.result("crm.lead.userfield.update", {"id": 1, "fields": changes}) is True
    field = portal.result("crm.lead.userfield.get", {"id": 1})
    assert (field["FIELD_NAME"], field["MANDATORY"]) == ("UF_CRM_WISH", "Y")
    assert (field["EDIT_FORM_LABEL"]["en"], field["EDIT_FORM_LABEL"]["de"]) == ("Hope", "")
    listed = portal.call("crm.lead.userfield.list", {"filter": {"MANDATORY": "Y", "LANG": "en"}})
    assert listed["total"] == 1
    assert listed["result"][0]["EDIT_FORM_LABEL"] == "Hope"
    assert portal.result("crm.lead.userfield.delete", {"id": 1}) is True
    assert "UF_CRM_WISH" not in portal.get(1)
    assert portal.post("crm.lead.userfield.get", {"id": 1}).json()["error"] == "ERROR_NOT_FOUND"


def test_items_of_a_list_change_by_their_id(portal: Emulator) -> None:
    red, green = portal.result("crm.lead.fields")["UF_CRM_COLOR"]["items"]
    changes = [{"ID": red["ID"], "VALUE": "dark red"}, {"ID": green["ID"], "DEL": "Y"}]
    fields = {"LIST": [*changes, {"VALUE": "blue", "SORT": 9}]}
    assert portal.result("crm.lead.userfield.update", {"id": 4, "fields": fields}) is True
    items = portal.result("crm.lead.userfield.get", {"id": 4})["LIST"]
    assert [item["VALUE"] for item in items] == ["dark red", "blue"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"USER_TYPE_ID": "string"}, ""),
        ({"FIELD_NAME": "A"}, ""),
        ({"FIELD_NAME": "A" * 44, "USER_TYPE_ID": "string"}, "ERROR_CORE"),
        ({"FIELD_NAME": "A B", "USER_TYPE_ID": "string"}, "ERROR_CORE"),
        ({"FIELD_NAME": "A", "USER_TYPE_ID": "nonsense"}, "ERROR_CORE"),
        (
            {
                "FIELD_NAME": "A",
                "USER_TYPE_ID": "enumeration",
                "LIST": [{"VALUE": "a", "XML_ID": "x"}, {"VALUE": "b", "XML_ID": "x"}],
            },
            "ERROR_CORE",
        ),
    ],
    ids=str,
)
def test_a_bad_definition_is_refused(emulator: Emulator, fields: Any, code: str) -> None:
    response = emulator.post("crm.lead.userfield.add", {"fields": fields})
    assert (response.status_code, response.json()["error"]) == (400, code)


def test_a_reset_deletes_user_fields(portal: Emulator) -> None:
    portal.control("POST", "reset")
    assert portal.result("crm.lead.userfield.list") == []
    assert "UF_CRM_WISH" not in portal.result("crm.lead.fields")

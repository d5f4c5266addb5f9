"""Changes in a portal besides our writes: people, robots, conversions, merges, the recycle bin.

As type of an object, 1 is a lead, 2 a deal, and 3 a contact.
"""

from typing import Any

import pytest
import requests

from tests.emulator.emulator_process import Emulator


def as_manager(emulator: Emulator, method: str, params: object = None) -> requests.Response:
    """A call by the webhook of user 2, who is no administrator."""
    url = f"{emulator.base}/rest/2/manager-webhook-code/{method}"
    return emulator.session.post(url, json=params or {}, timeout=60)


def history(emulator: Emulator, **params: Any) -> list[tuple[int, str]]:
    """The type of each entry (1 created, 2 moved, 3 ended) and its stage."""
    items = emulator.result("crm.stagehistory.list", {"entityTypeId": 1, **params})["items"]
    return [(item["TYPE_ID"], item["STATUS_ID"]) for item in items]


def test_the_stage_history_of_leads_has_their_creation_and_moves(emulator: Emulator) -> None:
    """Documentation: crm/crm-stage-history-list.md."""
    emulator.add()
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "x"}})
    for stage in ("IN_PROCESS", "JUNK"):
        emulator.result("crm.lead.update", {"id": 1, "fields": {"STATUS_ID": stage}})
    assert history(emulator) == [(1, "NEW"), (2, "IN_PROCESS"), (3, "JUNK")]
    assert history(emulator, filter={">ID": 1, "OWNER_ID": 1}, order={"ID": "DESC"}) == [
        (3, "JUNK"),
        (2, "IN_PROCESS"),
    ]
    assert history(emulator, filter={"@STATUS_ID": ["NEW"], "STATUS_SEMANTIC_ID": "P"}) == [
        (1, "NEW")
    ]
    row = emulator.result("crm.stagehistory.list", {"entityTypeId": 1})["items"][2]
    assert row["CREATED_TIME"] == emulator.get(1)["MOVED_TIME"]
    assert row.keys() == {
        "ID",
        "TYPE_ID",
        "OWNER_ID",
        "CREATED_TIME",
        "STATUS_SEMANTIC_ID",
        "STATUS_ID",
    }


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"entityTypeId": 3}, "ENTITY_TYPE_NOT_SUPPORTED"),
        ({"entityTypeId": 1, "filter": {"NAME": 1}}, "INVALID_ARG_VALUE"),
        ({"entityTypeId": 1, "filter": {">ID": "x"}}, "INVALID_ARG_VALUE"),
        ({"entityTypeId": 1, "order": {"ID": "UP"}}, "INVALID_ARG_VALUE"),
    ],
    ids=str,
)
def test_a_bad_history_call_is_refused(emulator: Emulator, params: Any, code: str) -> None:
    assert emulator.post("crm.stagehistory.list", params).json()["error"] == code


def test_a_merge_fills_the_first_object_and_deletes_the_others(emulator: Emulator) -> None:
    """Documentation: crm/duplicates/crm-entity-merge-batch.md."""
    emulator.add(NAME="Klaus", PHONE=[{"VALUE": "+7 700"}])
    emulator.add(NAME="Klaus", LAST_NAME="Weber", PHONE=[{"VALUE": "7700"}, {"VALUE": "8"}])
    merge = {"params": {"entityTypeId": 1, "entityIds": [1, 2]}}
    assert emulator.result("crm.entity.mergeBatch", merge) == {
        "STATUS": "SUCCESS",
        "ENTITY_IDS": [2],
    }
    lead = emulator.get(1)
    assert lead["LAST_NAME"] == "Weber"
    assert [row["VALUE"] for row in lead["PHONE"]] == ["+7 700", "8"]
    assert emulator.post("crm.lead.get", {"id": 2}).status_code == 400
    assert emulator.post("crm.entity.mergeBatch", merge).json() == {
        "error": 0,
        "error_description": "Owner was not found",
    }


def test_merging_objects_with_different_values_is_a_conflict(emulator: Emulator) -> None:
    emulator.add(NAME="Klaus")
    emulator.add(NAME="Karl")
    merge = {"params": {"entityTypeId": 1, "entityIds": [1, 2]}}
    assert emulator.result("crm.entity.mergeBatch", merge)["STATUS"] == "CONFLICT"
    assert len(emulator.leads()) == 2


def test_the_author_of_a_write_is_the_user_of_its_webhook(emulator: Emulator) -> None:
    emulator.set(manager_reads="all")
    emulator.add(ASSIGNED_BY_ID=2)
    changed = as_manager(
        emulator, "crm.lead.update", {"id": 1, "fields": {"STATUS_ID": "IN_PROCESS"}}
    )
    assert changed.json()["result"] is True
    lead = emulator.get(1)
    assert (lead["CREATED_BY_ID"], lead["MODIFY_BY_ID"], lead["MOVED_BY_ID"]) == ("1", "2", "2")
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "x"}})
    lead = emulator.get(1)
    assert (lead["MODIFY_BY_ID"], lead["MOVED_BY_ID"]) == ("1", "2")
    assert as_manager(emulator, "crm.lead.add").json()["result"] == 2
    lead = emulator.get(2)
    assert (lead["CREATED_BY_ID"], lead["ASSIGNED_BY_ID"]) == ("2", "2")
    wrong = emulator.session.post(
        f"{emulator.base}/rest/1/manager-webhook-code/profile", timeout=60
    )
    assert wrong.status_code == 401


def test_lists_leave_out_objects_that_the_user_may_not_read(emulator: Emulator) -> None:
    """Documentation: crm/universal/crm-item-list.md, crm-item-get.md."""
    emulator.add(PHONE=[{"VALUE": "1"}])
    emulator.add(ASSIGNED_BY_ID=2, PHONE=[{"VALUE": "1"}])
    rows = as_manager(emulator, "crm.lead.list", {"select": ["ID"]}).json()
    assert (rows["result"], rows["total"]) == ([{"ID": "2"}], 1)
    items = as_manager(emulator, "crm.item.list", {"entityTypeId": 1, "filter": {"id": [1, 2]}})
    assert [item["id"] for item in items.json()["result"]["items"]] == [2]
    either = {"entityTypeId": 1, "filter": {"logic": "OR", "id": 1, "stageId": "NEW"}}
    items = as_manager(emulator, "crm.item.list", either)
    assert [item["id"] for item in items.json()["result"]["items"]] == [2]
    params = {"entityTypeId": 1, "id": 1, "fields": {"name": "x"}}
    for method in ("crm.item.get", "crm.item.update", "crm.item.delete"):
        assert as_manager(emulator, method, params).json()["error"] == "ACCESS_DENIED"
    denied = as_manager(emulator, "crm.lead.get", {"id": 1}).json()
    assert denied == {"error": "", "error_description": "Access denied."}
    find = {"type": "PHONE", "values": ["1"]}
    found = as_manager(emulator, "crm.duplicate.findbycomm", find).json()
    assert found["result"] == {"LEAD": [2]}
    emulator.set(reads="none")
    assert emulator.result("crm.lead.list") == []
    assert emulator.post("crm.lead.get", {"id": 1}).status_code == 400


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("crm.lead.userfield.add", 403),
        ("crm.status.add", 400),
        ("crm.category.add", 400),
        ("event.offline.get", 403),
    ],
)
def test_only_an_administrator_may_configure_the_portal(
    emulator: Emulator, method: str, status: int
) -> None:
    response = as_manager(emulator, method, {"entityTypeId": 2, "fields": {}})
    assert response.status_code == status
    assert response.json()["error_description"].startswith("Access denied")


def test_a_robot_changes_a_field_after_a_write(emulator: Emulator) -> None:
    rule = {"entityTypeId": 1, "on": "move", "stage": "JUNK", "set": {"COMMENTS": "no"}, "user": 2}
    emulator.set(robots=[rule])
    emulator.add()
    move = {"entityTypeId": 1, "id": 1, "fields": {"stageId": "JUNK"}}
    assert emulator.result("crm.item.update", move)["item"]["comments"] is None
    lead = emulator.get(1)
    assert (lead["COMMENTS"], lead["MODIFY_BY_ID"]) == ("no", "2")
    methods = [change["method"] for change in emulator.leads()[0]["history"]]
    assert methods == ["crm.lead.add", "crm.item.update", "robot"]
    emulator.set(robots=[{**rule, "on": "add", "stage": "NEW"}])
    emulator.result("crm.item.import", {"entityTypeId": 1, "fields": {}})
    assert emulator.get(2)["COMMENTS"] is None
    emulator.set(robots_on=False)
    assert emulator.get(emulator.add())["COMMENTS"] is None
    bad = emulator.session.put(
        emulator.base + "/_emulator/settings", json={"robots": [{"on": "x"}]}, timeout=60
    )
    assert bad.status_code == 422


def test_a_system_action_changes_neither_date_nor_author(emulator: Emulator) -> None:
    emulator.set(manager_reads="all")
    emulator.result(
        "crm.item.import",
        {"entityTypeId": 1, "fields": {"createdTime": "2024-01-01T00:00:00+03:00"}},
    )
    before = emulator.get(1)
    change = {"fields": {"COMMENTS": "x"}, "system": True}
    assert emulator.control("PATCH", "items/1/1", change)["COMMENTS"] == "x"
    after = emulator.get(1)
    assert after == {**before, "COMMENTS": "x"}
    emulator.control("PATCH", "items/1/1", {"fields": {"NAME": "y"}, "user": 2})
    assert emulator.get(1)["MODIFY_BY_ID"] == "2"
    assert emulator.get(1)["DATE_MODIFY"] > before["DATE_MODIFY"]


def test_a_restored_object_has_a_new_id(emulator: Emulator) -> None:
    emulator.add(NAME="Klaus", PHONE=[{"VALUE": "1"}], ORIGIN_ID="7")
    assert emulator.control("DELETE", "items/1/1") == {"deleted": 1}
    assert emulator.leads() == []
    (entry,) = emulator.control("GET", "bin")
    assert (entry["entityTypeId"], entry["id"]) == (1, 1)
    restored = emulator.control("POST", f"bin/{entry['number']}")
    assert (restored["ID"], restored["NAME"], restored["ORIGIN_ID"]) == ("2", "Klaus", "7")
    assert restored["PHONE"][0]["VALUE"] == "1"
    assert emulator.control("GET", "bin") == []


def test_simple_mode_makes_a_contact_and_a_deal(emulator: Emulator) -> None:
    """Documentation: how-to-add-objects-with-crm-mode.md."""
    emulator.set(crm_mode="simple")
    lead = emulator.add(NAME="Klaus", OPPORTUNITY=5, PHONE=[{"VALUE": "1"}])
    deals = {"filter": {"LEAD_ID": lead}, "select": ["ID", "CONTACT_ID", "OPPORTUNITY"]}
    assert emulator.call("crm.deal.list", deals)["result"] == [
        {"ID": "1", "CONTACT_ID": "1", "OPPORTUNITY": "5.00"}
    ]
    contact = emulator.result("crm.contact.get", {"id": 1})
    assert (contact["NAME"], contact["LEAD_ID"], contact["PHONE"][0]["VALUE"]) == (
        "Klaus",
        "1",
        "1",
    )


def test_classic_mode_creates_nothing_whatever_the_stage(emulator: Emulator) -> None:
    """Documentation: crm/leads/index.md."""
    emulator.add(NAME="Klaus", STATUS_ID="CONVERTED")
    assert emulator.result("crm.deal.list") == []


def test_pipelines_have_stages_of_their_own(emulator: Emulator) -> None:
    """Documentation: crm/universal/category/."""
    params = {"entityTypeId": 2, "fields": {"name": "Second"}}
    pipeline = emulator.result("crm.category.add", params)["category"]
    assert (pipeline["id"], pipeline["isDefault"]) == (1, "N")
    stages = emulator.result("crm.status.list", {"filter": {"ENTITY_ID": "DEAL_STAGE_1"}})
    assert stages[0]["STATUS_ID"] == "C1:NEW"
    deal = {"entityTypeId": 2, "fields": {"title": "D", "categoryId": 1}}
    item = emulator.result("crm.item.add", deal)["item"]
    assert (item["categoryId"], item["stageId"], item["isNew"]) == (1, "C1:NEW", "Y")
    won = {"entityTypeId": 2, "id": 1, "fields": {"stageId": "C1:WON"}}
    item = emulator.result("crm.item.update", won)["item"]
    assert (item["stageSemanticId"], item["closed"]) == ("S", "Y")
    used = emulator.post("crm.category.delete", {"entityTypeId": 2, "id": 1})
    assert used.json()["error"] == 0
    lead = emulator.post("crm.category.list", {"entityTypeId": 1})
    assert lead.json()["error"] == "ENTITY_TYPE_NOT_SUPPORTED"


def test_users_are_found_by_filters_and_search(emulator: Emulator) -> None:
    """Documentation: user/user-get.md, user-search.md."""
    users = emulator.call("user.get", {"FILTER": {"ACTIVE": True}})
    assert ([user["ID"] for user in users["result"]], users["total"]) == (["1", "2"], 2)
    assert [user["ID"] for user in emulator.result("user.get", {"ID": [2, 3]})] == ["2", "3"]
    by_name = emulator.result("user.search", {"FILTER": {"FIND": "maj ma"}})
    assert [user["NAME"] for user in by_name] == ["Mary"]
    assert emulator.result("user.get", {"sort": "ID", "order": "DESC", "select": ["ID"]})[0] == {
        "ID": "3"
    }
    assert as_manager(emulator, "user.current").json()["result"]["ID"] == "2"
    assert as_manager(emulator, "profile").json()["result"]["ADMIN"] is False
    emulator.set(scope=["crm"])
    assert emulator.post("user.current").json()["error"] == "insufficient_scope"
    assert emulator.post("profile").status_code == 200


def test_method_get_and_feature_get_report_what_exists(emulator: Emulator) -> None:
    """Documentation: common/system/method-get.md, feature-get.md."""
    yes = {"isExisting": True, "isAvailable": True}
    assert emulator.result("method.get", {"name": "crm.item.batchImport"}) == yes
    no = {"isExisting": False, "isAvailable": False}
    assert emulator.result("method.get", {"name": "crm.no.such"}) == no
    assert emulator.result("method.get") == no
    emulator.set(scope=["crm"])
    assert emulator.result("method.get", {"name": "user.get"})["isAvailable"] is False
    assert emulator.result("feature.get", {"CODE": "rest_offline_extended"}) == {"value": "Y"}
    assert emulator.post("feature.get").json()["error"] == "CODE_EMPTY"

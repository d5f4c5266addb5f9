"""A field map that changes while users are queued: nothing is lost or written wrongly."""

from collections.abc import Callable
from typing import Any

import pytest

from leadline.messages import topology
from leadline.operations import status
from leadline.sync import portal_session
from leadline.sync.fields import last_check
from tests.integration.conftest import CommandOutput, Control, rows
from tests.integration.pipeline import Pipeline
from tests.integration.test_further_fields import (
    ANN,
    CITY,
    MAP,
    add_userfield,
    call_portal,
    create_with_fields,
    field_of,
    lead_of,
    patch_user,
    send,
    sync_of,
)

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]
UseMap = Callable[[str], None]


@pytest.fixture
def servers(in_postgres: str, in_redis: str, in_rabbitmq: str, field_map: UseMap) -> None:
    assert all((in_postgres, in_redis, in_rabbitmq))
    field_map(MAP)


def create_queued_users(pipeline: Pipeline, **fields: Any) -> list[dict[str, Any]]:
    """Three users that wait in the work queue."""
    users = [
        create_with_fields(phone=f"+7700111224{n}", full_name=f"User {n}", **fields)
        for n in range(3)
    ]
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    return users


def versions() -> set[int]:
    return {row["version"] for row in rows("SELECT version FROM users")}


def plan_and_apply(leadline: Leadline, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Make a plan, apply it and settle the events; returns the lines. The next plan is empty."""
    planned = leadline("plan", "--json")
    assert leadline("apply", "--yes").code == 0, planned.err
    pipeline.settle()
    assert leadline("plan").code == 0, "nothing is left"
    return [line for line in planned.lines if "kind" in line]


def test_a_field_added_meanwhile_reaches_those_that_have_it(
    field_map: UseMap, pipeline: Pipeline, leadline: Leadline
) -> None:
    add_userfield("CITY")
    users = create_queued_users(pipeline, email="ann@example.com")
    field_map(MAP + CITY.replace("\nlead", '\ndefault = "Almaty"\nlead'))
    patch_user(users[0], city="Astana")
    late = create_with_fields(full_name="Late", phone="+77001112299")
    pipeline.settle()
    assert [field_of(user, "UF_CRM_CITY") or "" for user in (*users, late)] == [
        "Astana",
        "",
        "",
        "Almaty",
    ]
    assert all(lead_of(user)["EMAIL"] == ["ann@example.com"] for user in users)
    assert all("open_fields" not in sync_of(user) for user in users)
    assert versions() == {1, 2}, "users from before get no default, and no event"
    assert leadline("plan").code == 0


def test_a_field_dropped_from_the_map_meanwhile_is_left_alone_until_it_is_back(
    field_map: UseMap, pipeline: Pipeline, leadline: Leadline
) -> None:
    add_userfield("CITY")
    field_map(MAP + CITY)
    users = create_queued_users(pipeline, email="ann@example.com", city="Almaty")
    field_map(MAP)
    patch_user(users[0], email="b@example.com")
    pipeline.settle()
    assert {field_of(user, "UF_CRM_CITY") or "" for user in users} == {""}
    assert all(sync_of(user)["status"] == "synced" for user in users)
    assert lead_of(users[0])["EMAIL"] == ["b@example.com"]
    assert leadline("plan").code == 0
    field_map(MAP + CITY)
    lines = plan_and_apply(leadline, pipeline)
    assert {line["kind"] for line in lines} == {"update"}
    assert [line["changes"] for line in lines] == [{"city": [None, "Almaty"]}] * 3
    assert {field_of(user, "UF_CRM_CITY") for user in users} == {"Almaty"}


def test_values_of_a_type_that_changed_meanwhile_are_not_written(
    field_map: UseMap, pipeline: Pipeline
) -> None:
    add_userfield("CITY")
    add_userfield("AREA", "double")
    field_map(MAP + CITY)
    users = create_queued_users(pipeline, email="ann@example.com", city="Almaty")
    area = CITY.replace('"text"', '"number"').replace("UF_CRM_CITY", "UF_CRM_AREA")
    field_map(MAP + area)
    pipeline.settle()
    for user in users:
        assert (sync_of(user)["status"], sync_of(user)["open_fields"]) == ("synced", ["city"])
        assert lead_of(user)["EMAIL"] == ["ann@example.com"]
        assert not field_of(user, "UF_CRM_CITY")
        assert not field_of(user, "UF_CRM_AREA")
    answer = patch_user(users[0], full_name="Anna")
    assert answer.status_code == 200, "an old value blocks no other change"
    assert patch_user(users[0], city="Astana").status_code == 422
    assert patch_user(users[0], city=7).json["city"] == 7
    pipeline.settle()
    assert float(field_of(users[0], "UF_CRM_AREA")) == 7
    assert "open_fields" not in sync_of(users[0])


def test_values_that_a_list_lost_meanwhile_are_not_written(
    field_map: UseMap, pipeline: Pipeline
) -> None:
    users = create_queued_users(pipeline, source="call")
    field_map(MAP.replace('call = "CALL"', 'phone = "CALL"'))
    pipeline.settle()
    assert all(sync_of(user)["open_fields"] == ["source"] for user in users)
    assert all(sync_of(user)["status"] == "synced" for user in users)
    patch_user(users[0], source="phone")
    pipeline.settle()
    assert lead_of(users[0])["SOURCE_ID"] == "CALL"


def test_a_target_moved_meanwhile_gets_the_values(
    field_map: UseMap, pipeline: Pipeline, leadline: Leadline
) -> None:
    add_userfield("CITY")
    add_userfield("TOWN")
    field_map(MAP + CITY)
    early = create_with_fields(**{**ANN, "full_name": "Early"}, city="Almaty")
    pipeline.settle()
    users = create_queued_users(pipeline, city="Almaty")
    patch_user(early, budget=3)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    other = create_with_fields(full_name="Other", phone="+77001112290", city="Almaty")
    field_map(MAP + CITY.replace("UF_CRM_CITY", "UF_CRM_TOWN"))
    pipeline.settle()
    for user in (*users, early, other):
        assert field_of(user, "UF_CRM_TOWN") == "Almaty"
    assert field_of(early, "UF_CRM_CITY") == "Almaty", "what was written stays"
    assert lead_of(early)["OPPORTUNITY"] == "3.00"
    field_map(MAP + CITY)
    lines = plan_and_apply(leadline, pipeline)
    assert len(lines) == 4
    assert {field_of(user, "UF_CRM_CITY") for user in users} == {"Almaty"}


def test_an_email_moved_to_another_kind_meanwhile_leaves_one_row(
    field_map: UseMap, pipeline: Pipeline, leadline: Leadline
) -> None:
    user = create_with_fields(email="ann@example.com")
    pipeline.settle()
    patch_user(user, budget=3)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    field_map(MAP.replace('lead = "EMAIL"', 'lead = "EMAIL"\nvalue_type = "HOME"'))
    pipeline.settle()
    conditions = {"=ORIGIN_ID": str(user["id"])}
    (lead,) = call_portal("crm.lead.list", filter=conditions, select=["ID", "EMAIL"])
    assert [row["VALUE"] for row in lead["EMAIL"]] == ["ann@example.com"], "one row has the value"
    assert leadline("plan").code == 0


def test_a_field_that_became_required_blocks_no_old_user(
    field_map: UseMap, pipeline: Pipeline
) -> None:
    add_userfield("CITY")
    users = create_queued_users(pipeline)
    field_map(MAP + CITY + "required = true\n")
    assert patch_user(users[0], full_name="Anna").status_code == 200
    refused = patch_user(users[0], city=None)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "city"
    pipeline.settle()
    assert all(sync_of(user)["status"] == "synced" for user in users)
    assert lead_of(users[0])["TITLE"] == "Anna"


@pytest.fixture
def size(connected: None) -> None:
    """A field of the portal with a list of one value."""
    assert connected is None
    add_userfield("SIZE", "enumeration", LIST=[{"VALUE": "Small"}])


@pytest.mark.parametrize(
    ("constant", "problem"),
    [
        ('SOURCE_ID = "FAX"', "the portal's list has no FAX"),
        ("ASSIGNED_BY_ID = 3", "the portal has no active user 3"),  # dismissed
        ("ASSIGNED_BY_ID = 99", "the portal has no active user 99"),
        ('UF_CRM_SIZE = "999"', "the portal's list has no 999"),  # the portal refuses the lead, too
    ],
)
@pytest.mark.usefixtures("size")
def test_a_wrong_constant_is_named_and_users_get_their_leads(  # noqa: PLR0917 - fixtures
    constant: str,
    problem: str,
    field_map: UseMap,
    settle: Callable[[], None],
    check_fields: Callable[[], None],
    leadline: Leadline,
) -> None:
    field_map(f'[fields.email]\ntype = "email"\nlead = "EMAIL"\n[constants]\n{constant}\n')
    check_fields()
    user = create_with_fields(email="ann@example.com")
    settle()
    assert sync_of(user)["status"] == "synced"
    assert lead_of(user)["EMAIL"] == ["ann@example.com"]
    (misfit,) = status.fields()["misfits"]
    assert (misfit["field"], misfit["lead"]) == ("constants", constant.split(maxsplit=1)[0])
    assert problem in misfit["problem"]
    assert "field_misfit" in [finding.code for finding in status.findings({})]
    checks = leadline("doctor", "--json").json["checks"]
    assert problem in " ".join(check["told"] for check in checks if not check["is_well"])


def test_a_refusal_is_understood_by_the_check_of_the_changed_map(
    field_map: UseMap, settle: Callable[[], None], check_fields: Callable[[], None]
) -> None:
    check_fields()
    for _ in range(2):  # the second time from this process's cache, which lasts a minute
        assert last_check.request_and_read().digest
    add_userfield("SIZE", "enumeration", LIST=[{"VALUE": "Small"}])
    field_map(MAP + 'UF_CRM_SIZE = "999"\n')
    check_fields()
    user = create_with_fields()
    settle()
    assert sync_of(user)["status"] == "synced"


def test_without_the_scope_people_are_not_read(
    field_map: UseMap, check_fields: Callable[[], None], control: Control
) -> None:
    control("settings", "PUT", {"scope": ["crm"]})
    field_map(MAP.replace("ASSIGNED_BY_ID = 2", "ASSIGNED_BY_ID = 99"))
    check_fields()
    assert status.fields()["misfits"] == []
    assert portal_session.circuit_breaker().restore_and_read() is None
    assert control("calls")["methods"].get("user.get", 0) == 0
    control("settings", "PUT", {"scope": ["crm", "user"]})


def test_a_change_under_if_match_keeps_the_other_fields(settle: Callable[[], None]) -> None:
    user = create_with_fields(email="ann@example.com", budget=5, born="1990-01-31")
    path = f"/users/{user['id']}"
    changed = send("update_user", path, {"budget": 6}, "PATCH", **{"If-Match": '"1"'})
    assert changed.json == {**user, "budget": 6}
    late = send("update_user", path, {"born": None}, "PATCH", **{"If-Match": '"1"'})
    assert late.status_code == 412
    settle()
    lead = lead_of(user)
    assert (lead["EMAIL"], lead["OPPORTUNITY"]) == (["ann@example.com"], "6.00")
    assert lead["BIRTHDATE"].startswith("1990-01-31")

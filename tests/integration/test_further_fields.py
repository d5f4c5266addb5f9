"""Further fields travel from a request to the lead with each write, and change nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from leadline import process
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError
from leadline.mapping import current
from leadline.operations import status
from leadline.operations.resync_users import resync_users
from leadline.settings import settings
from leadline.sync import portal_session
from leadline.sync.fields import last_check
from leadline.users import search, search_index
from tests.integration.conftest import Control, execute, function_client, rows

pytestmark = pytest.mark.usefixtures("connected")

MAP = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.source]
type = "one-of"
values = { site = "WEB", call = "CALL" }
lead = "SOURCE_ID"
default = "site"

[fields.budget]
type = "number"
lead = "OPPORTUNITY"
min = 0

[fields.born]
type = "date"
lead = "BIRTHDATE"

[fields.note]
type = "text"
lead = "COMMENTS"
owner = "crm"
multiline = true

[constants]
ASSIGNED_BY_ID = 2
"""
ANN = {"full_name": "Ann", "phone": "+77001112233"}
FULL = {**ANN, "email": "ann@example.com", "budget": 12.5, "born": "1990-01-31", "note": "Hi\nyou"}
SHOWN = {"email": None, "source": None, "budget": None, "born": None, "note": None}


@pytest.fixture
def servers(
    in_postgres: str, in_redis: str, in_rabbitmq: str, field_map: Callable[[str], None]
) -> None:
    assert all((in_postgres, in_redis, in_rabbitmq))
    field_map(MAP)


def send(function: str, path: str, body: object, method: str = "POST", **headers: str) -> Any:
    """The answer of a function to this request."""
    return function_client(function).open(path, method=method, json=body, headers=headers)


def create_with_fields(**extra: Any) -> dict[str, Any]:
    answer = send("create_user", "/users", {**ANN, **extra})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def patch_user(user: dict[str, Any], **changes: Any) -> Any:
    return send("update_user", f"/users/{user['id']}", changes, "PATCH")


def call_portal(method: str, **params: object) -> Any:
    """A call to the portal by another client."""
    answer = portal_session.portal_client().call({"one": Command(method, params)}).results["one"]
    assert not isinstance(answer, BitrixError), answer.detail
    return answer


COLUMNS = ["ID", "TITLE", "SOURCE_ID", "OPPORTUNITY", "BIRTHDATE", "COMMENTS", "ASSIGNED_BY_ID"]


def lead_of(user: dict[str, Any]) -> dict[str, Any]:
    conditions = {"=ORIGIN_ID": str(user["id"])}
    (lead,) = call_portal("crm.lead.list", filter=conditions, select=[*COLUMNS, "EMAIL"])
    return {**lead, "EMAIL": [row["VALUE"] for row in lead.get("EMAIL") or ()]}


def change_by_hand(user: dict[str, Any], **fields: Any) -> None:
    call_portal("crm.lead.update", id=lead_of(user)["ID"], fields=fields)


def test_a_user_is_stored_answered_and_read_with_its_fields() -> None:
    user = create_with_fields(**FULL)
    assert user == {"id": user["id"], **FULL, "stage": "NEW", "source": "site"}
    read = send("get_user", f"/users/{user['id']}", None, "GET").json
    assert {name: read[name] for name in SHOWN} == {name: user[name] for name in SHOWN}
    (listed,) = send("list_users", "/users", None, "GET").json["items"]
    assert {name: listed[name] for name in SHOWN} == {name: user[name] for name in SHOWN}


def test_a_change_merges_field_by_field_and_null_clears() -> None:
    user = create_with_fields(**FULL)
    answer = patch_user(user, email="b@example.com", note=None)
    assert answer.status_code == 200, answer.text
    assert answer.json == {**user, "email": "b@example.com", "note": None}
    (stored,) = rows("SELECT fields, changed FROM events ORDER BY version DESC LIMIT 1")
    assert stored["changed"] == "email,note"
    assert stored["fields"]["note"] is None
    assert stored["fields"]["source"] == "site"
    moved = send("move_user", f"/users/{user['id']}/move", {"stage": "JUNK"})
    assert moved.json == {**answer.json, "stage": "JUNK"}


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"email": "nobody"}, "email", "e-mail"),
        ({"email": 5}, "email", "string"),
        ({"source": "fax"}, "source", "'site' or 'call'"),
        ({"budget": "5"}, "budget", "number"),
        ({"budget": True}, "budget", "number"),
        ({"budget": -1}, "budget", "at least 0"),
        ({"born": "31.01.1990"}, "born", "date"),
        ({"born": "1990-02-31"}, "born", "date"),
        ({"note": "a\x00b"}, "note", "control"),
        ({"note": "x" * 256}, "note", "255"),
        ({"colour": "red"}, "colour", "not a field"),
    ],
)
def test_an_invalid_field_is_named(fields: dict[str, Any], field: str, why: str) -> None:
    for answer in (
        send("create_user", "/users", {**ANN, **fields}),
        send("update_user", "/users/1", fields, "PATCH"),
        send("upsert_users", "/users/by-external-id/x", {**ANN, **fields}, "PUT"),
    ):
        assert answer.status_code == 422, answer.text
        (first, *_) = answer.json["errors"]
        assert first["field"].startswith(field), answer.json
        assert any(why in error["message"] for error in answer.json["errors"]), answer.json
    assert rows("SELECT FROM users") == []


def test_a_required_field_is_required_of_new_users_and_never_cleared(
    field_map: Callable[[str], None],
) -> None:
    user = create_with_fields()
    field_map(MAP.replace('lead = "EMAIL"', 'lead = "EMAIL"\nrequired = true'))
    answer = send("create_user", "/users", ANN)
    assert [error["field"] for error in answer.json["errors"]] == ["email"]
    assert patch_user(user, full_name="Anna").status_code == 200
    assert patch_user(user, email=None).status_code == 422
    assert patch_user(user, email="a@example.com").json["email"] == "a@example.com"


def upsert(fields: dict[str, Any]) -> Any:
    return send("upsert_users", "/users/by-external-id/x", {**ANN, **fields}, "PUT")


def test_an_upsert_changes_the_given_fields_only() -> None:
    first = upsert({"email": "a@example.com"})
    assert (first.status_code, first.json["source"]) == (201, "site")
    assert upsert({"email": "a@example.com"}).headers["ETag"] == '"1"'
    second = upsert({"budget": 5})
    assert second.headers["ETag"] == '"2"'
    assert second.json == {**first.json, "budget": 5}
    assert rows("SELECT changed FROM events WHERE version = 2") == [{"changed": "budget"}]
    assert upsert({"source": "call", "budget": 5}).headers["ETag"] == '"3"'
    third = upsert({"budget": None})
    assert (third.headers["ETag"], third.json["budget"]) == ('"4"', None)
    assert upsert({"budget": None}).headers["ETag"] == '"4"'


def test_new_users_of_a_batch_get_their_own_fields() -> None:
    users = [{**ANN, "budget": number} for number in (3, 1, 2, 1)] + [ANN, {**ANN, "budget": "x"}]
    answer = send("upsert_users", "/users/batch", {"users": users}).json["items"]
    assert [item.get("user", {}).get("budget") for item in answer] == [3, 1, 2, 1, None, None]
    assert [item["status"] for item in answer] == [201] * 5 + [422]
    stored = rows("SELECT id, fields FROM users ORDER BY id")
    by_id = {item["user"]["id"]: item["user"]["budget"] for item in answer[:5]}
    assert {row["id"]: row["fields"].get("budget") for row in stored} == by_id
    assert len(rows("SELECT FROM events JOIN users USING (fields)")) >= 5, (
        "the events have them, too"
    )


@pytest.mark.parametrize("write", ["create", "upsert", "batch", "change"])
def test_an_idempotency_key_covers_the_fields(write: str) -> None:
    def request(email: str) -> Any:
        key = {"Idempotency-Key": "k"}
        body = {**ANN, "email": email}
        if write == "create":
            return send("create_user", "/users", body, **key)
        if write == "upsert":
            return send("upsert_users", "/users/by-external-id/x", body, "PUT", **key)
        if write == "batch":
            return send("upsert_users", "/users/batch", {"users": [body]}, **key)
        return send("update_user", f"/users/{user['id']}", {"email": email}, "PATCH", **key)

    user = create_with_fields(budget=4) if write == "change" else {}
    first, repeat = request("a@example.com"), request("a@example.com")
    assert first.status_code < 300, first.text
    assert (repeat.status_code, repeat.json) == (first.status_code, first.json)
    assert request("b@example.com").json["code"] == "idempotency_key_reused"


def test_the_answer_to_a_repeat_shows_the_fields_of_its_time() -> None:
    upsert({"email": "a@example.com", "budget": 1})
    key = {"Idempotency-Key": "k"}
    path = "/users/by-external-id/x"
    first = send("upsert_users", path, {**ANN, "budget": 2}, "PUT", **key)
    upsert({"budget": 3})
    repeat = send("upsert_users", path, {**ANN, "budget": 2}, "PUT", **key)
    assert repeat.json == first.json
    assert repeat.json["email"] == "a@example.com"


def test_without_a_map_fields_are_unknown_and_those_stored_stay(
    field_map: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = create_with_fields(**FULL)
    monkeypatch.delenv("LEADLINE_MAPPING")
    process.forget(settings)
    process.forget(current._map_file)  # noqa: SLF001 - as a new process
    assert patch_user(user, email="b@example.com").status_code == 422
    answer = patch_user(user, full_name="Anna")
    assert answer.json == {"id": user["id"], **ANN, "full_name": "Anna", "stage": "NEW"}
    field_map(MAP)
    assert patch_user(user, budget=1).json == {**user, "full_name": "Anna", "budget": 1}


def test_a_field_reaches_its_lead_and_changes_there(settle: Callable[[], None]) -> None:
    user = create_with_fields(**FULL)
    settle()
    lead = lead_of(user)
    assert lead["EMAIL"] == ["ann@example.com"]
    assert (lead["SOURCE_ID"], lead["OPPORTUNITY"]) == ("WEB", "12.50")
    assert (lead["COMMENTS"], lead["ASSIGNED_BY_ID"]) == ("Hi\nyou", "2")
    assert lead["BIRTHDATE"].startswith("1990-01-31")
    patch_user(user, email="b@example.com", source="call", budget=None)
    settle()
    changed = lead_of(user)
    assert changed["EMAIL"] == ["b@example.com"]
    assert (changed["SOURCE_ID"], changed["OPPORTUNITY"]) == ("CALL", "0.00")
    assert changed["COMMENTS"] == lead["COMMENTS"]


def test_a_field_changed_by_hand_stays_until_its_user_changes_it(
    settle: Callable[[], None],
) -> None:
    user = create_with_fields(source="site", note="Ours")
    settle()
    change_by_hand(user, SOURCE_ID="CALL", COMMENTS="Theirs")
    patch_user(user, budget=5)
    settle()
    lead = lead_of(user)
    assert (lead["SOURCE_ID"], lead["COMMENTS"], lead["OPPORTUNITY"]) == ("CALL", "Theirs", "5.00")
    patch_user(user, note="Ours again")
    settle()
    assert lead_of(user)["COMMENTS"] == "Theirs", "the CRM owns this field"


def test_a_field_of_the_crm_is_filled_while_it_is_empty(settle: Callable[[], None]) -> None:
    user = create_with_fields()
    settle()
    patch_user(user, note="Ours")
    settle()
    assert lead_of(user)["COMMENTS"] == "Ours"
    other = create_with_fields(phone="+77001112244")
    settle()
    change_by_hand(other, COMMENTS="Theirs")
    patch_user(other, note="Ours")
    settle()
    assert lead_of(other)["COMMENTS"] == "Theirs"


def test_a_new_map_touches_no_lead_until_its_user_changes(
    settle: Callable[[], None], field_map: Callable[[str], None]
) -> None:
    field_map("")
    user = create_with_fields()
    settle()
    field_map(MAP)
    change_by_hand(user, SOURCE_ID="CALL", EMAIL=[{"VALUE": "x@y.zz", "VALUE_TYPE": "WORK"}])
    patch_user(user, full_name="Anna")
    settle()
    lead = lead_of(user)
    assert (lead["TITLE"], lead["SOURCE_ID"], lead["EMAIL"]) == ("Anna", "CALL", ["x@y.zz"])
    patch_user(user, email="b@example.com")
    settle()
    assert lead_of(user)["EMAIL"] == ["b@example.com"]


def test_a_message_of_an_older_sender_keeps_the_fields(settle: Callable[[], None]) -> None:
    user = create_with_fields(**FULL)
    settle()
    execute(
        "UPDATE users SET version = version + 1, full_name = 'Anna', sync_status = 'waiting',"
        " sync_reason = NULL, sync_attempts = 0"
    )
    execute(
        "INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,"
        " correlation_id, traceparent, due_at) SELECT gen_random_uuid(), id, version,"
        " 'update_card', full_name, phone, stage, 'full_name', 'c',"
        " '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', now() FROM users"
    )
    settle()
    lead = lead_of(user)
    assert (lead["TITLE"], lead["EMAIL"]) == ("Anna", ["ann@example.com"])


def test_an_erased_person_leaves_no_field_behind(settle: Callable[[], None]) -> None:
    user = create_with_fields(**FULL)
    settle()
    assert function_client("delete_user").delete(f"/users/{user['id']}").status_code == 204
    settle()
    lead = lead_of(user)
    assert (lead["EMAIL"], lead["COMMENTS"], lead["BIRTHDATE"]) == ([], "", "")
    remaining_rows = rows("SELECT fields FROM users UNION ALL SELECT fields FROM events")
    assert [row["fields"] for row in remaining_rows] == [None] * 3, "a user and its two events"
    assert "ann@example.com" not in json.dumps(rows("SELECT * FROM user_terms"), default=str)


def test_fields_that_the_portal_requires_hold_nothing_of_an_erased_person(
    field_map: Callable[[str], None], settle: Callable[[], None]
) -> None:
    """A mandatory field can't be emptied; the rest must not stay because of it."""
    add_userfield("CITY", "string", MANDATORY="Y")
    add_userfield("MET", "date", MANDATORY="Y")
    required = "required = true\n"
    field_map(
        f'{MAP}\n[fields.city]\ntype = "text"\nlead = "UF_CRM_CITY"\n{required}'
        f'[fields.met]\ntype = "date"\nlead = "UF_CRM_MET"\n{required}'
    )
    user = create_with_fields(**FULL, city="Almaty", met="2026-01-31")
    settle()
    assert function_client("delete_user").delete(f"/users/{user['id']}").status_code == 204
    settle()
    lead = lead_of(user)
    assert (lead["TITLE"], lead["EMAIL"], lead["COMMENTS"]) == ("Erased", [], "")
    item = call_portal("crm.lead.get", id=lead["ID"])
    assert (item["UF_CRM_CITY"], item["UF_CRM_MET"][:10]) == ("Erased", "1900-01-01")
    assert [row["lead"] for row in rows("SELECT lead FROM erasures")] == ["blanked"]


def test_fields_that_the_portal_alone_requires_get_neutral_values(
    control: Control, field_map: Callable[[str], None], settle: Callable[[], None]
) -> None:
    """The map does not say so: the portal may have required them since."""
    field_map(f'{MAP}\n[fields.work]\ntype = "email"\nlead = "UF_CRM_WORK"\n')
    add_userfield("WORK", "string", MANDATORY="Y")
    user = create_with_fields(**FULL, work="ann@work.example")
    settle()
    control("settings", "PUT", {"mandatory_fields": ["EMAIL", "PHONE", "COMMENTS"]})
    assert function_client("delete_user").delete(f"/users/{user['id']}").status_code == 204
    settle()
    lead = lead_of(user)
    email = f"erased-{lead['ID']}@erased.invalid"
    assert (lead["TITLE"], lead["EMAIL"], lead["COMMENTS"]) == ("Erased", [email], "Erased")
    assert call_portal("crm.lead.get", id=lead["ID"])["UF_CRM_WORK"] == email
    assert [row["lead"] for row in rows("SELECT lead FROM erasures")] == ["blanked"]


def test_further_fields_changed_by_hand_are_compared_one_by_one(settle: Callable[[], None]) -> None:
    user = create_with_fields(**FULL)
    settle()
    change_by_hand(user, BIRTHDATE="1980-01-01", COMMENTS="Theirs")
    resync_users([user["id"]])
    settle()
    lead = lead_of(user)
    assert lead["BIRTHDATE"].startswith("1990-01-31")
    assert lead["COMMENTS"] == "Theirs"


CITY = '\n[fields.city]\ntype = "text"\nlead = "UF_CRM_CITY"\n'


def sync_of(user: dict[str, Any]) -> dict[str, Any]:
    return dict(send("get_user", f"/users/{user['id']}", None, "GET").json["sync"])


def add_userfield(name: str, kind: str = "string", **extra: Any) -> int:
    fields = {"FIELD_NAME": name, "USER_TYPE_ID": kind, "EDIT_FORM_LABEL": name.title(), **extra}
    return int(call_portal("crm.lead.userfield.add", fields=fields))


def field_of(user: dict[str, Any], name: str) -> Any:
    (lead,) = call_portal("crm.lead.list", filter={"=ORIGIN_ID": str(user["id"])}, select=[name])
    return lead.get(name)


def test_user_fields_of_the_portal_arrive_change_and_survive_a_new_label(
    settle: Callable[[], None], field_map: Callable[[str], None]
) -> None:
    field_ids = [
        add_userfield("CITY"),
        add_userfield("VIP", "boolean"),
        add_userfield("SCORE", "double"),
        add_userfield("SIZE", "enumeration", LIST=[{"VALUE": "Small"}, {"VALUE": "Big"}]),
        add_userfield("MET", "date"),
    ]
    described = call_portal("crm.lead.fields")["UF_CRM_SIZE"]["items"]
    small, big = (item["ID"] for item in described)
    field_map(
        MAP
        + CITY
        + '[fields.vip]\ntype = "bool"\nlead = "UF_CRM_VIP"\n'
        + '[fields.score]\ntype = "number"\nlead = "UF_CRM_SCORE"\n'
        + '[fields.met]\ntype = "date"\nlead = "UF_CRM_MET"\n'
        + '[fields.size]\ntype = "one-of"\nlead = "UF_CRM_SIZE"\n'
        + f'values = {{ small = "{small}", big = "{big}" }}\n'
    )
    values = {"city": "Almaty", "vip": True, "score": 2.5, "size": "big", "met": "2026-01-31"}
    user = create_with_fields(**FULL, **values)
    settle()
    assert "open_fields" not in sync_of(user)
    assert field_of(user, "UF_CRM_CITY") == "Almaty"
    assert str(field_of(user, "UF_CRM_SIZE")) == str(big)
    assert float(field_of(user, "UF_CRM_SCORE")) == 2.5
    assert field_of(user, "UF_CRM_VIP") in {"1", "Y", 1}
    assert field_of(user, "UF_CRM_MET").startswith("2026-01-31")
    before = lead_of(user)
    patch_user(user, full_name="Anna")
    settle()
    version = sync_of(user)["version"]
    for field_id in field_ids:
        call_portal("crm.lead.userfield.update", id=field_id, fields={"EDIT_FORM_LABEL": "Renamed"})
    patch_user(user, city="Astana", vip=False, size="small", score=None)
    settle()
    assert sync_of(user)["version"] == version + 1
    assert field_of(user, "UF_CRM_CITY") == "Astana"
    assert field_of(user, "UF_CRM_VIP") in {"0", "N", 0, ""}
    assert str(field_of(user, "UF_CRM_SIZE")) == str(small)
    assert not field_of(user, "UF_CRM_SCORE")
    assert lead_of(user)["EMAIL"] == before["EMAIL"]


def test_a_field_that_the_portal_lacks_stops_nothing_and_is_brought_once_it_is_back(
    settle: Callable[[], None],
    field_map: Callable[[str], None],
    check_fields: Callable[[], None],
) -> None:
    field_map(MAP + CITY)
    user, other = (
        create_with_fields(**FULL, city="Almaty"),
        create_with_fields(phone="+77001112244"),
    )
    settle()
    assert lead_of(user)["EMAIL"] == ["ann@example.com"]
    assert sync_of(user)["status"] == "synced"
    assert sync_of(user)["open_fields"] == ["city"]
    assert "open_fields" not in sync_of(other)
    check_fields()
    (misfit,) = status.fields()["misfits"]
    assert (misfit["field"], misfit["lead"]) == ("city", "UF_CRM_CITY")
    assert "no such field" in misfit["problem"]
    assert "field_misfit" in [finding.code for finding in status.findings({})]
    version = sync_of(user)["version"]
    check_fields()
    assert sync_of(user)["version"] == version, "while the field is missing, nothing is retried"
    add_userfield("CITY")
    last_check.request()
    check_fields()
    assert status.fields()["misfits"] == []
    settle()
    assert "open_fields" not in sync_of(user)
    assert field_of(user, "UF_CRM_CITY") == "Almaty"
    check_fields()
    assert sync_of(user)["version"] == version + 1
    assert sync_of(other)["version"] == 1


def test_a_dropped_field_is_brought_to_the_one_that_the_map_names_instead(
    settle: Callable[[], None],
    field_map: Callable[[str], None],
    check_fields: Callable[[], None],
) -> None:
    field_id = add_userfield("CITY")
    field_map(MAP + CITY)
    user = create_with_fields(**FULL, city="Almaty")
    settle()
    assert field_of(user, "UF_CRM_CITY") == "Almaty"
    call_portal("crm.lead.userfield.delete", id=field_id)
    patch_user(user, city="Astana", email="b@example.com")
    settle()
    assert sync_of(user)["open_fields"] == ["city"]
    assert lead_of(user)["EMAIL"] == ["b@example.com"]
    add_userfield("TOWN")
    field_map(MAP + CITY.replace("UF_CRM_CITY", "UF_CRM_TOWN"))
    check_fields()
    settle()
    assert field_of(user, "UF_CRM_TOWN") == "Astana"
    assert "open_fields" not in sync_of(user)


def test_a_mandatory_field_that_the_map_lacks_is_named_by_the_failed_user(
    settle: Callable[[], None], control: Control, check_fields: Callable[[], None]
) -> None:
    control("settings", "PUT", {"mandatory_fields": ["COMPANY_TITLE"]})
    user = create_with_fields(**FULL)
    settle()
    check_fields()
    misfits = status.fields()["misfits"]
    control("settings", "PUT", {"mandatory_fields": []})
    assert sync_of(user)["status"] == "failed"
    assert "Company name" in sync_of(user)["reason"]
    assert [misfit["lead"] for misfit in misfits] in ([], ["COMPANY_TITLE"])


def test_a_value_that_the_portal_refuses_is_left_out(
    settle: Callable[[], None],
    field_map: Callable[[str], None],
    check_fields: Callable[[], None],
) -> None:
    add_userfield("SIZE", "enumeration", LIST=[{"VALUE": "Small"}])
    size = '\n[fields.size]\ntype = "one-of"\nlead = "UF_CRM_SIZE"\nvalues = { big = "999" }\n'
    field_map(MAP + size)
    check_fields()
    (misfit,) = status.fields()["misfits"]
    assert "no 999" in misfit["problem"]
    user = create_with_fields(**FULL, size="big")
    settle()
    assert (sync_of(user)["status"], sync_of(user)["open_fields"]) == ("synced", ["size"])
    assert lead_of(user)["EMAIL"] == ["ann@example.com"]
    assert last_check.claim_requested(), "a refusal has the map checked again"
    patch_user(user, budget=7)
    settle()
    assert (lead_of(user)["OPPORTUNITY"], sync_of(user)["open_fields"]) == ("7.00", ["size"])


def test_a_field_of_several_values_is_left_out(
    settle: Callable[[], None],
    field_map: Callable[[str], None],
    check_fields: Callable[[], None],
) -> None:
    add_userfield("CITY", MULTIPLE="Y")
    field_map(MAP + CITY)
    check_fields()
    user = create_with_fields(**FULL, city="Almaty")
    settle()
    assert (sync_of(user)["status"], sync_of(user)["open_fields"]) == ("synced", ["city"])
    assert lead_of(user)["EMAIL"] == ["ann@example.com"]


@pytest.mark.parametrize("text", ["ann@exam", "EXAMPLE.com", "Almaty"])
def test_a_search_finds_a_user_by_any_part_of_a_field(
    text: str, field_map: Callable[[str], None]
) -> None:
    field_map(MAP + CITY)
    user = create_with_fields(**FULL, city="Almaty")
    create_with_fields(full_name="Bob", phone="+77001112244", email="bob@other.net")
    for _ in range(2):
        found = search.page(search.Search(find=text))["items"]
        assert [item["id"] for item in found] == [user["id"]]
        search_index.catch_up(until=0)
    patch_user(user, email="c@d.ee", city="Astana")
    search_index.catch_up(until=0)
    assert search.page(search.Search(find=text))["items"] == []

"""Users by the caller's own id: created once, changed only if they differ, alone and in batches."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import quote

import pg8000
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from leadline import process
from leadline.errors import DatabaseBusy, ExternalIdTaken, VersionMismatch
from leadline.ledger import outbox, write
from leadline.ledger.event import Event
from leadline.ledger.upsert import accept
from leadline.ledger.upsert import write as upsert_write
from leadline.ledger.upsert.outcome import Item, Outcome
from leadline.settings import settings
from leadline.users import stages
from leadline.users.model import Changes, Move, NewUser, UserId
from tests.integration.conftest import (
    execute,
    function_client,
    holding,
    in_greenlets,
    in_processes,
    in_threads,
    is_a_statement_waiting,
    rows,
)
from tests.servers import eventually, postgres_connection

pytestmark = pytest.mark.usefixtures("in_postgres", "auth_off", "offered_events")

PHONE = "+77001112233"
ANN = {"full_name": "Ann", "phone": PHONE}
ITEM = Item("Ann", PHONE, external_id="crm-1")


@pytest.fixture
def auth_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")


@pytest.fixture
def offered_events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The events offered for publishing."""
    events: list[Event] = []
    monkeypatch.setattr(outbox, "offer", events.append)
    return events


@pytest.fixture
def client() -> FlaskClient:
    return function_client("upsert_users")


def put(client: FlaskClient, external_id: str, body: object, **headers: str) -> TestResponse:
    return client.put(f"/users/by-external-id/{external_id}", json=body, headers=headers)


def post_batch(client: FlaskClient, users: list[Any], **headers: str) -> list[dict[str, Any]]:
    answer = client.post("/users/batch", json={"users": users}, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = json.loads(answer.data)["items"]
    assert len(items) == len(users)
    return items


def versions() -> dict[str, int]:
    return {row["external_id"]: row["version"] for row in rows("SELECT * FROM users")}


def assert_ledger_matches() -> None:
    """Each version of each user has one event; the newest has the user's state."""
    for user in rows("SELECT * FROM users"):
        events = rows("SELECT * FROM events WHERE user_id = :id ORDER BY version", id=user["id"])
        assert [event["version"] for event in events] == list(range(1, user["version"] + 1))
        for field in ("full_name", "phone", "stage"):
            assert events[-1][field] == user[field]


# PUT


def test_put_creates_then_changes_then_changes_nothing(
    client: FlaskClient, offered_events: list[Event]
) -> None:
    created = put(client, "crm-1", ANN)
    assert created.status_code == 201
    user = created.get_json()
    assert user == {"id": user["id"], **ANN, "stage": "NEW", "external_id": "crm-1"}
    assert created.headers["Location"] == f"/users/{user['id']}"
    assert created.headers["ETag"] == '"1"'
    changed = put(client, "crm-1", {**ANN, "full_name": "Bo"})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert changed.get_json() == {**user, "full_name": "Bo"}
    assert "Location" not in changed.headers
    same = put(client, "crm-1", {**ANN, "full_name": "Bo"})
    assert (same.status_code, same.headers["ETag"], same.get_json()) == (
        200,
        '"2"',
        changed.get_json(),
    )
    assert [event.action for event in offered_events] == ["create_card", "update_card"]
    assert [event.changed for event in offered_events] == [
        ("full_name", "phone", "stage"),
        ("full_name",),
    ]
    assert_ledger_matches()


def test_a_phone_in_another_notation_is_no_change(client: FlaskClient) -> None:
    put(client, "crm-1", ANN)
    assert put(client, "crm-1", {**ANN, "phone": "+7 (700) 111-22-33"}).headers["ETag"] == '"1"'


def test_without_a_stage_a_new_user_is_new_and_an_existing_one_keeps_its_stage(
    client: FlaskClient,
) -> None:
    assert put(client, "crm-1", ANN).get_json()["stage"] == "NEW"
    user = UserId(rows("SELECT id FROM users")[0]["id"])
    write.change(user, Move(stage="JUNK"), expected_version=None, key=None)
    assert put(client, "crm-1", ANN).get_json()["stage"] == "JUNK"
    answer = put(client, "crm-1", {**ANN, "full_name": "Bo", "stage": "JUNK"})
    assert answer.headers["ETag"] == '"3"'
    # An equal stage counts as untouched: one set in the CRM meanwhile must survive.
    assert rows("SELECT changed FROM events WHERE version = 3") == [{"changed": "full_name"}]
    assert rows("SELECT stage_version FROM users") == [{"stage_version": 2}]
    moved = put(client, "crm-1", {**ANN, "full_name": "Bo", "stage": "CONVERTED"})
    assert moved.get_json()["stage"] == "CONVERTED"
    assert rows("SELECT stage_version FROM users") == [{"stage_version": 4}]
    assert rows("SELECT stage_version FROM events WHERE version = 4") == [{"stage_version": 4}]


@pytest.mark.parametrize(
    "external_id", ["a", "x" * 255, "Ключ 7/8", "a/b/c", "50%", "batch", "a?b#c", "名"]
)
def test_an_external_id_may_have_any_printable_characters(
    client: FlaskClient, external_id: str
) -> None:
    path = f"/users/by-external-id/{quote(external_id, safe='')}"
    assert client.put(path, json=ANN).get_json()["external_id"] == external_id
    assert client.put(path, json=ANN).status_code == 200
    assert versions() == {external_id: 1}


@pytest.mark.parametrize("external_id", ["x" * 256, "%20", "a%20", "%00", "a%07b", "%E2%80%A8"])
def test_an_impossible_external_id_is_422(client: FlaskClient, external_id: str) -> None:
    answer = put(client, external_id, ANN)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == ["external_id"]
    assert rows("SELECT FROM users") == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["full_name", "phone"]),
        ({**ANN, "id": 1}, ["id"]),
        ({**ANN, "external_id": "crm-1"}, ["external_id"]),
        ({**ANN, "stage": "NOPE"}, ["stage"]),
        ({**ANN, "stage": "nope"}, ["stage"]),
    ],
)
def test_an_invalid_body_is_422_and_changes_nothing(
    client: FlaskClient, body: object, fields: list[str]
) -> None:
    put(client, "crm-1", ANN)
    answer = put(client, "crm-1", body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == fields
    assert versions() == {"crm-1": 1}


@pytest.mark.parametrize("stage", ["NOPE", "nope"])
def test_a_wrong_stage_is_refused_with_the_list_of_stages(client: FlaskClient, stage: str) -> None:
    stages.replace([stages.Stage("NEW"), stages.Stage("UC_1", "Qualified")])
    message = "must be one of the portal's stages: NEW, UC_1"
    answer = put(client, "crm-1", {**ANN, "stage": stage})
    assert answer.get_json()["errors"] == [{"field": "stage", "message": message}]
    (item,) = post_batch(client, [{**ANN, "stage": stage}])
    assert item["problem"]["errors"] == [{"field": "stage", "message": message}]


@pytest.mark.parametrize(
    ("tag", "status"),
    [('"1"', 412), ('"2"', 200), ('"3"', 412), ("*", 200), ('"1", "2"', 200), ('"1", "3"', 412)],
)
def test_a_put_honours_if_match_as_a_patch_does(client: FlaskClient, tag: str, status: int) -> None:
    put(client, "crm-1", ANN)
    put(client, "crm-1", {**ANN, "full_name": "Bo"})
    answer = put(client, "crm-1", {**ANN, "full_name": "Cy"}, **{"If-Match": tag})
    assert answer.status_code == status
    assert versions() == {"crm-1": 3 if status == 200 else 2}


def test_if_match_holds_even_if_nothing_would_change(client: FlaskClient) -> None:
    put(client, "crm-1", ANN)
    assert put(client, "crm-1", ANN, **{"If-Match": '"2"'}).status_code == 412
    assert put(client, "crm-1", ANN, **{"If-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize("tag", ["*", '"1"', '"1", "2"', "nonsense"])
def test_if_match_never_creates_a_user(client: FlaskClient, tag: str) -> None:
    assert put(client, "crm-1", ANN, **{"If-Match": tag}).status_code == 412
    assert rows("SELECT FROM users") == []


def test_a_refused_precondition_does_not_use_up_the_idempotency_key(client: FlaskClient) -> None:
    headers = {"If-Match": '"1"', "Idempotency-Key": "k"}
    assert put(client, "crm-1", ANN, **headers).status_code == 412
    put(client, "crm-1", {**ANN, "full_name": "Bo"})
    assert put(client, "crm-1", ANN, **headers).status_code == 200


def test_a_repeat_under_a_key_gets_the_first_answer(client: FlaskClient) -> None:
    first = put(client, "crm-1", ANN, **{"Idempotency-Key": "k"})
    put(client, "crm-1", {**ANN, "full_name": "Bo"})
    repeat = put(client, "crm-1", ANN, **{"Idempotency-Key": "k"})
    assert (repeat.status_code, repeat.data) == (201, first.data)
    assert {name: repeat.headers[name] for name in ("ETag", "Location")} == {
        name: first.headers[name] for name in ("ETag", "Location")
    }
    # Also if the first request changed nothing: the repeat must not undo later writes.
    same = put(client, "crm-1", {**ANN, "full_name": "Bo"}, **{"Idempotency-Key": "l"})
    put(client, "crm-1", {**ANN, "full_name": "Cy"})
    repeat = put(client, "crm-1", {**ANN, "full_name": "Bo"}, **{"Idempotency-Key": "l"})
    assert (repeat.data, repeat.headers["ETag"]) == (same.data, '"2"')
    assert versions() == {"crm-1": 3}


def test_a_key_belongs_to_one_request_of_any_kind(client: FlaskClient) -> None:
    create = function_client("create_user")
    key = {"Idempotency-Key": "k"}
    assert put(client, "crm-1", ANN, **key).status_code == 201
    for answer in (
        put(client, "crm-2", ANN, **key),
        put(client, "crm-1", {**ANN, "full_name": "Bo"}, **key),
        client.post("/users/batch", json={"users": [ANN]}, headers=key),
        create.post("/users", json=ANN, headers=key),
        create.post("/users", json={**ANN, "external_id": "crm-1"}, headers=key),
    ):
        assert answer.status_code == 422
        assert answer.get_json()["code"] == "idempotency_key_reused"
    other = {"Idempotency-Key": "l"}
    assert create.post("/users", json=ANN, headers=other).status_code == 201
    assert put(client, "crm-2", ANN, **other).status_code == 422
    assert len(rows("SELECT FROM users")) == 2


def test_an_expired_key_can_be_used_again(client: FlaskClient) -> None:
    put(client, "crm-1", ANN, **{"Idempotency-Key": "k"})
    execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    answer = put(client, "crm-2", ANN, **{"Idempotency-Key": "k"})
    assert answer.status_code == 201
    assert len(rows("SELECT FROM idempotency_keys")) == 1


# POST and PATCH


def test_a_created_user_may_have_an_external_id_of_its_own() -> None:
    create = function_client("create_user")
    answer = create.post("/users", json={**ANN, "external_id": "crm-1", "stage": "JUNK"})
    assert answer.status_code == 201
    user = answer.get_json()
    assert user == {"id": user["id"], **ANN, "stage": "JUNK", "external_id": "crm-1"}
    conflict = create.post("/users", json={**ANN, "external_id": "crm-1"})
    assert conflict.status_code == 409
    assert conflict.get_json()["code"] == "external_id_taken"
    assert "external_id" not in create.post("/users", json=ANN).get_json()
    assert "external_id" not in create.post("/users", json={**ANN, "external_id": None}).get_json()
    assert versions()["crm-1"] == 1


def test_a_repeated_create_with_an_external_id_gets_the_first_answer() -> None:
    create = function_client("create_user")
    body, key = {**ANN, "external_id": "crm-1"}, {"Idempotency-Key": "k"}
    answers = [create.post("/users", json=body, headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.data for answer in answers}) == 1


def test_an_existing_user_gets_an_external_id_by_patch(client: FlaskClient) -> None:
    user = write.create(NewUser(**ANN), key=None).event.user.id
    other = write.create(NewUser(**ANN), key=None).event.user.id
    patch = function_client("update_user")
    for key in ({}, {"Idempotency-Key": "k"}):
        answer = patch.patch(f"/users/{user}", json={"external_id": "crm-1"}, headers=key)
        assert answer.get_json()["external_id"] == "crm-1"
        conflict = patch.patch(f"/users/{other}", json={"external_id": "crm-1"}, headers=key)
        assert (conflict.status_code, conflict.get_json()["code"]) == (409, "external_id_taken")
    assert patch.patch(f"/users/{user}", json={"stage": "JUNK"}).get_json()["external_id"]
    assert put(client, "crm-1", ANN).get_json()["id"] == user
    assert rows("SELECT version FROM users WHERE id = :id", id=other) == [{"version": 1}]
    assert_ledger_matches()


def test_one_of_several_concurrent_patches_gets_the_external_id() -> None:
    users = [write.create(NewUser(**ANN), key=None).event.user.id for _ in range(6)]

    def attempt(number: int) -> bool:
        try:
            write.change(
                users[number], Changes(external_id="crm-1"), expected_version=None, key=None
            )
        except ExternalIdTaken:
            return False
        return True

    assert sum(in_greenlets(6, attempt)) == 1
    assert_ledger_matches()


# The batch


def test_a_batch_answers_for_each_user_in_order(
    client: FlaskClient, offered_events: list[Event]
) -> None:
    put(client, "old", ANN)
    put(client, "same", ANN)
    items = post_batch(
        client,
        [
            {**ANN, "external_id": "old", "full_name": "Bo"},
            ANN,
            {"full_name": "", "phone": "123"},
            {**ANN, "external_id": "same"},
            {**ANN, "external_id": "new", "stage": "JUNK"},
            "no user",
            {**ANN, "stage": "NOPE"},
            {**ANN, "full_name": "Cy"},
        ],
    )
    assert [item["status"] for item in items] == [200, 201, 422, 200, 201, 422, 422, 201]
    assert [item.get("version") for item in items] == [2, 1, None, 1, 1, None, None, 1]
    names = [item["user"]["full_name"] for item in items if "user" in item]
    assert names == ["Bo", "Ann", "Ann", "Ann", "Cy"]
    assert items[4]["user"]["stage"] == "JUNK"
    assert items[4]["user"]["external_id"] == "new"
    assert "external_id" not in items[1]["user"]
    problems = [item["problem"] for item in items if "problem" in item]
    assert [problem["code"] for problem in problems] == ["invalid_fields"] * 3
    fields = [[error["field"] for error in problem["errors"]] for problem in problems]
    assert fields == [["full_name", "phone"], ["body"], ["stage"]]
    assert len(offered_events) == 2 + 4, "by two PUTs, and for four users of the batch"
    assert_ledger_matches()


def test_each_answer_of_a_batch_belongs_to_its_user(client: FlaskClient) -> None:
    """The users include existing ones, and some with equal content."""
    put(client, "b", {**ANN, "full_name": "Old"})
    users = [
        {**ANN, "external_id": external_id} if external_id else ANN
        for external_id in ("c", "", "b", "", "a", "", "d", "", "")
    ]
    items = post_batch(client, users)
    ids = [item["user"]["id"] for item in items]
    assert len(set(ids)) == len(users)
    external_ids = {
        row["id"]: row["external_id"] for row in rows("SELECT id, external_id FROM users")
    }
    assert [external_ids[user_id] for user_id in ids] == [user.get("external_id") for user in users]
    ids_without = [user_id for user_id in ids if external_ids[user_id] is None]
    assert ids_without == sorted(ids_without)


def test_a_repeated_external_id_in_a_batch_is_refused(client: FlaskClient) -> None:
    users = [{**ANN, "external_id": "a", "full_name": name} for name in ("First", "Second")]
    items = post_batch(client, [*users, {**ANN, "external_id": "b"}])
    assert [item["status"] for item in items] == [201, 422, 201]
    assert items[1]["problem"]["code"] == "duplicate_external_id"
    assert rows("SELECT full_name FROM users WHERE external_id = 'a'") == [{"full_name": "First"}]


def test_an_invalid_user_does_not_reserve_its_external_id(client: FlaskClient) -> None:
    items = post_batch(client, [{"external_id": "a"}, {**ANN, "external_id": "a"}])
    assert [item["status"] for item in items] == [422, 201]


def test_a_batch_of_invalid_users_writes_nothing(client: FlaskClient) -> None:
    items = post_batch(client, [{}, None, 7, [], {**ANN, "stage": "NOPE"}])
    assert {item["status"] for item in items} == {422}
    assert rows("SELECT FROM users") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"users": []}', 422),
        (b'{"users": {}}', 422),
        (b'{"users": [1], "more": 1}', 422),
        (b'{"users": [' + b",".join([b"1"] * 1001) + b"]}", 422),
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(
    client: FlaskClient, body: bytes, status: int
) -> None:
    answer = client.post("/users/batch", data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_a_thousand_users_take_at_most_three_statements(
    client: FlaskClient, statements: Counter[str]
) -> None:
    users = [{**ANN, "full_name": f"N{n % 7}"} for n in range(500)]
    users += [{**ANN, "external_id": f"crm-{n}"} for n in range(500)]
    items = post_batch(client, users)
    assert {item["status"] for item in items} == {201}
    assert [item["user"]["full_name"] for item in items] == [user["full_name"] for user in users]
    assert statements.total() <= 3
    assert_ledger_matches()


def test_the_answer_to_a_batch_is_bounded(client: FlaskClient) -> None:
    invalid = {f"unknown-{n}": 1 for n in range(100)}
    answer = client.post("/users/batch", json={"users": [invalid] * 300})
    assert len(answer.data) < 300 * 1200, "bytes for each user"


def test_a_repeated_batch_gets_the_first_answer(client: FlaskClient) -> None:
    put(client, "same", ANN)
    users = [
        ANN,
        {**ANN, "external_id": "same"},
        {},
        {**ANN, "stage": "NOPE"},
        {**ANN, "external_id": "a"},
    ]
    first = post_batch(client, users, **{"Idempotency-Key": "k"})
    put(client, "same", {**ANN, "full_name": "Bo"})
    stages.replace([stages.Stage("NEW"), stages.Stage("NOPE")])
    assert post_batch(client, users, **{"Idempotency-Key": "k"}) == first
    assert len(rows("SELECT FROM users")) == 3
    assert versions()["same"] == 2
    other = client.post("/users/batch", json={"users": [ANN]}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")


def test_concurrent_repeats_of_a_batch_count_once() -> None:
    users = [ANN] * 5 + [{**ANN, "external_id": f"crm-{n}"} for n in range(5)]
    client = function_client("upsert_users")

    def post(_: int) -> TestResponse:
        return client.post(
            "/users/batch", json={"users": users}, headers={"Idempotency-Key": "key"}
        )

    answers = in_threads(6, post)
    served = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.data for answer in served}) == 1
    assert len(rows("SELECT FROM users")) == 10
    assert_ledger_matches()


def test_a_stored_answer_has_no_personal_data(client: FlaskClient) -> None:
    post_batch(client, [ANN, {**ANN, "external_id": "crm-1"}], **{"Idempotency-Key": "k"})
    (row,) = rows("SELECT CAST(outcomes AS text) AS outcomes FROM idempotency_keys")
    for personal in ("Ann", PHONE, "crm-1"):
        assert personal not in row["outcomes"]


def test_the_write_rate_counts_the_users_of_a_batch(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k3y-of-the-tests-of-128-bits"
    for name, value in (("AUTH", "on"), ("WRITE_RATE_PER_S", "0.1"), ("WRITE_BURST", "10")):
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    monkeypatch.setenv("API_KEYS", f"write:{key}")
    process.forget(settings)
    headers = {"Authorization": f"Bearer {key}"}
    assert len(post_batch(client, [ANN] * 6, **headers)) == 6
    answer = client.post("/users/batch", json={"users": [ANN] * 6}, headers=headers)
    assert (answer.status_code, answer.get_json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 1
    assert put(client, "crm-1", ANN, **headers).status_code == 201
    assert len(rows("SELECT FROM users")) == 7


def test_messages_keep_their_documented_keys(
    client: FlaskClient, offered_events: list[Event]
) -> None:
    put(client, "crm-1", ANN)
    post_batch(client, [{**ANN, "external_id": "crm-1", "full_name": "Bo"}])
    for event in offered_events:
        data = json.loads(outbox.to_message(event).body)["data"]
        assert data["user"].keys() == {"id", "full_name", "phone", "stage", "bitrix_lead_id"}
        assert b"crm-1" not in outbox.to_message(event).body


# Paths


def test_only_these_paths_are_served(client: FlaskClient) -> None:
    for path in ("/users/batch", "/batch", "/", "/function/upsert-users/users/batch"):
        assert client.post(path, json={"users": [ANN]}).status_code == 200, path
    for path in ("/by-external-id/a", "/users/by-external-id/a", "/?external_id=a"):
        assert client.put(path, json=ANN).status_code in (200, 201), path
        assert client.put(f"/function/upsert-users{path}", json=ANN).status_code == 200, path
    for path in ("/users", "/users/1", "/users/by-external-id", "/users/by-external-id/"):
        assert client.put(path, json=ANN).status_code == 404, path
        assert client.post(path, json={"users": [ANN]}).status_code == 404, path
    assert client.patch("/users/batch", json={}).headers["Allow"] == "PUT, POST"


# Races


def test_concurrent_puts_create_one_user() -> None:
    def attempt(number: int) -> Outcome:
        return accept.accept_one(replace(ITEM, full_name=f"N{number}"), key=None)

    outcomes = in_threads(12, attempt)
    assert Counter(outcome.kind for outcome in outcomes) == {"created": 1, "changed": 11}
    assert sorted(outcome.version for outcome in outcomes) == list(range(1, 13))
    assert versions() == {"crm-1": 12}
    assert_ledger_matches()


def test_concurrent_creates_with_one_external_id_create_one_user() -> None:
    def attempt(_: int) -> bool:
        try:
            accept.accept_one(replace(ITEM, must_be_new=True), key=None)
        except ExternalIdTaken:
            return False
        return True

    assert sum(in_threads(8, attempt)) == 1
    assert versions() == {"crm-1": 1}


def test_overlapping_batches_in_any_order_neither_deadlock_nor_lose_a_user() -> None:
    external_ids = [f"crm-{n:02}" for n in range(40)]

    def attempt(number: int) -> dict[int, Outcome]:
        order = external_ids[number:] + external_ids[:number]
        if number % 2:
            order.reverse()
        return accept.accept_many(
            {
                index: Item(f"N{number}", PHONE, external_id=external_id)
                for index, external_id in enumerate(order[:30])
            },
            key=None,
        )

    for outcomes in in_threads(6, attempt):
        assert len(outcomes) == 30
    assert_ledger_matches()
    users = Counter(row["external_id"] for row in rows("SELECT external_id FROM users"))
    assert max(users.values()) == 1


def test_a_batch_that_waits_for_a_statement_lets_it_fail_at_once(in_postgres: str) -> None:
    """The other statement began before the user was created, so it inserts the same external id."""
    insert = (
        "INSERT INTO users (full_name, phone, stage, external_id) VALUES ('Bo', :phone, 'NEW', :id)"
    )
    accept.accept_one(ITEM, key=None)
    batch = {0: replace(ITEM, full_name="Bo"), 1: replace(ITEM, external_id="crm-2")}
    with postgres_connection(in_postgres) as other, ThreadPoolExecutor(1) as pool:
        other.run("SET lock_timeout = '100ms'")
        other.run("BEGIN")
        other.run(insert, phone=PHONE, id="crm-2")
        waiting = pool.submit(accept.accept_many, batch, None)
        eventually(is_a_statement_waiting, 60, "the batch waits for the other user")
        with pytest.raises(pg8000.DatabaseError, match="23505"):
            other.run(insert, phone=PHONE, id="crm-1")
        other.run("ROLLBACK")
        outcomes = waiting.result(60)
    assert [outcomes[position].kind for position in batch] == ["changed", "created"]
    assert_ledger_matches()


def test_a_batch_applies_to_what_it_waited_for(in_postgres: str) -> None:
    """Postgres reads the user again, which has another version than the batch found at first."""
    accept.accept_one(ITEM, key=None)
    batch = {0: replace(ITEM, full_name="Bo"), 1: replace(ITEM, external_id="crm-2")}
    with ThreadPoolExecutor(1) as pool:
        with holding(in_postgres, "UPDATE users SET full_name = 'Cy', updated_at = now()"):
            waiting = pool.submit(accept.accept_many, batch, None)
            eventually(is_a_statement_waiting, 60, "the batch waits for the other's change")
        outcomes = waiting.result(60)
    assert [outcomes[position].kind for position in batch] == ["changed", "created"]
    assert versions() == {"crm-1": 2, "crm-2": 1}
    assert_ledger_matches()


def test_batches_and_single_writes_of_the_same_users_are_isolated() -> None:
    """Users of a batch are locked while changes of the same users commit in groups."""
    ids = [
        accept.accept_one(Item("Ann", PHONE, external_id=f"crm-{n}"), key=None).user.id  # type: ignore[union-attr]
        for n in range(8)
    ]

    def write_batch_or_one(number: int) -> int:
        """Every third thread changes all users in a batch; returns how many were changed."""
        if number % 3 == 0:
            items = {
                n: Item(f"B{number}", PHONE, external_id=f"crm-{n}") for n in reversed(range(8))
            }
            outcomes = accept.accept_many(items, key=None).values()
            return [outcome.kind for outcome in outcomes].count("changed")
        write.change(
            ids[number % 8], Changes(full_name=f"P{number}"), expected_version=None, key=None
        )
        return 1

    write_count = sum(in_threads(24, write_batch_or_one))
    assert sum(versions().values()) == 8 + write_count
    assert_ledger_matches()


@dataclass(frozen=True)
class Conditional:
    """A conditional write: the version that it expected, and the one that it wrote, if any."""

    expected: int
    version: int | None


def race(seed: int, user: UserId) -> list[Conditional]:
    """Write one user conditionally by PATCH and PUT, while other processes do the same."""

    def attempt(number: int) -> Conditional:
        (row,) = rows("SELECT version FROM users WHERE id = :id", id=user)
        expected, name = row["version"], f"{seed}-{number}"
        try:
            if number % 2:
                item = replace(ITEM, full_name=name, expected_version=expected, must_exist=True)
                outcome = upsert_write.upsert({0: item}, key=None)[0]
                return Conditional(expected, outcome.version if outcome.event else None)
            changes = Changes(full_name=name)
            return Conditional(
                expected, write.change(user, changes, expected, key=None).event.version
            )
        except VersionMismatch:
            return Conditional(expected, None)

    return list(chain.from_iterable(in_greenlets(8, attempt) for _ in range(6)))


@pytest.mark.slow("processes race for one user")
def test_conditional_puts_and_patches_form_a_chain(offered_events: list[Event]) -> None:
    user = accept.accept_one(ITEM, key=None).user
    assert user
    assert offered_events
    answers = list(chain.from_iterable(in_processes(2, partial(race, user=user.id))))
    succeeded = [answer for answer in answers if answer.version is not None]
    assert 3 < len(succeeded) < len(answers)
    assert [answer for answer in succeeded if answer.version != answer.expected + 1] == []
    assert len({answer.version for answer in succeeded}) == len(succeeded)
    assert versions() == {"crm-1": 1 + len(succeeded)}
    assert_ledger_matches()


def test_a_user_that_another_request_creates_meanwhile_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement conflicts with a row that was inserted after it began, and cannot see it."""
    run = upsert_write._run  # noqa: SLF001 - the moment between two statements
    statements: list[int] = []

    def run_while_another_inserts(items: Any, key: Any) -> Any:
        statements.append(len(items))
        if len(statements) == 1:
            execute(
                "INSERT INTO users (full_name, phone, stage, external_id)"
                " VALUES ('Other', '+77001112233', 'NEW', 'crm-1')"
            )
        return run(items, key)

    monkeypatch.setattr(upsert_write, "_run", run_while_another_inserts)
    assert accept.accept_one(ITEM, key=None).kind == "changed"
    monkeypatch.setattr(upsert_write, "ATTEMPTS", 0)  # as after a conflict of the last attempt
    with pytest.raises(DatabaseBusy):
        accept.accept_one(ITEM, key=None)

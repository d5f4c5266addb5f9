"""The HTTP API through the edge: each status code of docs/reference.md, with headers and body."""

import contextlib
from typing import Any

import pg8000.native
import psutil
import pytest
import requests
import sqlalchemy

from tests.servers import eventually, family
from tests.system import System

PROBLEM = "application/problem+json"
NEW = {"full_name": "Иван Иванов", "phone": "+77001112233"}
#: The id of no user.
UNKNOWN = 2**62


def _assert_problem(answer: requests.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    problem = dict(answer.json())
    assert problem["status"] == status
    assert problem["type"] == f"/docs/problems#{problem['code']}"
    assert problem["title"]
    assert answer.headers["X-Call-Id"]
    return problem


def test_create_answers_201_with_the_user_its_location_and_its_version(system: System) -> None:
    answer = system.request("POST", "/users", json={**NEW, "stage": "IN_PROCESS"})
    assert answer.status_code == 201
    user = answer.json()
    assert user == {"id": user["id"], **NEW, "stage": "IN_PROCESS"}
    assert list(user) == ["id", "full_name", "phone", "stage"]
    assert answer.headers["Location"] == f"/users/{user['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Content-Type"] == "application/json"
    located = system.request("GET", answer.headers["Location"])
    stored = located.json()
    assert {name: stored[name] for name in user} == user
    assert stored.keys() - user.keys() == {"external_id", "created_at", "updated_at", "sync"}


def test_update_changes_the_given_fields_only(system: System) -> None:
    user = system.create()
    path = f"/users/{user['id']}"
    for version, change in enumerate(
        ({"full_name": "Пётр"}, {"phone": "+77005556677"}, {"stage": "JUNK"}), start=2
    ):
        answer = system.request("PATCH", path, json=change)
        user = {**user, **change}
        assert (answer.status_code, answer.json()) == (200, user)
        assert answer.headers["ETag"] == f'"{version}"'
    assert system.request("POST", f"{path}/move", json={"stage": "NEW"}).json() == {
        **user,
        "stage": "NEW",
    }


def test_getting_a_user_shows_its_lead_in_the_sync_block(system: System) -> None:
    user = system.create()
    view = system.await_synced(user["id"])
    assert {key: view[key] for key in user} == user
    expected = {"status", "reason", "attempts", "bitrix_lead_id", "version", "events"}
    assert view["sync"].keys() == expected
    assert len(view["sync"]["events"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/users/{UNKNOWN}", None),
        ("PATCH", f"/users/{UNKNOWN}", {"full_name": "А"}),
        ("POST", f"/users/{UNKNOWN}/move", {"stage": "NEW"}),
        ("GET", "/users/0", None),
        ("GET", f"/users/{2**63}", None),
        ("GET", "/users/-1", None),
        ("GET", "/users/one", None),
        ("GET", "/function/get-user", None),
    ],
)
def test_an_unknown_user_is_404(system: System, method: str, path: str, body: object) -> None:
    _assert_problem(system.request(method, path, json=body), 404)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"full_name", "phone"}),
        ({"full_name": "А"}, {"phone"}),
        ({**NEW, "phone": None}, {"phone"}),
        ({**NEW, "phone": ""}, {"phone"}),
        ({**NEW, "phone": "123"}, {"phone"}),
        ({**NEW, "phone": 77001112233}, {"phone"}),
        ({**NEW, "phone": "+" + "9" * 30}, {"phone"}),
        ({**NEW, "phone": "+49" + "1" * 14}, {"phone"}),
        ({**NEW, "full_name": " \t "}, {"full_name"}),
        ({**NEW, "full_name": "а" * 101}, {"full_name"}),
        ({**NEW, "full_name": "а\nб"}, {"full_name"}),
        ({**NEW, "full_name": "а\u0000б"}, {"full_name"}),
        ({**NEW, "stage": "NO_SUCH_STAGE"}, {"stage"}),
        ({**NEW, "stage": "new"}, {"stage"}),
        ({**NEW, "stage": None}, {"stage"}),
        ({**NEW, "id": 5}, {"id"}),
        ({**NEW, "bitrix_lead_id": 5}, {"bitrix_lead_id"}),
        ({**NEW, "sync": {}}, {"sync"}),
        ({**NEW, "a": 1, "b": 2}, {"a", "b"}),
        ([NEW], {"body"}),
        ("text", {"body"}),
        (None, {"body"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_an_invalid_user_is_422_field_by_field(
    system: System, body: object, fields: set[str]
) -> None:
    # requests sends no body for None.
    content: dict[str, object] = {"json": body} if body is not None else {"data": b"null"}
    headers = {"Content-Type": "application/json"}
    answer = system.request("POST", "/users", headers=headers, **content)
    problem = _assert_problem(answer, 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["message"] for error in problem["errors"])
    assert "Иван" not in answer.text


def test_an_update_needs_a_field_and_no_null(system: System) -> None:
    path = f"/users/{system.create()['id']}"
    for body in ({}, {"full_name": None}, {"phone": None}, {"id": 1}, {"stage": "NOPE"}):
        _assert_problem(system.request("PATCH", path, json=body), 422)
    for body in ({}, {"stage": None}, {"stage": "NEW", "full_name": "А"}):
        _assert_problem(system.request("POST", f"{path}/move", json=body), 422)
    assert system.user(int(path.rpartition("/")[2]))["sync"]["version"] == 1


def test_malformed_json_is_400_another_type_415_and_too_much_413(system: System) -> None:
    def post(body: bytes, content_type: str) -> requests.Response:
        return system.request("POST", "/users", data=body, headers={"Content-Type": content_type})

    for body in (b"", b"{", b"{'a': 1}", b"\xff", b'{"full_name": "\\ud800"}', b"[" * 5000):
        _assert_problem(post(body, "application/json"), 400)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "", "json"):
        _assert_problem(post(b"{}", content_type), 415)
    _assert_problem(post(b'"' + b"x" * 65_536 + b'"', "application/json"), 413)
    padded = b'{"full_name": "A", "phone": "+77001112233"}'.ljust(65_536)
    assert post(padded, "application/json; charset=utf-8").status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/users", {"GET", "POST"}),
        ("PUT", "/users/1", {"GET", "PATCH", "DELETE"}),
        ("DELETE", "/users/1/move", {"POST"}),
        ("GET", "/function/create-user", {"POST"}),
        ("POST", "/function/get-user/1", {"GET", "HEAD"}),
        ("GET", "/function/move-user/1", {"POST"}),
        ("PUT", "/function/update-user/1", {"PATCH"}),
        ("DELETE", "/function/list-users", {"GET", "HEAD"}),
        ("GET", "/users/batch", {"POST"}),
        ("POST", "/users/by-external-id/x", {"PUT"}),
        ("GET", "/function/upsert-users/batch", {"PUT", "POST"}),
        ("POST", "/stages", {"GET"}),
    ],
)
def test_another_method_gets_a_405_with_allow(
    system: System, method: str, path: str, allowed: set[str]
) -> None:
    answer = system.request(method, path)
    _assert_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) >= allowed


def test_an_erased_user_is_gone_and_its_lead_is_blank(system: System) -> None:
    user = system.create("Стёртая", "+77001239999")
    system.await_synced(user["id"])
    path = f"/users/{user['id']}"
    assert [system.request("DELETE", path).status_code for _ in range(2)] == [204, 204]
    _assert_problem(system.request("DELETE", f"/users/{UNKNOWN}"), 404)
    for method, below, body in (
        ("GET", "", None),
        ("PATCH", "", {"full_name": "Стёртая"}),
        ("POST", "/move", {"stage": "NEW"}),
    ):
        _assert_problem(system.request(method, path + below, json=body), 410)

    def is_done() -> bool:
        found = [lead for lead in system.leads() if lead["ORIGIN_ID"] == str(user["id"])]
        return [(lead["TITLE"], lead["PHONE"]) for lead in found] == [("Erased", [])]

    eventually(is_done, 120, "the lead is blank")


def test_if_match_accepts_the_current_version_only(system: System) -> None:
    user = system.create()
    path = f"/users/{user['id']}"

    def patch(tag: str) -> requests.Response:
        return system.request("PATCH", path, json={"full_name": tag}, headers={"If-Match": tag})

    assert patch('"1"').headers["ETag"] == '"2"'
    for stale in ('"1"', '"3"', "nonsense", '"' + "9" * 30 + '"', '""', '"-2"'):
        _assert_problem(patch(stale), 412)
    assert patch("*").headers["ETag"] == '"3"'
    tag = system.request("GET", path).headers["ETag"]
    move = system.request("POST", f"{path}/move", json={"stage": "JUNK"}, headers={"If-Match": tag})
    assert (move.status_code, move.headers["ETag"]) == (200, '"4"')
    assert system.user(user["id"])["full_name"] == "*"


def test_paths_reach_a_function_in_every_form(system: System) -> None:
    user = system.create()
    number = user["id"]
    for path in (
        f"/users/{number}",
        f"/{number}",
        f"?id={number}",
        f"/?id={number}",
        f"/{number}/",
    ):
        assert system.request("GET", f"/function/get-user{path}").json()["id"] == number, path
    for path in (f"/users/{number}", f"/{number}", f"?id={number}"):
        name = f"By {path}"  # the path itself is in the log
        answer = system.request("PATCH", f"/function/update-user{path}", json={"full_name": name})
        assert answer.json()["full_name"] == name
    for path in (f"/users/{number}/move", f"/{number}/move", f"?id={number}", f"/move?id={number}"):
        answer = system.request("POST", f"/function/move-user{path}", json={"stage": "JUNK"})
        assert answer.status_code == 200, path
    for path in ("", "/", "/users"):
        answer = system.request("POST", f"/function/create-user{path}", json=NEW)
        assert answer.status_code == 201, path
        assert system.request("GET", f"/function/list-users{path}").status_code == 200, path


def test_a_list_is_paged_by_key_and_filtered(system: System) -> None:
    first = system.create("Первый В Списке")["id"]
    users = [first, *(system.create("Из Списка")["id"] for _ in range(6))]
    for user in users[::2]:
        system.request("POST", f"/users/{user}/move", json={"stage": "CONVERTED"})
    for user in users:
        system.await_synced(user)

    def ids(query: str) -> list[int]:
        found: list[int] = []
        after = str(first - 1)
        while after:
            answer = system.request("GET", f"/users?after={after}&limit=2{query}").json()
            assert answer.keys() == {"items", "next"}
            assert len(answer["items"]) <= 2
            found += [item["id"] for item in answer["items"]]
            after = answer["next"]
        return found

    assert ids("") == users
    assert ids("&stage=CONVERTED") == users[::2]
    assert ids("&sync=synced") == users
    assert ids("&sync=failed") == []
    assert ids("&stage=NEW&sync=synced") == users[1::2]
    item = system.request("GET", f"/users?after={first - 1}&limit=1").json()["items"][0]
    assert item["full_name"] == "Первый В Списке"
    assert item["sync"]["bitrix_lead_id"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "limit=", "limit=1e2"),
        *("after=-1", "after=x", f"after={2**63}", "after=1;DROP"),
        *("sync=maybe", "stage=%00", "stage=a'b", "offset=5"),
    ],
)
def test_an_invalid_query_gets_a_422(system: System, query: str) -> None:
    _assert_problem(system.request("GET", f"/users?{query}"), 422)


def test_a_key_in_use_is_409_with_retry_after(system: System) -> None:
    """Another transaction holds the key, not yet committed."""
    headers = {"Idempotency-Key": "held-by-somebody"}
    user = system.create()
    event = system.user(user["id"])["sync"]["events"][0]["event_id"]
    parts = sqlalchemy.make_url(system.url("database"))
    with pg8000.native.Connection(
        parts.username,
        host=parts.host,
        port=parts.port or 5432,
        database=parts.database,
        password=parts.password,
        ssl_context=False,
    ) as database:
        database.run("BEGIN")
        database.run(
            "INSERT INTO idempotency_keys (caller, key, fingerprint, event_id)"
            " VALUES ('', 'held-by-somebody', '\\x00', CAST(:event AS uuid))",
            event=event,
        )
        answer = system.request("POST", "/users", json=NEW, headers=headers)
        _assert_problem(answer, 409)
        assert int(answer.headers["Retry-After"]) >= 1
        database.run("ROLLBACK")
    assert system.request("POST", "/users", json=NEW, headers=headers).status_code == 201


def test_without_postgres_a_write_gets_503_with_retry_after_and_then_201_again(
    system: System,
) -> None:
    eventually(system.is_well, 120, "all is well before")
    # Its sessions, too: they serve on until they notice that the main process is gone.
    for process in family(system.pid("postgres")):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    answers = []

    def is_back() -> bool:
        answers.append(system.request("POST", "/users", json=NEW))
        return len(answers) > 1 and answers[-1].status_code == 201

    eventually(is_back, 120, "writes are accepted again")
    refused = [answer for answer in answers if answer.status_code != 201]
    assert refused, "Postgres was killed, and no request failed"
    for answer in refused:
        _assert_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
    assert system.request("GET", f"/users/{answers[-1].json()['id']}").status_code == 200
    system.await_synced(answers[-1].json()["id"])

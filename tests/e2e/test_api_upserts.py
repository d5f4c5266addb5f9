"""Users by the caller's own id, through the edge up to their leads."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.faults import portal
from tests.servers import eventually
from tests.system import System

NEW = {"full_name": "Кто Со Своим Ключом", "phone": "+77001112233"}


def test_concurrent_puts_and_a_change_end_in_one_lead(system: System) -> None:
    path = f"/users/by-external-id/{uuid4()}%2F{uuid4()}"
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: system.request("PUT", path, json=NEW), range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    user = answers[0].json()
    own_id = user["external_id"]
    found = system.request("GET", "/users", params={"external_id": own_id}).json()["items"]
    assert [item["id"] for item in found] == [user["id"]]
    changed = system.request("PUT", path, json={**NEW, "full_name": "Кто Сменил Имя"})
    assert changed.headers["ETag"] == '"2"'
    assert system.await_synced(user["id"])["external_id"] == own_id
    assert portal.lead_of(system, user["id"])["TITLE"] == "Кто Сменил Имя"


def test_every_accepted_user_of_a_batch_gets_its_lead(system: System) -> None:
    run = str(uuid4())
    users = [{**NEW, "external_id": f"{run}-{n}"} for n in range(60)]
    body = {"users": [*users, {"full_name": ""}, NEW]}
    headers = {"Idempotency-Key": run}
    answers = [system.request("POST", "/users/batch", json=body, headers=headers) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    items = answers[0].json()["items"]
    assert [item["status"] for item in items] == [201] * 60 + [422, 201]
    ids = [item["user"]["id"] for item in items if item["status"] == 201]
    eventually(
        lambda: all(system.user(user_id)["sync"]["status"] == "synced" for user_id in ids),
        120,
        "each user is synced",
    )
    assert len({system.user(user_id)["sync"]["bitrix_lead_id"] for user_id in ids}) == 61


def test_a_batch_passes_the_edge_up_to_its_limit(system: System) -> None:
    for size, status in ((1024 * 1024, 200), (1024 * 1024 + 1, 413)):
        answer = system.request(
            "POST",
            "/users/batch",
            data=b'{"users": [{}]}'.ljust(size),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == status


def test_the_stages_of_the_portal_are_listed_with_their_names(system: System) -> None:
    def is_read() -> bool:
        items = system.request("GET", "/stages").json()["items"]
        return all(item["name"] for item in items)

    # A process keeps the list for a minute.
    eventually(is_read, 120, "the portal's stages are listed")
    listed = [item["id"] for item in system.request("GET", "/stages").json()["items"]]
    assert listed[0] == "NEW"


def test_the_type_of_a_problem_is_served(system: System) -> None:
    problem = system.request("POST", "/users", json={}).json()
    path, _, anchor = problem["type"].partition("#")
    page = system.request("GET", path)
    assert page.status_code == 200
    assert f'id="{anchor}"' in page.text

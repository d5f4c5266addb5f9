"""The console's API: its figures agree with the ledger, and each action takes effect."""

import json
import time
from datetime import datetime
from typing import Any

import pg8000.native
import pytest
import requests

from leadline.ledger.backlog import RECOUNT_S
from leadline.runtime.postgres.dsn import servers
from tests.faults import amqp_client, portal
from tests.servers import eventually
from tests.system import System

#: The console accepts actions only with this header, which a page of another site cannot send.
CONSOLE_HEADER = {"X-Leadline-Console": "1"}

pytestmark = pytest.mark.usefixtures("portal_in_order")


def ask(system: System, path: str) -> Any:
    answer = system.request("GET", f"/console/api/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def act(system: System, path: str, body: object = None, **headers: str) -> requests.Response:
    return system.request(
        "POST",
        f"/console/api/{path}",
        json={} if body is None else body,
        headers=CONSOLE_HEADER | headers,
    )


def rows(system: System, sql: str) -> list[Any]:
    with pg8000.native.Connection(**servers(system.url("database")).options[0]) as connection:
        return list(connection.run(sql))


def await_status(system: System, user_id: int, status: str) -> None:
    eventually(
        lambda: system.user(user_id)["sync"]["status"] == status, 120, f"{user_id} is {status}"
    )


def rejected_user(system: System, name: str) -> int:
    """A user that the portal rejects."""
    portal.add_fault(system, "error", "crm.item.add", status=400, code="ERROR_CORE")
    user_id = int(system.create(name)["id"])
    await_status(system, user_id, "failed")
    portal.clear_faults(system)
    return user_id


def received_count(system: System, user_id: int) -> int:
    """How many of a user's writes have reached the work queue."""
    events = ask(system, f"users/{user_id}")["sync"]["events"]
    return sum(step["step"] == "received" for event in events for step in event["steps"])


def test_every_figure_agrees_with_the_ledger(system: System) -> None:
    rejected_user(system, "Фигура Один")
    act(system, "pause")
    user_id = system.create("Фигура Два")["id"]
    system.request("POST", f"/users/{user_id}/move", json={"stage": "IN_PROCESS"})
    eventually(lambda: received_count(system, user_id) == 2, 120, "both writes wait for one call")
    act(system, "resume")
    system.await_synced(user_id)

    def agrees() -> bool:
        """Whether both count the same users and, of the last hour, the same settled events.

        Between the two queries, writes of earlier tests may still be settled.
        """
        users = dict(
            rows(
                system,
                "SELECT sync_status, count(*) FROM users"
                " WHERE erased_at IS NULL OR sync_status <> 'synced' GROUP BY 1",
            )
        )
        events = dict(
            rows(
                system,
                "SELECT state, count(*) FROM events WHERE settled_at > now() - interval '1 hour'"
                " GROUP BY 1",
            )
        )
        reported = ask(system, "status")
        ledger, hour = reported["ledger"], reported["hour"]
        states = ("synced", "superseded", "failed")
        assert all(sum(slot[state] for slot in hour["slots"]) == hour[state] for state in states)
        return (
            bool(events.get("superseded"))
            and {state: ledger[state] for state in ("synced", "waiting", "failed")}
            == {state: users.get(state, 0) for state in ("synced", "waiting", "failed")}
            and ledger["users"] == sum(users.values())
            and {state: hour[state] for state in states}
            == {state: events.get(state, 0) for state in states}
        )

    # Users that an earlier test erased or deleted are counted until the next full count.
    eventually(agrees, RECOUNT_S + 120, "the console shows what the ledger holds")


def test_the_rate_counts_the_requests_sent_to_the_portal(system: System) -> None:
    began = time.time()
    calls = len(system.control("GET", "calls")["times"])
    system.await_synced(system.create("Счёт Запросов")["id"])
    called = len(system.control("GET", "calls")["times"]) - calls
    assert called >= 1

    def are_counted() -> bool:
        rate = ask(system, "status")["rate"]
        # Not all slots: of earlier requests, some leave the counted time meanwhile.
        slots = int((time.time() - began) / rate["slot_s"]) + 2
        return bool(sum(rate["sent"][-slots:]) >= called)

    eventually(are_counted, 120, "the requests are counted")


def test_the_oldest_waiting_write_and_the_backlog_are_shown_while_calls_are_paused(
    system: System,
) -> None:
    assert act(system, "pause", {"reason": "a test"}).json() == {"paused": True}
    try:
        calls = len(system.control("GET", "calls")["times"])
        user_id = system.create("Ждёт Паузы")["id"]
        eventually(
            lambda: ask(system, "status")["work"]["users_due"] >= 1,
            120,
            "a user is due for a call",
        )
        reported = ask(system, "status")
        assert reported["portal"]["paused"]
        assert reported["portal"]["by_operator"]
        assert reported["portal"]["reason"] == "a test"
        assert (reported["verdict"]["state"], reported["verdict"]["reason"]) == (
            "stopped",
            "manual_hold",
        )
        assert "a test" in reported["verdict"]["sentence"]
        eventually(
            lambda: (ask(system, "status")["ledger"]["oldest_s"] or 0) > 1, 120, "its age is shown"
        )
        steps = ["accepted", "published", "received"]
        eventually(lambda: steps_of(system, user_id) == steps, 120, "its steps are shown")
        assert len(system.control("GET", "calls")["times"]) == calls
    finally:
        assert act(system, "resume").json() == {"paused": False, "was_paused": True}
    system.await_synced(user_id)
    assert act(system, "resume").json()["was_paused"] is False


def test_a_timeline_shows_each_attempt_with_its_time_and_error(system: System) -> None:
    portal.add_fault(system, "error", status=500, description="Портал устал")
    user_id = system.create("Долгий Путь")["id"]
    eventually(lambda: attempts(system, user_id), 120, "an attempt is shown while others follow")
    assert ask(system, f"users/{user_id}")["sync"]["status"] == "waiting"
    await_status(system, user_id, "failed")
    (event,) = ask(system, f"users/{user_id}")["sync"]["events"]
    names = [step["step"] for step in event["steps"]]
    assert names == ["accepted", "published", "received", *["attempt"] * 3, "replied"]
    assert [step["error"] for step in event["steps"][3:]] == ["Портал устал"] * 4
    moments = [datetime.fromisoformat(attempt["at"]) for attempt in attempts(system, user_id)]
    late_s = 20  # how late a slow machine may make an attempt; never early
    assert 2 <= (moments[1] - moments[0]).total_seconds() < 2 + late_s
    assert 4 <= (moments[2] - moments[1]).total_seconds() < 4 + late_s


def steps_of(system: System, user_id: int) -> list[str]:
    """The steps of a user's only write so far."""
    (event,) = ask(system, f"users/{user_id}")["sync"]["events"]
    return [str(step["step"]) for step in event["steps"]]


def attempts(system: System, user_id: int) -> list[dict[str, Any]]:
    (event,) = ask(system, f"users/{user_id}")["sync"]["events"]
    return [step for step in event["steps"] if step["step"] == "attempt"]


def test_a_user_is_found_by_any_part_of_its_data(system: System) -> None:
    answer = system.request(
        "POST", "/users", json={"full_name": "Ёжик Найденный", "phone": "+77059998811"}
    )
    user_id = answer.json()["id"]
    lead_id = system.await_synced(user_id)["sync"]["bitrix_lead_id"]
    (event,) = ask(system, f"users/{user_id}")["sync"]["events"]
    texts = (
        *(user_id, f"id:{user_id}", lead_id, f"lead:{lead_id}"),
        *("+7705999", "7 (705) 999-88-11", "8 705 999 88 11", "998-811", "8811", "9988"),
        *("ёжик н", "ЁЖИК Найденный", "Найденный", "йден", "нный ёж", "на"),
        *(event["correlation_id"], f"call:{event['correlation_id']}", event["event_id"]),
    )
    for text in texts:
        found = system.request("GET", "/console/api/users", params={"find": text}).json()
        assert user_id in [user["id"] for user in found["items"]], text
    for text in (
        "+7705999881122",
        "+999",
        "%",
        "_",
        "0",
        "денный ёжи к",
        f"id:{lead_id}0",
        "lead:x",
    ):
        found = system.request("GET", "/console/api/users", params={"find": text}).json()
        assert user_id not in [user["id"] for user in found["items"]], text


def test_users_are_filtered_by_status_and_paged_by_key(system: System) -> None:
    ids = [rejected_user(system, f"Страница {number}") for number in range(2)]
    synced = system.create("Страница 3")["id"]
    system.await_synced(synced)
    query = {"find": "страница", "sync": "failed", "limit": "1"}
    seen: list[int] = []
    after: str | None = "0"
    while after is not None:
        page = system.request("GET", "/console/api/users", params={**query, "after": after}).json()
        seen += [user["id"] for user in page["items"]]
        after = page["next"]
    assert [user_id for user_id in seen if user_id in ids] == ids[::-1], "the newest first"
    assert synced not in seen
    assert len(seen) == len(set(seen))


def test_a_user_is_resynced(system: System) -> None:
    user_id = rejected_user(system, "Ещё Раз")
    reported = act(system, f"users/{user_id}/again").json()
    assert reported == {"asked_again": 1, "waiting_already": [], "not_found": []}
    system.await_synced(user_id)
    assert len(portal.leads_of(system, user_id)) == 1
    assert act(system, "users/9223372036854775807/again").json()["not_found"]


def job(system: System, job_id: str) -> dict[str, Any]:
    return next(item for item in ask(system, "status")["jobs"]["items"] if item["id"] == job_id)


def finished_job(system: System, job_id: str) -> dict[str, Any]:
    eventually(lambda: job(system, job_id)["state"] != "running", 120, "the job has ended")
    return job(system, job_id)


def test_failed_users_are_grouped_by_reason_and_a_group_is_resynced_as_a_job(
    system: System,
) -> None:
    ids = [rejected_user(system, f"Все Снова {number}") for number in range(2)]
    eventually(
        lambda: sum(group["users"] for group in ask(system, "failures")["groups"]) >= len(ids),
        120,
        "they are counted",
    )
    groups = ask(system, "failures")["groups"]
    (group,) = [
        group
        for group in groups
        if {*ids} <= {user["id"] for user in users_of(system, group["reason_id"])}
    ]
    assert group["users"] == len(users_of(system, group["reason_id"]))
    assert group["since"] <= group["latest"]
    started_job = act(system, "jobs", {"kind": "resync", "reason_id": group["reason_id"]}).json()
    assert started_job["total"] == group["users"]
    ended_job = finished_job(system, started_job["id"])
    assert (ended_job["state"], ended_job["done"]) == ("done", group["users"])
    for user_id in ids:
        system.await_synced(user_id)
    expected = {"synced": ended_job["changed"]}
    eventually(
        lambda: job(system, started_job["id"])["outcome"] == expected,
        120,
        "its outcome is counted",
    )


def users_of(system: System, reason_id: str) -> list[dict[str, Any]]:
    found = system.request(
        "GET", "/console/api/users", params={"reason_id": reason_id, "limit": "200"}
    ).json()
    return list(found["items"])


def test_dead_letters_are_replayed_and_discarded_as_a_job(system: System) -> None:
    listed: list[Any] = []

    def letters_by_reason() -> dict[str, int]:
        listed[:] = ask(system, "dead-letters")["groups"]
        return {group["reason"]: group["letters"] for group in listed}

    with amqp_client.connect(system) as connection:
        for number in range(3):
            connection.publish({"pattern": "user_created", "data": {"note": number}})
        connection.publish({"pattern": "user_created", "data": "text"})
        eventually(lambda: sum(letters_by_reason().values()) == 4, 120, "they are dead letters")
        reason_id = next(group["reason_id"] for group in listed if group["letters"] == 3)
        started_job = act(system, "jobs", {"kind": "discard", "reason_id": reason_id}).json()
        assert started_job["total"] == 3
        ended_job = finished_job(system, started_job["id"])
        assert (ended_job["state"], ended_job["changed"]) == ("done", 3)
        eventually(lambda: sum(letters_by_reason().values()) == 1, 120, "the other one is kept")
        assert (
            finished_job(system, act(system, "jobs", {"kind": "replay"}).json()["id"])["done"] == 1
        )
        eventually(lambda: sum(letters_by_reason().values()) == 1, 120, "it is a dead letter again")
        finished_job(system, act(system, "jobs", {"kind": "discard"}).json()["id"])
        eventually(lambda: not letters_by_reason(), 120, "all are discarded")


def test_operators_can_reveal_what_was_sent_and_are_audited(system: System) -> None:
    user_id = system.create("Отправленное Имя")["id"]
    system.await_synced(user_id)
    journey = json.dumps(ask(system, f"users/{user_id}")["sync"]["events"], ensure_ascii=False)
    assert "Отправленное" not in journey
    (sent,) = act(system, f"users/{user_id}/sent").json()["events"]
    assert (sent["full_name"], sent["version"]) == ("Отправленное Имя", 1)
    latest = ask(system, f"audit?user_id={user_id}&only_orders=true")["items"][0]
    assert (latest["action"], latest["about"]["events"]) == ("read what was sent", 1)


def test_an_export_has_what_the_search_shows_and_is_audited(system: System) -> None:
    system.await_synced(system.create("Выгрузка Раз")["id"])
    exported = act(system, "users/export", {"find": "выгрузка раз"}).json()
    found = system.request("GET", "/console/api/users", params={"find": "выгрузка раз"}).json()
    assert exported == {"items": found["items"], "is_all": True}
    latest = ask(system, "audit?only_orders=true&limit=1")["items"][0]
    assert (latest["action"], latest["about"]["users"]) == ("export users", len(found["items"]))
    assert "выгрузка" not in json.dumps(latest, ensure_ascii=False)


def test_dead_letters_are_read_replayed_and_discarded(system: System) -> None:
    listed: list[dict[str, Any]] = []

    def dead_letters() -> list[dict[str, Any]]:
        listed[:] = ask(system, "dead-letters")["items"]
        return listed

    with amqp_client.connect(system) as connection:
        connection.publish({"pattern": "user_created", "data": {"note": "для консоли"}})
        eventually(dead_letters, 120, "the malformed message is a dead letter")
        (dead_letter,) = listed  # RabbitMQ requeues what was listed a moment later
        assert dead_letter["queue"] == "bitrix_queue"
        assert "replyQueue" in dead_letter["reason"]
        dead_letter_details = ask(system, f"dead-letters/{dead_letter['id']}")
        assert dead_letter_details["body"]["data"] == {"note": "для консоли"}
        replayed = act(system, "dead-letters/replay", {"ids": [dead_letter["id"]]}).json()
        assert replayed == {"done": 1, "not_found": []}
        eventually(dead_letters, 120, "it is a dead letter again")
        (repeat,) = listed
        unknown_id = "0" * 12
        body = {"ids": [repeat["id"], unknown_id]}
        # RabbitMQ requeues the listed messages a moment after the request.
        eventually(
            lambda: (
                act(system, "dead-letters/discard", body).json()
                == {"done": 1, "not_found": [unknown_id]}
            ),
            120,
            "it is discarded",
        )
        assert dead_letters() == []
        assert system.request("GET", f"/console/api/dead-letters/{repeat['id']}").status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("pause", {"X-Leadline-Console": None}, 403),
        ("pause", {"Content-Type": "text/plain"}, 415),
        ("pause", {}, 422),
        ("users/1/again", {}, 422),
        ("dead-letters/discard", {}, 422),
        ("status", {}, 405),
        ("users/x/again", {}, 404),
        ("dead-letters/keep", {}, 404),
        ("jobs", {"X-Leadline-Console": None}, 403),
        ("jobs", {}, 422),
        ("users/1/sent", {"X-Leadline-Console": None}, 403),
        ("users/export", {"X-Leadline-Console": None}, 403),
    ],
)
def test_a_cross_site_or_invalid_action_changes_nothing(
    system: System, path: str, headers: dict[str, str | None], status: int
) -> None:
    sent = {"Content-Type": "application/json", **CONSOLE_HEADER, **headers}
    sent_headers = {name: value for name, value in sent.items() if value is not None}
    answer = system.request(
        "POST", f"/console/api/{path}", data=b'{"no": "sense"}', headers=sent_headers
    )
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not ask(system, "status")["portal"]["paused"]


def test_text_that_postgres_cannot_store_is_refused(system: System) -> None:
    for text in ("a\0b", "a\nb", "\x9b31m"):
        assert act(system, "pause", {"reason": text}).status_code == 422, text
        found = system.request("GET", "/console/api/users", params={"find": text})
        assert found.status_code == 200, text
        audit_answer = system.request("GET", "/console/api/audit", params={"caller": text})
        assert audit_answer.status_code == 422, text
    assert not ask(system, "status")["portal"]["paused"]


@pytest.mark.parametrize("place", ["/console", "/console/", "/function/console"])
def test_the_page_loads_nothing_from_other_sites(system: System, place: str) -> None:
    page = system.request("GET", place, headers={"Accept-Language": "ru-RU,en;q=0.5"})
    assert '<html lang="ru"' in page.text
    assert "http" not in page.text
    for name in ("main.js", "views/users.js", "console.css", "icon.svg"):
        # As a browser resolves `console/…` relative to the page.
        answer = system.request("GET", f"{place.rpartition('/')[0]}/console/{name}")
        assert answer.status_code == 200, name
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    repeated = {"Accept-Language": "ru-RU", "If-None-Match": page.headers["ETag"]}
    assert system.request("GET", place, headers=repeated).status_code == 304


@pytest.mark.parametrize(
    "name",
    [
        "main.py",
        "..%2Fmain.py",
        "page",
        "x.js",
        "api",
        "console.css/x",
        "views",
        "views/../../main.py",
    ],
)
def test_no_other_file_is_served(system: System, name: str) -> None:
    assert system.request("GET", f"/console/{name}").status_code == 404

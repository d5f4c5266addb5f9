"""Postgres loses its newest transactions while everything else remembers them."""

import json
from functools import partial
from typing import Any

import pg8000.native
import pytest
import sqlalchemy

from tests.faults import portal
from tests.servers import eventually
from tests.system import System

pytestmark = pytest.mark.usefixtures("portal_in_order")


def as_owner(system: System, *statements: str, **params: Any) -> list[list[Any]]:
    """Run these statements as the owner, in one transaction; returns the rows of the last."""
    url = json.loads(system.state.environment_file.read_text())["DATABASE_URL"]
    parts = sqlalchemy.make_url(url)
    with pg8000.native.Connection(
        "leadline",
        host=parts.host,
        port=parts.port or 5432,
        database=parts.database,
        password=system.state.password("postgres"),
        ssl_context=False,
    ) as connection:
        connection.run("BEGIN")
        found = [connection.run(statement, **params) for statement in statements]
        connection.run("COMMIT")
    rows: list[list[Any]] = found[-1] or []
    return rows


def lose_newest_transactions(system: System, survivor: dict[str, Any], lost: int = 0) -> None:
    """Put Postgres into the state after a failover that lost its newest transactions.

    The survivor has its first version again; the history is another. `lost`: the id of a user who
    is gone, 0 for none.
    """
    as_owner(
        system,
        "DELETE FROM events WHERE user_id = :id AND version > 1 OR user_id = :lost",
        "DELETE FROM users WHERE id = :lost",
        "UPDATE users SET full_name = :full_name, phone = :phone, stage = :stage, version = 1,"
        " stage_version = 1, synced_version = 1, sync_status = 'synced' WHERE id = :id",
        "SELECT setval('users_id_seq', (SELECT max(id) FROM users))",
        "UPDATE installation SET fingerprint = 'another timeline'",
        **{**survivor, "lost": lost},
    )


def lead_equals_user(system: System, user: int) -> bool:
    found = system.user(user)
    lead = portal.lead_of(system, user)
    return found["sync"]["status"] == "synced" and portal.looks_like(lead, found)


def test_a_write_that_postgres_lost_does_not_stay_on_the_lead(system: System) -> None:
    survivor = system.create("Осталось Так", "+77001112233")
    user = survivor["id"]
    system.await_synced(user)
    system.request(
        "PATCH", f"/users/{user}", json={"full_name": "Потеряно", "phone": "+77005556677"}
    )
    system.request("POST", f"/users/{user}/move", json={"stage": "JUNK"})
    system.await_synced(user)
    lose_newest_transactions(system, survivor)
    eventually(partial(lead_equals_user, system, user), 120, "the lead equals the row in Postgres")
    lead = portal.lead_of(system, user)
    assert (lead["TITLE"], lead["STATUS_ID"]) == ("Осталось Так", "NEW")


def test_a_version_assigned_twice_ends_in_its_later_state(system: System) -> None:
    survivor = system.create("Первая Версия")
    user = survivor["id"]
    system.await_synced(user)
    system.request("PATCH", f"/users/{user}", json={"full_name": "Вторая Потерянная"})
    system.await_synced(user)
    lose_newest_transactions(system, survivor)
    answer = system.request("PATCH", f"/users/{user}", json={"full_name": "Вторая Новая"})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    eventually(partial(lead_equals_user, system, user), 120, "the lead equals the row in Postgres")
    assert portal.lead_of(system, user)["TITLE"] == "Вторая Новая"


def test_a_new_user_does_not_get_the_lead_of_a_lost_one(system: System) -> None:
    survivor = system.create("Известный")
    system.await_synced(survivor["id"])
    lost = system.create("Потерянный Человек")["id"]
    lead_id = system.await_synced(lost)["sync"]["bitrix_lead_id"]
    lose_newest_transactions(system, survivor, lost)
    other = system.create("Другой Человек")["id"]
    assert system.await_synced(other)["sync"]["bitrix_lead_id"] != lead_id
    assert portal.lead_of(system, lost)["TITLE"] == "Потерянный Человек"

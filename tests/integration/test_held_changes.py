"""Held users that change meanwhile: erased, restored, their leads deleted or taken."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from leadline import process
from leadline.operations import manual_hold
from leadline.runtime.postgres import pool
from local.runner.servers.postgres import binary
from tests.integration.conftest import CommandOutput, Control, close_idle_connections, execute, rows
from tests.integration.pipeline import Pipeline
from tests.integration.test_duplicates import (
    add_lead,
    all_leads,
    call_portal,
    create_user,
    set_duplicates,
)

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]


@pytest.fixture(autouse=True)
def doubles(connected: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two leads made by hand with one phone; users with that phone are held."""
    assert connected is None
    set_duplicates(monkeypatch, "hold")
    return [add_lead(1), add_lead(1)]


def run_after_republication(pipeline: Pipeline, times: int = 6) -> None:
    """Run rounds after the time of the relay's next republication."""
    for _ in range(times):
        execute("UPDATE events SET due_at = now() WHERE state = 'open'")
        pipeline.run_round()


@pytest.fixture
def held(doubles: list[int], pipeline: Pipeline, leadline: Leadline) -> int:
    """The id of a user that is held because of both leads."""
    user_id = create_user(1)
    run_after_republication(pipeline)
    (held_user,) = leadline("held", "--json").json["held"]
    assert held_user["lead_ids"] == doubles
    return int(user_id)


def origins(control: Control) -> dict[int, str]:
    """The user's id on each lead, or an empty string, by lead."""
    return {id_: str(row["ORIGIN_ID"] or "") for id_, row in all_leads(control).items()}


def test_a_held_user_stays_held_in_a_new_history(
    held: int, doubles: list[int], leadline: Leadline, pipeline: Pipeline, control: Control
) -> None:
    assert leadline("restored", "--yes").code == 0
    run_after_republication(pipeline)
    assert origins(control) == dict.fromkeys(doubles, "")
    (held_user,) = leadline("held", "--json").json["held"]
    assert (held_user["user_id"], held_user["lead_ids"]) == (held, doubles)
    assert leadline("held", held, "--link", doubles[0]).code == 0
    pipeline.settle()
    assert origins(control) == {doubles[0]: str(held), doubles[1]: ""}


def reconnect() -> None:
    """Close this process's connections, which would prevent a restore."""
    close_idle_connections()
    process.forget(pool.database)


@pytest.fixture
def dump(
    held: int, _postgres_urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """A dump that contains the held user; the process then uses the owner's URL."""
    assert held
    owner = _postgres_urls[0]
    monkeypatch.setenv("DATABASE_URL", owner)
    file = tmp_path / "leadline.dump"
    command = (binary("pg_dump"), "--format=custom", f"--file={file}", owner)
    subprocess.run(command, check=True, timeout=60)
    reconnect()
    return file


@pytest.mark.usefixtures("functions_login")
def test_a_restored_dump_has_its_held_users(
    dump: Path, doubles: list[int], leadline: Leadline, pipeline: Pipeline, control: Control
) -> None:
    (held,) = (held_user["user_id"] for held_user in leadline("held", "--json").json["held"])
    assert leadline("held", held, "--create").code == 0
    pipeline.settle()
    (lead_id,) = (id_ for id_, origin in origins(control).items() if origin == str(held))
    call_portal("crm.lead.delete", id=lead_id)
    reconnect()
    output = leadline("restore", dump, "--yes")
    assert output.code == 0, output.err
    assert leadline("held", "--json").json["held"][0]["lead_ids"] == doubles
    run_after_republication(pipeline)
    assert leadline("held", held, "--link", doubles[1]).code == 0
    pipeline.settle()
    assert origins(control) == {doubles[0]: "", doubles[1]: str(held)}


def test_an_erased_user_is_held_no_more(
    held: int, doubles: list[int], leadline: Leadline, pipeline: Pipeline, control: Control
) -> None:
    assert leadline("erase", held, "--yes").code == 0
    pipeline.settle()
    assert leadline("held", "--json").json["held"] == []
    assert rows("SELECT FROM held_users") == []
    assert leadline("held", held, "--link", doubles[0]).code == 2
    assert origins(control) == dict.fromkeys(doubles, "")
    assert {row["TITLE"] for row in all_leads(control).values()} == {"By Hand"}


def test_a_chosen_lead_that_was_deleted_meanwhile_leaves_the_other(
    held: int, doubles: list[int], leadline: Leadline, pipeline: Pipeline, control: Control
) -> None:
    call_portal("crm.lead.delete", id=doubles[1])
    assert leadline("held", held, "--link", doubles[1]).code == 0
    pipeline.settle()
    assert origins(control) == {doubles[0]: str(held)}


def test_a_chosen_lead_that_another_system_took_meanwhile_stays_its_own(
    held: int, doubles: list[int], leadline: Leadline, pipeline: Pipeline, control: Control
) -> None:
    call_portal("crm.lead.update", id=doubles[1], fields={"ORIGINATOR_ID": "x", "ORIGIN_ID": "1"})
    assert leadline("held", held, "--link", doubles[1]).code == 0
    pipeline.run_rounds(4)
    found = all_leads(control)
    assert (found[doubles[1]]["TITLE"], found[doubles[1]]["ORIGIN_ID"]) == ("By Hand", "1")
    sync = leadline("show", held, "--json").json["sync"]
    reason = f"lead {doubles[1]} belongs to another installation"
    assert (sync["status"], sync["reason"]) == ("failed", reason)
    assert sync["bitrix_lead_id"] is None, "the choice is void"
    assert leadline("resync", held, "--yes").code == 0
    pipeline.settle()
    assert origins(control) == {doubles[0]: str(held), doubles[1]: "1"}


@pytest.mark.parametrize("first", ["planned", "new"])
def test_a_lead_of_a_plan_that_a_new_user_may_mean_too_goes_to_one(
    first: str,
    leadline: Leadline,
    pipeline: Pipeline,
    control: Control,
) -> None:
    manual_hold.hold("first match")
    planned, lead_id = create_user(2), add_lead(2)
    assert leadline("plan").code == 2
    if first == "new":
        new = create_user(2, "Partner")
        pipeline.publish()
    assert leadline("apply", "--yes", "--json").json["entered"] == 1
    if first == "planned":
        pipeline.publish()
        new = create_user(2, "Partner")
    manual_hold.resume()
    pipeline.settle()
    states = rows("SELECT id, sync_status, sync_reason, bitrix_lead_id FROM users ORDER BY id")
    assert [row["sync_status"] for row in states] == ["synced"] * 2, states
    found = origins(control)
    assert sorted(filter(None, found.values())) == sorted(map(str, (planned, new)))
    assert found[lead_id] in {str(planned), str(new)}

"""The command line against a running system, as a separate process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.conftest import Leadline
from tests.faults import amqp_client, portal
from tests.servers import eventually
from tests.system import System


def dead_letters(leadline: Leadline) -> list[dict[str, Any]]:
    answer = leadline("dead-letters", "list", "--json")
    assert answer.returncode == 0, answer.stderr
    return list(json.loads(answer.stdout)["dead_letters"])


@pytest.mark.slow("runs the command line many times")
def test_dead_letters_of_a_running_local_system_are_replayed_and_discarded(
    system: System, leadline: Leadline
) -> None:
    with amqp_client.connect(system) as connection:
        connection.publish({"pattern": "user_created"})
        eventually(lambda: dead_letters(leadline), 120, "the malformed message is a dead letter")
        (before,) = dead_letters(leadline)
        assert before["queue"] == "bitrix_queue"
        assert leadline("dead-letters", "replay", before["id"]).returncode == 0
        eventually(
            lambda: dead_letters(leadline), 120, "it is still malformed, and a dead letter again"
        )
        (dead_letter,) = dead_letters(leadline)
        assert dead_letter["attempts"] == 1
        assert leadline("dead-letters", "discard", "--all", "--yes").returncode == 0
        assert dead_letters(leadline) == []


def test_the_program_next_to_python_works_from_anywhere(system: System, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("leadline")
    if not program.exists():
        pytest.skip("this Python is not the one that scripts/venv made")
    answer = subprocess.run(
        (program, "--state", system.state.root, "dead-letters", "list", "--json"),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_command_line_reports_that_no_system_runs(leadline: Leadline, tmp_path: Path) -> None:
    answer = leadline("--state", str(tmp_path), "dead-letters", "list")
    assert answer.returncode == 3
    assert "nothing runs" in answer.stderr


def reconcile_findings(leadline: Leadline, *words: str) -> dict[int, dict[str, Any]]:
    """The findings of reconcile for each user with drift."""
    answer = leadline("reconcile", "--json", *words)
    assert answer.returncode in {0, 1}, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {line["user_id"]: line for line in lines if line.get("user_id")}


@pytest.mark.slow("the portal's rate: a repair reads and writes many leads")
def test_a_repair_corrects_changes_made_in_the_crm_and_nothing_else(
    system: System, leadline: Leadline
) -> None:
    with portal.in_order(system):
        users = [system.create(f"Сверка {number}") for number in range(7)]
        ids = [user["id"] for user in users]
        lead_ids = {user: system.await_synced(user)["sync"]["bitrix_lead_id"] for user in ids}
        gone, renamed, renumbered, moved, moved_and_renamed, doubled, unharmed = ids
        portal.call(system, "crm.lead.delete", id=lead_ids[gone])
        portal.call(
            system, "crm.lead.update", id=lead_ids[renamed], fields={"TITLE": "X", "NAME": "X"}
        )
        (row,) = portal.lead_of(system, renumbered)["PHONE"]
        phone = {"ID": row["ID"], "VALUE": "+77000000000"}
        portal.call(system, "crm.lead.update", id=lead_ids[renumbered], fields={"PHONE": [phone]})
        for user in (moved, moved_and_renamed):
            portal.call(system, "crm.lead.update", id=lead_ids[user], fields={"STATUS_ID": "JUNK"})
        portal.call(
            system,
            "crm.lead.update",
            id=lead_ids[moved_and_renamed],
            fields={"TITLE": "X", "NAME": "X"},
        )
        ours = portal.lead_of(system, doubled)["ORIGINATOR_ID"]
        origin = {"ORIGINATOR_ID": ours, "ORIGIN_ID": str(doubled)}
        double = portal.call(system, "crm.lead.add", fields=origin)

        found = reconcile_findings(leadline, "--repair", "--yes")
        kinds = {user: found[user]["kind"] for user in ids if user in found}
        assert kinds == {
            gone: "missing",
            renamed: "drifted",
            renumbered: "drifted",
            moved: "moved",
            moved_and_renamed: "drifted",
            doubled: "doubled",
        }
        assert found[doubled]["lead_ids"] == [lead_ids[doubled], double]

        for user in ids:
            system.await_synced(user, within_s=120)
        for written in users:
            if written["id"] != doubled:
                stage = "JUNK" if written["id"] in {moved, moved_and_renamed} else written["stage"]
                repaired = portal.lead_of(system, written["id"])
                assert portal.looks_like(repaired, written | {"stage": stage})
        assert system.user(gone)["sync"]["bitrix_lead_id"] != lead_ids[gone]
        writes = len(portal.lead_of(system, unharmed)["history"])
        assert writes == 1, "it was not touched"

        found = reconcile_findings(leadline, "--repair", "--yes", "--stages")
        assert {user: found[user]["kind"] for user in ids if user in found} == {
            moved: "moved",
            moved_and_renamed: "moved",
            doubled: "doubled",
        }
        for single in users[:5]:  # all but the doubled one and the unharmed one
            system.await_synced(single["id"], within_s=120)
            assert portal.looks_like(portal.lead_of(system, single["id"]), single)
        portal.call(system, "crm.lead.delete", id=double)
        assert not set(ids) & reconcile_findings(leadline).keys()


@pytest.mark.slow("forgotten calls are waited for, 15 s here")
def test_a_repair_works_after_redis_has_lost_all_data(system: System, leadline: Leadline) -> None:
    with portal.in_order(system):
        user = system.create("Забытый")
        lead_id = system.await_synced(user["id"])["sync"]["bitrix_lead_id"]
        portal.call(
            system, "crm.lead.update", id=lead_id, fields={"TITLE": "X", "STATUS_ID": "JUNK"}
        )
        with redis.Redis.from_url(system.url("redis")) as client:
            client.flushall()
        assert reconcile_findings(leadline, "--repair", "--yes")[user["id"]]["kind"] == "drifted"
        system.await_synced(user["id"], within_s=120)
        lead = portal.lead_of(system, user["id"])
        assert portal.looks_like(lead, user | {"stage": "JUNK"})

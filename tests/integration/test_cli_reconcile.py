"""`leadline reconcile` with an emulated portal: findings, progress and cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.sync import portal_session
from leadline.sync.reconcile import compare, scan, throttled_reads
from leadline.users.snapshots import UserSnapshot
from tests.integration.conftest import CommandOutput, execute, rows

Leadline = Callable[..., CommandOutput]


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str,
    in_redis: str,
    webhook_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))
    monkeypatch.setenv("LEADLINE_ORIGINATOR_ID", "leadline")


@pytest.fixture
def control(portal: str) -> Callable[[str], Any]:
    return lambda path: requests.get(f"{portal}/_emulator/{path}", timeout=60).json()


def create_users_in_sync(number: int) -> None:
    """Users 1 to `number`, each with its lead, as after a first synchronisation."""
    execute(
        """
        INSERT INTO users (id, full_name, phone, stage, bitrix_lead_id, synced_version, sync_status)
        SELECT n, 'User ' || n, '+7700' || (1000000 + n), 'NEW', n, 1, 'synced'
        FROM generate_series(1, :number) AS n
        """,
        number=number,
    )
    for first in range(1, number + 1, 50):
        ids = range(first, min(first + 50, number + 1))
        portal_session.portal_client().call(
            {f"u{user_id}": leads.create(user_id, state(user_id), "leadline") for user_id in ids}
        )


def state(user_id: int) -> leads.DesiredState:
    return leads.DesiredState(f"User {user_id}", f"+7700{1_000_000 + user_id}", "NEW")


def call_portal(method: str, **params: object) -> Any:
    """A call to the portal by another client."""
    return portal_session.portal_client().call({"one": Command(method, params)}).results["one"]


def findings(answer: CommandOutput) -> dict[int | None, dict[str, Any]]:
    """What a run found, by user; None: leads without a user."""
    return {line["user_id"]: line for line in answer.lines if "kind" in line}


def test_users_in_sync_have_no_drift(leadline: Leadline, tmp_path: Path) -> None:
    create_users_in_sync(60)
    output = leadline("reconcile", "--json")
    assert (output.code, output.err) == (0, "")
    (line,) = output.lines
    assert line["summary"]["ok"] == 60
    assert sum(line["summary"].values()) == 60, "nothing else is counted"
    assert list(tmp_path.iterdir()) == [], "nothing is left to resume"


def test_each_kind_of_drift_is_distinguished(leadline: Leadline) -> None:
    create_users_in_sync(12)
    call_portal("crm.lead.delete", id=1)
    double = call_portal("crm.lead.add", fields={"ORIGINATOR_ID": "leadline", "ORIGIN_ID": "2"})
    call_portal("crm.lead.update", id=3, fields={"TITLE": "Somebody Else"})
    call_portal("crm.lead.update", id=4, fields={"STATUS_ID": "JUNK"})
    foreign = call_portal("crm.lead.add", fields={"ORIGINATOR_ID": "leadline", "ORIGIN_ID": "900"})
    strange = call_portal("crm.lead.add", fields={"ORIGINATOR_ID": "leadline", "ORIGIN_ID": "u-7"})
    call_portal("crm.lead.add", fields={"ORIGINATOR_ID": "another", "ORIGIN_ID": "901"})
    execute(
        "UPDATE users SET bitrix_lead_id = NULL, sync_status = 'failed', sync_reason = 'x',"
        " synced_version = 0 WHERE id = 5"
    )
    execute("UPDATE users SET phone = '+77005554433' WHERE id IN (6, 7)")
    execute("UPDATE users SET sync_status = 'waiting', version = 2 WHERE id = 7")
    output = leadline("reconcile", "--json")
    assert output.code == 1
    differences = [
        (line["kind"], line["user_id"], line["lead_ids"], line["fields"])
        for line in output.lines
        if "kind" in line
    ]
    assert sorted(differences, key=str) == sorted(
        [
            ("missing", 1, [], []),
            ("doubled", 2, [2, double], []),
            ("drifted", 3, [3], ["full_name"]),
            ("moved", 4, [4], []),
            ("unlinked", 5, [5], []),
            ("drifted", 6, [6], ["phone"]),
            ("foreign", None, [foreign], []),
            ("foreign", None, [strange], []),
        ],
        key=str,
    )
    summary = output.lines[-1]["summary"]
    assert (summary["ok"], summary["waiting"], summary["asked_again"]) == (5, 1, 0)


def test_a_report_contains_no_names(leadline: Leadline) -> None:
    create_users_in_sync(3)
    call_portal("crm.lead.update", id=3, fields={"TITLE": "Somebody Else"})
    output = leadline("reconcile")
    assert b"drifted   user 3" in output.out
    assert b"full_name" in output.out
    assert b"Somebody" not in output.out + output.err.encode()
    assert b"User 3" not in output.out


def test_a_lead_created_by_hand_and_reported_to_us_belongs_to_the_user(leadline: Leadline) -> None:
    create_users_in_sync(1)
    call_portal("crm.lead.update", id=1, fields={"ORIGINATOR_ID": "", "ORIGIN_ID": ""})
    assert leadline("reconcile", "--json").code == 0


def test_a_stage_set_by_a_failed_write_is_drift(leadline: Leadline) -> None:
    create_users_in_sync(2)
    execute(
        "UPDATE users SET stage = 'JUNK', version = 2, sync_status = 'failed', sync_reason = 'x'"
    )
    # The failed write has set the stage of user 1; that of user 2 was applied before.
    execute("UPDATE users SET stage_version = CASE id WHEN 1 THEN 2 ELSE 1 END")
    found = findings(leadline("reconcile", "--json"))
    assert (found[1]["kind"], found[1]["fields"]) == ("drifted", ["stage"])
    assert found[2]["kind"] == "moved"


def test_more_duplicates_than_a_page_are_all_found(leadline: Leadline) -> None:
    create_users_in_sync(30)
    adds = {
        f"a{n}": Command(
            "crm.lead.add", {"fields": {"ORIGINATOR_ID": "leadline", "ORIGIN_ID": str(n % 20 + 1)}}
        )
        for n in range(40)
    }
    portal_session.portal_client().call(adds)
    found = findings(leadline("reconcile", "--json"))
    assert {user: len(finding["lead_ids"]) for user, finding in found.items()} == dict.fromkeys(
        range(1, 21), 3
    )


def test_a_concurrent_write_is_not_drift(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_users_in_sync(3)
    original_read_all = throttled_reads.read_all

    def write_and_read(commands: dict[str, Command], **options: Any) -> dict[str, Any]:
        execute("UPDATE users SET version = 2, synced_version = 2 WHERE id = 2")
        call_portal("crm.lead.update", id=2, fields={"TITLE": "A newer name"})
        return original_read_all(commands, **options)

    monkeypatch.setattr(throttled_reads, "read_all", write_and_read)
    output = leadline("reconcile", "--json")
    assert (output.code, output.lines[-1]["summary"]["waiting"]) == (0, 1)


def test_an_interrupted_run_resumes_where_it_was_within_the_limits(
    leadline: Leadline,
    monkeypatch: pytest.MonkeyPatch,
    control: Callable[[str], Any],
) -> None:
    create_users_in_sync(1200)
    call_portal("crm.lead.delete", id=10)
    call_portal("crm.lead.delete", id=1190)
    compared: list[int] = []
    original_compare = compare.compare

    def interrupt_at_user_700(user: UserSnapshot, *rest: Any) -> Any:
        compared.append(user.id)
        if user.id == 700:
            raise KeyboardInterrupt
        return original_compare(user, *rest)

    before = control("calls")["requests"]
    monkeypatch.setattr(compare, "compare", interrupt_at_user_700)
    first = leadline("reconcile", "--json")
    assert first.code != 0
    assert list(findings(first)) == [10]
    monkeypatch.setattr(compare, "compare", original_compare)
    second = leadline("reconcile", "--json")
    assert (second.code, list(findings(second))) == (1, [1190])
    assert "continuing after user 500" in second.err
    summary = second.lines[-1]["summary"]
    assert (summary["ok"], summary["missing"]) == (1198, 2)
    calls = control("calls")
    assert calls["refused"] == 0
    assert calls["requests"] - before < 1200 / 50, "a request reads the leads of many users"
    assert leadline("reconcile", "--json").lines[-1]["summary"]["missing"] == 2, "a new run"


def test_reconcile_takes_its_tokens_from_the_bucket_of_the_workers(
    leadline: Leadline,
    monkeypatch: pytest.MonkeyPatch,
    portal: str,
    control: Callable[[str], Any],
) -> None:
    """A portal that accepts three requests at once, and then three a second."""
    monkeypatch.setenv("LEADLINE_RATE_PER_S", "3")
    monkeypatch.setenv("LEADLINE_BURST", "3")
    monkeypatch.setattr(scan, "USERS_PER_CALL", 25)
    settings = f"{portal}/_emulator/settings"
    requests.put(settings, json={"rate_per_s": 0}, timeout=60).raise_for_status()
    create_users_in_sync(150)
    requests.put(settings, json={"rate_per_s": 3, "burst": 3}, timeout=60).raise_for_status()
    before = control("calls")["requests"]
    assert leadline("reconcile", "--json").lines[-1]["summary"]["ok"] == 150
    calls = control("calls")
    assert calls["requests"] - before > 6, "far more than the bucket of three holds"
    assert calls["refused"] == 0


def test_a_refusal_is_waited_out_and_a_paused_portal_is_reported(
    leadline: Leadline, portal: str
) -> None:
    create_users_in_sync(2)
    faults = f"{portal}/_emulator/faults"
    refusal = {"method": "*", "action": "error", "code": "QUERY_LIMIT_EXCEEDED", "status": 503}
    requests.post(faults, json=[refusal | {"count": 1}], timeout=60).raise_for_status()
    assert leadline("reconcile", "--json").code == 0
    requests.put(f"{portal}/_emulator/settings", json={"mode": "revoked"}, timeout=60)
    for _ in range(2):
        output = leadline("reconcile", "--json")
        assert output.code == 3
        assert "local-webhook-code" not in output.err


def test_a_repair_writes_events_only_for_users_that_need_one(leadline: Leadline) -> None:
    create_users_in_sync(5)
    call_portal("crm.lead.delete", id=1)
    for typed in (None, "n\n"):
        assert leadline("reconcile", "--repair", typed=typed).code == 2
    assert rows("SELECT * FROM events") == []
    call_portal("crm.lead.update", id=2, fields={"STATUS_ID": "JUNK"})
    call_portal("crm.lead.update", id=3, fields={"STATUS_ID": "JUNK", "TITLE": "Somebody Else"})
    summary = leadline("reconcile", "--repair", "--yes", "--json").lines[-1]["summary"]
    assert summary["asked_again"] == 2
    events = "SELECT user_id, version, stage_version, state FROM events ORDER BY user_id"
    entered = [tuple(row.values()) for row in rows(events)]
    assert entered == [
        (1, 2, None, "open"),
        (3, 2, None, "open"),
    ]
    summary = leadline("reconcile", "--repair", "--yes", "--stages", "--json").lines[-1]["summary"]
    assert (summary["waiting"], summary["moved"], summary["asked_again"]) == (2, 1, 1)
    assert [row["stage_version"] for row in rows(events)] == [None, 2, None]

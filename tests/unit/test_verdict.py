"""The verdict names what holds the sync up, why, since when, and what happens next."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadline.operations import verdict
from leadline.operations.verdict import judge
from leadline.operations.verdict_reasons import REASONS

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=7)
LATER = NOW + timedelta(minutes=3)
PAGE = Path(__file__).parents[2] / "functions/console/page"
REFUSING = {"endpoint": "crm-form", "problem": "status 500", "waiting": 3, "oldest_s": 61.0}


def parts(**changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts of the status of an idle system, with these values changed."""
    found: dict[str, dict[str, Any]] = {
        "ledger": {"waiting": 0, "failed": 0, "retrying": 0, "oldest_s": None, "overdue_s": None},
        "work": {"users_due": 0, "worker_seen_s_ago": 0.4},
        "portal": {"paused": False, "reachable": True, "requests_left": 1.0},
        "queues": {"bitrix_queue": 0, "bitrix.responses": 0},
        "consumers": {"bitrix_queue": 1, "bitrix.responses": 1},
        "rate": {"limit_per_s": 2.0},
        "budget": {"limit_s": 480.0, "methods": {}},
        "results": {},
    }
    for name, values in changed.items():
        found[name] = values if "error" in values else {**found[name], **values}
    return found


def error(text: str = "can't be reached", **extra: Any) -> dict[str, Any]:
    return {"error": text, **extra}


def held_pause(**extra: Any) -> dict[str, Any]:
    pause = {"paused": True, "by_operator": True, "reason": "", "code": "", "since": SINCE}
    return {**pause, "next_probe": None, **extra}


def spent_budget(seconds: float = 470.2) -> dict[str, Any]:
    account = {"used_s": seconds, "frees_at": LATER, "is_used_up": True}
    return {"methods": {"crm.item.add": account}}


def codes(**changed: dict[str, Any]) -> list[str]:
    return [problem.code for problem in judge(parts(**changed), NOW)]


@pytest.mark.parametrize(
    ("changed", "state", "reason"),
    [
        ({}, "healthy", "in_sync"),
        ({"ledger": {"waiting": 3, "oldest_s": 2.0}}, "healthy", "running"),
        ({"ledger": {"failed": 3, "retrying": 1}}, "healthy", "operator_needed"),
        ({"ledger": {"failed": 3, "retrying": 3}}, "healthy", "in_sync"),
        ({"queues": {"bitrix_queue.dead": 2}}, "healthy", "operator_needed"),
        ({"results": {"given_up": 2}}, "healthy", "operator_needed"),
        ({"results": {"given_up": 0, "waiting": 5}}, "healthy", "in_sync"),
        ({"results": {"refusing": [REFUSING]}}, "slowed", "results_refused"),
        ({"ledger": error()}, "stopped", "postgres_down"),
        ({"ledger": error(is_slow=True)}, "slowed", "postgres_slow"),
        ({"work": error(), "portal": error(), "rate": error()}, "stopped", "redis_down"),
        ({"queues": error(), "consumers": error()}, "stopped", "rabbitmq_down"),
        ({"portal": held_pause()}, "stopped", "manual_hold"),
        (
            {"portal": held_pause(by_operator=False, code="PORTAL_DELETED")},
            "stopped",
            "circuit_open",
        ),
        (
            {"portal": held_pause(by_operator=False, code="SIMPLE_CRM_MODE")},
            "stopped",
            "simple_crm_mode",
        ),
        ({"work": {"worker_seen_s_ago": 11.0}}, "stopped", "no_worker"),
        ({"work": {"worker_seen_s_ago": None}}, "stopped", "no_worker_ever"),
        ({"consumers": {"bitrix_queue": 0}}, "stopped", "no_connector"),
        ({"consumers": {"bitrix.responses": 0}}, "stopped", "no_connector"),
        (
            {
                "portal": {
                    "reachable": False,
                    "unreachable_kind": "no answer",
                    "unreachable_reason": "timed out",
                    "unreachable_since": SINCE,
                }
            },
            "stopped",
            "portal_unreachable",
        ),
        ({"ledger": {"overdue_s": 130.0}}, "slowed", "no_relay"),
        ({"budget": spent_budget()}, "slowed", "operating_budget"),
        (
            {
                "ledger": {"waiting": 2492, "oldest_s": 130.0},
                "work": {"users_due": 2400},
                "portal": {"requests_left": 0.01},
            },
            "slowed",
            "request_limit",
        ),
        ({"ledger": {"waiting": 1, "oldest_s": 130.0}}, "slowed", "slow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_reason_leads_to_its_state(
    changed: dict[str, dict[str, Any]], state: str, reason: str
) -> None:
    found = judge(parts(**changed), NOW)
    assert (found[0].code, found[0].state) == (reason, state)
    assert len(found) == 1, "only what applies is named"
    assert "{" not in found[0].sentence + found[0].next
    assert found[0].sentence.endswith(".")
    assert found[0].next.endswith(".")


def test_users_that_wait_for_execution_time_are_not_called_running() -> None:
    (found,) = judge(parts(budget=spent_budget(), ledger={"waiting": 2492, "oldest_s": 700.0}), NOW)
    assert found.state == "slowed"
    assert "crm.item.add" in found.sentence
    assert "470 of 480 s" in found.sentence
    assert LATER.astimezone().strftime("%H:%M:%S") in found.next
    assert "not before" in found.next


def test_the_most_important_of_several_reasons_is_the_verdict_and_the_others_follow() -> None:
    found = codes(ledger=error(), portal=held_pause(), budget=spent_budget(), queues=error())
    assert found == ["postgres_down", "manual_hold", "rabbitmq_down", "operating_budget"]
    result = verdict.as_json(judge(parts(portal=held_pause(), budget=spent_budget()), NOW))
    assert result["reason"] == "manual_hold"
    assert [problem["reason"] for problem in result["also"]] == ["operating_budget"]


def test_a_hold_names_who_paused_why_and_since_when() -> None:
    (found,) = judge(parts(portal=held_pause(by="ops.anna", reason="leads are imported")), NOW)
    assert "ops.anna" in found.sentence
    assert "leads are imported" in found.sentence
    assert found.since == SINCE
    line = verdict.as_text(found)
    assert line.startswith("stopped: Calls to Bitrix24 are paused by ops.anna.")
    assert "Since " in line
    (unknown,) = judge(parts(portal=held_pause()), NOW)
    assert "an operator" in unknown.sentence


def test_a_silence_dates_from_the_last_sign_of_life() -> None:
    (found,) = judge(parts(work={"worker_seen_s_ago": 600.0}), NOW)
    assert found.since == NOW - timedelta(minutes=10)
    assert "10 min" in found.sentence


def test_a_server_without_an_address_is_no_failure() -> None:
    """The portal's side alone needs no database, and the clients' side no Redis."""
    without_address = error("set the server's URL", is_set=False)
    assert codes(ledger=without_address) == ["unknown_backlog"]
    of_redis = ("work", "portal", "rate", "budget")
    assert codes(**dict.fromkeys(of_redis, without_address)) == ["in_sync"]


def test_the_console_dates_a_failure_from_its_first_sight_but_not_a_healthy_state() -> None:
    (down,) = judge(parts(ledger=error()), NOW)
    assert down.dated(SINCE).since == SINCE
    (paused,) = judge(parts(portal=held_pause()), NOW)
    assert paused.dated(NOW).since == SINCE
    (well,) = judge(parts(), NOW)
    assert well.dated(SINCE).since is None


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_has_every_sentence_with_the_same_values(language: str) -> None:
    texts = (PAGE / f"texts/{language}.js").read_text(encoding="utf-8")
    for code, reason in REASONS.items():
        for kind, english in (("why", reason.sentence), ("next", reason.next)):
            found = re.search(rf'\bverdict_{code}_{kind}: "(.*)",$', texts, re.MULTILINE)
            assert found, f"{code}: {kind}"
            assert set(re.findall(r"\{\w+\}", found[1])) == set(re.findall(r"\{\w+\}", english))
            assert language != "en" or found[1] == english

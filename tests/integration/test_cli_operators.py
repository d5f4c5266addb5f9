"""Commands of operators: status, users, failed, show, resync, portal check, doctor."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
import redis
import requests

from leadline.cli.checks import broker_tags
from leadline.messages import topology
from leadline.sync import portal_session
from local.logins.table import LOGINS
from tests.integration.conftest import CommandOutput, close_idle_connections, execute, rows

Leadline = Callable[..., CommandOutput]


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str,
    in_redis: str,
    amqp_url: str,
    webhook_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)


@pytest.fixture
def queues(amqp_url: str, all_queues: None) -> None:
    """Declare all queues, with one dead letter."""
    assert all_queues is None
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        name = topology.dead_letter_name(topology.REQUESTS)
        connection.channel().basic_publish("", name, b"x")


@pytest.fixture
def set_portal(portal: str) -> Callable[..., None]:
    """Changes settings of the emulated portal."""

    def put(**settings: Any) -> None:
        answer = requests.put(f"{portal}/_emulator/settings", json=settings, timeout=60)
        answer.raise_for_status()

    return put


def create_users() -> None:
    """Create three users: synced, waiting for its first reply, failed because of its stage."""
    execute(
        "INSERT INTO users (id, full_name, phone, stage, version, synced_version, bitrix_lead_id,"
        " sync_status, sync_reason, sync_attempts, stage_version) VALUES"
        " (1, 'Anna', '+77001112231', 'NEW', 1, 1, 11, 'synced', NULL, 1, 1),"
        " (2, 'Bo', '+77001112232', 'NEW', 1, 0, NULL, 'waiting', NULL, 0, 1),"
        " (3, 'Cy', '+77001112233', 'JUNK', 2, 1, 13, 'failed', 'no such stage', 1, 2)"
    )
    execute(
        "INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,"
        " correlation_id, traceparent, occurred_at, due_at, state, reason, attempts, settled_at)"
        " VALUES (gen_random_uuid(), 2, 1, 'create_card', 'Bo', '+77001112232', 'NEW', 'phone',"
        " 'c', 't', now() - interval '1 hour', now() - interval '10 min', 'open', NULL, 0, NULL),"
        " (gen_random_uuid(), 3, 2, 'move_card', 'Cy', '+77001112233', 'JUNK', 'stage',"
        " 'c', 't', now(), NULL, 'failed', 'no such stage', 1, now())"
    )


@pytest.mark.usefixtures("queues")
def test_status_counts_and_names_pending_work(leadline: Leadline) -> None:
    create_users()
    output = leadline("status", "--json")
    assert output.code == 1
    ledger = output.json["ledger"]
    assert [ledger[name] for name in ("users", "synced", "waiting", "failed")] == [3, 1, 1, 1]
    assert (ledger["open_events"], ledger["unpublished"], ledger["retrying"]) == (1, 1, 0)
    assert ledger["oldest_s"] >= 3600
    assert output.json["queues"]["bitrix_queue.dead"] == 1
    assert output.json["portal"]["paused"] is False
    assert b"ledger: waiting" in leadline("status").out


def test_status_reports_a_component_that_is_down_and_all_others(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("AMQP_URL", f"amqp://someone:geheim@127.0.0.1:{free_port()}/")
    output = leadline("status", "--json")
    assert output.code == 3
    assert output.json["queues"] == {"error": "RabbitMQ can't be reached"}
    assert output.json["ledger"]["users"] == 0


def test_users_are_listed_by_page_stage_and_state(leadline: Leadline) -> None:
    create_users()
    page = leadline("users", "--limit", 2, "--json").json
    assert ([user["id"] for user in page["items"]], page["next"]) == ([1, 2], "2")
    page = leadline("users", "--after", 2, "--json").json
    assert ([user["id"] for user in page["items"]], page["next"]) == ([3], None)
    assert [
        item["id"] for item in leadline("users", "--stage", "JUNK", "--json").json["items"]
    ] == [3]
    assert "Anna" in leadline("users", "--sync", "synced").out.decode()
    assert leadline("users", "--stage", "a'b").code == 2


def test_failed_users_are_listed_with_their_reasons(leadline: Leadline) -> None:
    assert leadline("failed").code == 0
    create_users()
    output = leadline("failed")
    assert output.code == 1
    assert b"no such stage" in output.out
    (user,) = leadline("failed", "--json").json["items"]
    assert (user["id"], user["sync"]["reason"]) == (3, "no such stage")


def test_a_user_is_shown_with_the_timeline_of_its_events(leadline: Leadline) -> None:
    create_users()
    sync = leadline("show", 3, "--json").json["sync"]
    assert [(event["version"], event["state"]) for event in sync["events"]] == [(2, "failed")]
    text = leadline("show", 3).out.decode()
    assert "move_card" in text
    assert "no such stage" in text
    assert leadline("show", 99).code == 1


def test_users_are_resynced(leadline: Leadline) -> None:
    create_users()
    output = leadline("resync", 1, 2, 99, "--json")
    assert output.code == 1
    assert output.json == {"asked_again": 1, "waiting_already": [2], "not_found": [99]}
    assert leadline("resync", "--all-failed", "--yes", "--json").json["asked_again"] == 1
    assert leadline("resync", "--all-failed", "--yes", "--json").json["asked_again"] == 0
    requested = (
        "SELECT user_id, version, stage_version FROM events WHERE changed = 'look' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows(requested)] == [
        (1, 2, None),
        (3, 3, 2),  # the stage that never reached the lead
    ]
    assert leadline("resync").code == 2


def test_the_portal_is_described(leadline: Leadline) -> None:
    output = leadline("portal", "check", "--json")
    assert output.code == 0
    portal = output.json
    assert (portal["alive"], portal["crm_mode"], portal["rights"]) == (
        True,
        "classic",
        ["crm", "user"],
    )
    assert portal["stages"][:2] == ["NEW", "IN_PROCESS"]
    assert portal["trouble"] == []


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"crm_mode": "simple"}, "simple CRM mode"),
        ({"scope": ["user"]}, "crm"),
        ({"mode": "revoked"}, ""),
        ({"mode": "plan_expired"}, ""),
    ],
)
def test_problems_of_the_portal_are_reported(
    leadline: Leadline, set_portal: Callable[..., None], settings: dict[str, Any], word: str
) -> None:
    set_portal(**settings)
    output = leadline("portal", "check", "--json")
    assert output.code == 1
    assert word in " ".join(output.json["trouble"])
    assert "local-webhook-code" not in output.out.decode() + output.err


def test_the_check_resumes_a_portal_that_answers_again(
    leadline: Leadline, set_portal: Callable[..., None]
) -> None:
    set_portal(mode="revoked")
    create_users()
    leadline("reconcile", "--json")
    assert portal_session.circuit_breaker().restore_and_read()
    set_portal(mode="ok")
    assert leadline("portal", "check").code == 0
    assert portal_session.circuit_breaker().restore_and_read() is None


@pytest.mark.parametrize("method", ["profile", "scope"])
def test_a_check_that_lacks_a_right_pauses_no_calls(
    leadline: Leadline, portal: str, method: str
) -> None:
    """The workers call methods of the scope `crm` only."""
    error = {"action": "error", "status": 403, "code": "insufficient_scope"}
    probes = 1 if method == "profile" else 0  # calls of the method by the probe before the check
    rule = {"method": method, "skip": probes, **error}
    requests.post(f"{portal}/_emulator/faults", json=[rule], timeout=60).raise_for_status()
    assert leadline("portal", "check").code == 0
    assert portal_session.circuit_breaker().restore_and_read() is None


@pytest.mark.usefixtures("queues")
def test_the_doctor_says_how_to_fix_each_problem(leadline: Leadline) -> None:
    create_users()
    output = leadline("doctor", "--json")
    assert output.code == 1
    checks = {check["name"]: check for check in output.json["checks"]}
    failed = {name for name, check in checks.items() if not check["is_well"]}
    assert {"relay", "workers", "bitrix_queue", "bitrix_queue.dead"} <= failed
    assert all(checks[name]["mend"] for name in failed)
    assert not failed & {"Postgres", "schema", "RabbitMQ", "queues", "Redis", "Bitrix24"}
    portal_session.worker_heartbeats().beat("one")
    repeat = leadline("doctor", "--json").json["checks"]
    assert next(check for check in repeat if check["name"] == "workers")["is_well"]


def test_the_doctor_examines_everything_when_nothing_is_configured(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))
    output = leadline("doctor", "--json")
    assert output.code == 1
    failed = {check["name"] for check in output.json["checks"] if not check["is_well"]}
    assert failed == {"API keys", "Postgres", "RabbitMQ", "Redis", "Bitrix24"}


@pytest.mark.usefixtures("queues", "functions_login")
def test_the_doctor_reports_logins_with_too_many_rights(
    leadline: Leadline,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    free_port: Callable[[], int],
) -> None:
    # Another broker's management API may answer on the default port of this machine.
    monkeypatch.setattr(broker_tags, "PORT", free_port())

    def logins() -> dict[str, tuple[bool, str]]:
        checks = leadline("doctor", "--json").json["checks"]
        results = {check["name"]: (check["is_well"], check["told"]) for check in checks}
        return {name: check for name, check in results.items() if name.startswith("login")}

    assert logins() == {
        "login at Postgres": (True, "leadline_cli"),
        "login at RabbitMQ": (
            True,
            "leadline; its tags are unknown, as no management API answers",
        ),
        "login at Redis": (False, "default: every command"),
    }
    monkeypatch.setenv("DATABASE_URL", postgres)
    close_idle_connections()
    is_well, result = logins()["login at Postgres"]
    assert not is_well
    assert {"superuser", "owns the tables"} <= set(result.partition(": ")[2].split(", "))


def test_the_doctor_reads_the_rights_of_a_redis_user_without_trying_them(
    leadline: Leadline, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login_check() -> dict[str, Any]:
        close_idle_connections()
        checks = leadline("doctor", "--json").json["checks"]
        (found,) = (check for check in checks if check["name"] == "login at Redis")
        return dict(found)

    parts = urlsplit(redis_url)
    rights_of_cli = next(login.redis for login in LOGINS if login.name == "cli")
    with redis.Redis.from_url(redis_url) as owner:
        owner.acl_log_reset()
        try:
            for rights, expected in (
                ("~* +@all", "every command"),
                ("~* +@all -@dangerous +info +acl|whoami +flushall", "FLUSHALL"),
                (rights_of_cli, ""),
            ):
                owner.execute_command(
                    "ACL", "SETUSER", "someone", "reset", "on", ">secret", *str(rights).split()
                )
                url = parts._replace(netloc=f"someone:secret@{parts.hostname}:{parts.port}")
                monkeypatch.setenv("REDIS_URL", url.geturl())
                found = login_check()
                assert found["told"] == (f"someone: {expected}" if expected else "someone")
                assert found["is_well"] is not bool(expected)
                assert bool(found["mend"]) is bool(expected)
            assert owner.acl_log() == []
        finally:
            owner.acl_deluser("someone")


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("status", "body", "is_well", "text"),
    [
        (200, {"name": "u", "tags": ["administrator"]}, False, "administrator"),
        (200, {"name": "u", "tags": "monitoring,policymaker"}, False, "policymaker"),
        (200, {"name": "u", "tags": ["management"]}, True, ""),
        (401, {"error": "not_authorized", "reason": "Not management user"}, True, ""),
        (200, ["nonsense"], True, "tags are unknown"),
        (404, {"tags": ["administrator"]}, True, "tags are unknown"),
    ],
)
def test_the_doctor_reports_a_rabbitmq_administrator(
    leadline: Leadline,
    monkeypatch: pytest.MonkeyPatch,
    *,
    status: int,
    body: object,
    is_well: bool,
    text: str,
) -> None:
    requested: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(f"{self.path} {self.headers['Authorization'].partition(' ')[0]}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(broker_tags, "PORT", server.server_port)
        checks = leadline("doctor", "--json").json["checks"]
        server.shutdown()
    (found,) = (check for check in checks if check["name"] == "login at RabbitMQ")
    assert requested == ["/api/whoami Basic"]
    assert found["is_well"] is is_well
    assert text in found["told"]
    assert bool(found["mend"]) is not is_well


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize(
    ("variable", "nowhere", "parts"),
    [
        ("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/x", {"Postgres"}),
        ("AMQP_URL", "amqp://u:hidden@127.0.0.1:1/", {"RabbitMQ"}),
        ("REDIS_URL", "redis://:hidden@127.0.0.1:1/0", {"Redis", "Bitrix24"}),
        ("BITRIX_WEBHOOK_URL", "http://127.0.0.1:1/rest/1/hidden/", {"Bitrix24"}),
    ],
)
def test_the_doctor_names_the_setting_of_an_unreachable_server(
    leadline: Leadline,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    nowhere: str,
    parts: set[str],
) -> None:
    monkeypatch.setenv(variable, nowhere)
    answer = leadline("doctor", "--json")
    assert "hidden" not in f"{answer.json}{answer.err}"
    fixes = {check["name"]: check["mend"] for check in answer.json["checks"]}
    assert {name for name, fix in fixes.items() if variable in fix} == parts


def test_a_check_costs_two_requests(leadline: Leadline, portal: str) -> None:
    leadline("portal", "check")
    calls = requests.get(f"{portal}/_emulator/calls", timeout=60).json()
    assert (calls["requests"], calls["refused"]) == (2, 0)

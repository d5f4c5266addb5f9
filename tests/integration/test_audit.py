"""The audit trail names the caller of each write and action, and is deleted like events."""

import getpass
import socket
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy

from leadline.errors import DatabaseDown
from leadline.ledger import retention
from leadline.ledger.resync import fork_resync
from leadline.operations import audit
from leadline.runtime.http import api_keys
from leadline.runtime.postgres.pool import INSUFFICIENT_PRIVILEGE, StatementError
from leadline.runtime.telemetry import trace_context
from tests.integration.conftest import (
    CommandOutput,
    close_idle_connections,
    execute,
    function_client,
    rows,
)

Leadline = Callable[..., CommandOutput]
ANN = {"full_name": "Ann", "phone": "+77001112233"}
SITE, SITE_ENTRY = api_keys.create("site", frozenset({"read", "write"}), days=None)
OPS, OPS_ENTRY = api_keys.create("ops.anna", frozenset({"read", "operate"}), days=None)
ME = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish nothing; the tests look at the ledger only."""
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", f"{SITE_ENTRY}\n{OPS_ENTRY}")


def authorized_by(key: str, **extra: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **extra}


def create(**headers: str) -> int:
    answer = function_client("create_user").post(
        "/users", json=ANN, headers=authorized_by(SITE, **headers)
    )
    assert answer.status_code == 201, answer.text
    return int(answer.get_json()["id"])


def ask(path: str, key: str = OPS) -> Any:
    answer = function_client("console").get(f"/console/api/{path}", headers=authorized_by(key))
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def fail_all_users() -> None:
    execute("UPDATE events SET state = 'failed', reason = 'x', due_at = NULL, settled_at = now()")
    execute("UPDATE users SET sync_status = 'failed', sync_reason = 'x'")


def operate(path: str, **body: object) -> Any:
    answer = function_client("console").post(
        f"/console/api/{path}", json=body, headers=authorized_by(OPS)
    )
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.mark.usefixtures("in_postgres", "in_redis", "keys")
def test_every_write_names_its_key_in_its_event() -> None:
    user_id = create()
    create(**{"Idempotency-Key": "one"})
    function_client("update_user").patch(
        f"/users/{user_id}", json={"full_name": "Bob"}, headers=authorized_by(SITE)
    )
    function_client("move_user").post(
        f"/users/{user_id}/move", json={"stage": "JUNK"}, headers=authorized_by(SITE)
    )
    assert [row["caller"] for row in rows("SELECT caller FROM events")] == ["site"] * 4
    entries = audit.page(10)["items"]
    assert [entry["action"] for entry in entries] == [
        "move_card",
        "update_card",
        *["create_card"] * 2,
    ]
    assert {(entry["caller"], entry["outcome"], entry["kind"]) for entry in entries} == {
        ("site", "open", "write")
    }
    events = ask(f"users/{user_id}")["sync"]["events"]
    assert {event["caller"] for event in events} == {"site"}
    answer = function_client("get_user").get(f"/users/{user_id}", headers=authorized_by(SITE))
    assert "site" not in answer.text, "clients do not see the callers"


@pytest.mark.usefixtures("in_postgres")
def test_without_keys_the_trail_names_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    trace_context.set_caller("the caller served before")
    function_client("create_user").post("/users", json=ANN)
    assert rows("SELECT caller FROM events") == [{"caller": None}]


@pytest.mark.usefixtures("in_postgres", "in_redis", "keys")
def test_every_action_of_the_console_names_its_key() -> None:
    user_id = create()
    fail_all_users()
    operate(f"users/{user_id}/again")
    operate("pause", reason="leads are imported")
    operate("resume")
    trail = ask("audit")["items"]
    assert [(entry["action"], entry["caller"], entry["outcome"]) for entry in trail] == [
        ("resume calls", "ops.anna", "done"),
        ("pause calls", "ops.anna", "done"),
        ("update_card", "ops.anna", "open"),
        ("send again", "ops.anna", "done"),
        ("create_card", "site", "failed"),
    ]
    assert trail[0]["about"] == {"was_paused": True}
    assert trail[1]["about"] == {"reason": "leads are imported"}
    assert trail[3]["about"] == {"user_ids": [user_id], "asked": 1}
    assert ask("audit?only_orders=true&limit=1")["items"] == trail[:1]
    assert ask(f"audit?user_id={user_id}")["items"] == trail[2:]
    assert ask("audit?caller=site")["items"] == trail[4:]
    assert ask(f"audit?before={trail[1]['id']}&limit=1") == {
        "items": [trail[2]],
        "next": trail[2]["id"],
    }


@pytest.mark.usefixtures("in_postgres", "keys")
def test_only_the_scope_operate_reads_the_trail() -> None:
    answer = function_client("console").get("/console/api/audit", headers=authorized_by(SITE))
    assert answer.status_code == 403


@pytest.mark.usefixtures("in_postgres", "keys")
@pytest.mark.parametrize("query", ["before=x", "limit=0", "limit=201", "user_id=0", "user_id=x"])
def test_an_invalid_query_of_the_trail_is_422(query: str) -> None:
    answer = function_client("console").get(
        f"/console/api/audit?{query}", headers=authorized_by(OPS)
    )
    assert answer.status_code == 422


@pytest.mark.usefixtures("in_postgres")
def test_a_failed_action_is_in_the_trail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    answer = function_client("console").post(
        "/console/api/pause", json={}, headers={"X-Leadline-Console": "1"}
    )
    assert answer.status_code >= 500  # there is no Redis
    (entry,) = audit.page(10)["items"]
    assert (entry["action"], entry["caller"], entry["outcome"]) == ("pause calls", None, "failed")


def test_an_operator_can_pause_calls_while_postgres_is_down(
    in_redis: str, monkeypatch: pytest.MonkeyPatch, leadline: Leadline
) -> None:
    assert in_redis
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    output = leadline("portal", "pause", "--yes")
    assert "not in the audit trail" in output.err
    assert "calls are paused, but Postgres can't be reached" in output.err


def test_a_read_only_login_can_export(
    in_postgres: str, monkeypatch: pytest.MonkeyPatch, leadline: Leadline, postgres: str
) -> None:
    parts = sqlalchemy.make_url(postgres)
    engine = sqlalchemy.create_engine(
        parts.set(drivername="postgresql+pg8000"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader_of_the_test")
        connection.exec_driver_sql(
            "CREATE ROLE reader_of_the_test LOGIN PASSWORD 'p4ssw0rd' IN ROLE leadline_read"
        )
    engine.dispose()
    reader = sqlalchemy.make_url(in_postgres).set(
        username="reader_of_the_test",
        password="p4ssw0rd",  # noqa: S106 - of this test
    )
    close_idle_connections()
    monkeypatch.setenv("DATABASE_URL", reader.render_as_string(hide_password=False))
    output = leadline("export")
    assert (output.code, output.out.decode().partition(",")[0]) == (0, "id")
    assert "this login may not write to it" in output.err


@pytest.mark.usefixtures("in_postgres", "in_redis", "keys")
def test_the_command_line_is_audited_under_its_own_name(leadline: Leadline) -> None:
    user_id = create()
    fail_all_users()
    for words in (
        ("resync", user_id),
        ("resync", "--all-failed"),
        ("portal", "pause", "--reason", "why", "--yes"),
        ("portal", "resume"),
        ("export",),
    ):
        leadline(*words)
    trail = leadline("audit", "--json", "--caller", ME).json["items"]
    assert [entry["action"] for entry in trail] == [
        "export users",
        "resume calls",
        "pause calls",
        "send all failed again",
        "update_card",
        "send again",
    ]
    assert {entry["outcome"] for entry in trail} == {"done", "open"}
    orders = leadline("audit", "--orders", "--limit", 2)
    assert ME in orders.out.decode()
    assert "create_card" not in orders.out.decode()
    assert "more: --before" in orders.err
    of_user = leadline("audit", "--user", user_id, "--json").json["items"]
    assert [entry["action"] for entry in of_user] == ["update_card", "send again", "create_card"]
    assert leadline("audit", "--before", "no-id").code == 2


@pytest.mark.usefixtures("in_postgres", "keys")
def test_a_sweep_after_a_fork_is_audited_under_its_own_name(
    fork_history: Callable[[], None],
) -> None:
    create()
    fork_history()
    create()  # begins the new history
    assert fork_resync.step() == 1
    callers = [row["caller"] for row in rows("SELECT caller FROM events ORDER BY id")]
    assert callers == ["site", "site", "leadline sweep"]


@pytest.mark.usefixtures("in_postgres", "keys")
def test_audit_rows_are_pruned_like_events() -> None:
    execute(
        "INSERT INTO audit (id, at, action)"
        " VALUES (gen_random_uuid(), now() - interval '31 days', 'old')"
    )
    with audit.recorded("new"):
        pass
    retention.run(until=0)
    assert [row["action"] for row in rows("SELECT action FROM audit")] == ["new"]


@pytest.mark.usefixtures("in_postgres", "functions_login")
def test_a_function_cannot_change_an_audit_entry() -> None:
    with audit.recorded("pause calls"):
        pass
    for change in ("caller = 'somebody else'", "action = 'nothing'", "at = now()"):
        with pytest.raises(StatementError, match=INSUFFICIENT_PRIVILEGE):
            execute(f"UPDATE audit SET {change}")  # noqa: S608 - of this test


@pytest.mark.usefixtures("in_postgres", "keys")
def test_a_rotated_key_keeps_the_idempotency_keys_of_its_holder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = create(**{"Idempotency-Key": "one"})
    new, entry = api_keys.create("site", frozenset({"write"}), days=30)
    monkeypatch.setenv("API_KEYS", entry)
    answer = function_client("create_user").post(
        "/users", json=ANN, headers=authorized_by(new, **{"Idempotency-Key": "one"})
    )
    assert answer.get_json()["id"] == first
    assert len(rows("SELECT id FROM users")) == 1


@pytest.mark.usefixtures("in_postgres")
def test_a_key_without_a_name_finds_answers_stored_before_keys_had_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEYS", f"read,write:{SITE}")
    first = create(**{"Idempotency-Key": "one"})
    (stored,) = rows("SELECT caller FROM idempotency_keys")
    assert stored["caller"] == api_keys.digest_of(SITE.encode()).hex()[:16]
    monkeypatch.setenv("API_KEYS", SITE)  # a bare key
    assert create(**{"Idempotency-Key": "one"}) == first


def test_without_a_database_nothing_is_recorded_and_nothing_fails() -> None:
    with audit.recorded("create key") as done:
        done["number"] = 1


def test_an_error_inside_an_audited_action_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseDown), audit.recorded("anything"):
        raise DatabaseDown

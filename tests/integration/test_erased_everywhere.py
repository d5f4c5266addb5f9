"""After an erasure no table, key or queue contains the person, even if later changes add some.

Every table and every key of Redis is on one of two lists: it holds persons, and this test sees it
hold this one before the erasure; or it never does. A new one fails here until it is listed.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from leadline.ledger import accept
from leadline.messages import topology
from leadline.runtime.redis import client
from leadline.users.model import Changes, Move, UserId
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import CommandOutput, Control, function_client, rows
from tests.integration.pipeline import Pipeline
from tests.integration.test_erase import all_messages, all_redis_keys, dump_of_postgres

Leadline = Callable[..., CommandOutput]

NAME, RENAMED, EMAIL = "Zarina Qobylan", "Zarina Erzhanova", "zarina.q@example.org"
PHONE, SECOND_PHONE = "+77011239876", "+77027773311"
#: In lower case; phones also as people and portals write them.
TRACES = (
    "zarina",
    "qobylan",
    "erzhanova",
    "7011239876",
    "701 123 98 76",
    "701-123-98-76",
    "7027773311",
)
MAP = '[fields.email]\ntype = "email"\nlead = "EMAIL"\n'

#: Tables that hold a person until it is erased.
PERSONAL = {
    "users",
    "events",
    "event_calls",
    "user_terms",
    "users_to_index",
    "match_lines",
    "results",
}
#: Tables that never hold one: ids, hashes, counts, times, and what operators typed.
IMPERSONAL = {
    "alembic_version",
    "installation",
    "audit",
    "erasures",
    "held_portals",
    "stages",
    "idempotency_keys",
    "bulk_jobs",
    "unsynced_users",
    "result_deliveries",
    "result_endpoints",
    "results_cursor",
    "match_plans",
    "match_keys",
    "held_users",
    "event_correlations",
    "event_correlations_to",
}
PERSONAL_KEYS = {"user:", "unreadable:"}
IMPERSONAL_KEYS = {
    "tokens",
    "memory",
    "operating:",
    "crm_mode",
    "no_import",
    "gatherer",
    "called",
    "due",
    "leases",
    "recent",
    "paused",
    "resumed",
    "unreachable",
    "workers",
    "site",
    "postgres",
    "republish",
    "claim:",
    "erased:",
    "trimmed",
    "probe_wanted",
    "field_check",
    "field_check_wanted",
    "field_sweep",
}


@pytest.fixture(autouse=True)
def mapped(
    connected: None, field_map: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give users an e-mail, and leases a short duration."""
    assert connected is None
    field_map(MAP)
    monkeypatch.setattr(work_queue(), "lease_ms", 1000)


def traces_in(text: str) -> set[str]:
    return {trace for trace in TRACES if trace in text.lower()}


def tables() -> set[str]:
    found = rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {row["tablename"] for row in found}


def tables_with_traces() -> set[str]:
    """The tables with a trace of the person in any column."""
    return {table for table in tables() if traces_in(content_of(table))}


def content_of(table: str) -> str:
    """All columns of all rows."""
    found = rows(f'SELECT CAST(entry AS text) AS text FROM "{table}" AS entry')  # noqa: S608 - ours
    return "\n".join(row["text"] for row in found)


def key_names() -> set[str]:
    """The names of all keys in Redis without the portal's prefix and without ids."""
    keys = [key.decode() for key in client().scan_iter(f"{work_queue().prefix}*")]
    return {re.sub(r":.*", ":", key.removeprefix(work_queue().prefix)) for key in keys}


def key_names_in_code() -> set[str]:
    """The names that any module gives to a key, without ids."""
    code = Path(__file__).parents[2] / "leadline"
    text = "\n".join(
        path.read_text("utf-8") for path in code.rglob("*") if path.suffix in {".py", ".lua"}
    )
    names = re.findall(
        r"""prefix\}([a-z_]+:?)|prefix \.\. '([a-z_]+:?)'|_key\("([a-z_]+)"\)""", text
    )
    return {"".join(parts) for parts in names}


def refuse(control: Control, method: str, description: str) -> None:
    """Have the portal refuse the next call of this method, and quote the person."""
    answer = {"status": 400, "code": "INVALID_ARG_VALUE", "description": description}
    control("faults", "POST", [{"method": method, "action": "error_200", "count": 1, **answer}])


def test_every_table_and_key_is_listed() -> None:
    assert tables() == PERSONAL | IMPERSONAL
    assert key_names_in_code() == PERSONAL_KEYS | IMPERSONAL_KEYS


def test_the_page_on_personal_data_names_each_place() -> None:
    page = (Path(__file__).parents[2] / "docs/privacy.md").read_text("utf-8")
    for name in PERSONAL:
        assert f"`{name}`" in page, name
    for name in PERSONAL_KEYS:
        assert f"`{{leadline:…}}:{name}<id>`" in page, name


@pytest.mark.usefixtures("all_queues")
@pytest.mark.slow("a whole system is searched")
def test_an_erasure_removes_the_person_from_each_place(  # noqa: PLR0917 - fixtures
    pipeline: Pipeline,
    leadline: Leadline,
    control: Control,
    amqp_url: str,
    in_redis: str,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESULT_ENDPOINTS", "crm http://127.0.0.1:1/ whsec_" + "a" * 44)
    function_client("outbox_relay").post("/")
    person = {"full_name": NAME, "phone": PHONE, "email": EMAIL}
    headers = {"Idempotency-Key": "k1"}
    answer = function_client("create_user").post("/users", json=person, headers=headers)
    assert answer.json is not None
    user_id = UserId(answer.json["id"])
    pipeline.settle()
    quoted = f"{NAME} ({EMAIL}, {SECOND_PHONE}) is not valid"  # also a former name
    refuse(control, "crm.item.update", quoted)
    accept.change(
        user_id, Changes(full_name=RENAMED, phone=SECOND_PHONE), expected_version=None, key=None
    )
    pipeline.settle()
    function_client("outbox_relay").post("/")
    assert leadline("plan", "--json").code == 2
    accept.change(user_id, Move(stage="IN_PROCESS"), expected_version=None, key=None)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    client().hset(f"{work_queue().prefix}unreadable:{user_id}", "agreed", f"{NAME} {PHONE}")
    accept.change(user_id, Changes(full_name=NAME), expected_version=None, key=None)
    assert tables_with_traces() == PERSONAL
    assert traces_in(all_redis_keys(in_redis))
    assert key_names() <= PERSONAL_KEYS | IMPERSONAL_KEYS

    refuse(control, "crm.item.update", f"{EMAIL} with 8 (701) 123-98-76 or {PHONE} is locked")
    assert leadline("erase", user_id, "--yes").code == 0
    pipeline.settle()
    function_client("outbox_relay").post("/")
    assert tables_with_traces() == set()
    assert leadline("resync", user_id).code == 0
    pipeline.settle()
    function_client("outbox_relay").post("/")
    assert tables_with_traces() == set()
    assert traces_in(dump_of_postgres(postgres)) == set()
    assert traces_in(all_redis_keys(in_redis)) == set()
    assert traces_in(all_messages(amqp_url)) == set()

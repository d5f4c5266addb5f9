"""Erasing a person: no data is left anywhere, and nothing restores it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pika
import pytest
import requests
import structlog
from redis import Redis

from leadline import process
from leadline.errors import UserErased, UserNotFound
from leadline.ledger import accept, relay
from leadline.ledger.erasure import erase
from leadline.ledger.event import IdempotencyKey
from leadline.messages import topology
from leadline.runtime.postgres.pool import StatementError
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync.batch_call import BatchCall
from leadline.users import queries
from leadline.users.model import Changes, Move, NewUser, UserId
from leadline.users.views import Query
from leadline.workqueue.queue import work_queue
from local.runner.servers.postgres import binary
from tests.integration.conftest import (
    CommandOutput,
    Control,
    execute,
    function_client,
    in_threads,
    rows,
    skip_clock_tolerance,
)
from tests.integration.pipeline import Pipeline
from tests.servers import postgres_connection

Leadline = Callable[..., CommandOutput]

NAME, RENAMED = "Zarina Qobylan", "Zarina Erzhanova"
PHONE, SECOND_PHONE = "+77011239876", "+77027773311"
#: What only this person's names and phones contain, in lower case.
TRACES = ("zarina", "qobylan", "erzhanova", "77011239876", "77027773311")


@pytest.fixture(autouse=True)
def short_leases(connected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected is None
    monkeypatch.setattr(work_queue(), "lease_ms", 1000)


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    """Every log line of the test, of each level."""
    with structlog.testing.capture_logs() as logged:
        yield logged


def create(**extra: str) -> UserId:
    new = NewUser(**{"full_name": NAME, "phone": PHONE, **extra})
    return accept.create(new, key=None).event.user.id


def rename(user_id: UserId) -> None:
    accept.change(
        user_id, Changes(full_name=RENAMED, phone=SECOND_PHONE), expected_version=None, key=None
    )


def delete(user_id: int, **headers: str) -> Any:
    return function_client("delete_user").delete(f"/users/{user_id}", headers=headers)


def tick() -> None:
    """Have the relay run once."""
    assert function_client("outbox_relay").post("/").status_code == 200


def set_lead_mode(lead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_ERASE_LEAD", lead)
    process.forget(settings)


def leads(control: Control) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control("leads")
    return found


def refuse(control: Control, description: str, times: int = 1) -> None:
    """Have the portal refuse the next updates with this text."""
    code = {"status": 400, "code": "INVALID_ARG_VALUE", "description": description}
    fault = {"method": "crm.item.update", "action": "error_200", "count": times, **code}
    control("faults", "POST", [fault])


def call_portal(webhook_url: str, method: str, **params: object) -> Any:
    answer = requests.post(f"{webhook_url}{method}", json=params, timeout=60)
    assert answer.ok, answer.text
    return answer.json()["result"]


def receipt(user_id: int) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM erasures WHERE user_id = :id", id=user_id)
    return row


# --- What is searched -----------------------------------------------------------------------------


def all_messages(url: str) -> str:
    """All messages of all queues with their headers; leaves them in their queues."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in topology.all_queues():
            while (got := channel.basic_get(queue.name))[0] is not None:
                found.append(repr(got))
        channel.basic_nack(0, multiple=True, requeue=True)  # 0: all that were fetched
    return "\n".join(found)


def all_redis_keys(url: str) -> str:
    """All keys of Redis with all their values."""
    reads = {"string": "get", "hash": "hgetall", "zset": "zrange", "list": "lrange"}
    found = []
    with Redis.from_url(url) as connection:
        for key in connection.scan_iter():
            kind = connection.type(key).decode()
            if kind in reads:
                whole_range = (0, -1) if kind in {"zset", "list"} else ()
                value = getattr(connection, reads[kind])(key, *whole_range)
            else:
                value = connection.dump(key)
            found.append(f"{key!r} {value!r}")
    return "\n".join(found)


def dump_of_postgres(url: str) -> str:
    return subprocess.run(
        (binary("pg_dump"), "--inserts", url),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def traces_in(text: str) -> set[str]:
    """What of the person this text contains."""
    return {trace for trace in TRACES if trace in text.lower()}


# --- Nothing is left ------------------------------------------------------------------------------


@pytest.mark.usefixtures("functions_login", "all_queues")
@pytest.mark.slow("a whole system is searched")
def test_nothing_of_the_person_is_left_anywhere(  # noqa: PLR0917 - fixtures
    pipeline: Pipeline,
    amqp_url: str,
    in_redis: str,
    control: Control,
    postgres: str,
    log_lines: list[Any],
) -> None:
    """Erased amid a failed write, an unpublished one, waiting replies and two dead letters."""
    key = IdempotencyKey(caller="a client", key="k1", fingerprint=b"hash")
    new = NewUser(full_name=NAME, phone=PHONE)
    user_id = accept.create(new, key).event.user.id
    other = create(full_name="Bob", phone="+77012000001")
    pipeline.settle()
    refuse(control, f"{NAME} {PHONE} is not valid")
    rename(user_id)  # this write fails, and the portal quotes the person
    pipeline.settle()
    accept.change(user_id, Move(stage="IN_PROCESS"), expected_version=None, key=None)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    pipeline.call()  # the reply waits in bitrix.responses
    rename(user_id)
    accept.change(user_id, Changes(full_name=NAME), expected_version=None, key=None)
    pipeline.publish()  # both writes wait in bitrix_queue
    unreadable = f"{work_queue().prefix}unreadable:{user_id}"
    client().hset(unreadable, "agreed", f"{NAME} {PHONE}")
    message = orjson.dumps({"action": "x", "user": {"id": user_id, "full_name": NAME}})
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in (topology.REQUESTS, topology.REPLIES):
            channel.basic_publish("", topology.dead_letter_name(queue), message)
        body = orjson.dumps({"user": {"id": other}})
        channel.basic_publish("", topology.dead_letter_name(topology.REQUESTS), body)
    tick()
    places = [dump_of_postgres(postgres), all_redis_keys(in_redis), all_messages(amqp_url)]
    assert all(map(traces_in, places)), "before the erasure, the search finds the person"

    assert delete(user_id).status_code == 204
    pipeline.settle()
    pipeline.deliver(topology.REPLIES)
    tick()

    assert traces_in(dump_of_postgres(postgres)) == set()
    assert traces_in(all_redis_keys(in_redis)) == set()
    assert traces_in(all_messages(amqp_url)) == set()
    assert traces_in(repr(log_lines)) == set()
    mine = next(lead for lead in leads(control) if lead["ORIGIN_ID"] == str(user_id))
    assert (mine["TITLE"], mine["NAME"], mine["PHONE"]) == ("Erased", "Erased", [])
    # The other user and its dead letter are untouched.
    assert queries.get(other)["full_name"] == "Bob"
    assert str(other) in all_messages(amqp_url)
    found = receipt(user_id)
    assert (found["lead"], found["dead_letters"], found["idempotency_keys"]) == ("blanked", 2, 1)
    assert found["events"] == 5


def test_redis_forgets_the_person_before_bitrix24_is_called(
    pipeline: Pipeline, in_redis: str
) -> None:
    """Calls may be paused for days; the waiting entry has no personal data."""
    user_id = create()
    pipeline.settle()
    rename(user_id)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    assert traces_in(all_redis_keys(in_redis))
    erase.erase(user_id)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    assert traces_in(all_redis_keys(in_redis)) == set()


def test_a_worker_with_a_lease_does_not_restore_the_person(
    pipeline: Pipeline, in_redis: str, control: Control
) -> None:
    user_id = create()
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    leased = work_queue().lease(limit=50)
    erase.erase(user_id)
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    BatchCall(leased, work_queue()).run()  # creates the lead, and may not record it
    assert traces_in(all_redis_keys(in_redis)) == set()
    pipeline.settle()
    (lead,) = leads(control)
    assert (lead["TITLE"], lead["PHONE"]) == ("Erased", [])


# --- The lead -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["answer", "request"])
def test_a_create_of_unknown_outcome_leaves_no_named_lead(
    pipeline: Pipeline, control: Control, lost: str
) -> None:
    user_id = create()
    action = {"answer": "drop_after", "request": "drop_before"}[lost]
    control("faults", "POST", [{"method": "crm.item.add", "action": action, "count": 1}])
    pipeline.publish()
    pipeline.deliver(topology.REQUESTS)
    pipeline.call()
    erase.erase(user_id)
    pipeline.settle()
    expected: list[tuple[str, list[str]]] = [("Erased", [])] if lost == "answer" else []
    assert [(lead["TITLE"], lead["PHONE"]) for lead in leads(control)] == expected
    assert receipt(user_id)["lead"] == ("blanked" if lost == "answer" else "none")


def test_a_user_without_a_lead_gets_none(pipeline: Pipeline, control: Control) -> None:
    user_id = create()
    erase.erase(user_id)
    pipeline.settle()
    assert leads(control) == []
    assert receipt(user_id)["lead"] == "none"


@pytest.mark.parametrize(
    ("mode", "outcome", "left"),
    [("keep", "kept", [NAME]), ("blank", "blanked", ["Erased"]), ("delete", "deleted", [])],
)
def test_the_setting_decides_what_becomes_of_the_lead(  # noqa: PLR0917 - fixtures
    pipeline: Pipeline, control: Control, monkeypatch: pytest.MonkeyPatch, mode: str,
    outcome: str, left: list[str], in_redis: str,
) -> None:  # fmt: skip
    set_lead_mode(mode, monkeypatch)
    user_id = create()
    pipeline.settle()
    erase.erase(user_id)
    pipeline.settle()
    assert [lead["TITLE"] for lead in leads(control)] == left
    assert receipt(user_id)["lead"] == outcome
    assert traces_in(all_redis_keys(in_redis)) == set()
    # Once more, as when a reply was lost.
    execute(
        "UPDATE events SET state = 'open', settled_at = NULL, due_at = now(),"
        " published_at = NULL, sendings = 0, attempts = 0 WHERE changed = 'erase'"
    )
    pipeline.settle()
    assert receipt(user_id)["lead"] == outcome


@pytest.mark.parametrize("mode", ["blank", "delete"])
def test_every_lead_and_every_phone_of_the_user_is_erased(
    pipeline: Pipeline, control: Control, webhook_url: str, monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:  # fmt: skip
    set_lead_mode(mode, monkeypatch)
    user_id = create()
    pipeline.settle()
    (lead,) = leads(control)
    phones = [{"VALUE": SECOND_PHONE}, {"VALUE": "+77010000009"}]
    call_portal(webhook_url, "crm.lead.update", id=lead["ID"], fields={"PHONE": phones})
    origin = {name: lead[name] for name in ("ORIGINATOR_ID", "ORIGIN_ID")}
    for number in range(2):
        fields = {**origin, "TITLE": f"{NAME} {number}", "PHONE": [{"VALUE": PHONE}]}
        call_portal(webhook_url, "crm.lead.add", fields=fields)
    erase.erase(user_id)
    pipeline.settle()
    found = [(lead["TITLE"], lead["PHONE"]) for lead in leads(control)]
    assert found == ([] if mode == "delete" else [("Erased", [])] * 3)


def test_an_imported_lead_without_our_origin_is_erased(
    pipeline: Pipeline, control: Control, webhook_url: str, leadline: Leadline, tmp_path: Path
) -> None:
    fields = {"TITLE": NAME, "NAME": NAME, "PHONE": [{"VALUE": PHONE}]}
    lead_id = call_portal(webhook_url, "crm.lead.add", fields=fields)
    file = tmp_path / "users.csv"
    file.write_text(f"full_name,phone,bitrix_lead_id\n{NAME},{PHONE},{lead_id}\n")
    assert leadline("import", file, "--map", "bitrix_lead_id=bitrix_lead_id").code == 0
    (user,) = rows("SELECT id FROM users")
    erase.erase(user["id"])
    pipeline.settle()
    (lead,) = leads(control)
    assert (lead["TITLE"], lead["PHONE"]) == ("Erased", [])


def test_the_lead_of_another_user_is_never_erased(pipeline: Pipeline, control: Control) -> None:
    other = create(full_name="Bob", phone="+77012000001")
    pipeline.settle()
    (lead,) = leads(control)
    user_id = create()
    execute(
        "UPDATE users SET bitrix_lead_id = NULL, sync_status = 'failed', sync_reason = 'lost',"
        " synced_version = 0 WHERE id = :id",
        id=other,
    )
    execute("UPDATE users SET bitrix_lead_id = :lead WHERE id = :id", id=user_id, lead=lead["ID"])
    erase.erase(user_id)
    pipeline.settle()
    assert leads(control)[0]["TITLE"] == "Bob"
    assert (
        "belongs to another"
        in rows("SELECT sync_reason FROM users ORDER BY id DESC")[0]["sync_reason"]
    )


def test_a_refused_erasure_is_a_recorded_failure_that_a_resync_repeats(
    pipeline: Pipeline, control: Control, leadline: Leadline
) -> None:
    user_id = create()
    pipeline.settle()
    refuse(control, "Field Y is required", times=2)  # emptied, then with neutral values
    erase.erase(user_id)
    pipeline.settle()
    assert leads(control)[0]["TITLE"] == NAME
    (erasure,) = leadline("erased", user_id, "--json").json["erasures"]
    assert (erasure["status"], erasure["lead"]) == ("failed", None)
    assert "Field Y" in erasure["reason"]
    assert leadline("resync", "--all-failed", "--yes").code == 0
    pipeline.settle()
    assert leads(control)[0]["TITLE"] == "Erased"
    (erasure,) = leadline("erased", user_id, "--json").json["erasures"]
    assert (erasure["status"], erasure["lead"]) == ("synced", "blanked")


def test_a_portal_that_requires_a_phone_gets_a_neutral_one(
    pipeline: Pipeline, control: Control, webhook_url: str
) -> None:
    control("settings", "PUT", {"mandatory_fields": ["PHONE"]})
    users = [create(), create(phone=SECOND_PHONE)]
    pipeline.settle()
    first = leads(control)[0]["ID"]
    call_portal(
        webhook_url, "crm.lead.update", id=first, fields={"PHONE": [{"VALUE": SECOND_PHONE}]}
    )
    for user_id in users:
        erase.erase(user_id)
    pipeline.settle()
    erased = leads(control)
    assert [lead["TITLE"] for lead in erased] == ["Erased", "Erased"]
    numbers = [[phone["VALUE"] for phone in lead["PHONE"]] for lead in erased]
    assert numbers == [[f"+000{lead['ID']}"] for lead in erased], "of no one, and not shared"
    assert [receipt(user_id)["lead"] for user_id in users] == ["blanked", "blanked"]


def test_an_erasure_that_the_crm_undid_is_repeated_by_a_resync(
    pipeline: Pipeline, control: Control, leadline: Leadline
) -> None:
    user_id = create()
    pipeline.settle()
    restoring = [{"entityTypeId": 1, "on": "update", "set": {"TITLE": NAME}}]
    control("settings", "PUT", {"robots": restoring})
    erase.erase(user_id)
    pipeline.settle()
    (erasure,) = leadline("erased", user_id, "--json").json["erasures"]
    assert erasure["status"] == "failed"
    control("settings", "PUT", {"robots": []})
    assert leadline("resync", user_id, "--yes").code == 0
    pipeline.settle()
    assert leads(control)[0]["TITLE"] == "Erased"
    assert receipt(user_id)["lead"] == "blanked"


# --- Nothing brings the person back ---------------------------------------------------------------


def test_a_message_from_before_the_erasure_changes_nothing(
    pipeline: Pipeline, control: Control, amqp_url: str, in_redis: str
) -> None:
    """A copy of an older message may be delivered after the erasure."""
    user_id = create()
    pipeline.publish()
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        method, properties, body = channel.basic_get(topology.REQUESTS)
        channel.basic_nack(method.delivery_tag, requeue=True)
        pipeline.settle()
        erase.erase(user_id)
        pipeline.settle()
        for _ in range(2):
            channel.basic_publish("", topology.REQUESTS, body, properties)
        pipeline.deliver(topology.REQUESTS)
        assert traces_in(all_redis_keys(in_redis)) == set()
        pipeline.settle()
        assert [lead["TITLE"] for lead in leads(control)] == ["Erased"]
        # Redis has forgotten the user, and an operator replays the old message.
        client().flushall()
        skip_clock_tolerance(work_queue())
        del properties.headers["ce-sent"]
        properties.headers["ce-resent"] = "true"
        channel.basic_publish("", topology.REQUESTS, body, properties)
    pipeline.run_rounds(4)
    pipeline.settle()
    assert [lead["TITLE"] for lead in leads(control)] == ["Erased"]


def test_writes_and_reads_of_an_erased_user_are_gone(pipeline: Pipeline) -> None:
    user_id = create()
    erase.erase(user_id)
    pipeline.settle()
    for function, method, path, body in (
        ("get_user", "GET", f"/users/{user_id}", None),
        ("update_user", "PATCH", f"/users/{user_id}", {"full_name": NAME}),
        ("move_user", "POST", f"/users/{user_id}/move", {"stage": "NEW"}),
    ):
        answer = function_client(function).open(path, method=method, json=body)
        assert (answer.status_code, answer.get_json()["title"]) == (410, "Gone"), function
    assert queries.page(Query())["items"] == []
    for find in ("", str(user_id)):
        console = function_client("console")
        found = console.get(f"/api/users?find={find}", headers={"X-Leadline-Console": "1"})
        assert found.get_json()["items"] == [], find


def test_an_erasure_can_be_repeated_and_an_unknown_id_is_not_found() -> None:
    user_id = create()
    assert [delete(user_id).status_code for _ in range(3)] == [204] * 3
    assert len(rows("SELECT FROM events WHERE changed = 'erase'")) == 1
    assert delete(user_id + 1).status_code == 404
    assert delete(0).status_code == 404


def test_a_precondition_holds_for_an_erasure() -> None:
    user_id = create()
    assert delete(user_id, **{"If-Match": '"2"'}).status_code == 412
    assert queries.get(user_id)["full_name"] == NAME
    assert delete(user_id, **{"If-Match": '"1"'}).status_code == 204


def test_a_repeated_request_does_not_create_the_user_again() -> None:
    key = IdempotencyKey(caller="a client", key="k1", fingerprint=b"hash")
    new = NewUser(full_name=NAME, phone=PHONE)
    user_id = accept.create(new, key).event.user.id
    erase.erase(user_id)
    with pytest.raises(UserErased):
        accept.create(new, key)
    assert len(rows("SELECT FROM users")) == 1


def test_an_external_id_is_forgotten_and_free_again(pipeline: Pipeline) -> None:
    path = "/users/by-external-id/zarina-1"
    body = {"full_name": NAME, "phone": PHONE}
    client_ = function_client("upsert_users")
    first = client_.put(path, json=body).get_json()["id"]
    erase.erase(UserId(first))
    pipeline.settle()
    assert rows("SELECT external_id FROM users") == [{"external_id": None}]
    second = client_.put(path, json=body)
    assert (second.status_code, second.get_json()["id"] != first) == (201, True)


def test_a_write_at_the_same_moment_does_not_survive_the_erasure() -> None:
    users = [create(phone=f"+770112398{number}") for number in range(10, 26)]

    def write_or_erase(number: int) -> None:
        """Rename a user in one thread, and erase it in another."""
        user_id = users[number // 2]
        if number % 2:
            erase.erase(user_id)
        else:
            for _ in range(5):
                try:
                    rename(user_id)
                except UserErased:
                    return

    in_threads(32, write_or_erase)
    found = rows("SELECT full_name, phone, stage, erased_at IS NULL AS lives FROM users")
    assert {tuple(row.values()) for row in found} == {("", "", "", False)}
    assert rows("SELECT FROM events WHERE full_name <> '' OR phone <> ''") == []
    newest = rows("SELECT DISTINCT ON (user_id) changed FROM events ORDER BY user_id, version DESC")
    assert {row["changed"] for row in newest} == {"erase"}


def test_a_function_of_the_previous_version_cannot_write_to_a_tombstone() -> None:
    user_id = create()
    erase.erase(user_id)
    for column, value in (("full_name", NAME), ("phone", PHONE), ("stage", "NEW")):
        with pytest.raises(StatementError):
            execute(f"UPDATE users SET {column} = :value WHERE id = :id", value=value, id=user_id)  # noqa: S608 - of constants


@pytest.mark.parametrize("command", ["reconcile", "resync"])
def test_no_repair_restores_the_person(
    pipeline: Pipeline, control: Control, leadline: Leadline, command: str
) -> None:
    user_id = create()
    pipeline.settle()
    erase.erase(user_id)
    pipeline.settle()
    if command == "reconcile":
        assert leadline("reconcile", "--repair", "--restart", "--yes").code == 0
    else:
        assert leadline("resync", user_id).code == 0
    pipeline.settle()
    assert [lead["TITLE"] for lead in leads(control)] == ["Erased"]


def test_an_import_does_not_restore_the_person(
    leadline: Leadline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres)  # ids need the owner
    file = tmp_path / "users.csv"
    file.write_text(f"id,full_name,phone\n7,{NAME},{PHONE}\n")
    assert leadline("import", file, "--map", "id=id").code == 0
    erase.erase(UserId(7))
    assert leadline("import", file, "--map", "id=id").code == 0
    with pytest.raises(UserErased):
        queries.get(UserId(7))


@pytest.mark.usefixtures("functions_login")
def test_after_a_restore_the_person_is_erased_again(
    pipeline: Pipeline,
    control: Control,
    fork_history: Callable[[], None],
    postgres: str,
    in_redis: str,
) -> None:
    """Redis keeps the ids of erased users, while Postgres has lost an erasure."""
    user_id, other = create(), create(full_name="Bob", phone="+77012000001")
    pipeline.settle()
    erase.erase(user_id)
    pipeline.settle()
    with postgres_connection(postgres) as owner:  # as a backup from before has it
        owner.run("DELETE FROM erasures")
        owner.run("DELETE FROM events WHERE changed = 'erase'")
        owner.run(
            "UPDATE users SET full_name = :name, phone = :phone, stage = 'NEW', erased_at = NULL,"
            " version = 1, synced_version = 1 WHERE id = :id",
            name=NAME, phone=PHONE, id=user_id,
        )  # fmt: skip
    fork_history()
    tick()
    pipeline.settle()
    tick()
    pipeline.settle()
    with pytest.raises(UserErased):
        queries.get(user_id)
    assert sorted(lead["TITLE"] for lead in leads(control)) == ["Bob", "Erased"]
    assert traces_in(all_redis_keys(in_redis)) == set()
    assert queries.get(other)["full_name"] == "Bob"


def test_the_relay_publishes_an_erasure_that_its_function_could_not(
    pipeline: Pipeline, control: Control
) -> None:
    user_id = create()
    pipeline.settle()
    erase.erase(user_id)
    client().flushall()  # Redis has lost it, too
    skip_clock_tolerance(work_queue())
    execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    relay.run()
    pipeline.settle()
    assert leads(control)[0]["TITLE"] == "Erased"


# --- Operators ------------------------------------------------------------------------------------


def test_the_command_asks_and_shows_receipts(leadline: Leadline) -> None:
    first, second = create(), create(phone=SECOND_PHONE)
    refused = leadline("erase", first)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert queries.get(first)["full_name"] == NAME
    output = leadline("erase", first, second, 99, "--yes", "--json")
    assert output.json == {"erased": [first, second], "erased_before": [], "not_found": [99]}
    assert output.code == 1
    assert leadline("erase", first, "--yes", "--json").json["erased_before"] == [first]
    receipts = leadline("erased", "--json").json["erasures"]
    assert [erased["user_id"] for erased in receipts] == [first, second]
    assert receipts[0]["caller"].split("@")[0]
    assert receipts[0]["status"] == "waiting"
    assert leadline("erased", 99).code == 1
    assert leadline("show", first).code == 1
    trail = leadline("audit", "--json").out.decode()
    assert '"erase"' in trail
    assert traces_in(trail) == set()


def test_erasing_needs_a_key_with_the_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "on")
    process.forget(settings)
    keys = {scopes: os.urandom(16).hex() for scopes in ("read,write,operate", "erase")}
    entries = [f"{scopes}:{key}" for scopes, key in keys.items()]
    monkeypatch.setenv("API_KEYS", "\n".join(entries))
    user_id = create()
    statuses = {
        scopes: delete(user_id, Authorization=f"Bearer {key}").status_code
        for scopes, key in keys.items()
    }
    assert statuses == {"read,write,operate": 403, "erase": 204}
    assert delete(user_id).status_code == 401


def test_an_unknown_user_is_not_erased() -> None:
    with pytest.raises(UserNotFound):
        erase.erase(UserId(12345))
    assert rows("SELECT FROM erasures") == []

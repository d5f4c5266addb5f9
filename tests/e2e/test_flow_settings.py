"""A system with other settings: keys, NestJS replies, other reply queues, an eager relay."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from local.runner.state import State
from tests.e2e.arguments import Arguments
from tests.emulator.browser import CHROMIUM, Chromium
from tests.faults import portal, system_logs
from tests.faults.amqp_client import DEAD_REQUESTS, REPLIES, AmqpClient, connect
from tests.servers import eventually
from tests.system import CHECKOUT, System

KEYS = ("first-key-of-the-tests-28-bytes", "second-key-of-the-tests-28-bytes")
READER = "key-that-reads-only-in-these-tests"
OPERATOR = "key-that-operates-in-these-tests"
REPLY_QUEUE = "answers.of.the.tests"
#: How many operations the API's document has.
OPERATIONS = 9


@pytest.fixture(scope="module")
def arguments() -> Arguments:
    """Records the command lines of all processes while the system of this file starts."""
    return Arguments()


@pytest.fixture(scope="module")
def _own_system(tmp_path_factory: pytest.TempPathFactory, arguments: Arguments) -> Iterator[System]:
    env = {
        **portal.SHORT_WAITS,
        "API_KEYS": " ".join([*KEYS, f"read:{READER}", f"ops:read,operate:{OPERATOR}"]),
        "LEADLINE_AUTH": "on",
        "LEADLINE_REPLY_QUEUES": f"bitrix.responses, {REPLY_QUEUE}",
        "LEADLINE_REPLY_ENVELOPE": "nestjs",
        "LEADLINE_RESEND_AFTER_S": "2",
        "LEADLINE_PHONE_REGION": "KZ",
        "LEADLINE_RELAY_EVERY_S": "1",
        "WORKERS": "2",
    }
    system = System(State(Path(tmp_path_factory.mktemp("other"))), env)
    system.http.headers["Authorization"] = f"Bearer {KEYS[1]}"
    arguments.start()
    try:
        with system_logs.leak_checked(system):
            system.await_relay_run()
            arguments.stop()
            yield system
    finally:
        arguments.stop()


@pytest.fixture
def system(_own_system: System) -> Iterator[System]:
    """A running system with the settings of this file, in place of the shared one."""
    with portal.in_order(_own_system):
        yield _own_system


@pytest.fixture
def amqp(system: System) -> Iterator[AmqpClient]:
    with connect(system) as connection:
        connection.channel.queue_declare(REPLY_QUEUE, durable=True)
        connection.purge(REPLY_QUEUE)
        yield connection


def test_requests_need_a_known_key(system: System) -> None:
    path = "/users"
    expected = {
        None: 401,
        "": 401,
        "Bearer": 401,
        "Bearer ": 401,
        "Basic Zmlyc3Q6a2V5": 401,
        "Bearer nonsense": 403,
        f"Bearer {KEYS[0]}x": 403,
        f"Bearer {KEYS[0]} {KEYS[1]}": 403,
        f"Bearer {KEYS[0]}": 200,
        f"bearer {KEYS[1]}": 200,
    }
    not_ascii = "Bearer \xff\xfe"
    found: dict[str | None, int] = {}
    for header in (*expected, not_ascii):
        headers = {"Authorization": None if header is None else header.encode("latin-1")}
        answer = system.request("GET", path, headers=headers)
        found[header] = answer.status_code
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    # The HTTP server itself may refuse such a header, with 400.
    assert found.pop(not_ascii) in {400, 403}
    assert found == expected


def test_no_process_ever_has_a_secret_among_its_arguments(
    system: System, arguments: Arguments
) -> None:
    """Every login of the machine can read the list of processes."""
    secrets = set(_secrets_of(system))
    key_file = (system.state.root / "secrets" / "api-keys").read_text(encoding="utf-8")
    assert all(key in key_file for key in KEYS)
    assert len(secrets) > 5
    assert any(b"leadline.sync.worker" in line for line in arguments.seen)
    assert any(b"initdb" in line for line in arguments.seen)
    found = [line for line in arguments.seen if any(secret.encode() in line for secret in secrets)]
    assert found == []


def _secrets_of(system: System) -> Iterator[str]:
    """All secrets of this run: whole URLs and files, passwords within URLs, single keys."""
    for folder in ("passwords", "secrets"):
        for path in (system.state.root / folder).iterdir():
            text = path.read_text(encoding="utf-8").strip()
            yield text
            if "://" in text and "@" in text:
                yield text.rpartition("@")[0].rpartition(":")[2]
    yield from (*KEYS, READER, OPERATOR)


def test_no_function_is_open_without_a_key(system: System) -> None:
    for name, url in system.run["functions"].items():
        answer = system.http.post(url, json={}, headers={"Authorization": None}, timeout=60)
        assert answer.status_code == 401, name


def test_a_key_grants_no_more_than_its_scope(system: System) -> None:
    user = system.create("Только Прочитан")
    path = f"/users/{user['id']}"
    headers = {"Authorization": f"Bearer {READER}"}
    assert system.request("GET", path, headers=headers).status_code == 200
    for method, target in (("POST", "/users"), ("PATCH", path), ("POST", f"{path}/move")):
        answer = system.request(method, target, json={"full_name": "Другой"}, headers=headers)
        assert answer.status_code == 403
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "`write`" in answer.json()["detail"]
    for name in ("bitrix-handler", "reply-handler", "outbox-relay"):
        url = system.run["functions"][name]
        for key in (*KEYS, READER, OPERATOR):
            headers = {"Authorization": f"Bearer {key}"}
            answer = system.http.post(url, json={}, headers=headers, timeout=60)
            assert answer.status_code == 403, (name, key)
    assert system.user(user["id"])["full_name"] == "Только Прочитан"


@pytest.mark.slow("schemathesis tries thousands of requests")
def test_every_call_conforms_to_the_document(system: System, tmp_path: Path) -> None:
    """Examples, edge values, random, malformed and successive requests, by schemathesis."""
    folder = CHECKOUT / "tests/e2e"
    result = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={folder / 'schemathesis.toml'}",
            *("run", f"{system.url('edge')}/openapi.json", "--max-examples=8", "--no-color"),
        ],
        cwd=tmp_path,  # it stores its findings for its next run
        env={
            **os.environ,
            "API_KEY": KEYS[0],
            "SCHEMATHESIS_HOOKS": str(folder / "schemathesis_hooks.py"),
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert f"{OPERATIONS} selected / {OPERATIONS} total" in result.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in result.stdout, result.stdout


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_the_page_shows_every_call_and_can_try_it(system: System, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile") as chromium, chromium.window() as browser:
        browser.open(f"{system.url('edge')}/docs")
        browser.wait_for(f"document.querySelectorAll('.opblock').length === {OPERATIONS}")
        script = """fetch("users?limit=1").then(answer => window.status = String(answer.status))"""
        browser.eval(script)
        browser.wait_for("window.status === '401'")
        problems = [problem for problem in browser.problems if "401" not in problem]
        assert problems == []


def test_an_idempotency_key_belongs_to_its_caller(system: System) -> None:
    body = {"full_name": "Чей Ключ", "phone": "+77001112233"}
    ids = set()
    for key in (*KEYS, *KEYS):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the-same"}
        ids.add(system.request("POST", "/users", json=body, headers=headers).json()["id"])
    assert len(ids) == 2


def test_the_default_region_completes_a_phone(system: System) -> None:
    assert system.create(phone="8 700 111 22 33")["phone"] == "+77001112233"


def test_the_whole_flow_works_with_nestjs_replies(system: System) -> None:
    user = system.create("В Конверте")
    system.await_synced(user["id"])
    assert portal.looks_like(portal.lead_of(system, user["id"]), user)


def test_a_reply_goes_to_the_allowed_queue_named_in_the_nestjs_envelope(
    system: System, amqp: AmqpClient
) -> None:
    user: dict[str, Any] = {
        "id": 8_000_001,
        "full_name": "С Ответом",
        "phone": "+77001112233",
        "stage": "NEW",
    }
    data = {"action": "create_card", "user": user, "replyQueue": REPLY_QUEUE}
    amqp.publish({"pattern": "user_created", "data": data})
    reply = amqp.await_messages(REPLY_QUEUE, lambda _: True)[0]
    assert reply.content["pattern"] == REPLY_QUEUE
    answer = reply.content["data"]
    assert (answer["status"], answer["user"], answer["attempts"]) == ("success", user, 1)
    assert answer["bitrix_lead_id"] == int(portal.lead_of(system, user["id"])["ID"])


def test_the_reply_to_a_message_without_a_phone_is_one_error(amqp: AmqpClient) -> None:
    user = {"id": 8_000_002, "full_name": "Без Телефона", "stage": "NEW"}
    data = {"action": "create_card", "user": user, "replyQueue": REPLY_QUEUE}
    amqp.publish({"pattern": "user_created", "data": data})
    amqp.publish({"pattern": "user_created", "data": {**data, "user": {**user, "id": 8_000_003}}})
    replies = [
        message.content["data"]
        for message in amqp.await_messages(REPLY_QUEUE, lambda _: True, count=2)
    ]
    found = {reply["user_id"]: reply for reply in replies}
    reply = found[8_000_002]
    required = {"status", "reason", "action", "user", "user_id", "attempts"}
    assert set(reply) - {"event_id", "version"} == required
    assert reply["user"] == user
    assert (reply["status"], reply["reason"]) == ("error", "Missing phone number")
    assert len(replies) == 2


def test_a_reply_queue_that_is_not_allowed_gets_no_reply(system: System, amqp: AmqpClient) -> None:
    amqp.channel.queue_declare("somebody.elses", durable=False)
    data = {
        "action": "create_card",
        "user": {"id": 8_000_004, "full_name": "А", "phone": "+77001112233", "stage": "NEW"},
        "replyQueue": "somebody.elses",
    }
    amqp.publish({"pattern": "user_created", "data": data})
    amqp.await_messages(DEAD_REQUESTS, lambda request: "replyQueue" in request.reason)
    assert amqp.take("somebody.elses") == []
    assert portal.leads_of(system, 8_000_004) == []


@pytest.mark.slow("forgotten calls are waited for, 15 s here")
def test_a_redis_that_loses_all_data_midway_loses_and_duplicates_nothing(system: System) -> None:
    """Creates are in flight when it happens, and the next writes come before they are done."""
    system.control("PUT", "settings", {"command_ms": 4000})
    calls = system.control("GET", "calls")["requests"]
    slow = system.create("Создаётся Долго")
    eventually(lambda: system.control("GET", "calls")["requests"] > calls, 120, "the call began")
    with redis.Redis.from_url(system.url("redis")) as client, ThreadPoolExecutor(8) as pool:
        client.flushall()
        users = [_rename(system, slow)]
        system.control("PUT", "settings", {"request_ms": 200, "command_ms": 10})
        many = list(pool.map(lambda number: system.create(f"Забытый {number}"), range(15)))
        client.flushall()
        many += pool.map(lambda number: system.create(f"Забытый {number}"), range(15, 30))
        eventually(lambda: len(system.leads()) > 3, 120, "some leads are there")
        client.flushall()
        users += pool.map(lambda user: _rename(system, user), many)
    eventually(lambda: _are_synced(system, users), 120, "all users are synced")
    assert system.control("GET", "duplicates") == []
    for user in users:
        assert portal.looks_like(portal.lead_of(system, user["id"]), user)
    eventually(system.is_well, 120, "the workers have sent heartbeats again")


@pytest.mark.slow("the portal is away for some seconds, and probed with back-off")
def test_the_system_recovers_from_an_outage_by_itself(system: System) -> None:
    portal.add_fault(system, "error", status=500)
    users = [system.create(f"В Простое {number}") for number in range(10)]
    eventually(
        lambda: all(_sync(system, user)["status"] == "failed" for user in users), 120, "all failed"
    )
    for user in users:
        assert _sync(system, user)["attempts"] == 3
        assert "retry_at" in _sync(system, user)
    portal.clear_faults(system)
    eventually(lambda: _are_synced(system, users), 120, "all users are synced")
    assert system.control("GET", "duplicates") == []
    for user in users:
        assert portal.looks_like(portal.lead_of(system, user["id"]), user)
        assert "retry_at" not in _sync(system, user)


def test_no_log_line_contains_a_name_a_phone_or_a_credential_whatever_fails(
    system: System, amqp: AmqpClient
) -> None:
    name, phone, wrong_key = "Нигде Не Записанный", "+77019998877", "a-key-that-no-one-has"
    _send_invalid_requests(system, name, phone, wrong_key)
    dead_count = _publish_nonsense(amqp, name, phone)
    failing: list[dict[str, Any]] = []
    faults: tuple[dict[str, Any], ...] = (
        {"status": 400, "code": "INVALID_FIELD", "description": f"{name} {phone} is invalid"},
        {"status": 500, "description": f"SQL error near {name!r}"},
        {"status": 401, "code": "NO_AUTH_FOUND"},
    )
    failures = ""
    for fault in faults:
        portal.clear_faults(system)
        portal.add_fault(system, "error", count=3, **fault)
        failing.append(system.create(f"{name} {len(failing)}", phone))
        eventually(lambda: portal.hits(system) > 0, 120, f"the portal says {fault}")
        if fault["status"] == 400:
            # RQ keeps five failed jobs: later failures would remove this one.
            eventually(lambda: "Rejected" in _failures_in_rq(system), 120, "RQ keeps its failure")
        failures += _failures_in_rq(system)
    amqp.await_messages(DEAD_REQUESTS, lambda _: True, count=dead_count)
    portal.clear_faults(system)
    eventually(lambda: all(_is_settled(system, user) for user in failing), 120, "all is settled")
    failures += _failures_in_rq(system)
    assert "Rejected" in failures
    assert name not in failures
    assert phone not in failures
    leaks = system_logs.leaks(system, {name, phone[1:], wrong_key, "only-for-idempotency"})
    assert not leaks, leaks


def _send_invalid_requests(system: System, name: str, phone: str, wrong_key: str) -> None:
    """Send each kind of invalid request to each path."""
    user = system.create(name, phone)
    path = f"/users/{user['id']}"
    valid_body = {"full_name": name, "phone": phone}
    for method, target in (("POST", "/users"), ("PATCH", path), ("POST", f"{path}/move")):
        for body in (
            {**valid_body, "stage": name},
            {**valid_body, "phone": phone * 3},
            {name: phone},
            [name, phone],
        ):
            assert system.request(method, target, json=body).status_code == 422
        truncated = json.dumps(valid_body, ensure_ascii=False)[:-3].encode()
        headers = {"Content-Type": "application/json"}
        assert system.request(method, target, data=truncated, headers=headers).status_code == 400
        headers = {"Content-Type": "text/plain", "Idempotency-Key": "only-for-idempotency"}
        assert system.request(method, target, data=truncated, headers=headers).status_code == 415
    for target in ("/users", path, f"/users/{name}", f"/{phone}", f"/users?stage={name}"):
        headers = {"Authorization": f"Bearer {wrong_key}"}
        assert system.request("GET", target, headers=headers).status_code in {403, 404}
        assert system.request("GET", target, params={"id": name}).status_code < 500
    headers = {"If-Match": '"9"', "Idempotency-Key": "only-for-idempotency"}
    body = {"full_name": name}
    assert system.request("PATCH", path, json=body, headers=headers).status_code == 412


def _publish_nonsense(amqp: AmqpClient, name: str, phone: str) -> int:
    """Publish unprocessable messages to both main queues; returns how many to each."""
    user = {"id": 8_000_009, "full_name": name, "phone": phone, "stage": "NEW"}
    data = {"action": "create_card", "user": user, "replyQueue": REPLY_QUEUE}
    messages: list[object] = [
        json.dumps({"pattern": "user_created", "data": data}).encode()[:-5],
        f"{name} {phone}".encode(),
        {"pattern": name, "data": {**data, "action": name}},
        {"pattern": "user_created", "data": {**data, "replyQueue": f"{name}.{phone}"}},
        {"pattern": "user_created", "data": {**data, "user": {**user, "id": name}}},
    ]
    for message in messages:
        amqp.publish(message)
        amqp.publish(message, REPLIES)
    return len(messages)


def _failures_in_rq(system: System) -> str:
    """The records of failed jobs that RQ stores, and shows in its own tools."""
    with redis.Redis.from_url(system.url("redis")) as client:
        failed = FailedJobRegistry("bitrix_jobs", client, serializer=JSONSerializer)
        jobs = Job.fetch_many(failed.get_job_ids(), client, JSONSerializer)
        results = [job.latest_result() for job in jobs if job]
        return "\n".join(result.exc_string or "" for result in results if result)


def _is_settled(system: System, user: dict[str, Any]) -> bool:
    return str(_sync(system, user)["status"]) != "waiting"


def _sync(system: System, user: dict[str, Any]) -> dict[str, Any]:
    return dict(system.user(user["id"])["sync"])


def _rename(system: System, user: dict[str, Any]) -> dict[str, Any]:
    body = {"full_name": f"Снова {user['full_name']}"}
    answer = system.request("PATCH", f"/users/{user['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.content))


def _are_synced(system: System, users: list[dict[str, Any]]) -> bool:
    return all(_sync(system, user)["status"] == "synced" for user in users)

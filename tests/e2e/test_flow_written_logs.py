"""The run's log lines: each write can be followed by its correlation id, and no secret appears."""

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from tests.faults import portal, system_logs
from tests.servers import eventually
from tests.system import System

LEVELS = {"debug", "info", "warning", "error", "critical"}
FINISHED, FAILED = "rq:finished:bitrix_jobs", "rq:failed:bitrix_jobs"


pytestmark = pytest.mark.usefixtures("portal_in_order")


@pytest.fixture
def redis_client(system: System) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(system.url("redis")) as client:
        yield client


def test_the_whole_flow_is_logged_under_the_calls_id(system: System) -> None:
    portal.add_fault(
        system, "error", "crm.item.add", code="INTERNAL_SERVER_ERROR", status=500, count=1
    )
    call = "a-call-to-follow-in-the-logs"
    answer = system.request(
        "POST",
        "/users",
        json={"full_name": "Герой Рассказа", "phone": "+77011234567"},
        headers={"X-Call-Id": call},
    )
    assert answer.headers["X-Call-Id"] == call
    user_id = answer.json()["id"]
    system.await_synced(user_id, within_s=120)
    steps = [
        ("create-user", "write accepted"),
        ("bitrix-handler", "event received"),
        ("worker", "Processing bitrix_job (attempt 1/3)"),
        ("worker", "retry in 2000 ms"),
        ("worker", "Processing bitrix_job (attempt 2/3)"),
        ("worker", "reply sent"),
        ("reply-handler", "reply received"),
    ]

    def log_lines() -> list[tuple[str, str]]:
        return [(line["service"], line["event"]) for line in system_logs.of_call(system, call)]

    expected_lines = {*steps, ("worker", "completed")}
    eventually(lambda: expected_lines <= set(log_lines()), 120, "all lines are written")
    # Other processes may log earlier or later than the one that they follow.
    worker_places = [log_lines().index(line) for line in steps if line[0] == "worker"]
    assert worker_places == sorted(worker_places)
    lines = [line for line in system_logs.of_call(system, call) if "user_id" in line]
    assert {line["user_id"] for line in lines} == {user_id}
    assert len({line["event_id"] for line in lines}) == 1
    assert "job enqueued" in {line["event"] for line in _lines(system, "bitrix-handler")}
    assert "calling Bitrix24" in {line["event"] for line in _lines(system, "worker")}


def test_each_of_our_lines_is_json_with_time_level_event_and_service(system: System) -> None:
    malformed = []
    for name, text in system_logs.raw_lines(system):
        try:
            line = json.loads(text)
        except ValueError:
            malformed.append(f"{name}: {text[:200]}")
            continue
        is_whole = {"timestamp", "level", "event", "service"} <= line.keys()
        if not is_whole or line["level"] not in LEVELS or not line["timestamp"].endswith("Z"):
            malformed.append(f"{name}: {text[:200]}")
    assert not malformed, "\n".join(malformed[:10])


def test_personal_data_in_a_log_is_found(system: System) -> None:
    """The search at the end of each system (`system_logs.leak_checked`) would find something."""
    portal.add_fault(system, "error", "*", status=401, code="NO_AUTH_FOUND", count=1)
    user = system.create("Найденный В Журнале", "+77015556677")
    system.await_synced(user["id"], within_s=120)
    system.request("POST", "/users", json={"full_name": "Не Принятый", "phone": "+7999888777"})
    assert not system_logs.leaks(system)
    logged = system.state.logs / "written.log"
    try:
        for secret in ("Найденный В Журнале", "77015556677", "Не Принятый", portal.WEBHOOK_CODE):
            logged.write_text(json.dumps({"event": secret}), encoding="utf-8")
            assert secret in system_logs.leaks(system)
    finally:
        logged.unlink()


@pytest.mark.slow("needs dozens of calls")
def test_the_last_10_finished_and_5_failed_jobs_are_kept(
    system: System, redis_client: redis.Redis
) -> None:
    for number in range(14):
        system.await_synced(system.create(f"Из Очереди {number}")["id"])
    # Each worker looks once a second.
    eventually(lambda: 0 < redis_client.zcard(FINISHED) <= 10, 120, "10 finished jobs are left")
    portal.add_fault(system, "error", "batch", status=500)
    system.create("Из Очереди Первый")
    eventually(lambda: portal.hits(system) >= 1, 120, "the first call has failed")
    system.create("Из Очереди Второй")
    eventually(lambda: portal.hits(system) >= 6, 120, "three attempts each")
    eventually(lambda: 0 < redis_client.zcard(FAILED) <= 5, 120, "5 failed jobs are left")
    eventually(lambda: 0 < redis_client.zcard(FINISHED) <= 10, 120, "10 finished jobs are left")


def test_jobs_hold_no_personal_data_and_no_pickle(
    system: System, redis_client: redis.Redis
) -> None:
    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(lambda _: system.create("Не Для Задания", "+77012223344"), range(30)))
    for user in users:
        system.await_synced(user["id"], within_s=120)
    jobs = [key for key in redis_client.keys("rq:job:*") if redis_client.type(key) == b"hash"]
    assert jobs
    for job in jobs:
        content: Any = redis_client.hgetall(job)
        function, _, args, kwargs = json.loads(zlib.decompress(content[b"data"]))
        assert function == "leadline.sync.jobs.call_bitrix24"
        assert (args, kwargs) == ([], {"portal": "main"})
        text = b" ".join(_unpack(value) for value in content.values()).decode()
        assert "Не Для Задания" not in text
        assert "77012223344" not in text
        assert portal.WEBHOOK_CODE not in text


def _lines(system: System, service: str) -> Iterator[dict[str, object]]:
    for _, text in system_logs.raw_lines(system):
        line = json.loads(text) if text.startswith("{") else {}
        if line.get("service") == service:
            yield line


def _unpack(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value

"""A manual hold outlives any loss of Redis, until an operator resumes."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from leadline import process
from leadline.errors import PortalDown
from leadline.operations import manual_hold, stored_hold
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync import job
from leadline.workqueue import keys
from leadline.workqueue.circuit_breaker import CircuitBreaker
from leadline.workqueue.portal_state import circuit_breaker
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import CommandOutput, function_client
from tests.integration.test_calls import put

LoseHold = Callable[[], None]


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
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)


@pytest.fixture(params=["emptied", "restarted without its last second"])
def lose_hold(request: pytest.FixtureRequest) -> LoseHold:
    """A function that makes Redis lose the hold together with its epoch."""

    def empty() -> None:
        client().flushall()

    def restart() -> None:
        client().delete(f"{work_queue().prefix}paused")
        client().hset(f"{work_queue().prefix}memory", "run_id", "of another process")

    return empty if request.param == "emptied" else restart


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the relay run once, without a webhook, which it does not need for a hold."""
    monkeypatch.delenv("BITRIX_WEBHOOK_URL")
    relay = function_client("outbox_relay")

    def call() -> None:
        assert relay.post("/").status_code == 200

    return call


def another_process() -> CircuitBreaker:
    """The circuit breaker of a process that has not read its state yet."""
    return CircuitBreaker(client(), keys.prefix("main"))


def reconnect() -> None:
    """The next use of Redis connects to the current REDIS_URL."""
    for cached in (client, work_queue, circuit_breaker):
        process.forget(cached)


def is_held() -> bool:
    state = another_process().restore_and_read()
    return state is not None and state.is_manual_hold


def test_a_worker_that_saw_a_hold_makes_no_call_even_if_redis_lost_it(
    lose_hold: LoseHold, portal: str
) -> None:
    put(1)
    another_process().hold("a migration")
    assert job.call_bitrix24("main") == 0
    lose_hold()
    put(1)
    assert job.call_bitrix24("main") == 0
    assert requests.get(f"{portal}/_emulator/calls", timeout=60).json()["requests"] == 0
    state = another_process().restore_and_read()
    assert state is not None
    assert (state.is_manual_hold, state.reason) == (True, "a migration")


def test_a_hold_outlives_several_losses(lose_hold: LoseHold) -> None:
    circuit_breaker().hold(reason="")
    for _ in range(3):
        assert circuit_breaker().restore_and_read()
        lose_hold()
    assert circuit_breaker().restore_and_read()


def test_a_hold_resumed_after_the_loss_is_not_restored(lose_hold: LoseHold) -> None:
    worker = another_process()
    circuit_breaker().hold(reason="")
    assert worker.restore_and_read()
    lose_hold()
    manual_hold.resume()
    assert worker.restore_and_read() is None
    assert worker.restore_and_read() is None


def test_a_hold_resumed_before_the_loss_is_not_restored(lose_hold: LoseHold) -> None:
    worker = another_process()
    circuit_breaker().hold(reason="")
    assert worker.restore_and_read()
    manual_hold.resume()
    assert worker.restore_and_read() is None
    lose_hold()
    assert worker.restore_and_read() is None


def test_only_holds_are_restored_not_an_open_circuit(lose_hold: LoseHold) -> None:
    circuit_breaker().open(PortalDown("the plan has expired"))
    assert circuit_breaker().restore_and_read()
    lose_hold()
    assert circuit_breaker().restore_and_read() is None


def test_the_relay_restores_a_hold_that_no_worker_saw(
    leadline: Callable[..., CommandOutput], tick: Callable[[], None], lose_hold: LoseHold
) -> None:
    assert leadline("portal", "pause", "--yes", "--reason", "a migration").code == 0
    lose_hold()
    tick()
    state = another_process().restore_and_read()
    assert state is not None
    assert (state.is_manual_hold, state.reason) == (True, "a migration")
    assert leadline("portal", "resume").code == 0
    tick()
    lose_hold()
    tick()
    assert not is_held()


def test_a_hold_resumed_while_the_relay_restores_it_ends() -> None:
    manual_hold.hold(reason="")
    stored = stored_hold.load()
    assert stored is not None
    manual_hold.resume()
    manual_hold.restore(stored)
    assert not is_held()
    manual_hold.hold("once more")
    assert is_held()


def test_the_start_of_a_hold_is_restored(lose_hold: LoseHold) -> None:
    manual_hold.hold(reason="")
    before = another_process().restore_and_read()
    stored = stored_hold.load()
    assert before is not None
    assert stored is not None
    lose_hold()
    manual_hold.restore(stored)
    after = another_process().restore_and_read()
    assert after is not None
    assert after.since == before.since


def test_console_and_command_line_resume_each_others_holds(
    leadline: Callable[..., CommandOutput],
) -> None:
    console = function_client("console")
    headers = {"X-Leadline-Console": "1"}
    assert console.post("/api/pause", json={"reason": "x"}, headers=headers).status_code == 200
    assert stored_hold.load() is not None
    assert leadline("portal", "resume", "--json").json == {"paused": False, "was_paused": True}
    assert stored_hold.load() is None
    assert leadline("portal", "pause", "--yes").code == 0
    resumed: Any = console.post("/api/resume", json={}, headers=headers).json
    assert resumed["was_paused"]
    assert not is_held()


def test_without_a_database_redis_alone_stores_a_hold(
    leadline: Callable[..., CommandOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert leadline("portal", "pause", "--yes").code == 0
    assert is_held()
    assert leadline("portal", "resume").code == 0
    assert not is_held()


def test_with_postgres_down_calls_are_paused_and_the_command_warns_that_the_hold_is_not_stored(
    leadline: Callable[..., CommandOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    output = leadline("portal", "pause", "--yes")
    assert output.code == 3
    assert "calls are paused" in output.err
    assert is_held()
    # A hold that cannot be deleted from the ledger would be restored, so it stays.
    assert leadline("portal", "resume").code == 3
    assert is_held()


def test_with_redis_down_the_relay_applies_the_hold_later(
    leadline: Callable[..., CommandOutput],
    monkeypatch: pytest.MonkeyPatch,
    tick: Callable[[], None],
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        reconnect()
        assert leadline("portal", "pause", "--yes", "--reason", "x").code == 3
        tick()  # succeeds without Redis
    reconnect()
    assert not is_held()
    tick()
    assert is_held()

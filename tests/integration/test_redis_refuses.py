"""A Redis that answers and refuses: a login without rights (NOPERM), and no memory left (OOM)."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import structlog
from flask.testing import FlaskClient

from leadline import process
from leadline.errors import LeadlineError, QueueDefect, QueueDown, Unavailable
from leadline.operations import stored_hold
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync import job, portal_session
from leadline.sync.wake_timer import WakeTimer
from leadline.workqueue.queue import work_queue
from local.sandbox.servers import private
from tests.integration import test_relay
from tests.integration.conftest import CommandOutput, function_client, skip_clock_tolerance
from tests.integration.test_calls import put
from tests.servers import eventually

#: The refusals of Redis, and the error that each raises.
REFUSALS: dict[str, type[LeadlineError]] = {"NOPERM": QueueDefect, "OOM": QueueDown}


class RefusingRedis:
    """A Redis that can be made to refuse the commands of all clients but its administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._admin = redis.Redis.from_url(url)

    def refuse(self, kind: str) -> None:
        """Refuse from now on, by "OOM" every write, by "NOPERM" every command but AUTH."""
        if kind == "OOM":
            self._admin.config_set("maxmemory", 1)
        else:
            self._admin.execute_command("ACL", "SETUSER", "leadline", "-@all", "+auth")  # type: ignore[no-untyped-call]

    def accept(self) -> None:
        """Accept every command again."""
        self._admin.config_set("maxmemory", 0)
        self._admin.execute_command("ACL", "SETUSER", "leadline", "+@all")  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._admin.close()

    def create_login(self) -> str:
        """Create the login whose rights `refuse` takes away; returns its URL."""
        self._admin.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", "leadline", "on", ">secret", "~*", "&*", "+@all"
        )
        return f"redis://leadline:secret@127.0.0.1:{urlsplit(self.url).port}/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefusingRedis]:
    """A separate server: its memory and logins concern all clients."""
    server = private("redis", tmp_path_factory.mktemp("refusing"))
    server.start()
    refusing = RefusingRedis(server.url)
    yield refusing
    refusing.close()
    server.stop()


@pytest.fixture(autouse=True)
def refusing(
    server: RefusingRedis, amqp_url: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RefusingRedis]:
    """The Redis of this process, which accepts everything until the test makes it refuse."""
    monkeypatch.setenv("REDIS_URL", server.create_login())
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)
    client().flushdb()
    work_queue().begin_first_epoch()
    skip_clock_tolerance(work_queue())
    yield server
    server.accept()


@pytest.mark.parametrize("kind", REFUSALS)
def test_each_refusal_of_redis_raises_its_own_error(refusing: RefusingRedis, kind: str) -> None:
    refusing.refuse(kind)
    with pytest.raises(REFUSALS[kind]):
        portal_session.worker_heartbeats().beat("worker")


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_wake_timer_outlives_a_redis_that_refuses_commands(
    refusing: RefusingRedis, kind: str
) -> None:
    stop = threading.Event()
    refusing.refuse(kind)
    with structlog.testing.capture_logs() as logs:
        thread = threading.Thread(target=WakeTimer("worker", stop).run)
        thread.start()
        try:
            eventually(lambda: _warnings(logs), 60, "the timer meets the refusal")
            refusing.accept()
            eventually(_is_alive, 60, "the timer sends heartbeats again")
        finally:
            stop.set()
            thread.join()
    assert _warnings(logs) == {"the wake timer can't reach Redis"}


def _warnings(logs: Any) -> set[str]:
    """The events logged as warnings or errors."""
    return {entry["event"] for entry in logs if entry["log_level"] in ("warning", "error")}


def _is_alive() -> bool:
    return portal_session.worker_heartbeats().silence_s() is not None


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_failed_call_keeps_its_own_error(
    refusing: RefusingRedis,
    kind: str,
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"http://127.0.0.1:{free_port()}/rest/1/hidden-code/"
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", url)
    portal = portal_session.portal_client()
    refusing.refuse(kind)
    with pytest.raises(Unavailable):
        portal.call(portal_session._PROBE)  # noqa: SLF001 - any command will do


def test_a_call_is_settled_even_if_its_answer_cannot_be_recorded() -> None:
    client().set(f"{work_queue().prefix}unreachable", "of another type")
    put(1)
    assert job.call_bitrix24("main") == 1


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_relay_republishes_what_is_unanswered_though_redis_refuses_commands(
    refusing: RefusingRedis, kind: str, in_postgres: str
) -> None:
    assert in_postgres
    relay = function_client("outbox_relay")
    test_relay.create()
    test_relay.make_due()
    assert _run_relay(relay) == 1
    test_relay.make_due()
    stored_hold.save(since=None, reason="maintenance")
    refusing.refuse(kind)
    with structlog.testing.capture_logs() as logs:
        assert _run_relay(relay) == 1
    assert "manual hold not restored in Redis" in _warnings(logs)


def _run_relay(relay: FlaskClient) -> int:
    answer = relay.post("/")
    assert answer.status_code == 200
    return int(answer.get_json()["published"])


def test_the_status_and_the_doctor_report_a_redis_that_refuses_commands(
    refusing: RefusingRedis, in_postgres: str, leadline: Callable[..., CommandOutput]
) -> None:
    assert in_postgres
    refusing.refuse("NOPERM")
    status = leadline("status", "--json")
    assert status.code == 3
    assert status.json["work"] == {"error": "Redis can't be reached"}
    assert status.json["portal"] == {"error": "Redis can't be reached"}
    assert "Redis can't be reached" in leadline("doctor").out.decode()
    paused = leadline("portal", "pause", "--yes", "--reason", "maintenance")
    assert (paused.code, paused.err.strip()) == (3, "leadline: Redis can't be reached")

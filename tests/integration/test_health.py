"""Probes of connector and worker: health fails only where a restart would help."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import requests

from leadline.runtime.serving import health
from leadline.runtime.serving.health import Heartbeat
from leadline.workqueue.keys import prefix
from leadline.workqueue.worker_heartbeats import WorkerHeartbeats
from tests.servers import eventually

NOWHERE = "127.0.0.1:1"
WEBHOOK = f"http://{NOWHERE}/rest/1/s3cr3tc0de/"

Start = Callable[..., str]


@pytest.fixture
def start(free_port: Callable[[], int]) -> Iterator[Start]:
    """Start a module with this environment; returns the address of its probes."""
    started: list[subprocess.Popen[bytes]] = []

    def run(module: str, log: Path = Path(os.devnull), **env: str) -> str:
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, "LEADLINE_AUTH": "off", "PORT": str(port), **env},
                stdout=output,
            )
        started.append(process)
        return f"http://127.0.0.1:{port}"

    yield run
    for running in started:
        running.kill()
        running.wait()


def status(url: str) -> int:
    """The status of the answer, 0 if there is none."""
    try:
        return requests.get(url, timeout=60).status_code
    except requests.ConnectionError:
        return 0


def test_a_slow_client_of_the_probes_is_disconnected(start: Start) -> None:
    url = start(
        "leadline.connector.consumer",
        AMQP_URL=f"amqp://guest:guest@{NOWHERE}/",
        LEADLINE_ROUTES='{"bitrix_queue": "http://127.0.0.1:1/"}',
    )
    eventually(lambda: status(f"{url}/_/health") == 200, 60, "the connector is alive")
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(address, timeout=60))
            for _ in range(health.MAX_CONNECTIONS)
        ]
        assert status(f"{url}/_/health") == 0, "further clients get no thread"
        until = time.monotonic() + health.TIMEOUT_S + 60
        with pytest.raises(ConnectionError):  # noqa: PT012 - sends slowly until it is disconnected
            while time.monotonic() < until:
                for connection in slow:
                    connection.sendall(b"G")
                time.sleep(0.3)
    eventually(lambda: status(f"{url}/_/health") == 200, 60, "the probes are answered again")


def test_a_connector_without_a_broker_is_alive_and_not_ready(start: Start) -> None:
    url = start(
        "leadline.connector.consumer",
        AMQP_URL=f"amqp://guest:guest@{NOWHERE}/",
        LEADLINE_ROUTES='{"bitrix_queue": "http://127.0.0.1:1/"}',
    )
    eventually(lambda: status(f"{url}/_/health") == 200, 60, "the connector is alive")
    assert status(f"{url}/_/ready") == 503


def test_a_worker_without_redis_is_alive(start: Start) -> None:
    url = start("leadline.sync.worker", REDIS_URL=f"redis://{NOWHERE}/0")
    eventually(lambda: status(f"{url}/_/health") == 200, 60, "the worker is alive")


def test_a_worker_exports_the_number_of_ready_users_to_prometheus_and_keda(
    start: Start, redis_url: str
) -> None:
    url = start("leadline.sync.worker", REDIS_URL=redis_url, BITRIX_WEBHOOK_URL=WEBHOOK)
    eventually(lambda: status(f"{url}/_/ready") == 200, 60, "the worker is ready")

    def is_exported() -> bool:
        exported = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
        return "leadline_users_due 0.0" in exported

    eventually(is_exported, 60, "the number of users is exported")


@pytest.mark.slow("watches the log for as long as a repeated line would take")
@pytest.mark.parametrize(
    "invalid_webhook", [None, "s3cr3tc0de", "https://portal.example/s3cr3tc0de"]
)
def test_a_worker_without_a_webhook_reports_so_once_and_waits_for_one(
    start: Start, redis_url: str, tmp_path: Path, invalid_webhook: str | None
) -> None:
    """The secret is a file, which can be replaced without a restart, also by an invalid one."""
    secret, log = tmp_path / "bitrix-webhook-url", tmp_path / "log"
    (tmp_path / "redis-url").write_text(redis_url)
    if invalid_webhook is not None:
        secret.write_text(invalid_webhook)
    url = start("leadline.sync.worker", log, LEADLINE_SECRETS_DIR=str(tmp_path))
    eventually(lambda: status(f"{url}/_/health") == 200, 60, "the worker is alive")
    eventually(
        lambda: b"webhook" in log.read_bytes(), 60, "the worker reports why it does not work"
    )
    assert status(f"{url}/_/ready") == 503
    with redis.Redis.from_url(redis_url) as client:
        assert WorkerHeartbeats(client, prefix("main")).silence_s() is None, (
            "it is not a worker yet"
        )
        secret.write_text(WEBHOOK)
        eventually(lambda: status(f"{url}/_/ready") == 200, 60, "the worker is ready")
        eventually(
            lambda: WorkerHeartbeats(client, prefix("main")).silence_s() is not None,
            60,
            "it sends heartbeats",
        )
    secret.write_text("nonsense")
    eventually(lambda: status(f"{url}/_/ready") == 503, 60, "the worker is not ready")
    eventually(
        lambda: log.read_bytes().count(b"webhook missing or invalid, no calls are made") == 2,
        60,
        "it reports so",
    )
    assert b"s3cr3tc0de" not in log.read_bytes()


def test_a_stalled_loop_is_detected() -> None:
    assert Heartbeat(timeout_s=3600).is_recent()
    heartbeat = Heartbeat(timeout_s=1)
    eventually(lambda: not heartbeat.is_recent(), 60, "the stall is noticed")

    def is_recent_after_a_beat() -> bool:
        heartbeat.beat()
        return heartbeat.is_recent()

    eventually(is_recent_after_a_beat, 60, "the next beat ends it")

"""Redis fails over without a restart: the old master keeps its connections and rejects writes.

Two servers behind one address, as behind a Kubernetes service or Sentinel.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests

from leadline.errors import QueueDown
from leadline.runtime.redis import client, connect
from leadline.sync import portal_session
from leadline.workqueue import rq_jobs
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import work_queue
from local.gateway import checks
from local.sandbox.servers import PrivateServer, private
from local.sandbox.waiting import eventually
from tests.faults.proxy import Proxy
from tests.integration.conftest import skip_clock_tolerance
from tests.integration.test_calls import put
from tests.servers import exit_code_of

#: Long enough for a failover on a slow machine, shorter than the minute for which RQ alone waits.
SOON_S = 40


class Pair:
    """A master and its replica, and the address of the current master."""

    def __init__(self, master: PrivateServer, replica: PrivateServer) -> None:
        self.servers = master, replica
        self._password = urlsplit(master.url).password or ""
        #: Clients of the two servers, named by the roles that these had at first.
        self.master, self.replica = (self._client(server.url) for server in (master, replica))
        self._ports = [urlsplit(server.url).port or 0 for server in (master, replica)]
        for server in (self.master, self.replica):
            server.config_set("masterauth", self._password)
        self.replica.config_set("requirepass", self._password)
        self.replica.config_set("repl-diskless-sync-delay", 0)
        self.master.config_set("repl-diskless-sync-delay", 0)
        self.replica.replicaof("127.0.0.1", str(self._ports[0]))
        self._await_link(self.replica)
        self.proxy = Proxy(self._ports[0])
        self.url = f"redis://:{self._password}@127.0.0.1:{self.proxy.port}/0"

    def promote(self) -> None:
        """Swap master and replica; no connection is cut."""
        self.master.set("last", 1)
        assert self.master.wait(1, 60_000) == 1  # acknowledged writes are replicated
        self.replica.replicaof("NO", "ONE")
        self.master.replicaof("127.0.0.1", str(self._ports[1]))

    def route_to_new_master(self) -> None:
        """Route new connections to the new master."""
        self.proxy.retarget(self._ports[1])

    def freeze_master(self) -> None:
        """Freeze the master, promote the replica, and route new connections to it.

        Connections to the frozen master stay open but silent.
        """
        self.servers[0].freeze()
        self.replica.replicaof("NO", "ONE")
        self.route_to_new_master()

    def switch_over(self) -> None:
        """Swap master and replica, and route new connections to the new master."""
        self.promote()
        self.route_to_new_master()

    def close(self) -> None:
        self.proxy.close()
        self.master.close()
        self.replica.close()

    def _client(self, url: str) -> redis.Redis:
        """A client that logs in with the shared password as soon as the server has it."""
        own_password = urlsplit(url).password or ""
        client = redis.Redis.from_url(url)
        client.connection_pool.connection_kwargs["password"] = own_password
        return client

    def _await_link(self, replica: redis.Redis) -> None:
        def is_up() -> bool:
            found: Any = replica.info("replication")
            return bool(found["master_link_status"] == "up")

        eventually(is_up, 60, "the replica is complete")


def begin_epoch() -> None:
    """Begin the server's epoch, as workers do, and skip its first ten seconds.

    Users created afterwards are due at once; others wait for calls that may have been forgotten.
    """
    portal_session.worker_heartbeats().beat("a worker of this test")
    skip_clock_tolerance(work_queue())


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    servers = [private("redis", tmp_path / name) for name in ("a", "b")]
    for server in servers:
        server.start()
    pair = Pair(*servers)
    monkeypatch.setenv("REDIS_URL", pair.url)
    begin_epoch()
    yield pair
    servers[0].thaw()
    pair.close()
    for server in servers:
        server.stop()


def test_the_work_queue_continues_with_the_new_master(pair: Pair) -> None:
    put(1)
    pair.switch_over()
    before = time.monotonic()
    begin_epoch()
    put(2)
    leased = work_queue().lease(10)
    assert [entry.user_id for entry in leased.entries] == [2]
    # "hint": a claimed lead id, by its name in Redis.
    settlements = [Settlement(entry, fields={"hint": 5}) for entry in leased.entries]
    assert work_queue().save(settlements) == [True]
    assert rq_jobs.enqueue()
    assert time.monotonic() - before < SOON_S
    assert client().info("replication")["role"] == "master"


def test_an_address_that_still_leads_to_the_old_master_raises_queue_down(
    pair: Pair,
) -> None:
    pair.promote()
    for _ in range(2):
        before = time.monotonic()
        with pytest.raises(QueueDown):
            put(1)
        assert time.monotonic() - before < SOON_S
    pair.route_to_new_master()
    begin_epoch()
    put(1)
    assert len(work_queue().lease(10).entries) == 1


def test_refused_pipelines_and_scripts_are_repeated_as_a_whole(pair: Pair) -> None:
    client_from_before = connect(pair.url)
    add = client_from_before.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for transaction in (True, False):
        with client_from_before.pipeline(transaction=transaction) as pipe:
            pipe.incr("n")
            pipe.incr("n")
            assert pipe.execute()
    assert add(keys=["by script"], args=[2]) == 2
    pair.switch_over()
    for transaction in (True, False):
        with client_from_before.pipeline(transaction=transaction) as pipe:
            pipe.incr("n")
            pipe.incr("n")
            assert pipe.execute()
    assert add(keys=["by script"], args=[2]) == 4
    assert int(pair.replica.get("n") or 0) == 8, "two pipelines of two increments, before and after"
    client_from_before.close()


class WorkerProcess:
    """An RQ worker in its own process."""

    def __init__(self, port: int, log: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "leadline.sync.worker"],
                env={**os.environ, "LEADLINE_AUTH": "off", "PORT": str(port)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self._url}/_/ready", timeout=60).status_code == 200
        except requests.ConnectionError:
            return False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        self._process.terminate()
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait until the process ends."""
        return exit_code_of(self._process)

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines that the worker wrote; raises ValueError if one is not JSON."""
        return [json.loads(line) for line in self._log.read_text("utf-8").splitlines()]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def webhook_set(webhook_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)


@pytest.fixture
def worker(
    pair: Pair, in_rabbitmq: str, webhook_set: None, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[WorkerProcess]:
    assert pair
    assert in_rabbitmq
    assert webhook_set is None
    worker = WorkerProcess(free_port(), tmp_path / "worker.log")
    eventually(worker.is_ready, 60, "the worker is ready")
    yield worker
    worker.kill()


def is_worker_waiting() -> bool:
    """Whether the worker's connection is blocked until a job arrives.

    RQ's own state of the worker is "idle" between two jobs, too; there a silent Redis would end the
    worker.
    """
    connections: Any = client().client_list()
    return any("b" in connection["flags"] for connection in connections)


def is_idle() -> bool:
    """Whether no user waits for a call."""
    return work_queue().next_due_in_s() is None


def test_a_worker_in_the_middle_of_a_job_survives_the_failover(
    pair: Pair, worker: WorkerProcess, portal: str
) -> None:
    rule = {"method": "crm.lead.add", "action": "delay", "delay_ms": 1500, "count": 1}
    requests.post(f"{portal}/_emulator/faults", json=[rule], timeout=60).raise_for_status()
    put(1)
    rq_jobs.enqueue()
    eventually(lambda: work_queue().depth().leased, 60, "the worker calls")
    pair.promote()
    time.sleep(2.5)  # the call ends and cannot be recorded
    pair.route_to_new_master()
    begin_epoch()
    eventually(worker.is_ready, SOON_S, "the worker continues")
    put(2)
    rq_jobs.enqueue()

    def is_settled() -> bool:
        pending_events, _ = work_queue().pending_events(2)
        return not pending_events

    eventually(is_settled, SOON_S, "the worker runs the next job")
    assert worker.is_alive()


@pytest.mark.parametrize("late_s", [0, 3], ids=["at once", "late"])
def test_a_running_worker_continues_with_the_new_master(
    pair: Pair, worker: WorkerProcess, late_s: float
) -> None:
    put(1)
    rq_jobs.enqueue()
    eventually(is_idle, 60, "the worker works")
    pair.promote()
    time.sleep(late_s)
    pair.route_to_new_master()
    begin_epoch()
    put(2)
    rq_jobs.enqueue()
    eventually(is_idle, SOON_S, "the worker continues with the new master")
    assert worker.is_alive()
    eventually(worker.is_ready, SOON_S, "its heartbeats are stored again")


@pytest.mark.slow("an idle worker waits some seconds for a job")
def test_an_idle_worker_leaves_a_master_that_is_silent(pair: Pair, worker: WorkerProcess) -> None:
    put(1)
    rq_jobs.enqueue()
    eventually(is_idle, 60, "the worker works")
    eventually(is_worker_waiting, 60, "the worker waits for a job")
    pair.freeze_master()
    client().connection_pool.disconnect()  # or this test itself would ask the silent master
    begin_epoch()
    put(2)
    rq_jobs.enqueue()
    eventually(is_idle, SOON_S, "the worker continues with the new master")
    assert worker.is_alive()


@pytest.mark.slow("a worker is not ready after ten silent seconds")
def test_a_worker_whose_redis_refuses_writes_is_alive_and_not_ready(
    pair: Pair, worker: WorkerProcess
) -> None:
    pair.promote()
    eventually(lambda: not worker.is_ready(), 60, "the worker reports that it is not ready")
    assert worker.is_alive()
    pair.route_to_new_master()
    eventually(worker.is_ready, SOON_S, "the worker is ready again")


def test_a_worker_that_ends_without_redis_logs_it_in_one_line(
    pair: Pair, worker: WorkerProcess, free_port: Callable[[], int]
) -> None:
    put(1)
    rq_jobs.enqueue()
    eventually(is_idle, 60, "the worker works")
    pair.proxy.retarget(free_port())  # nothing listens there
    pair.proxy.cut()
    assert worker.stop() == 1
    assert worker.log_lines()[-1]["event"] == "worker ends without Redis"


def test_a_worker_that_ends_unasked_has_an_exit_code_and_says_why(
    pair: Pair, worker: WorkerProcess
) -> None:
    put(1)
    rq_jobs.enqueue()
    eventually(is_idle, 60, "the worker works")
    # RQ uses EXISTS between two jobs.
    pair.master.acl_setuser("default", enabled=True, commands=["-exists"])
    rq_jobs.enqueue()
    assert worker.exit_code() == 1
    assert worker.log_lines()[-1]["event"].startswith("worker ends after a time-out of Redis or")


def test_the_local_health_check_names_a_redis_that_became_a_replica(pair: Pair) -> None:
    checks.check_redis(pair.url)
    pair.promote()
    with pytest.raises(checks.CheckFailed, match="replica"):
        checks.check_redis(pair.url)
    pair.route_to_new_master()
    checks.check_redis(pair.url)

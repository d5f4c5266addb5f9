"""Write access to Redis runs no code in a worker: it accepts our jobs only."""

import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rq import SimpleWorker
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer

from leadline.runtime.redis import client
from leadline.sync import wake_timer
from leadline.sync.wake_timer import WakeTimer
from leadline.sync.worker import Worker
from leadline.workqueue import rq_jobs
from leadline.workqueue.keys import JOBS
from leadline.workqueue.restricted_job import FOREIGN, JOB, CallJob
from tests.integration.test_calls import put as put_user

pytestmark = pytest.mark.usefixtures("in_redis")


@pytest.fixture
def enqueue(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Enqueues a job as any client of Redis could; returns its id."""
    monkeypatch.setattr("leadline.sync.job.call_bitrix24", lambda portal: portal)

    def put(call: list[Any], **fields: str) -> str:
        job: dict[Any, Any] = {"data": zlib.compress(json.dumps(call).encode()), "origin": JOBS}
        job |= {"created_at": "2026-01-31T12:00:00.000000Z", "status": "queued", **fields}
        client().hset("rq:job:forged", mapping=job)
        client().rpush(f"rq:queue:{JOBS}", "forged")
        return "forged"

    return put


def work() -> None:
    """Run a worker with our settings until the queue is empty."""
    worker = SimpleWorker(
        [rq_jobs.rq_queue()], connection=client(), serializer=JSONSerializer, job_class=CallJob
    )
    worker.work(burst=True, logging_level="CRITICAL")


FORGED: list[list[Any]] = [
    ["os.system", None, ["touch {file}"], {}],
    ["os.system", None, [], {"command": "touch {file}"}],
    ["subprocess.call", None, [["touch", "{file}"]], {}],
    ["system", "os", ["touch {file}"], {}],
    [JOB, None, ["main"], {}],
    [JOB, None, [], {"portal": "another"}],
    ["leadline.sync.job.work_queue", None, [], {"portal": "main"}],
    ["leadline.workqueue.rq_jobs.trim_finished_jobs", None, [], {}],
]


@pytest.mark.parametrize("call", FORGED)
def test_a_foreign_job_runs_nothing(
    enqueue: Callable[..., str], tmp_path: Path, call: list[Any]
) -> None:
    file = tmp_path / "ran"
    job_id = enqueue(json.loads(json.dumps(call).replace("{file}", str(file))))
    work()
    assert not file.exists()
    assert FailedJobRegistry(queue=rq_jobs.rq_queue()).get_job_ids() == [job_id]


@pytest.mark.parametrize("module", ["job", "jobs"])
def test_a_job_of_this_or_the_previous_release_runs(
    enqueue: Callable[..., str], module: str
) -> None:
    enqueue([f"leadline.sync.{module}.call_bitrix24", None, [], {"portal": "main"}])
    work()
    assert FinishedJobRegistry(queue=rq_jobs.rq_queue()).get_job_ids() == ["forged"]


def test_a_worker_of_the_previous_release_runs_our_jobs() -> None:
    rq_jobs.enqueue()
    (job,) = rq_jobs.rq_queue().jobs
    assert job.func_name == "leadline.sync.jobs.call_bitrix24"


def test_callbacks_and_webhooks_of_a_job_are_not_called(
    enqueue: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    callback = "builtins.print"
    names = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
    hooks = json.dumps([{"url": "http://127.0.0.1:1/", "statuses": ["finished", "failed"]}])
    ours: list[Any] = [JOB, None, [], {"portal": "main"}]
    enqueue(ours, webhooks=hooks, **dict.fromkeys(names, callback))
    work()
    # `print` would print its arguments, of which a job is the first.
    assert "<CallJob" not in capfd.readouterr().out
    assert FailedJobRegistry(queue=rq_jobs.rq_queue()).get_job_ids() == []


def put_job(job_id: bytes, **fields: bytes) -> None:
    """Enqueue a job with these fields; without any, a string is stored instead of a hash."""
    if fields:
        for name, value in fields.items():
            client().hset(b"rq:job:" + job_id, name, value)
    else:
        client().set(b"rq:job:" + job_id, b"no hash")
    client().rpush(f"rq:queue:{JOBS}", job_id)


def refused_count() -> float:
    """How many foreign jobs this process has refused."""
    return sum(sample.value for sample in FOREIGN.collect().samples)


def test_a_malformed_job_does_not_end_a_worker(enqueue: Callable[..., str]) -> None:
    """Such a job ends RQ's own worker, which a cluster then restarts with growing delays."""
    put_job(b"no-hash")
    put_job(b"no-job", data=b"\xff\x00", created_at=b"never", status=b"zap", timeout=b"x")
    put_job(b"\xff\xfe", data=b"x")
    enqueue([JOB, None, [], {"portal": "main"}])
    refused = refused_count()
    worker = Worker(
        [rq_jobs.rq_queue()], connection=client(), serializer=JSONSerializer, job_class=CallJob
    )
    assert worker.work(burst=True, logging_level="CRITICAL"), "ours has run"
    assert refused_count() == refused + 3


@pytest.mark.parametrize("registry", ["wip", "finished", "failed", "deferred", "scheduled"])
def test_a_malformed_registry_entry_does_not_end_a_worker(
    enqueue: Callable[..., str], registry: str
) -> None:
    for name in (b"\xff\xfe", b"no-hash", b"a:b:c"):
        client().zadd(f"rq:{registry}:{JOBS}", {name: 1})
    client().set("rq:job:no-hash", "no hash")
    client().rpush(f"rq:queue:{JOBS}:intermediate", b"\xff\xfe", "no-hash")
    enqueue([JOB, None, [], {"portal": "main"}])
    worker = Worker(
        [rq_jobs.rq_queue()], connection=client(), serializer=JSONSerializer, job_class=CallJob
    )
    assert worker.work(burst=True, logging_level="CRITICAL"), "ours has run"


def test_a_malformed_registry_entry_does_not_delay_a_retry(
    monkeypatch: pytest.MonkeyPatch, webhook_url: str
) -> None:
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    client().zadd(f"rq:finished:{JOBS}", {b"\xff\xfe": 2**40})
    put_user(1, 1)
    woken, stop = threading.Event(), threading.Event()
    monkeypatch.setattr(rq_jobs, "wake", woken.set)
    monkeypatch.setattr(rq_jobs, "TRIM_EVERY_MS", 1)
    timer = threading.Thread(target=WakeTimer("worker", stop).run, daemon=True)
    timer.start()
    assert woken.wait(60), "the due user is synced"
    stop.set()
    timer.join(60)


def test_a_malformed_registry_entry_does_not_delay_the_next_round(
    monkeypatch: pytest.MonkeyPatch, webhook_url: str
) -> None:
    """Users become due in between, so each round decides when the next one must be."""
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    client().zadd(f"rq:finished:{JOBS}", {b"\xff\xfe": 2**40})
    monkeypatch.setattr(rq_jobs, "TRIM_EVERY_MS", 1)
    monkeypatch.setattr(wake_timer, "ROUND_S", 3600)
    rounds: list[int] = []
    stop, third_round = threading.Event(), threading.Event()

    def count_round() -> float:
        rounds.append(1)
        if len(rounds) == 3:
            third_round.set()
        return 0.01  # seconds until the next round

    monkeypatch.setattr(wake_timer, "wake_if_due", count_round)
    timer = threading.Thread(target=WakeTimer("worker", stop).run, daemon=True)
    timer.start()
    assert third_round.wait(60)
    stop.set()
    timer.join(60)

"""Cold start: from the start of a function's process to its first real answer.

Bytecode is compiled, as in the images: each function has been started once before.
"""

import http.client
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from benchmarks.instruments import tables
from benchmarks.instruments.laboratory import Laboratory
from benchmarks.instruments.wrk import Request
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from benchmarks.sections.writes import function_requests
from leadline.messages import topology
from leadline.settings import settings
from leadline.workqueue.keys import JOBS
from leadline.workqueue.restricted_job import JOB
from local.sandbox.waiting import eventually

#: Upper bounds: of a function's start relative to hello's, and of a worker's in milliseconds.
MAX_RATIO = 1.5
MAX_WORKER_MS = 1_000
_USERS = 1_000
_WITHIN_S = 60
_POLL_EVERY_S = 0.001
#: Due so late that the relay does not publish the event during the measurement.
_NOT_DUE_S = 3_600.0

_NEXT_EVENT = "SELECT id, user_id FROM events WHERE state = 'open' AND due_at > now() LIMIT 1"


def measure(scale: Scale, folder: Path) -> Data:
    """Start all functions in turn, repeatedly."""
    runs: list[Data] = []
    servers = ("postgres", "rabbitmq", "redis", "bitrix24")
    with Laboratory(folder).running(*servers) as laboratory:
        tables.fill(laboratory.url("postgres"), _USERS)
        for repeat in range(-1, scale.cold_starts):
            for name in ("hello", *_FUNCTIONS):
                ms = _start(laboratory, name)
                if repeat >= 0:  # the first start compiles the bytecode
                    runs.append({"function": name, "repeat": repeat, "ms": ms})
        worker_ms = [_start_worker(laboratory) for _ in range(1 + scale.cold_starts)]
    return {"runs": runs, "worker_ms": worker_ms[1:]}  # the first start compiles the bytecode


def _start_worker(laboratory: Laboratory) -> float:
    """Milliseconds from the start of the process until it takes a waiting job."""
    with redis.Redis.from_url(laboratory.url("redis")) as client:
        client.flushdb()
        queue = Queue(JOBS, connection=client, serializer=JSONSerializer)
        queue.enqueue(JOB, settings().portal)
        started = time.perf_counter()
        worker = laboratory.launch_worker()
        try:
            eventually(lambda: not queue.count, _WITHIN_S, "the job is taken", _POLL_EVERY_S)
            return (time.perf_counter() - started) * 1000
        finally:
            worker.end()


def _start(laboratory: Laboratory, name: str) -> float:
    """Milliseconds from the start of the process to the first answer to a real request."""
    request = _first_request(laboratory, name)
    started = time.perf_counter()
    served = laboratory.launch(name)
    try:
        status = _first_answer(served.url, request)
        took_s = time.perf_counter() - started
    finally:
        laboratory.stop_all()
    if not 200 <= status < 300:
        raise RuntimeError(f"{name} answered {status}")
    return took_s * 1000


def _first_answer(url: str, request: Request) -> int:
    """Retry until the server accepts the connection; returns the status of its answer."""
    address = urlsplit(url).netloc
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {request.key}"}
    path = request.path.replace("{id}", "1")
    deadline = time.monotonic() + _WITHIN_S
    while True:
        connection = http.client.HTTPConnection(address, timeout=_WITHIN_S)
        try:
            connection.request(request.method, path, request.body.encode() or None, headers)
            return connection.getresponse().status
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_EVERY_S)
        finally:
            connection.close()


_FUNCTIONS = (
    "create_user",
    "update_user",
    "move_user",
    "upsert_users",
    "delete_user",
    "get_user",
    "list_users",
    "bitrix_handler",
    "reply_handler",
    "outbox_relay",
    "console",
    "openapi",
)
_USER = json.dumps({"full_name": "Иван Иванов", "phone": "+77001112233"})
_PAGES = {"list_users": "/users", "console": "/console/api/users", "openapi": "/openapi.json"}


def _first_request(laboratory: Laboratory, name: str) -> Request:
    """A real request for this function, after preparing the servers for it.

    outbox_relay and reply_handler need an event in Postgres, bitrix_handler an empty Redis.
    """
    database, key = laboratory.url("postgres"), laboratory.key
    if name == "outbox_relay":
        tables.add_waiting(database, users=1, due_in_s=0)
        return Request("POST", "/", key=key)
    if name == "reply_handler":
        tables.add_waiting(database, users=1, due_in_s=_NOT_DUE_S)
        [[event, user]] = tables.rows(database, _NEXT_EVENT)
        reply = {"status": "success", "action": "create_card", "user_id": user, "version": 1}
        reply |= {"bitrix_lead_id": user, "event_id": str(event), "attempts": 1}
        return Request("POST", "/", json.dumps(reply), key)
    if name == "bitrix_handler":
        with redis.Redis.from_url(laboratory.url("redis")) as client:
            client.flushdb()  # a job that an earlier start left would make a new one unnecessary
        user = {"id": 1, "full_name": "Иван Иванов", "phone": "+77001112233", "stage": "NEW"}
        data = {"action": "create_card", "user": user, "replyQueue": topology.REPLIES}
        return Request("POST", "/", json.dumps({"pattern": "user_created", "data": data}), key)
    others = {
        "upsert_users": Request("PUT", "/users/by-external-id/bench", _USER, key),
        "delete_user": Request("DELETE", f"/users/{_USERS}", key=key),
        **{page: Request("GET", path, key=key) for page, path in _PAGES.items()},
    }
    return others.get(name) or function_requests(key, users=1)[name.removesuffix("_user")]


def render(data: Data) -> Chapter:
    """Each function, and its ratio to the bare hello."""
    runs = data["runs"]
    hello = {run["repeat"]: run["ms"] for run in runs if run["function"] == "hello"}
    lines, expectations, measurements, bars = [], [], [], {}
    for name in ("hello", *_FUNCTIONS):
        runs_of_one = [run for run in runs if run["function"] == name]
        if not runs_of_one:  # data recorded before this function existed
            continue
        ms = Figure.of(run["ms"] for run in runs_of_one)
        ratio = Figure.of(run["ms"] / hello[run["repeat"]] for run in runs_of_one)
        lines.append((name, ms.text(), ratio.text(2)))
        bars[name] = {"ms": ms}
        measurements.append(Measurement(f"{name}: cold start", ms, "ms", digits=0))
        if name != "hello":
            bound = f"cold start <= {MAX_RATIO} x hello"
            expectations.append(Expectation(name, bound, ratio.text(2), ratio.median <= MAX_RATIO))
            measurements.append(Measurement(f"{name}: cold start relative to hello", ratio))
    text = (
        f"{len(hello)} starts of each, in turn. The first answer is that of a real request: a user"
        " written or read, a message put into the work queue with a job for it, a reply recorded,"
        " an event published, the OpenAPI document generated."
        " Bytecode is compiled, as in the images.\n\n"
        + table(("function", "ms", "ratio to hello, same repeat"), lines)
    )
    if "worker_ms" in data:  # data of earlier versions lack it
        worker = Figure.of(data["worker_ms"])
        bound = f"takes its first job <= {MAX_WORKER_MS / 1000:.0f} s after its start"
        is_met = worker.median <= MAX_WORKER_MS
        expectations.append(Expectation("worker", bound, f"{worker.text()} ms", is_met))
        measurements.append(Measurement("worker: start to its first job", worker, "ms", digits=0))
        text += f"\nA worker takes its first job {worker.text()} ms after its start.\n"
    svg = plot.bars("Cold start", "ms", bars)
    return Chapter(text, {"cold.svg": svg}, expectations, measurements)


SECTION = Section("cold", "Cold start to the first real answer", measure, render)

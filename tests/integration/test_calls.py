"""Calls to Bitrix24, from a filled work queue to leads and replies, on real servers."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import orjson
import pika
import pytest
import redis
import requests
import structlog

from leadline import process
from leadline.bitrix24 import leads
from leadline.bitrix24.client import BatchResponse, PortalClient
from leadline.bitrix24.command import Command
from leadline.bitrix24.operating_budget import PROBE_COMMANDS
from leadline.errors import BitrixError
from leadline.messages import topology
from leadline.settings import settings
from leadline.sync import job, portal_session
from leadline.sync.decide import Write, plan
from leadline.workqueue import rq_jobs
from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.pending_event import PendingEvent
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import Control
from tests.servers import eventually


@pytest.fixture(autouse=True)
def connected(
    in_redis: str, amqp_url: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_redis
    monkeypatch.setenv("AMQP_URL", amqp_url)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)


@pytest.fixture
def workers() -> Iterator[Callable[[int], None]]:
    """Threads that run jobs while users are due."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        while not stop.is_set():
            try:
                if not job.call_bitrix24("main"):
                    stop.wait(0.02)
            except BitrixError:
                stop.wait(0.02)

    def start(count: int) -> None:
        threads.extend(threading.Thread(target=work) for _ in range(count))
        for thread in threads:
            thread.start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def put(user_id: int, version: int = 1, *, is_first: bool = True, **state: str) -> PutResult:
    """Put an event of a user into the work queue; `is_first`: it is delivered the first time."""
    user = {"full_name": f"User {user_id}", "phone": f"+7700{user_id:07}", "stage": "NEW", **state}
    event_id = f"{user_id}-{version}"
    pending = PendingEvent(
        event_id=event_id,
        action="create_card" if version == 1 else "update_card",
        user={"id": user_id, **user},
        reply_queue=topology.REPLIES,
        version=version,
        correlation_id="c",
        traceparent="t",
    )
    return work_queue().put(
        EnqueueRequest(
            user_id=user_id,
            event=pending,
            state=orjson.dumps(user),
            touches_stage=version == 1,
            is_first=is_first,
            occurred_at_ms=int(time.time() * 1000),
            lead_id=None,
        )
    )


def is_idle() -> bool:
    return work_queue().next_due_in_s() is None


def call_until_idle() -> None:
    """Run jobs until no user waits for a call."""

    def is_idle_after_a_job() -> bool:
        job.call_bitrix24("main")
        return is_idle()

    eventually(is_idle_after_a_job, 60, "no user waits for a call")


def take_replies(amqp_url: str) -> list[dict[str, Any]]:
    """Take every reply off the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    found = []
    while (got := channel.basic_get(topology.REPLIES, auto_ack=True))[2] is not None:
        found.append(orjson.loads(got[2]))
    connection.close()
    return found


def test_waiting_users_share_full_batches(
    control: Control, workers: Callable[[int], None], amqp_url: str
) -> None:
    for user_id in range(1, 301):
        put(user_id)
    workers(4)
    eventually(is_idle, 60, "no user waits for a call")
    calls = control("calls")
    assert calls["refused"] == 0
    assert calls["methods"]["crm.item.add"] == 300
    assert calls["methods"]["batch"] <= 300 / 50 + 2, "all are full but the last"
    assert control("duplicates") == []
    assert [reply["status"] for reply in take_replies(amqp_url)] == ["success"] * 300


def test_users_that_arrive_one_by_one_share_calls_and_jobs(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wake timer runs: only puts and other jobs enqueue jobs."""
    monkeypatch.setenv("LEADLINE_RATE_PER_S", "0")
    process.forget(settings)
    rq_queue = SimpleQueue[str | None]()
    enqueued = []

    def enqueue() -> str:
        enqueued.append("job")
        rq_queue.put("job")
        return "job"

    def work(_: int) -> None:
        """Run jobs until None is in the queue."""
        while rq_queue.get():
            job.call_bitrix24("main")

    monkeypatch.setattr(rq_jobs, "enqueue", enqueue)
    with ThreadPoolExecutor(4) as pool:
        workers = pool.map(work, range(4))
        for user_id in range(1, 301):
            if put(user_id) is PutResult.WAKE_UP_CLAIMED:
                rq_jobs.enqueue()
        eventually(is_idle, 60, "no user waits for a call")
        for _ in range(4):
            rq_queue.put(None)
        list(workers)  # raises what a worker has raised
    calls = control("calls")["methods"]["batch"]
    assert len(control("leads")) == 300
    assert calls <= 300 / 10, "at least ten users share a call"
    assert len(enqueued) <= 2 * calls


def test_a_job_enqueues_the_next_one_before_it_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enqueued: list[str] = []
    enqueued_before_each_call = []
    call = PortalClient.call

    def enqueue() -> str:
        enqueued.append("job")
        return "job"

    def call_and_count(
        portal: PortalClient, commands: Mapping[str, Command], **extra: Any
    ) -> BatchResponse:
        enqueued_before_each_call.append(len(enqueued))
        return call(portal, commands, **extra)

    monkeypatch.setattr(rq_jobs, "enqueue", enqueue)
    monkeypatch.setattr(PortalClient, "call", call_and_count)
    for user_id in range(1, 61):
        put(user_id)
    job.call_bitrix24("main")
    assert enqueued_before_each_call == [1]


def test_a_lone_user_is_called_at_once(control: Control) -> None:
    put(1)
    job.call_bitrix24("main")
    assert [lead["ORIGIN_ID"] for lead in control("leads")] == ["1"]


def test_dropped_answers_create_no_duplicate_and_fail_no_user(
    control: Control, workers: Callable[[int], None], amqp_url: str
) -> None:
    control("faults", "POST", [{"method": "batch", "action": "drop_after", "skip": 1, "count": 2}])
    for user_id in range(1, 301):
        put(user_id)
    workers(3)
    eventually(is_idle, 60, "no user waits for a call")
    assert control("duplicates") == []
    assert len(control("leads")) == 300
    assert [reply["status"] for reply in take_replies(amqp_url)] == ["success"] * 300


def test_ten_waiting_updates_of_a_user_cost_one_call(control: Control, amqp_url: str) -> None:
    put(1)
    job.call_bitrix24("main")
    for version in range(2, 12):
        put(1, version, full_name=f"Name {version}")
    job.call_bitrix24("main")
    assert control("calls")["methods"]["crm.item.update"] == 1
    assert [lead["TITLE"] for lead in control("leads")] == ["Name 11"]
    assert sorted(reply["version"] for reply in take_replies(amqp_url)) == list(range(1, 12))


def test_one_bad_command_does_not_affect_the_others(control: Control, amqp_url: str) -> None:
    rule = {"method": "crm.item.add", "action": "error", "code": "CRM_FIELD_ERROR", "status": 400}
    control("faults", "POST", [rule | {"skip": 3, "count": 1}])
    for user_id in range(1, 11):
        put(user_id)
    job.call_bitrix24("main")
    outcomes = sorted(reply["status"] for reply in take_replies(amqp_url))
    assert outcomes == ["error"] + ["success"] * 9
    assert len(control("leads")) == 9


def test_a_revoked_webhook_pauses_the_queue_and_spends_no_attempt(
    control: Control, workers: Callable[[int], None], amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadline.workqueue.outage.PROBE_STEPS_S", (0.5, 0.5))
    control("settings", "PUT", {"mode": "revoked"})
    for user_id in range(1, 101):
        put(user_id)
    workers(3)
    eventually(portal_session.circuit_breaker().restore_and_read, 60, "the portal is paused")
    before = control("calls")["requests"]
    eventually(lambda: control("calls")["requests"] >= before + 2, 60, "the portal is probed")
    assert "crm.item.add" not in control("calls")["methods"]
    control("settings", "PUT", {"mode": "ok"})
    eventually(is_idle, 60, "no user waits for a call")
    assert portal_session.circuit_breaker().restore_and_read() is None
    assert {reply["attempts"] for reply in take_replies(amqp_url)} == {1}
    assert len(control("leads")) == 100


@pytest.mark.slow("uses up a portal's operating time")
def test_a_method_is_paused_before_the_portal_blocks_it(
    control: Control, workers: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes last 15 s at this speed, and allow 12 s of execution time, 0.1 s a command."""
    monkeypatch.setenv("LEADLINE_OPERATING_LIMIT_S", "12")
    process.forget(settings)
    control("settings", "PUT", {"speed": 40, "command_ms": 100, "operating_limit_s": 12})
    put(1)
    job.call_bitrix24("main")  # to measure the time of a command
    for user_id in range(2, 201):
        put(user_id)
    began = time.monotonic()
    with structlog.testing.capture_logs() as lines:
        workers(1)
        eventually(is_idle, 90, "no user waits for a call")
    took_s = time.monotonic() - began
    assert len(control("leads")) == 200
    assert control("duplicates") == []
    # Whenever a minute of usage expires, a few commands probe the budget. On a slow machine the
    # three batches spread over as many minutes.
    assert sum(line["event"] == "refused" for line in lines) <= 3 * PROBE_COMMANDS
    assert took_s > 10, "12 s of execution time did not suffice for 200 commands: some had to wait"


def expire_lease(redis_url: str) -> None:
    """Let the lease of user 1 end in 1970."""
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(f"{work_queue().prefix}leases", {"1": 0})


def test_after_an_expired_lease_the_lead_is_looked_up_before_a_create(
    control: Control, in_redis: str
) -> None:
    put(1)
    (leased,) = work_queue().lease(limit=1).entries
    assert leased.state is not None
    # The worker with the lease creates the lead, and dies before it records the result.
    portal_session.portal_client().call({"u1": leads.create(1, leased.state, "leadline")})
    expire_lease(in_redis)
    call_until_idle()
    assert control("duplicates") == []
    assert len(control("leads")) == 1


def test_a_change_reverted_after_its_worker_was_lost_reaches_the_lead(
    control: Control, in_redis: str, amqp_url: str
) -> None:
    """States A, B, A: the worker was killed after the portal had applied B."""
    put(1, full_name="Ann")
    job.call_bitrix24("main")
    put(1, 2, full_name="Bob")
    (leased,) = work_queue().lease(limit=1).entries
    step = plan(leased)
    assert isinstance(step, Write)
    portal_session.portal_client().call({"u1": step.command})
    put(1, 3, full_name="Ann")
    expire_lease(in_redis)
    call_until_idle()
    assert [lead["TITLE"] for lead in control("leads")] == ["Ann"]
    assert {reply["version"]: reply["status"] for reply in take_replies(amqp_url)}[3] == "success"


def test_a_user_with_a_full_page_of_leads_does_not_affect_the_others(
    control: Control, amqp_url: str
) -> None:
    fields = {"ORIGINATOR_ID": "leadline", "ORIGIN_ID": "2", "TITLE": "Copy"}
    copy = Command("crm.lead.add", {"fields": fields})
    for _ in range(2):  # 60 leads: more than a page, and than a batch takes
        portal_session.portal_client().call({f"c{number}": copy for number in range(30)})
    work_queue().call_ms = 0  # as if Redis had been up for longer than any call
    for user_id in range(1, 6):
        put(user_id, version=2)  # their leads are unknown, so one lookup covers them all
    call_until_idle()
    sent_replies = take_replies(amqp_url)
    assert {reply["user_id"]: reply["attempts"] for reply in sent_replies} == dict.fromkeys(
        range(1, 6), 1
    )
    assert len({lead["ORIGIN_ID"] for lead in control("leads")}) == 5
    assert len(control("leads")) == 60 + 4, "the other four users have got one each"


@pytest.mark.parametrize("part", [{"fm": 5}, {"fm": ["x"]}, {"id": []}, {"title": {}}])
def test_an_unreadable_item_does_not_affect_the_others(
    monkeypatch: pytest.MonkeyPatch, amqp_url: str, part: dict[str, Any]
) -> None:
    call = PortalClient.call

    def damage(
        portal: PortalClient, commands: Mapping[str, Command], **extra: Any
    ) -> BatchResponse:
        batch = call(portal, commands, **extra)
        if "u2" in batch.results:
            answer: Any = batch.results["u2"]
            batch.results["u2"] = {"item": {**answer["item"], **part}}
        return batch

    monkeypatch.setattr(PortalClient, "call", damage)
    for user_id in range(1, 6):
        put(user_id)
    job.call_bitrix24("main")
    assert {reply["user_id"] for reply in take_replies(amqp_url)} >= {1, 3, 4, 5}
    assert work_queue().depth().leased == 0


def test_updates_create_no_leads_at_a_portal_in_simple_mode(
    control: Control, webhook_url: str, amqp_url: str
) -> None:
    """Such a portal keeps no lead; here each one is deleted before the user's next update.

    One lead is created again, as a person may have deleted it. When that one is gone, too, the
    update fails, and so does each later one.
    """
    put(1)
    job.call_bitrix24("main")
    for version in (2, 3):
        (lead,) = control("leads")
        requests.post(f"{webhook_url}crm.lead.delete", json={"id": lead["ID"]}, timeout=60)
        put(1, version, full_name=f"Name {version}")
        call_until_idle()
    assert control("leads") == []
    assert control("calls")["methods"]["crm.item.add"] == 2
    put(1, 9, full_name="Name 9")
    call_until_idle()
    assert control("calls")["methods"]["crm.item.add"] == 2
    errors = [reply["reason"] for reply in take_replies(amqp_url) if reply["status"] == "error"]
    assert len(errors) == 2
    assert all("simple mode" in reason for reason in errors)


def test_a_worker_frozen_after_its_lease_does_not_call(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(1)
    with monkeypatch.context() as frozen:
        frozen.setattr("leadline.workqueue.queue.SEND_WITHIN_S", -1.0)  # over before it began
        job.call_bitrix24("main")
    assert control("calls")["requests"] == 0
    eventually(lambda: job.call_bitrix24("main") == 1, 60, "the next job calls")
    assert len(control("leads")) == 1


def test_an_unconfirmed_reply_is_sent_later_and_the_lead_is_left_alone(
    control: Control, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_RATE_PER_S", "0")
    process.forget(settings)
    monkeypatch.setattr("leadline.sync.batch_call.REPLY_DELAY_MS", 50)
    put(1)
    job.call_bitrix24("main")
    assert len(take_replies(amqp_url)) == 1
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    connection.channel().queue_delete(topology.REPLIES)  # the next reply finds no queue
    connection.close()
    put(2)
    job.call_bitrix24("main")
    assert len(control("leads")) == 2
    assert take_replies(amqp_url) == []
    eventually(lambda: job.call_bitrix24("main") == 1, 60, "the user is due again")
    assert [reply["user_id"] for reply in take_replies(amqp_url)] == [2]
    assert is_idle()
    calls = control("calls")["methods"]
    assert calls == {"batch": 2, "crm.item.add": 2}, "nothing was read or written again"


def test_a_full_page_does_not_prove_that_a_lead_is_missing(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lookup covers several users: too many leads of one must not hide another's."""
    monkeypatch.setenv("LEADLINE_RATE_PER_S", "0")
    process.forget(settings)
    queue = work_queue()
    queue.call_ms = 0
    portal = portal_session.portal_client()
    state = leads.DesiredState("Ann", "+77001112233", "NEW")
    portal.call({f"u{n}": leads.create(1, state, "leadline") for n in range(leads.PAGE)})
    portal.call({"u": leads.create(2, state, "leadline")})
    put(1, is_first=False)
    put(2, is_first=False)
    call_until_idle()
    assert [lead["ORIGIN_ID"] for lead in control("leads")].count("2") == 1

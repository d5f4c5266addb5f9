"""Each of three queues alone: bare RQ jobs, messages to the work queue, replies to the ledger."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from benchmarks.instruments import tables
from benchmarks.instruments.laboratory import BenchSystem, Laboratory, whole_system
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Measurement, Section
from leadline.messages import contract, topology
from leadline.messages.attributes import OUTCOME
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.workqueue import rq_jobs
from leadline.workqueue.keys import JOBS
from local.sandbox.waiting import NotInTime, eventually

_POLL_EVERY_S = 0.01
_WITHIN_S = 600
#: Messages that are published together.
_CHUNK = 500

_OPEN_EVENTS = "SELECT id, user_id, full_name, phone, stage FROM events WHERE state = 'open'"


def nothing() -> None:
    """An empty job, to measure RQ itself."""


def measure(scale: Scale, folder: Path) -> Data:
    """Fill each queue without consumers, then measure until it is empty."""
    # A worker needs a portal to start.
    with Laboratory(folder / "rq").running("redis", "bitrix24") as laboratory:
        rq = [_measure_jobs(laboratory, scale.rq_jobs) for _ in range(scale.repeats)]
    # Without workers, nothing leaves the work queue.
    with whole_system(folder / "system", WORKERS="0") as system:
        publisher = Publisher(system.url("amqp"), topology.all_queues())
        intake, replies = [], []
        for _ in range(scale.repeats):
            events = _create_open_events(system, scale.messages)
            intake.append(_measure_intake(system, publisher, events))
            replies.append(_measure_replies(system, publisher, events))
        publisher.close(timeout_s=5)
    return {"rq": rq, "intake": intake, "replies": replies, "messages": scale.messages}


def _measure_jobs(laboratory: Laboratory, jobs: int) -> float:
    """Jobs per second of one Leadline worker, from the first to the last."""
    with redis.Redis.from_url(laboratory.url("redis")) as client:
        queue = Queue(JOBS, connection=client, serializer=JSONSerializer)
        for _ in range(jobs):
            queue.enqueue(
                f"{__name__}.nothing", job_timeout=rq_jobs.JOB_TIMEOUT_S, result_ttl=_WITHIN_S
            )
        worker = laboratory.launch_worker()
        try:
            return _rate(jobs, lambda: queue.count)
        finally:
            worker.end()


def _rate(total: int, left: Callable[[], int]) -> float:
    """Items that leave a queue per second, from the first one until it is empty.

    `left`: counts those that are still in it.
    """
    eventually(lambda: left() < total, _WITHIN_S, "the first leaves", _POLL_EVERY_S)
    started, left_at_start = time.perf_counter(), left()
    eventually(lambda: left() == 0, _WITHIN_S, "the queue is empty", _POLL_EVERY_S)
    return left_at_start / (time.perf_counter() - started)


def _create_open_events(system: BenchSystem, count: int) -> list[list[Any]]:
    """New users, each with an event that awaits a reply and that the relay does not republish."""
    database = system.url("database")
    tables.add_waiting(database, count, due_in_s=_WITHIN_S * 10)
    return tables.rows(database, _OPEN_EVENTS)


def _measure_intake(system: BenchSystem, publisher: Publisher, events: list[list[Any]]) -> float:
    """Messages per second from `bitrix_queue` through the connector and bitrix_handler to Redis."""
    system.suspend("connector")
    before = system.ready_users()
    _publish(publisher, (_request(*event) for event in events))
    system.resume("connector")
    return _rate(len(events), lambda: before + len(events) - system.ready_users())


def _measure_replies(system: BenchSystem, publisher: Publisher, events: list[list[Any]]) -> float:
    """Replies per second from `bitrix.responses` through reply_handler into the ledger."""
    system.suspend("connector")
    _publish(publisher, (_reply(*event) for event in events))
    system.resume("connector")
    with tables.connection(system.url("database")) as database:
        # Every open event has a due_at; the index is of events that have one.
        count = "SELECT count(*) FROM events WHERE state = 'open' AND due_at IS NOT NULL"
        return _rate(len(events), lambda: int(database.run(count)[0][0]))


def _publish(publisher: Publisher, messages: Iterable[Message]) -> None:
    waiting = list(messages)
    for start in range(0, len(waiting), _CHUNK):
        if not all(publisher.publish(waiting[start : start + _CHUNK])):
            raise NotInTime("RabbitMQ confirms every message")


def _request(event: object, user: object, full_name: str, phone: str, stage: str) -> Message:
    fields = {"id": user, "full_name": full_name, "phone": phone, "stage": stage}
    event_attributes: dict[str, object] = {"event_id": str(event), "version": 1}
    body = contract.request_body(
        "create_card", {**fields, "bitrix_lead_id": None}, topology.REPLIES, event_attributes
    )
    return Message(topology.REQUESTS, body, str(event), headers=_headers("request", event))


def _reply(event: object, user: object, full_name: str, phone: str, stage: str) -> Message:
    fields = {"id": user, "full_name": full_name, "phone": phone, "stage": stage}
    reply = {"status": "success", "action": "create_card", "user": fields, "user_id": user}
    reply |= {"bitrix_lead_id": user, "attempts": 1, "event_id": str(event), "version": 1}
    headers = {**_headers("reply", event), f"ce-{OUTCOME}": "synced"}
    body = contract.reply_body(reply, topology.REPLIES)
    return Message(topology.REPLIES, body, str(event), headers=headers)


def _headers(kind: str, event: object) -> dict[str, str]:
    return {
        "ce-specversion": "1.0",
        "ce-type": f"leadline.{kind}",
        "ce-id": str(event),
        "ce-source": "/benchmark",
    }


def render(data: Data) -> Chapter:
    """The rate of each queue."""
    names = {
        "rq": "bare RQ jobs, one worker",
        "intake": "messages: bitrix_queue to the work queue",
        "replies": "replies: bitrix.responses to the ledger",
    }
    figures = {name: Figure.of(data[key]) for key, name in names.items()}
    lines = [(name, figure.text()) for name, figure in figures.items()]
    text = (
        f"{data['messages']:,} messages wait before the connector resumes; one job handles up to"
        " 50 users, so the rate of bare jobs is not a limit.\n\n" + table(("", "per second"), lines)
    )
    measurements = [
        Measurement(name, figure, "/s", digits=0, more_is_better=True)
        for name, figure in figures.items()
    ]
    return Chapter(text, measurements=measurements)


SECTION = Section("queues", "The queues alone", measure, render)

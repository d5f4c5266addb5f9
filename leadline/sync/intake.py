"""A message from `bitrix_queue` into the work queue, and a job for it unless one waits already."""

import time

import orjson
import structlog

from leadline.messages import contract
from leadline.messages.delivery import CHANGED, LOOK, SENT, STAGE_VERSION, Delivery, number
from leadline.messages.journey import Journey
from leadline.runtime import context, metrics
from leadline.sync import driver
from leadline.sync.entry import Answered, Arrival, Owed
from leadline.sync.queue import work_queue

log = structlog.get_logger()

RECEIVED = metrics.Counter(
    "leadline_events_received_total",
    "Events put into the work queue, by what they ask",
    "action",
    known=contract.PATTERNS,
)
JOBS = metrics.Counter("leadline_jobs_enqueued_total", "Jobs made because none was waiting")


def take(delivery: Delivery) -> None:
    """Put the event in and wake a worker.

    Raises:
        BadMessage: the message can never be served.
        QueueDown: Redis can't be reached; the message must come again.
    """
    arrival = _arrival(contract.read_request(delivery.body), delivery)
    event = arrival.event
    about = {"event_id": event.event_id, "user_id": arrival.user_id}
    waiting_jobs = work_queue().put(arrival)
    RECEIVED.inc(event.action)
    if waiting_jobs is None:
        log.warning("event older than Redis' memory, not taken: its sender asks again", **about)
        return
    log.info("event received", action=event.action, **about)
    if waiting_jobs == 0:
        JOBS.inc()
        log.info("job enqueued", job_id=driver.enqueue(), **about)


def _arrival(request: contract.Request, delivery: Delivery) -> Arrival:
    user = request.user
    stage_version = _stage_version(request, delivery)
    state = {"full_name": user.full_name, "phone": user.phone, "stage": user.stage}
    has_phone = user.phone is not None
    return Arrival(
        user_id=user.id,
        event=_owed(request, delivery),
        state=orjson.dumps(state) if has_phone else b"",
        touches_stage=_touches_stage(request, delivery, stage_version) if has_phone else False,
        is_first=delivery.is_first,
        occurred_at_ms=int(request.occurred_at.timestamp() * 1000) if request.occurred_at else None,
        lead_id=user.bitrix_lead_id,
        wants_look=LOOK in delivery.attributes.get(CHANGED, "").split(","),
        stage_version=stage_version,
        sent_at_ms=number(delivery.attributes.get(SENT)),
    )


def _owed(request: contract.Request, delivery: Delivery) -> Owed:
    trace = context.current()
    user = request.user.model_dump(exclude={"bitrix_lead_id"}, exclude_none=True)
    no_phone = Answered("failed", attempts=1, reason=contract.MISSING_PHONE)
    return Owed(
        event_id=request.identity(delivery.message_id),
        action=request.action,
        user=user,
        reply_queue=request.reply_queue,
        version=request.version,
        correlation_id=trace.correlation_id,
        traceparent=trace.traceparent,
        answered=no_phone if request.user.phone is None else None,
        journey=Journey(received_ms=int(time.time() * 1000)),
    )


def _touches_stage(
    request: contract.Request, delivery: Delivery, stage_version: int | None
) -> bool | None:
    """Whether the stage is to be written; None where the message does not say."""
    if request.user.stage is None:
        return False
    if request.action != "update_card" or stage_version:
        return True
    changed = delivery.attributes.get(CHANGED)
    return None if changed is None else "stage" in changed.split(",")


def _stage_version(request: contract.Request, delivery: Delivery) -> int | None:
    """The earlier write that set the stage; a number that can't be one is no news of the stage."""
    version = number(delivery.attributes.get(STAGE_VERSION))
    return version if version and version <= (request.version or 0) else None

"""Messages from `bitrix_queue` into the work queue, and a job for them unless one waits already."""

import time
from collections.abc import Sequence

import orjson
import structlog

from leadline.messages import contract
from leadline.messages.attempt_log import Journey
from leadline.messages.cloudevents import (
    CHANGED,
    LOOK,
    ORIGINATOR,
    SENT,
    STAGE_SET,
    STAGE_VERSION,
    Delivery,
    history_of,
    number,
)
from leadline.runtime.telemetry import metrics, trace_context
from leadline.workqueue import rq_jobs
from leadline.workqueue.entry import EnqueueRequest, Outcome, PendingEvent
from leadline.workqueue.queue import work_queue

log = structlog.get_logger()

FIRST_VERSION = 1

RECEIVED = metrics.Counter(
    "leadline_events_received_total",
    "Events put into the work queue, by what they ask",
    "action",
    known=contract.PATTERNS,
)
JOBS = metrics.Counter("leadline_jobs_enqueued_total", "Jobs made because none was waiting")


def enqueue_events(deliveries: Sequence[Delivery]) -> None:
    """Put the events in and wake a worker.

    Raises:
        BadMessage: one of the messages can never be served; nothing was put in.
        QueueDown: Redis can't be reached; the messages must come again.
    """
    requests = [_enqueue_request(contract.read_request(one.body), one) for one in deliveries]
    waiting = work_queue().put_all(requests)
    for delivery, arrival, waiting_jobs in zip(deliveries, requests, waiting, strict=True):
        trace_context.resume(delivery.trace)
        _log_received(arrival, is_taken=waiting_jobs is not None)
    if 0 in waiting:
        JOBS.inc()
        log.info("job enqueued", job_id=rq_jobs.enqueue())


def _log_received(arrival: EnqueueRequest, *, is_taken: bool) -> None:
    event = arrival.event
    RECEIVED.inc(event.action)
    about = {"event_id": event.event_id, "user_id": arrival.user_id}
    if is_taken:
        log.info("event received", action=event.action, **about)
    else:
        log.warning("event older than Redis' memory, not taken: its sender asks again", **about)


def _enqueue_request(request: contract.Request, delivery: Delivery) -> EnqueueRequest:
    user = request.user
    stage_version = _earlier_version(request, delivery, STAGE_VERSION)
    state = {"full_name": user.full_name, "phone": user.phone, "stage": user.stage}
    has_phone = user.phone is not None
    return EnqueueRequest(
        user_id=user.id,
        event=_pending_event(request, delivery),
        state=orjson.dumps(state) if has_phone else b"",
        touches_stage=_touches_stage(request, delivery, stage_version) if has_phone else False,
        is_first=delivery.is_first,
        occurred_at_ms=int(request.occurred_at.timestamp() * 1000) if request.occurred_at else None,
        lead_id=user.bitrix_lead_id,
        is_lookup_requested=LOOK in delivery.attributes.get(CHANGED, "").split(","),
        stage_version=stage_version,
        sent_at_ms=number(delivery.attributes.get(SENT)),
        originator=delivery.attributes.get(ORIGINATOR),
        stage_set=_earlier_version(request, delivery, STAGE_SET),
    )


def _pending_event(request: contract.Request, delivery: Delivery) -> PendingEvent:
    user = request.user.model_dump(exclude={"bitrix_lead_id"}, exclude_none=True)
    no_phone = Outcome("failed", attempts=1, reason=contract.MISSING_PHONE)
    return PendingEvent(
        event_id=request.identity(delivery.message_id),
        action=request.action,
        user=user,
        reply_queue=request.reply_queue,
        version=request.version,
        correlation_id=delivery.trace.correlation_id,
        traceparent=delivery.trace.traceparent,
        outcome=no_phone if request.user.phone is None else None,
        journey=Journey(received_ms=int(time.time() * 1000)),
        history=history_of(delivery.attributes),
    )


def _touches_stage(
    request: contract.Request, delivery: Delivery, stage_version: int | None
) -> bool | None:
    """Whether the stage is to be written; None where the message does not say."""
    if request.user.stage is None:
        return False
    if (stage_version or request.version) == FIRST_VERSION:
        # Its create writes it; on a lead that is there already another stage is a person's choice.
        return False
    if request.action != "update_card" or stage_version:
        return True
    changed = delivery.attributes.get(CHANGED)
    return None if changed is None else "stage" in changed.split(",")


def _earlier_version(request: contract.Request, delivery: Delivery, name: str) -> int | None:
    """A version in this attribute; one that is not before the message's own is no news of it."""
    version = number(delivery.attributes.get(name))
    return version if version and version <= (request.version or 0) else None

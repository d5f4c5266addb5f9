"""Puts messages of `bitrix_queue` into the work queue, and wakes a worker if necessary."""

import time
from collections.abc import Sequence

import orjson
import structlog

from leadline.mapping.current import field_map
from leadline.mapping.targets import Value
from leadline.messages import contract
from leadline.messages.attempt_log import AttemptLog
from leadline.messages.attributes import (
    CHANGED,
    CREATE,
    LOOK,
    ORIGINATOR,
    QUIET,
    SENT,
    STAGE_SET,
    STAGE_VERSION,
    history_of,
    number,
)
from leadline.messages.cloudevents import Delivery
from leadline.runtime.telemetry import metrics, trace_context
from leadline.workqueue import rq_jobs
from leadline.workqueue.enqueue_request import EnqueueRequest, PutResult
from leadline.workqueue.entries.pending_event import Outcome, PendingEvent
from leadline.workqueue.queue import work_queue

log = structlog.get_logger()

#: The version of the write that created a user.
FIRST_VERSION = 1

EVENTS_RECEIVED = metrics.Counter(
    "leadline_events_received_total",
    "Events put into the work queue, by action",
    "action",
    label_values=contract.PATTERNS,
)
JOBS_ENQUEUED = metrics.Counter(
    "leadline_jobs_enqueued_total", "RQ jobs enqueued because no worker was about to lease"
)


def enqueue_events(deliveries: Sequence[Delivery]) -> None:
    """Put the events of these messages into the work queue, and wake a worker.

    Raises:
        BadMessage: one of the messages is invalid; nothing was put.
        QueueDown: Redis can't be reached; the messages must be redelivered.
    """
    requests = [
        _enqueue_request(contract.read_request(delivery.body), delivery) for delivery in deliveries
    ]
    results = work_queue().put_all(requests)
    for delivery, request, result in zip(deliveries, requests, results, strict=True):
        trace_context.resume(delivery.trace)
        _log_received(request, is_put=result is not PutResult.TOO_OLD)
    if PutResult.WAKE_UP_CLAIMED in results:
        JOBS_ENQUEUED.inc()
        log.info("job enqueued", job_id=rq_jobs.enqueue())


def _log_received(request: EnqueueRequest, *, is_put: bool) -> None:
    event = request.event
    ids = {"event_id": event.event_id, "user_id": request.user_id}
    if is_put:
        EVENTS_RECEIVED.inc(event.action)
        log.info("event received", action=event.action, **ids)
    else:
        log.warning(
            "event older than the Redis epoch, not put: its sender republishes it",
            **ids,
        )


def _enqueue_request(message: contract.Request, delivery: Delivery) -> EnqueueRequest:
    user = message.user
    stage_version = _version_attribute(message, delivery, STAGE_VERSION)
    state = {"full_name": user.full_name, "phone": user.phone or "", "stage": user.stage}
    has_state = user.phone is not None or message.erased
    fields = contract.further_fields(delivery.body) if field_map() and not message.erased else {}
    changed = delivery.attributes.get(CHANGED, "").split(",")
    return EnqueueRequest(
        user_id=user.id,
        event=_pending_event(message, delivery, fields),
        state=orjson.dumps(state) if has_state else b"",
        touches_stage=_touches_stage(message, delivery, stage_version) if has_state else False,
        is_first=delivery.is_first,
        occurred_at_ms=int(message.occurred_at.timestamp() * 1000) if message.occurred_at else None,
        lead_id=user.bitrix_lead_id,
        is_lookup_requested=LOOK in changed,
        creates_anyway=CREATE in changed,
        is_quiet=QUIET in changed,
        is_erasure=message.erased,
        stage_version=stage_version,
        sent_at_ms=number(delivery.attributes.get(SENT)),
        originator=delivery.attributes.get(ORIGINATOR),
        stage_set=_version_attribute(message, delivery, STAGE_SET),
        fields=orjson.dumps(fields) if has_state and fields else b"",
    )


def _pending_event(
    message: contract.Request, delivery: Delivery, fields: dict[str, Value]
) -> PendingEvent:
    user = message.user.model_dump(exclude={"bitrix_lead_id"}, exclude_none=True) | fields
    no_phone = Outcome("failed", attempts=1, reason=contract.MISSING_PHONE)
    return PendingEvent(
        event_id=message.identity(delivery.message_id, fields),
        action=message.action,
        user=user,
        reply_queue=message.reply_queue,
        version=message.version,
        correlation_id=delivery.trace.correlation_id,
        traceparent=delivery.trace.traceparent,
        outcome=no_phone if message.user.phone is None and not message.erased else None,
        journey=AttemptLog(received_ms=int(time.time() * 1000)),
        history=history_of(delivery.attributes),
    )


def _touches_stage(
    message: contract.Request, delivery: Delivery, stage_version: int | None
) -> bool | None:
    """Whether to write the stage; None if the message doesn't say."""
    if message.user.stage is None:
        return False
    if (stage_version or message.version) == FIRST_VERSION:
        # Creating the lead writes this stage. A person may have changed that of an existing lead.
        return False
    if message.action != "update_card" or stage_version:
        return True
    changed = delivery.attributes.get(CHANGED)
    return None if changed is None else "stage" in changed.split(",")


def _version_attribute(message: contract.Request, delivery: Delivery, name: str) -> int | None:
    """The version in this attribute if it is not above the message's own, else None."""
    version = number(delivery.attributes.get(name))
    return version if version and version <= (message.version or 0) else None

"""The log lines of a job: ids, attempts and outcomes, nothing personal."""

import structlog

from leadline.errors import BitrixError
from leadline.sync import metrics
from leadline.sync.batch_request import BatchRequest
from leadline.sync.decide import MAX_ATTEMPTS
from leadline.workqueue.entry import Entry, PendingEvent, Settlement

log = structlog.get_logger()


def log_started(request: BatchRequest) -> None:
    """Log a line for each event in the call, and one for the call."""
    for step in request.steps:
        for event in step.entry.events:
            if event.outcome is None and request.covers(step):
                metrics.ATTEMPTS.inc(str(event.attempts + 1))
                log.info(
                    "Processing bitrix_job (attempt %d/%d)",
                    event.attempts + 1,
                    MAX_ATTEMPTS,
                    step=type(step.plan).__name__,
                    **_about(step.entry, event),
                )
    if request.commands:
        log.info("calling Bitrix24", commands=len(request.commands))


def log_settled(settlement: Settlement) -> None:
    """Log a line for each event: completed, failed, or the delay until its retry."""
    why = _why(settlement.error)
    for event in settlement.events:
        about = _about(settlement.entry, event) | why
        metrics.EVENTS.inc(_outcome(event))
        if event.outcome is None:
            log.warning("retry in %d ms", settlement.delay_ms, attempts=event.attempts, **about)
        elif event.outcome.status == "failed":
            log.error("failed", attempts=event.outcome.attempts, **about)
        else:
            lead_id, outcome = event.outcome.lead_id, event.outcome.status
            log.info("completed", outcome=outcome, bitrix_lead_id=lead_id, **about)


def _outcome(event: PendingEvent) -> str:
    if event.outcome is None:
        return "retried"
    return "completed" if event.outcome.status == "synced" else event.outcome.status


def _why(error: BitrixError | None) -> dict[str, object]:
    """The error's class and Bitrix24's code; not its text, which may quote a person."""
    return {"error": type(error).__name__, "code": error.code} if error else {}


def _about(entry: Entry, event: PendingEvent) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "user_id": entry.user_id,
        "action": event.action,
        "correlation_id": event.correlation_id,
    }

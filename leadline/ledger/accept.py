"""Accept a write: store the user and its event, then offer the event to the outbox."""

import structlog

from leadline.ledger import outbox, write
from leadline.ledger.event import AcceptedWrite, IdempotencyKey
from leadline.messages import contract
from leadline.runtime.telemetry import metrics
from leadline.users import stages
from leadline.users.model import Changes, Move, NewUser, UserId

log = structlog.get_logger()

ACCEPTED = metrics.Counter(
    "leadline_writes_accepted_total",
    "Writes entered in the ledger, by action",
    "action",
    label_values=contract.PATTERNS,
)


def create(new: NewUser, key: IdempotencyKey | None) -> AcceptedWrite:
    """Create a user; raises as `write.create`, and InvalidRequest for an unknown stage."""
    stages.check(new.stage)
    return offer(write.create(new, key))


def change(
    user_id: UserId,
    changes: Changes | Move,
    expected_version: int | None,
    key: IdempotencyKey | None,
) -> AcceptedWrite:
    """Change a user; raises as `write.change`, and InvalidRequest for an unknown stage."""
    stages.check(changes.stage)
    return offer(write.change(user_id, changes, expected_version, key))


def offer(accepted: AcceptedWrite) -> AcceptedWrite:
    """Offer the event of a stored write to the outbox, unless an earlier request did."""
    event = accepted.event
    if accepted.is_new:
        ACCEPTED.inc(event.action)
        outbox.offer(event)  # best effort: the relay guarantees delivery
    log.info(
        "write accepted" if accepted.is_new else "write repeated",
        event_id=event.id,
        user_id=event.user.id,
        version=event.version,
        action=event.action,
    )
    return accepted

"""Accept a write: store the user with its event, then offer the event to the broker."""

import structlog

from leadline.ledger import outbox, write
from leadline.ledger.event import Accepted, Repeat
from leadline.messages import contract
from leadline.runtime.telemetry import metrics
from leadline.users import stages
from leadline.users.model import Changes, Move, NewUser, UserId

log = structlog.get_logger()

ACCEPTED = metrics.Counter(
    "leadline_writes_accepted_total",
    "Writes entered in the ledger, by what they did",
    "action",
    known=contract.PATTERNS,
)


def create(new: NewUser, repeat: Repeat | None) -> Accepted:
    """A new user; raises as `write.create`, and InvalidRequest for a stage that does not exist."""
    stages.check(new.stage)
    return _entered(write.create(new, repeat))


def change(
    user_id: UserId, change: Changes | Move, expected_version: int | None, repeat: Repeat | None
) -> Accepted:
    """A changed user; raises as `write.change`, and InvalidRequest for an unknown stage."""
    stages.check(change.stage)
    return _entered(write.change(user_id, change, expected_version, repeat))


def _entered(accepted: Accepted) -> Accepted:
    event = accepted.event
    if accepted.is_new:
        ACCEPTED.inc(event.action)
        outbox.offer(event)  # best effort: the relay is the promise
    log.info(
        "write accepted" if accepted.is_new else "write repeated",
        event_id=event.id,
        user_id=event.user.id,
        version=event.version,
        action=event.action,
    )
    return accepted

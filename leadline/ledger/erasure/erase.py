"""Erase a user, then offer the event to the outbox."""

import structlog

from leadline.ledger import outbox
from leadline.ledger.erasure import tombstone
from leadline.runtime.telemetry import metrics
from leadline.settings import settings
from leadline.users.model import UserId

log = structlog.get_logger()

ERASED = metrics.Counter("leadline_users_erased_total", "Users erased by this process")


def erase(user_id: UserId, expected_version: int | None = None) -> bool:
    """Erase a user; returns False if it was erased before.

    Raises:
        UserNotFound, VersionMismatch, DatabaseDown: as `tombstone.write`.
    """
    event = tombstone.write(user_id, expected_version, grace_s=settings().publish_grace_s)
    if event is None:
        return False
    ERASED.inc()
    outbox.offer(event)  # best effort: the relay guarantees delivery
    log.info("user erased", user_id=user_id, event_id=event.id, version=event.version)
    return True

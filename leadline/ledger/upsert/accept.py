"""Accept upserts: store the users with their events, then offer the events to the outbox."""

from collections.abc import Mapping

from leadline.errors import ExternalIdTaken, VersionMismatch
from leadline.ledger import accept
from leadline.ledger.event import AcceptedWrite, IdempotencyKey
from leadline.ledger.upsert import write
from leadline.ledger.upsert.outcome import Item, Outcome
from leadline.users import stages


def accept_one(item: Item, key: IdempotencyKey | None) -> Outcome:
    """Create or change a user; returns the outcome.

    Raises:
        ExternalIdTaken: the item must be new, and its external id has a user.
        VersionMismatch: the user's version is not the expected one, or the user must exist and does
            not.
        InvalidRequest: unknown stage.
        IdempotencyKeyReused, RequestInProgress, DatabaseDown: as `write.upsert`.
    """
    if key and (earlier := write.first_outcomes({0: item}, key)):
        return earlier[0]
    stages.check(item.stage)
    outcome = _offer_events(write.upsert({0: item}, key))[0]
    if outcome.kind == "taken":
        raise ExternalIdTaken
    if outcome.kind in ("stale", "missing"):
        raise VersionMismatch
    return outcome


def accept_many(items: Mapping[int, Item], key: IdempotencyKey | None) -> dict[int, Outcome]:
    """Create or change users; an item without an outcome has an unknown stage.

    Raises:
        IdempotencyKeyReused, RequestInProgress, DatabaseDown: as `write.upsert`.
    """
    if key and (earlier := write.first_outcomes(items, key)):
        return earlier
    allowed = (None, *stages.allowed())  # None: no stage is given
    valid = {position: item for position, item in items.items() if item.stage in allowed}
    return _offer_events(write.upsert(valid, key)) if valid else {}


def _offer_events(outcomes: dict[int, Outcome]) -> dict[int, Outcome]:
    """Offer the events of these outcomes to the outbox; returns the outcomes."""
    for outcome in outcomes.values():
        if outcome.event is not None:
            accept.offer(AcceptedWrite(outcome.event, is_new=True))
    return outcomes

"""Claims leads before users are linked to them, so that two users never get the same lead."""

from leadline.sync.batch_request import BatchRequest, Step
from leadline.sync.decide import Write
from leadline.sync.duplicates import rules
from leadline.workqueue.entries.settlement import Settlement
from leadline.workqueue.queue import WorkQueue


def claim(request: BatchRequest, queue: WorkQueue) -> tuple[BatchRequest, list[Settlement]]:
    """Claim the leads to which this request links users.

    Returns the request without the users that may not be linked now, and these users' settlements.

    Raises:
        QueueDown: Redis can't be reached.
    """
    links = [step for step in request.steps if _is_link(step) and request.covers(step)]
    if not links:
        return request, []
    # For each link: 0 if the lead was claimed, the time to wait while it can't be known whether
    # another user has it, None if another user has claimed it.
    waits_ms = queue.claim_leads(
        # An update always has a lead id.
        [(step.entry.user_id, step.entry.known_lead_id or 0) for step in links],
        fresh_ms=rules.FRESH_MS,
    )
    settlements = []
    for step, wait_ms in zip(links, waits_ms, strict=True):
        if wait_ms is None:
            settlements.append(rules.settle_taken(step.entry))
        elif wait_ms > 0:
            settlements.append(Settlement(step.entry, delay_ms=wait_ms))
    denied = {settlement.entry.user_id for settlement in settlements}
    return _without(request, denied), settlements


def _is_link(step: Step) -> bool:
    """Whether this step updates a lead without an origin, and so links the user to it."""
    is_update = isinstance(step.plan, Write) and not step.plan.is_create
    return is_update and step.entry.lacks_origin and not step.entry.erased


def _without(request: BatchRequest, user_ids: set[int]) -> BatchRequest:
    dropped = {key for step in request.steps if step.entry.user_id in user_ids for key in step.keys}
    return BatchRequest(
        [step for step in request.steps if step.entry.user_id not in user_ids],
        {key: command for key, command in request.commands.items() if key not in dropped},
    )

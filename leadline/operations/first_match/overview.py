"""The newest plan, for the console."""

from typing import Any

from leadline.operations.first_match import plans


def newest(limit: int) -> dict[str, Any] | None:
    """The newest plan with its counts and first lines; None if there is none.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    plan = plans.find()
    if plan is None:
        return None
    counts: dict[str, int] = {}
    for (kind, _), lines in plans.counts(plan).items():
        counts[kind] = counts.get(kind, 0) + lines
    return {
        "id": plan.id,
        "leads": plan.leads,
        "linked": plan.linked,
        "ready_at": plan.ready_at,
        "applied_at": plan.applied_at,
        "counts": counts,
        "lines": plans.lines(plan, limit) if plan.is_ready else [],
    }

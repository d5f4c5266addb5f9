"""Names of what the work queue keeps in Redis."""

#: RQ's queue.
JOBS = "bitrix_jobs"


def prefix(portal: str) -> str:
    """What every key of this portal begins with; the braces keep them on one node of a cluster."""
    return f"{{leadline:{portal}}}:"

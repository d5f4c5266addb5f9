"""Names of what the work queue keeps in Redis."""

#: RQ's queue, and the Redis list it is kept in.
JOBS = "bitrix_jobs"
JOBS_KEY = f"rq:queue:{JOBS}"


def prefix(portal: str) -> str:
    """What every key of this portal begins with; the braces keep them on one node of a cluster."""
    return f"{{leadline:{portal}}}:"

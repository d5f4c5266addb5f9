"""Names of the work queue's keys in Redis."""

#: RQ's queue.
JOBS = "bitrix_jobs"


def prefix(portal: str) -> str:
    """The prefix of all keys of this portal; the braces keep them on one node of a cluster."""
    return f"{{leadline:{portal}}}:"


def wakeup_keys(prefix: str) -> list[str]:
    """The keys by which scripts know whether a worker is about to lease: leader, wake-up.

    In Redis they keep the names of earlier releases.
    """
    return [f"{prefix}gatherer", f"{prefix}called"]

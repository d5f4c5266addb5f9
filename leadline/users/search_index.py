"""Bring what users are searched by up to date, many users at once: off the path of their writes."""

import time

from leadline.runtime.postgres.pool import database

BATCH = 500
_INDEX = "SELECT index_users(:at_most) AS entries"


def catch_up(until: float) -> int:
    """Work off `users_to_index`, at least one batch of it, until `until` (monotonic).

    Returns how many entries; any number of these may run at once, one of them works.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    done = 0
    while True:
        entries = int(database().run(_INDEX, at_most=BATCH)[0]["entries"])
        done += entries
        if entries < BATCH or time.monotonic() >= until:
            return done

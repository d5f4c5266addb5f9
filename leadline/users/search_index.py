"""Update the search index (`user_terms`) in batches, off the write path."""

import time

from leadline.runtime.postgres.pool import database

BATCH = 500
_INDEX = "SELECT index_users(:at_most) AS entries"


def catch_up(until: float) -> int:
    """Index the users in `users_to_index`, at least one batch, until `until` (monotonic).

    Returns how many entries it processed. Concurrent calls are safe: only one of them works.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    indexed = 0
    while True:
        entries = int(database().run(_INDEX, at_most=BATCH)[0]["entries"])
        indexed += entries
        if entries < BATCH or time.monotonic() >= until:
            return indexed

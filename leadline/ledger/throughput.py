"""Throughput: how many writes are accepted and settled per minute, measured."""

import time
from dataclasses import dataclass

from leadline.runtime import uuid7
from leadline.runtime.postgres.pool import database

#: The periods over which the rate of settling is measured, in minutes.
PERIODS_MIN = (1, 5, 10)
#: The period over which the rate of accepting is measured, in minutes.
ACCEPTED_MIN = 5

# Superseded events need no call: they would make the rate look higher.
_THROUGHPUT = """
SELECT count(*) FILTER (WHERE settled_at > now() - interval '1 minute') AS last_1,
       count(*) FILTER (WHERE settled_at > now() - interval '5 minutes') AS last_5,
       count(*) AS last_10,
       (SELECT count(*) FROM events WHERE id > CAST(:since_id AS uuid)) AS accepted
FROM events WHERE settled_at > now() - interval '10 minutes' AND state <> 'superseded'
"""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Writes per minute."""

    #: Settled by a call, over each of `PERIODS_MIN`.
    settled: tuple[float, ...]
    #: Over the last ACCEPTED_MIN.
    accepted: float


def throughput() -> Throughput:
    """The rates of the last minutes.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    since_id = uuid7.first_at(time.time() - ACCEPTED_MIN * 60)
    (row,) = database().run(_THROUGHPUT, since_id=str(since_id))
    settled = tuple(row[f"last_{minutes}"] / minutes for minutes in PERIODS_MIN)
    return Throughput(settled, row["accepted"] / ACCEPTED_MIN)

"""Deliveries of results to endpoints, stored in Postgres: claim, record outcomes, give up, replay.

An endpoint receives the results of a user in order: the next one is due once the previous one was
delivered or given up. Users do not wait for each other, nor do endpoints.

Each function raises DatabaseDown if Postgres can't be reached.
"""

from collections.abc import Sequence
from typing import Any

from leadline.results.message import Result
from leadline.runtime.postgres.pool import database
from leadline.settings import settings

#: The claim of a killed relay expires after this.
CLAIM_S = 60
#: Seconds until a rejected result is delivered again; the last one repeats.
RETRY_S = (5, 30, 120, 600, 1800, 3600)
#: Back-off of an endpoint that can't be reached, in seconds; the last one repeats.
BACKOFF_S = (2, 5, 10, 20, 30)
#: An undelivered result is given up this long after it was collected or replayed; it can be
#: replayed for as long as it is kept.
GIVE_UP = "3 days"
_WAITS_SINCE = "GREATEST(collected_at, replayed_at)"
_PRUNE_BATCH = 500
#: Maximum number of results that are counted.
COUNT_MAX = 100_000

_CLAIM = """
WITH head AS (
    SELECT endpoint, user_id, seq FROM result_deliveries AS delivery
    WHERE endpoint = :endpoint AND due_at <= now() AND NOT EXISTS (
        SELECT FROM result_deliveries AS earlier
        WHERE earlier.endpoint = delivery.endpoint AND earlier.user_id = delivery.user_id
          AND earlier.seq < delivery.seq AND earlier.due_at IS NOT NULL
    ) AND NOT EXISTS (
        SELECT FROM result_endpoints AS unreachable
        WHERE unreachable.endpoint = delivery.endpoint AND unreachable.retry_at > now()
    )
    ORDER BY due_at, seq LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE result_deliveries AS delivery SET due_at = now() + make_interval(secs => :claim_s)
    FROM head WHERE delivery.endpoint = head.endpoint AND delivery.user_id = head.user_id
      AND delivery.seq = head.seq
    RETURNING delivery.seq, attempts
)
SELECT results.seq, kind, CAST(event_id AS text) AS event_id, user_id, results.version,
       results.bitrix_lead_id, reason, is_erasure, at, attempts, external_id
FROM claimed JOIN results USING (seq) JOIN users ON users.id = user_id ORDER BY results.seq
"""
_DELIVERED = """
DELETE FROM result_deliveries
WHERE endpoint = :endpoint AND seq = ANY (CAST(:seqs AS bigint[]))
"""
_REJECTED = """
UPDATE result_deliveries SET attempts = attempts + 1, problem = failed.problem,
    due_at = now() + make_interval(secs => failed.wait_s)
FROM unnest(CAST(:seqs AS bigint[]), CAST(:waits AS float8[]), CAST(:problems AS text[]))
    AS failed (seq, wait_s, problem)
WHERE endpoint = :endpoint AND result_deliveries.seq = failed.seq AND due_at IS NOT NULL
"""
_RELEASE = """
UPDATE result_deliveries SET due_at = now()
WHERE endpoint = :endpoint AND seq = ANY (CAST(:seqs AS bigint[])) AND due_at IS NOT NULL
"""
_BACK_OFF = """
INSERT INTO result_endpoints AS known (endpoint, failures, retry_at, problem)
VALUES (:endpoint, 1, now() + make_interval(secs => :first_s), :problem)
ON CONFLICT (endpoint) DO UPDATE SET failures = known.failures + 1, problem = :problem,
    retry_at = now() + make_interval(secs => (CAST(:waits AS float8[]))[
        LEAST(known.failures + 1, array_length(CAST(:waits AS float8[]), 1))])
"""
_GIVE_UP = f"""
UPDATE result_deliveries SET due_at = NULL, given_up_at = now() FROM results
WHERE results.seq = result_deliveries.seq AND due_at IS NOT NULL
  AND {_WAITS_SINCE} < now() - interval '{GIVE_UP}'
RETURNING 1 AS one
"""  # noqa: S608 - of constants; values are parameters
_PRUNE = """
DELETE FROM results WHERE seq IN (
    SELECT seq FROM results WHERE collected_at < now() - make_interval(secs => :keep_s)
    ORDER BY collected_at LIMIT :limit
)
"""
_STATUS = f"""
SELECT endpoint, COALESCE(waiting, 0) AS waiting, COALESCE(given_up, 0) AS given_up, oldest,
       result_endpoints.problem AS unreachable, since, retry_at
FROM (
    SELECT endpoint, count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
           count(*) FILTER (WHERE due_at IS NULL) AS given_up,
           min({_WAITS_SINCE}) FILTER (WHERE due_at IS NOT NULL) AS oldest
    FROM result_deliveries JOIN results USING (seq) GROUP BY endpoint
) AS counted FULL JOIN result_endpoints USING (endpoint)
ORDER BY endpoint
"""  # noqa: S608 - of constants; values are parameters
# Results that an operator may have to act on; no more than `COUNT_MAX` are read.
_UNDELIVERED = f"""
SELECT endpoint, count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
       count(*) FILTER (
           WHERE due_at IS NULL AND given_up_at > now() - interval '1 day'
       ) AS given_up,
       CAST(GREATEST(0, extract(epoch FROM
           now() - min({_WAITS_SINCE}) FILTER (WHERE due_at IS NOT NULL)
       )) AS float) AS oldest_s,
       COALESCE(
           (SELECT problem FROM result_endpoints
            WHERE result_endpoints.endpoint = delivery.endpoint),
           max(problem) FILTER (WHERE due_at IS NOT NULL)
       ) AS problem
FROM (
    (SELECT endpoint, due_at, given_up_at, replayed_at, seq, problem FROM result_deliveries
     WHERE due_at IS NOT NULL ORDER BY endpoint, due_at LIMIT :counted)
    UNION ALL
    (SELECT endpoint, due_at, given_up_at, replayed_at, seq, problem FROM result_deliveries
     WHERE due_at IS NULL ORDER BY given_up_at DESC LIMIT :counted)
) AS delivery JOIN results USING (seq) GROUP BY endpoint
"""  # noqa: S608 - of constants; values are parameters
_REPLAY = """
INSERT INTO result_deliveries (endpoint, user_id, seq, replayed_at)
SELECT :endpoint, user_id, seq, now() FROM results
WHERE kind = ANY (CAST(:kinds AS text[])) AND collected_at >= now() - make_interval(secs => :age_s)
  AND (CAST(:user_id AS bigint) IS NULL OR user_id = CAST(:user_id AS bigint))
ON CONFLICT (endpoint, user_id, seq) DO UPDATE SET due_at = now(), attempts = 0, problem = NULL,
    given_up_at = NULL, replayed_at = now()
RETURNING 1 AS one
"""


def claim(endpoint: str, limit: int) -> list[Result]:
    """Claim due results of this endpoint, at most one for each user; [] during a back-off."""
    rows = database().run(_CLAIM, endpoint=endpoint, limit=limit, claim_s=CLAIM_S)
    return [Result(**row) for row in rows]


def record_delivered(endpoint: str, seqs: Sequence[int]) -> None:
    """Delete the deliveries of accepted results, and end the endpoint's back-off."""
    database().run(_DELIVERED, endpoint=endpoint, seqs=list(seqs))
    database().run("DELETE FROM result_endpoints WHERE endpoint = :endpoint", endpoint=endpoint)


def record_rejected(endpoint: str, results: Sequence[tuple[Result, str]]) -> None:
    """Count a failed attempt of each of these results, with its problem, and postpone it."""
    waits = [RETRY_S[min(result.attempts, len(RETRY_S) - 1)] for result, _ in results]
    database().run(
        _REJECTED,
        endpoint=endpoint,
        seqs=[result.seq for result, _ in results],
        waits=[float(wait) for wait in waits],
        problems=[problem for _, problem in results],
    )


def record_unreachable(endpoint: str, seqs: Sequence[int], problem: str) -> None:
    """Release the claims, and begin or prolong the endpoint's back-off; no attempt is counted."""
    database().run(_RELEASE, endpoint=endpoint, seqs=list(seqs))
    waits = [float(wait) for wait in BACKOFF_S]
    database().run(_BACK_OFF, endpoint=endpoint, first_s=waits[0], waits=waits, problem=problem)


def release(endpoint: str, seqs: Sequence[int]) -> None:
    """Release a claim: the results are due now."""
    if seqs:
        database().run(_RELEASE, endpoint=endpoint, seqs=list(seqs))


def prune() -> int:
    """Give up old deliveries and delete old results; returns how many were given up."""
    given_up = database().run(_GIVE_UP)
    database().run(_PRUNE, keep_s=settings().keep_events_s, limit=_PRUNE_BATCH)
    return len(given_up)


def status() -> list[dict[str, Any]]:
    """Waiting and given-up results of each endpoint, and since when it is unreachable.

    Leaves out endpoints for which there is nothing to report.
    """
    return database().run(_STATUS)


def undelivered() -> dict[str, dict[str, Any]]:
    """Undelivered results by endpoint; leaves out endpoints without any.

    Each has the number of `waiting` results, the time `oldest_s` that the oldest of them has waited
    (None if none waits), the number `given_up` within the last day, and the `problem`: why the
    endpoint can't be reached, else why it rejected a waiting result, else None.
    """
    by_endpoint = {}
    for row in database().run(_UNDELIVERED, counted=COUNT_MAX):
        endpoint = row.pop("endpoint")
        by_endpoint[endpoint] = row
    return by_endpoint


def replay(endpoint: str, kinds: Sequence[str], age_s: float, user_id: int | None) -> int:
    """Deliver the results of the last `age_s` seconds again, of one user or of all (None).

    Returns how many there are.
    """
    rows = database().run(
        _REPLAY, endpoint=endpoint, kinds=list(kinds), age_s=age_s, user_id=user_id
    )
    return len(rows)

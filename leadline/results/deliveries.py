"""What is still to be delivered to each endpoint, in Postgres: claim, settle, give up, replay.

For each endpoint a user's results are delivered in order: the next one is due once the one before
was delivered or given up. Users do not wait for each other, nor do endpoints.
"""

from collections.abc import Sequence
from typing import Any

from leadline.results.message import Result
from leadline.runtime.postgres.pool import database
from leadline.settings import settings

#: A claim of a lost relay expires after this.
CLAIM_S = 60
#: Seconds until a rejected result is delivered again; the last one repeats.
RETRY_S = (5, 30, 120, 600, 1800, 3600)
#: Seconds until an endpoint that can't be reached is tried again; the last one repeats.
REST_S = (2, 5, 10, 20, 30)
#: An undelivered result is given up after this; it can be replayed for as long as it is kept.
GIVE_UP = "3 days"
_PRUNED = 500

_CLAIM = """
WITH head AS (
    SELECT endpoint, user_id, seq FROM result_deliveries AS one
    WHERE endpoint = :endpoint AND due_at <= now() AND NOT EXISTS (
        SELECT FROM result_deliveries AS before
        WHERE before.endpoint = one.endpoint AND before.user_id = one.user_id
          AND before.seq < one.seq AND before.due_at IS NOT NULL
    ) AND NOT EXISTS (
        SELECT FROM result_endpoints AS rests
        WHERE rests.endpoint = one.endpoint AND rests.retry_at > now()
    )
    ORDER BY due_at, seq LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE result_deliveries AS one SET due_at = now() + make_interval(secs => :claim_s)
    FROM head WHERE one.endpoint = head.endpoint AND one.user_id = head.user_id
      AND one.seq = head.seq
    RETURNING one.seq, attempts
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
_REST = """
INSERT INTO result_endpoints AS known (endpoint, failures, retry_at, problem)
VALUES (:endpoint, 1, now() + make_interval(secs => :first_s), :problem)
ON CONFLICT (endpoint) DO UPDATE SET failures = known.failures + 1, problem = :problem,
    retry_at = now() + make_interval(secs => (CAST(:waits AS float8[]))[
        LEAST(known.failures + 1, array_length(CAST(:waits AS float8[]), 1))])
"""
_GIVE_UP = f"""
UPDATE result_deliveries SET due_at = NULL FROM results
WHERE results.seq = result_deliveries.seq AND due_at IS NOT NULL
  AND collected_at < now() - interval '{GIVE_UP}'
RETURNING 1 AS one
"""  # noqa: S608 - of constants; values are parameters
_PRUNE = """
DELETE FROM results WHERE seq IN (
    SELECT seq FROM results WHERE collected_at < now() - make_interval(secs => :keep_s)
    ORDER BY collected_at LIMIT :limit
)
"""
_STATUS = """
SELECT endpoint, COALESCE(waiting, 0) AS waiting, COALESCE(given_up, 0) AS given_up, oldest,
       result_endpoints.problem AS unreachable, since, retry_at
FROM (
    SELECT endpoint, count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
           count(*) FILTER (WHERE due_at IS NULL) AS given_up,
           min(collected_at) FILTER (WHERE due_at IS NOT NULL) AS oldest
    FROM result_deliveries JOIN results USING (seq) GROUP BY endpoint
) AS counted FULL JOIN result_endpoints USING (endpoint)
ORDER BY endpoint
"""
_REPLAY = """
INSERT INTO result_deliveries (endpoint, user_id, seq)
SELECT :endpoint, user_id, seq FROM results
WHERE kind = ANY (CAST(:kinds AS text[])) AND collected_at >= now() - make_interval(secs => :age_s)
  AND (CAST(:user_id AS bigint) IS NULL OR user_id = CAST(:user_id AS bigint))
ON CONFLICT (endpoint, user_id, seq) DO UPDATE SET due_at = now(), attempts = 0
RETURNING 1 AS one
"""


def claim(endpoint: str, limit: int) -> list[Result]:
    """Claim due results of this endpoint, each of another user; [] while it rests."""
    rows = database().run(_CLAIM, endpoint=endpoint, limit=limit, claim_s=CLAIM_S)
    return [Result(**row) for row in rows]


def delivered(endpoint: str, seqs: Sequence[int]) -> None:
    """Results were accepted: the endpoint is well."""
    database().run(_DELIVERED, endpoint=endpoint, seqs=list(seqs))
    database().run("DELETE FROM result_endpoints WHERE endpoint = :endpoint", endpoint=endpoint)


def rejected(endpoint: str, results: Sequence[tuple[Result, str]]) -> None:
    """The endpoint rejected these results, each with a problem: deliver them later."""
    waits = [RETRY_S[min(result.attempts, len(RETRY_S) - 1)] for result, _ in results]
    database().run(
        _REJECTED,
        endpoint=endpoint,
        seqs=[result.seq for result, _ in results],
        waits=[float(wait) for wait in waits],
        problems=[problem for _, problem in results],
    )


def unreachable(endpoint: str, seqs: Sequence[int], problem: str) -> None:
    """The endpoint can't be reached: it rests, and no result loses an attempt."""
    database().run(_RELEASE, endpoint=endpoint, seqs=list(seqs))
    waits = [float(wait) for wait in REST_S]
    database().run(_REST, endpoint=endpoint, first_s=waits[0], waits=waits, problem=problem)


def release(endpoint: str, seqs: Sequence[int]) -> None:
    """Give a claim back."""
    if seqs:
        database().run(_RELEASE, endpoint=endpoint, seqs=list(seqs))


def prune() -> int:
    """Give old deliveries up and delete old results; returns how many were given up."""
    given_up = database().run(_GIVE_UP)
    database().run(_PRUNE, keep_s=settings().keep_events_s, limit=_PRUNED)
    return len(given_up)


def status() -> list[dict[str, Any]]:
    """For each endpoint with anything to report, what waits and since when it is unreachable."""
    return database().run(_STATUS)


def replay(endpoint: str, kinds: Sequence[str], age_s: float, user_id: int | None) -> int:
    """Deliver the results of the last `age_s` seconds again; returns how many."""
    rows = database().run(
        _REPLAY, endpoint=endpoint, kinds=list(kinds), age_s=age_s, user_id=user_id
    )
    return len(rows)

"""Bulk jobs: begin, advance step by step, cancel and list them.

A job is stored in Postgres, so it survives every restart. The relay's tick, each poll of a
console and the command that began the job advance it. A process claims a job for `CLAIM_S` and
carries out its next steps. A step that was killed is repeated, which is harmless: it skips users
that already wait and dead letters that are gone.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from uuid_utils.compat import uuid7

from leadline.errors import BrokerDown, PathNotFound
from leadline.ledger import correlations
from leadline.operations.bulk import steps
from leadline.operations.bulk.steps import Kind, Selection, Step
from leadline.runtime.postgres.pool import Row, StatementError, database
from leadline.runtime.telemetry import trace_context

__all__ = ["Selection"]  # exported again, for those that begin jobs

#: Kinds of jobs on users, which need no RabbitMQ, and of jobs on dead letters, which do.
USER_KINDS: tuple[Kind, ...] = ("resync",)
DEAD_LETTER_KINDS: tuple[Kind, ...] = ("replay", "discard")
ALL_KINDS = USER_KINDS + DEAD_LETTER_KINDS
#: Longer than any step takes.
CLAIM_S = 60
#: Pause of a job after a failed step.
PAUSE_S = 5
#: Number of newest jobs that are listed.
LIST_MAX = 20
#: Number of newest jobs whose outcome is counted.
OUTCOMES_MAX = 3

_FIELDS = """
CAST(id AS text) AS id, kind, CAST(selection AS text) AS selection, caller, total, done, changed,
cursor, state, problem, created_at, ended_at
"""
_ENTER = f"""
INSERT INTO bulk_jobs (id, caller, kind, selection, total)
VALUES (CAST(:id AS uuid), :caller, :kind, CAST(:selection AS jsonb), :total) RETURNING {_FIELDS}
"""  # noqa: S608 - of constants; values are parameters
_CLAIM = f"""
UPDATE bulk_jobs SET claimed_until = now() + make_interval(secs => :claim_s) WHERE id = (
    SELECT id FROM bulk_jobs
    WHERE state = 'running' AND kind = ANY (CAST(:kinds AS text[]))
      AND (claimed_until IS NULL OR claimed_until < now())
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING {_FIELDS}
"""  # noqa: S608 - of constants; values are parameters
# Only from the position at which the step began: a step whose claim has expired changes nothing. A
# step during which the job was cancelled is counted, as it was carried out.
_PROGRESS = f"""
UPDATE bulk_jobs SET done = done + :done, changed = changed + :changed, cursor = :cursor,
    problem = NULL, claimed_until = now() + make_interval(secs => :claim_s),
    state = CASE WHEN :is_last AND state = 'running' THEN 'done' ELSE state END,
    ended_at = CASE WHEN :is_last THEN COALESCE(ended_at, now()) ELSE ended_at END
WHERE id = CAST(:id AS uuid) AND state <> 'done' AND cursor = :cursor_before RETURNING {_FIELDS}
"""  # noqa: S608 - of constants; values are parameters
_RELEASE = """
UPDATE bulk_jobs SET problem = :problem, claimed_until =
    CASE WHEN CAST(:problem AS text) <> '' THEN now() + make_interval(secs => :pause_s) END
WHERE id = CAST(:id AS uuid) AND state = 'running'
"""
_CANCEL = f"""
UPDATE bulk_jobs SET state = 'cancelled', ended_at = now()
WHERE id = CAST(:id AS uuid) AND state = 'running' RETURNING {_FIELDS}
"""  # noqa: S608 - of constants; values are parameters
_FIND = f"SELECT {_FIELDS} FROM bulk_jobs WHERE id = CAST(:id AS uuid)"  # noqa: S608 - of constants; values are parameters
_NEWEST = f"SELECT {_FIELDS} FROM bulk_jobs ORDER BY bulk_jobs.id DESC LIMIT :limit"  # noqa: S608 - of constants; values are parameters


def begin(kind: Kind, selection: Selection) -> dict[str, Any]:
    """Enter a job for the current caller; it is carried out by `advance`.

    Raises:
        DatabaseDown: Postgres can't be reached.
        BrokerDown: dead letters can't be counted.
        InvalidRequest: an unknown queue.
    """
    rows = database().run(
        _ENTER,
        id=str(uuid7()),
        caller=trace_context.caller() or None,
        kind=kind,
        selection=selection.model_dump_json(exclude_defaults=True),
        total=steps.count(kind, selection),
    )
    return _as_json(rows[0])


def cancel(job_id: str) -> dict[str, Any]:
    """Cancel a running job: what is done stays done.

    Raises:
        PathNotFound: no job of this id is running.
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_CANCEL, id=job_id)
    if not rows:
        raise PathNotFound("No such job is running.")
    return _as_json(rows[0])


def advance(kinds: Iterable[Kind] = USER_KINDS, budget_s: float = 1.0) -> int:
    """Carry out steps of running jobs for `budget_s`; returns how many users or letters are done.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    until = time.monotonic() + budget_s
    done = 0
    while time.monotonic() < until:
        rows = database().run(_CLAIM, kinds=list(kinds), claim_s=CLAIM_S)
        if not rows:
            break
        with _on_behalf_of(rows[0]):
            done += _run_steps(rows[0], until)
    return done


def find(job_id: str) -> dict[str, Any]:
    """One job, with the outcome of its users if it has any.

    Raises:
        PathNotFound: there is no such job.
        DatabaseDown: Postgres can't be reached.
    """
    rows = database().run(_FIND, id=job_id)
    if not rows:
        raise PathNotFound("There is no such job.")
    return _add_outcome(_as_json(rows[0]))


def advance_and_list() -> dict[str, Any]:
    """Advance the running jobs for half a second, and list the newest ones as `items`.

    Has only an `error` if this login has no rights, or before the migration.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    try:
        advance(ALL_KINDS, budget_s=0.5)
        return {"items": newest()}
    except StatementError as error:
        return {"error": f"jobs can't be read: {error}"}


def newest() -> list[dict[str, Any]]:
    """The newest jobs; the first few that resync users with their outcome.

    Raises:
        DatabaseDown: Postgres can't be reached.
    """
    jobs = [_as_json(row) for row in database().run(_NEWEST, limit=LIST_MAX)]
    for job in [job for job in jobs if job["kind"] == "resync"][:OUTCOMES_MAX]:
        _add_outcome(job)
    return jobs


def _add_outcome(job: dict[str, Any]) -> dict[str, Any]:
    """Add the states of the events that a resync has entered."""
    if job["kind"] == "resync":
        job["outcome"] = correlations.states(
            _call_id(job["id"]), job["created_at"], job["ended_at"]
        )
    return job


def _run_steps(job: Row, until: float) -> int:
    """Run steps of a claimed job until it ends, is cancelled or fails, or the time is over.

    Returns how many users or letters are done.
    """
    selection = Selection.model_validate_json(job["selection"])
    cursor = job["cursor"]
    done = 0
    problem = None
    while True:
        try:
            step = steps.run(job["kind"], selection, cursor, job["total"])
        except BrokerDown as down:
            problem = str(down)
            break
        if not _record(job["id"], cursor, step):
            return done
        done, cursor = done + step.done, step.cursor
        if step.is_last:
            return done
        if time.monotonic() >= until:
            break
    database().run(_RELEASE, id=job["id"], problem=problem, pause_s=PAUSE_S)
    return done


def _record(job_id: str, cursor_before: int, step: Step) -> bool:
    """Record a step; returns False if the job was cancelled or claimed by another meanwhile."""
    rows = database().run(
        _PROGRESS,
        id=job_id,
        cursor_before=cursor_before,
        done=step.done,
        changed=step.changed,
        cursor=step.cursor,
        is_last=step.is_last,
        claim_s=CLAIM_S,
    )
    return bool(rows) and rows[0]["state"] != "cancelled"


@contextmanager
def _on_behalf_of(job: Row) -> Iterator[None]:
    """Give the events of this block the job's operator as caller, and the job's correlation id."""
    trace, caller = trace_context.current(), trace_context.caller()
    trace_context.begin(_call_id(job["id"]))
    trace_context.set_caller(job["caller"] or "")
    try:
        yield
    finally:
        trace_context.resume(trace)
        trace_context.set_caller(caller)


def _call_id(job_id: str) -> str:
    """The correlation id of all events of a job."""
    return f"job-{job_id}"


def _as_json(row: Row) -> dict[str, Any]:
    selection = Selection.model_validate_json(row["selection"])
    description = selection.model_dump(mode="json", exclude_defaults=True)
    if selection.chosen:
        description = {"chosen": row["total"]}
    fields = {name: value for name, value in row.items() if name != "cursor"}
    return {**fields, "selection": description}

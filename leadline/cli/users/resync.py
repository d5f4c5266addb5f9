"""`leadline resync`: compare users with their leads and correct the leads."""

from typing import Annotated

import typer

from leadline.cli.jobs import follow
from leadline.cli.output import FINDINGS, Json, print_error, print_json, print_line, print_note
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.cli.terminal.times import Since, parse_moment
from leadline.cli.users.failed import Reason
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.bulk import jobs
from leadline.operations.bulk.jobs import Selection
from leadline.operations.diagnosis import failed_users
from leadline.operations.diagnosis.failed_users import FailedFilter
from leadline.operations.resync_users import resync_users
from leadline.runtime.telemetry import trace_context


def resync(
    user_ids: Annotated[
        list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="User ids.")
    ] = None,
    *,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="All users whose last write failed.")
    ] = False,
    since: Since = None,
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Compare users with their leads and fix.

    Regardless of the last outcome, the worker reads the lead and writes what differs. --since and
    --reason restrict --all-failed as they restrict `failed`. It asks before it resyncs all failed
    users, or those of a reason, and does so as a job: it goes on if you press Ctrl-C, and
    `leadline jobs` shows and cancels it. Exit code 1: an id is unknown.

    Examples:
        leadline resync 4300
        leadline resync --all-failed --since 12:00 --reason "Field X"
        leadline resync --all-failed --yes --json
    """
    if bool(user_ids) == all_failed:
        raise InvalidRequest("name users, or --all-failed")
    if (since or reason) and not all_failed:
        raise InvalidRequest("--since and --reason restrict --all-failed")
    trace_context.begin()
    if all_failed:
        selection = FailedFilter(parse_moment(since) if since else None, reason)
        _resync_failed(selection, yes=yes, json=json)
        return
    # A resync is stored, and named in JSON, as in earlier releases.
    with audit.recorded("send again", user_ids=audit.first_user_ids(user_ids or [])) as record:
        requested, waiting, not_found = resync_users(user_ids or [])
        record["asked"] = requested
    if json:
        print_json({"asked_again": requested, "waiting_already": waiting, "not_found": not_found})
    else:
        print_line(f"resync requested: {requested}")
        for user_id in waiting:
            print_line(f"user {user_id} is already waiting")
    if not_found:
        print_error(f"not found: {', '.join(map(str, not_found))}")
        raise typer.Exit(FINDINGS)


def _resync_failed(failed: FailedFilter, *, yes: bool, json: bool) -> None:
    """Resync the failed users of a filter, as a job."""
    if number := failed_users.count(failed):
        confirm(f"Resync {number} failed users?", yes=yes)
    groups = failed_users.without_text(failed)
    is_all = groups == FailedFilter()
    action = "send all failed again" if is_all else "send failed again"  # as earlier releases
    with audit.recorded(action) as record:
        selection = Selection(reason_ids=groups.reason_ids, since=groups.since)
        begun = jobs.begin("resync", selection)
        record["job"], record["asked"] = begun["id"], begun["total"]
    job = follow(begun)
    if json:
        print_json({"asked_again": job["changed"], "job": job["id"], "state": job["state"]})
        return
    print_line(f"resync requested: {job['changed']}")
    if job["state"] == "cancelled":
        print_note(f"the job was cancelled at {job['done']} of {job['total']}")
    if job["changed"]:
        print_note(f"their outcome: leadline jobs show {job['id']}")

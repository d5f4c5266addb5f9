"""`leadline resync`: compare users with their leads and correct the leads."""

from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_error, print_json, print_line
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.cli.terminal.times import Since, parse_moment
from leadline.cli.users.failed import Reason
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.diagnosis import failed_users
from leadline.operations.diagnosis.failed_users import FailedFilter
from leadline.operations.resync_users import BATCH, resync_users
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

    Whatever the last outcome was, the worker reads the lead and writes what differs. --since and
    --reason restrict --all-failed as they restrict `failed`. It asks before it resyncs all failed
    users, or those of a reason. Exit code 1: an id is unknown.

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
        which = FailedFilter(parse_moment(since) if since else None, reason)
        requested, waiting, missing = _resync_failed(which, yes=yes)
    else:
        with audit.recorded("send again", user_ids=audit.first_user_ids(user_ids or [])) as done:
            requested, waiting, missing = resync_users(user_ids or [])
            done["asked"] = requested
    if json:
        print_json({"asked_again": requested, "waiting_already": waiting, "not_found": missing})
    else:
        print_line(f"resync requested: {requested}")
        for user_id in waiting:
            print_line(f"user {user_id} is already waiting")
    if missing:
        print_error(f"not found: {', '.join(map(str, missing))}")
        raise typer.Exit(FINDINGS)


def _resync_failed(which: FailedFilter, *, yes: bool) -> tuple[int, list[int], list[int]]:
    """Resync the failed users of a filter, in batches by id; as `resync_users` returns it."""
    if number := failed_users.count(which):
        confirm(f"Resync {number} failed users?", yes=yes)
    requested, waiting, missing = 0, list[int](), list[int]()
    with audit.recorded("send all failed again", **which.as_json()) as done:
        after = 0
        while ids := failed_users.ids(which, BATCH, after):
            entered, *_ = resync_users(ids)
            requested, after = requested + entered, ids[-1]
        done["asked"] = requested
    return requested, waiting, missing

"""`leadline failed`: users whose last write failed, one by one or by reason."""

import shlex
from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_note, print_table, printable
from leadline.cli.terminal.times import Since, parse_moment
from leadline.cli.users.listing import After, Limit
from leadline.operations.diagnosis import failed_users
from leadline.operations.diagnosis.failed_users import FailedFilter

Reason = Annotated[
    str, typer.Option(help="Only reasons that contain this; numbers in it match any number.")
]

_COLUMNS = ("id", "failed_at", "attempts", "bitrix_lead_id", "retry_at", "reason")
_GROUP_COLUMNS = ("users", "first_at", "last_at", "retrying", "common", "user", "reason")


def failed(
    *,
    since: Since = None,
    reason: Reason = "",
    group: Annotated[
        bool, typer.Option("--group", help="Count by reason, and show what is common.")
    ] = False,
    limit: Limit = 50,
    after: After = 0,
    json: Json = False,
) -> None:
    """List users whose last write failed.

    Each with the reason and, if the ledger retries it, when. With --group: each reason with its
    number of users, the time from the first to the last failure, how many are retried
    automatically, what they have in common (action, stage, caller), and one of the users. Numbers
    in a reason count as equal. Exit code 1: there are failed users.

    Examples:
        leadline failed --since 12:00 --group
        leadline failed --reason "Field X"
        leadline failed --limit 200 --json
    """
    selection = FailedFilter(parse_moment(since) if since else None, reason)
    if group:
        has_failed = _print_groups(selection, limit, since, json=json)
    else:
        has_failed = _print_page(selection, limit, after, json=json)
    if has_failed:
        raise typer.Exit(FINDINGS)


def _print_page(selection: FailedFilter, limit: int, after: int, *, json: bool) -> bool:
    """Print a page of users; returns whether there are any."""
    page = failed_users.page(selection, limit, after)
    if json:
        print_json(page)
        return bool(page["items"])
    rows = [{"id": user["id"], **user["sync"]} for user in page["items"]]
    print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    if page["next"]:
        print_note(f"more: --after {page['next']}")
    return bool(rows)


def _print_groups(selection: FailedFilter, limit: int, since: str | None, *, json: bool) -> bool:
    """Print the groups by reason; returns whether there are any."""
    groups = failed_users.groups(selection, limit)
    if json:
        print_json({"groups": groups})
        return bool(groups)
    for group in groups:
        group["common"] = ", ".join(f"{name} {value}" for name, value in group["common"].items())
    print_table(_GROUP_COLUMNS, [[group[name] for name in _GROUP_COLUMNS] for group in groups])
    if groups:
        options = [
            *(["--since", since] if since else []),
            "--reason",
            printable(groups[0]["reason"]),
        ]
        print_note(f"retry the first: leadline resync --all-failed {shlex.join(options)}")
    return bool(groups)

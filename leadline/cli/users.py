"""`leadline users`, `failed`, `show`, `resync`: sync status of users, and repairing it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from leadline.cli.output import (
    FINDINGS,
    Json,
    print_error,
    print_facts,
    print_json,
    print_line,
    print_note,
    print_table,
)
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.resync_users import resync_failed, resync_users
from leadline.runtime.telemetry import trace_context
from leadline.users import queries
from leadline.users.model import UserId
from leadline.users.views import Query

Limit = Annotated[int, typer.Option(min=1, max=200, help="Maximum number of users.")]
After = Annotated[int, typer.Option(min=0, help="Continue after this user.")]
Sync = Literal["waiting", "synced", "failed"]


def users(
    *,
    stage: Annotated[str | None, typer.Option(help="Only users in this stage.")] = None,
    sync: Annotated[Sync | None, typer.Option(help="Only users with this sync status.")] = None,
    limit: Limit = 50,
    after: After = 0,
    json: Json = False,
) -> None:
    """List users by id, with the outcome of their last write."""
    try:
        query = Query(stage=stage, sync=sync, limit=limit, after=after)
    except ValidationError:
        raise InvalidRequest("--stage has 1 to 50 characters of A-Z, 0-9, _ and :") from None
    page = queries.page(query)
    if json:
        print_json(page)
        return
    _list(page, ("id", "full_name", "phone", "stage"), ("status", "bitrix_lead_id", "version"))


def failed(*, limit: Limit = 50, after: After = 0, json: Json = False) -> None:
    """List users whose last write failed, with the reason."""
    page = queries.page(Query(sync="failed", limit=limit, after=after))
    if json:
        print_json(page)
    else:
        _list(page, ("id",), ("attempts", "bitrix_lead_id", "reason"))
    if page["items"]:
        raise typer.Exit(FINDINGS)


def show(
    user_id: Annotated[int, typer.Argument(help="The user's id.")], *, json: Json = False
) -> None:
    """Show a user, its lead id and its last events."""
    user: Mapping[str, Any] = queries.get(UserId(user_id))
    if json:
        print_json(user)
        return
    sync: Mapping[str, Any] = user["sync"]
    print_facts(
        [
            *((name, value) for name, value in user.items() if name != "sync"),
            *(
                (name, value)
                for name, value in sync.items()
                if name != "events" and value is not None
            ),
        ]
    )
    print_line("")
    times = ("occurred_at", "published_at", "settled_at")
    columns = ("version", "action", *times, "state", "attempts", "reason")
    print_table(columns, [[event[name] for name in columns] for event in sync["events"]])


def resync(
    user_ids: Annotated[list[int] | None, typer.Argument(help="User ids.")] = None,
    *,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="All users whose last write failed.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare users with their leads and correct the leads, whatever the last outcome."""
    if bool(user_ids) == all_failed:
        raise InvalidRequest("name users, or --all-failed")
    trace_context.begin()
    if all_failed:
        waiting, missing = list[int](), list[int]()
        with audit.recorded("send all failed again") as done:
            done["asked"] = requested = sum(batch.requested for batch in resync_failed())
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


def _list(page: Mapping[str, Any], own: tuple[str, ...], synced: tuple[str, ...]) -> None:
    rows = [
        [*(user[name] for name in own), *(user["sync"][name] for name in synced)]
        for user in page["items"]
    ]
    print_table((*own, *synced), rows)
    if page["next"]:
        print_note(f"more: --after {page['next']}")

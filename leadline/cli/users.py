"""`leadline users`, `failed`, `show`, `resync`: who is in step, who is not, and once more."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from leadline.cli.output import FOUND, Json, as_json, complain, facts, note, say, table
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.resync import resync_failed, resync_users
from leadline.runtime.telemetry import trace_context
from leadline.users import queries
from leadline.users.model import UserId
from leadline.users.views import Query

Limit = Annotated[int, typer.Option(min=1, max=200, help="At most so many.")]
After = Annotated[int, typer.Option(min=0, help="Go on after this user.")]
Sync = Literal["waiting", "synced", "failed"]


def users(
    *,
    stage: Annotated[str | None, typer.Option(help="Only users of this stage.")] = None,
    sync: Annotated[Sync | None, typer.Option(help="Only users in this state.")] = None,
    limit: Limit = 50,
    after: After = 0,
    json: Json = False,
) -> None:
    """List users by id, with what became of their last write."""
    try:
        query = Query(stage=stage, sync=sync, limit=limit, after=after)
    except ValidationError:
        raise InvalidRequest("--stage has 1 to 50 characters of A-Z, 0-9, _ and :") from None
    page = queries.page(query)
    if json:
        as_json(page)
        return
    _list(page, ("id", "full_name", "phone", "stage"), ("status", "bitrix_lead_id", "version"))


def failed(*, limit: Limit = 50, after: After = 0, json: Json = False) -> None:
    """List users whose last write has failed, and why."""
    page = queries.page(Query(sync="failed", limit=limit, after=after))
    if json:
        as_json(page)
    else:
        _list(page, ("id",), ("attempts", "bitrix_lead_id", "reason"))
    if page["items"]:
        raise typer.Exit(FOUND)


def show(
    user_id: Annotated[int, typer.Argument(help="The user's id.")], *, json: Json = False
) -> None:
    """Show a user, its lead, and the journey of its last events."""
    user: Mapping[str, Any] = queries.get(UserId(user_id))
    if json:
        as_json(user)
        return
    sync: Mapping[str, Any] = user["sync"]
    facts(
        [
            *((name, value) for name, value in user.items() if name != "sync"),
            *(
                (name, value)
                for name, value in sync.items()
                if name != "events" and value is not None
            ),
        ]
    )
    say("")
    times = ("occurred_at", "published_at", "settled_at")
    columns = ("version", "action", *times, "state", "attempts", "reason")
    table(columns, [[event[name] for name in columns] for event in sync["events"]])


def resync(
    user_ids: Annotated[list[int] | None, typer.Argument(help="Users' ids.")] = None,
    *,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Everybody who failed.")] = False,
    json: Json = False,
) -> None:
    """Have users' leads looked at and written once more, whatever became of them before."""
    if bool(user_ids) == all_failed:
        raise InvalidRequest("name users, or --all-failed")
    trace_context.begin()
    if all_failed:
        waiting, missing = list[int](), list[int]()
        with audit.recorded("send all failed again") as done:
            done["asked"] = asked = sum(batch.requested for batch in resync_failed())
    else:
        with audit.recorded("send again", user_ids=audit.first_user_ids(user_ids or [])) as done:
            asked, waiting, missing = resync_users(user_ids or [])
            done["asked"] = asked
    if json:
        as_json({"asked_again": asked, "waiting_already": waiting, "not_found": missing})
    else:
        say(f"asked again: {asked}")
        for user_id in waiting:
            say(f"user {user_id} is waiting already")
    if missing:
        complain(f"not found: {', '.join(map(str, missing))}")
        raise typer.Exit(FOUND)


def _list(page: Mapping[str, Any], own: tuple[str, ...], synced: tuple[str, ...]) -> None:
    rows = [
        [*(user[name] for name in own), *(user["sync"][name] for name in synced)]
        for user in page["items"]
    ]
    table((*own, *synced), rows)
    if page["next"]:
        note(f"more: --after {page['next']}")

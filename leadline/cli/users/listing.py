"""`leadline users`: find users, by the console's search."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from leadline.cli.output import Json, print_json, print_note, print_table
from leadline.errors import InvalidRequest
from leadline.users import queries, search
from leadline.users.search import Search

Limit = Annotated[int, typer.Option(min=1, max=200, help="Maximum number of users.")]
After = Annotated[
    int, typer.Option(min=0, help="Continue a list: the number that its last page named.")
]
Sync = Literal["waiting", "synced", "failed"]

_USER = ("id", "full_name", "phone", "stage")
_SYNC = ("status", "bitrix_lead_id", "version")
_EXPECTED = {
    "stage": "--stage has 1 to 50 characters of A-Z, 0-9, _ and :",
    "find": "TEXT has at most 100 characters",
    "after": "--after is the id of a user",
}


def users(
    text: Annotated[
        str, typer.Argument(help="Id, phone, lead id or name, as in the console's search.")
    ] = "",
    *,
    stage: Annotated[str | None, typer.Option(help="Only users in this stage.")] = None,
    sync: Annotated[Sync | None, typer.Option(help="Only users with this sync status.")] = None,
    limit: Limit = 50,
    after: After = 0,
    json: Json = False,
) -> None:
    """Find users.

    Each with the outcome of its last write. With TEXT, as the console's search finds them; without,
    all users by id.

    Examples:
        leadline users +77001112233
        leadline users Anna --sync failed
        leadline users --stage NEW --limit 200 --json
    """
    try:
        query = Search(find=text, stage=stage, sync=sync, limit=limit, after=after)
    except ValidationError as invalid:
        names = [str(detail["loc"][0]) for detail in invalid.errors()]
        raise InvalidRequest("; ".join(_EXPECTED.get(name, name) for name in names)) from None
    page = search.page(query) if text.strip() else queries.page(query)
    if json:
        print_json(page)
        return
    print_users(page, _USER, _SYNC)


def print_users(
    page: Mapping[str, Any], user_columns: Sequence[str], sync_columns: Sequence[str]
) -> None:
    """Print a page: columns of the user itself, then of its `sync` block, then the next page."""
    rows = [
        [*(user[name] for name in user_columns), *(user["sync"][name] for name in sync_columns)]
        for user in page["items"]
    ]
    print_table((*user_columns, *sync_columns), rows)
    if page["next"]:
        print_note(f"more: --after {page['next']}")

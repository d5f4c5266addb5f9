"""`leadline audit`: who has written and ordered what, and what came of it."""

from typing import Annotated, Any
from uuid import UUID

import typer

from leadline.cli.output import Json, as_json, note, table
from leadline.errors import InvalidRequest
from leadline.operations import audit as trail

_COLUMNS = ("at", "caller", "action", "user_id", "version", "outcome", "about")


def audit(
    *,
    user: Annotated[int | None, typer.Option(min=1, help="Only what is about this user.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only of this key, person or process.")] = None,
    orders: Annotated[
        bool, typer.Option("--orders", help="Only what operators did, no writes.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    before: Annotated[str | None, typer.Option(help="Go on before this id.")] = None,
    json: Json = False,
) -> None:
    """Show who has written and ordered what, the newest first.

    A caller is a key by its name, or an operator as USER@HOST. It is looked for among the newest
    100,000 writes and all orders. Kept for as long as events are (LEADLINE_KEEP_EVENTS_S).
    """
    page = trail.page(limit, before=_id(before), user_id=user, caller=caller, only_orders=orders)
    if json:
        as_json(page)
        return
    table(_COLUMNS, [[_shown(item, name) for name in _COLUMNS] for item in page["items"]])
    if page["next"]:
        note(f"more: --before {page['next']}")


def _id(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise InvalidRequest("--before is an id of the audit trail") from None


def _shown(item: dict[str, Any], name: str) -> object:
    if name != "about":
        return item[name]
    words = [f"{key}={value}" for key, value in item["about"].items() if value not in ("", None)]
    return ", ".join([*words, *([item["reason"]] if item["reason"] else [])])

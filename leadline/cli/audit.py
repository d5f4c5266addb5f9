"""`leadline audit`: who wrote what and ran which actions, with the outcome."""

from typing import Annotated, Any
from uuid import UUID

import typer

from leadline.cli.output import Json, print_json, print_note, print_table
from leadline.errors import InvalidRequest
from leadline.operations import audit as trail

#: Names, in the table, of actions that are stored under the names of earlier releases.
_LABELS = {
    "send again": "resync",
    "send failed again": "resync failed",
    "send all failed again": "resync all failed",
}
_COLUMNS = ("at", "caller", "action", "user_id", "version", "outcome", "about")


def audit(
    *,
    user: Annotated[int | None, typer.Option(min=1, help="Only entries about this user.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only by this key or operator.")] = None,
    orders: Annotated[
        bool, typer.Option("--orders", help="Only operators' actions, no writes.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of entries.")] = 50,
    before: Annotated[str | None, typer.Option(help="Continue before this id.")] = None,
    json: Json = False,
) -> None:
    """Show who wrote what and ran which actions.

    Newest first. A caller is a key's name, or an operator as USER@HOST; it is searched among the
    newest 100,000 writes and all actions. Entries are kept as long as events
    (LEADLINE_KEEP_EVENTS_S).

    Examples:
        leadline audit --orders --limit 5
        leadline audit --user 4300
        leadline audit --caller crm-form --json
    """
    page = trail.page(limit, before=_id(before), user_id=user, caller=caller, only_actions=orders)
    if json:
        print_json(page)
        return
    print_table(_COLUMNS, [[_cell(item, name) for name in _COLUMNS] for item in page["items"]])
    if page["next"]:
        print_note(f"more: --before {page['next']}")


def _id(text: str | None) -> str | None:
    """The id in this option; None if it was not given."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise InvalidRequest("--before must be an id of the audit trail") from None


def _cell(item: dict[str, Any], name: str) -> object:
    if name == "action":
        return _LABELS.get(item[name], item[name])
    if name != "about":
        return item[name]
    words = [f"{key}={value}" for key, value in item["about"].items() if value not in ("", None)]
    if item["reason"]:
        words.append(item["reason"])
    return ", ".join(words)

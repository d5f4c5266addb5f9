"""`leadline held`: users that wait for an operator, and the decision about one."""

from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_line, print_note, print_table
from leadline.cli.users.listing import After, Limit
from leadline.errors import InvalidRequest
from leadline.ledger import held_users
from leadline.operations import audit
from leadline.operations.first_match import decisions
from leadline.runtime.telemetry import trace_context

_COLUMNS = ("user_id", "full_name", "phone", "since", "lead_ids", "contact_ids", "reason")


def held(
    user_id: Annotated[
        int | None, typer.Argument(min=1, max=2**63 - 1, help="Decide about this user.")
    ] = None,
    *,
    link: Annotated[
        int | None, typer.Option(min=1, metavar="LEAD", help="The lead is this user's.")
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Create a lead, even if others were found.")
    ] = False,
    limit: Limit = 50,
    after: After = 0,
    json: Json = False,
) -> None:
    """List users that are held for an operator, or decide about one.

    With LEADLINE_DUPLICATES=hold, no lead is created for a user whose phone or e-mail several
    open leads have. Such a user waits until one of them is named, or a lead is to be created
    anyway; each decision is in the audit trail. Exit code 1: users are held.

    Examples:
        leadline held
        leadline held 42 --link 1017
        leadline held 42 --create
    """
    if user_id is None:
        if link or create:
            raise InvalidRequest("name the user")
        _print(limit, after, json=json)
        return
    if bool(link) == create:
        raise InvalidRequest("either --link LEAD or --create")
    trace_context.begin()
    decision = {"lead": link} if link else {}
    action = "link held user" if link else "create lead of held user"
    with audit.recorded(action, user_ids=[user_id], **decision):
        if link:
            decisions.link(user_id, link)
        else:
            decisions.create(user_id)
    if json:
        print_json({"user_id": user_id, "link": link, "create": create})
    else:
        print_line(f"entered: `leadline show {user_id}` shows the outcome")


def _print(limit: int, after: int, *, json: bool) -> None:
    rows = held_users.page(limit, after)
    if json:
        print_json({"held": rows})
    else:
        print_table(_COLUMNS, [[user[name] for name in _COLUMNS] for user in rows])
        if len(rows) == limit:
            print_note(f"more: --after {rows[-1]['user_id']}")
    if rows:
        raise typer.Exit(FINDINGS)

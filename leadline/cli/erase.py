"""`leadline erase` and `erased`: erase persons, and show the receipts."""

from typing import Annotated

import typer

from leadline.cli.output import (
    FINDINGS,
    Json,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
)
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.errors import UserNotFound
from leadline.ledger.erasure import receipts, tombstone
from leadline.operations import audit
from leadline.runtime.telemetry import trace_context
from leadline.users.model import UserId

_COLUMNS = (
    "user_id",
    "erased_at",
    "caller",
    "events",
    "idempotency_keys",
    "dead_letters",
    "status",
    "lead",
    "bitrix_lead_id",
    "reason",
)


def erase(
    user_ids: Annotated[list[int], typer.Argument(min=1, help="User ids.")],
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Erase persons for good.

    Name and phone are forgotten here and in Bitrix24. LEADLINE_ERASE_LEAD of the workers decides
    about the leads: they are blanked, unless it says keep or delete. The id stays taken.
    Repeating it is harmless.

    Examples:
        leadline erase 42
        leadline erase 42 43 --yes --json
    """
    people = "this person" if len(user_ids) == 1 else f"these {len(user_ids)} persons"
    confirm(f"Erase {people}? It cannot be undone.", yes=yes)
    trace_context.begin()
    erased, erased_before, not_found = list[int](), list[int](), list[int]()
    with audit.recorded("erase", user_ids=audit.first_user_ids(user_ids)) as record:
        for user_id in user_ids:
            try:
                # The relay publishes it at its next tick.
                is_new = tombstone.write(UserId(user_id))
            except UserNotFound:
                not_found.append(user_id)
            else:
                (erased if is_new else erased_before).append(user_id)
        record["erased"] = len(erased)
    if json:
        print_json({"erased": erased, "erased_before": erased_before, "not_found": not_found})
    else:
        print_line(f"erased: {len(erased)}; `leadline erased` shows the state of their leads")
        for user_id in erased_before:
            print_line(f"user {user_id} was erased before")
    if not_found:
        print_error(f"not found: {', '.join(map(str, not_found))}")
        raise typer.Exit(FINDINGS)


def erased(
    user_ids: Annotated[list[int] | None, typer.Argument(min=1, help="Only these users.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of users.")] = 200,
    after: Annotated[int, typer.Option(min=0, help="Continue after this user.")] = 0,
    json: Json = False,
) -> None:
    """Show the receipts of erasures.

    A receipt says who asked, when, what was removed, and the state of the lead.

    Examples:
        leadline erased
        leadline erased 42 --json
    """
    rows = receipts.by_ids(user_ids) if user_ids else receipts.page(after, limit)
    if json:
        print_json({"erasures": rows})
    else:
        print_table(_COLUMNS, [[receipt[name] for name in _COLUMNS] for receipt in rows])
        if not user_ids and len(rows) == limit:
            print_note(f"more: --after {rows[-1]['user_id']}")
    if not_erased := set(user_ids or ()) - {receipt["user_id"] for receipt in rows}:
        print_error(f"not erased: {', '.join(map(str, sorted(not_erased)))}")
        raise typer.Exit(FINDINGS)

"""`leadline status`: what is synced, what is waiting, and where."""

from typing import Any

import typer

from leadline.cli.output import Json, print_facts, print_json
from leadline.operations.status import history, ledger, or_error, portal, queues, work

#: Exit code: a server could not be reached.
UNREACHABLE = 3
#: What the text output calls JSON keys that keep an earlier name.
_LABELS = {"users_due": "ready", "users_in_a_call": "in_flight"}


def status(*, json: Json = False) -> None:
    """Show users by state, the oldest open event, queues, workers, and whether calls are paused."""
    snapshot = {
        "ledger": or_error(ledger),
        "history": or_error(history),
        "queues": or_error(queues),
        "work": or_error(work),
        "portal": or_error(portal),
    }
    if json:
        print_json(snapshot)
    else:
        print_facts(_flat(snapshot))
    if any("error" in part for part in snapshot.values()):
        raise typer.Exit(UNREACHABLE)


def _flat(snapshot: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"{part}: {_LABELS.get(name, name)}", value)
        for part, values in snapshot.items()
        for name, value in values.items()
    ]

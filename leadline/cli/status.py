"""`leadline status`: is everything in step, and if not, where does it wait?"""

from typing import Any

import typer

from leadline.cli.output import Json, as_json, facts
from leadline.operations.status import history, ledger, part, portal, queues, work

#: A part could not be asked.
UNREACHABLE = 3


def status(*, json: Json = False) -> None:
    """Users by state, the oldest that waits, queues, workers, and whether the portal serves us."""
    told = {
        "ledger": part(ledger),
        "history": part(history),
        "queues": part(queues),
        "work": part(work),
        "portal": part(portal),
    }
    if json:
        as_json(told)
    else:
        facts(_flat(told))
    if any("error" in part for part in told.values()):
        raise typer.Exit(UNREACHABLE)


def _flat(told: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"{part}: {name}", value) for part, each in told.items() for name, value in each.items()
    ]

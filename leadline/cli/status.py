"""`leadline status`: is everything in step, and if not, where does it wait?"""

from typing import Any

import typer

from leadline.cli.output import Json, as_json, facts
from leadline.operations.status import history, ledger, or_error, portal, queues, work

#: A or_error could not be asked.
UNREACHABLE = 3


def status(*, json: Json = False) -> None:
    """Users by state, the oldest that waits, queues, workers, and whether the portal serves us."""
    told = {
        "ledger": or_error(ledger),
        "history": or_error(history),
        "queues": or_error(queues),
        "work": or_error(work),
        "portal": or_error(portal),
    }
    if json:
        as_json(told)
    else:
        facts(_flat(told))
    if any("error" in or_error for or_error in told.values()):
        raise typer.Exit(UNREACHABLE)


def _flat(told: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (f"{or_error}: {name}", value)
        for or_error, each in told.items()
        for name, value in each.items()
    ]

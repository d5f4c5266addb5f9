"""`leadline export`: all users with what became of them, as CSV or JSON lines."""

import csv
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from leadline.cli.files.csv_cells import escaped
from leadline.cli.output import Json, as_json, progress
from leadline.cli.users import Sync
from leadline.operations import audit
from leadline.users import queries, snapshots
from leadline.users.views import Query

_PAGE = 200
_COLUMNS = ("id", "full_name", "phone", "stage")
_SYNC = ("status", "reason", "bitrix_lead_id", "version")


def export(
    *,
    sync: Annotated[Sync | None, typer.Option(help="Only users in this state.")] = None,
    json: Json = False,
) -> None:
    """Write all users to stdout: CSV, or JSON lines with --json. What it writes can be imported."""
    with audit.recorded("export users", sync=sync) as done, progress() as bar:
        task = bar.add_task("exporting", total=snapshots.count())
        writer = csv.writer(sys.stdout)
        if not json:
            writer.writerow((*_COLUMNS, *_SYNC))
        for number, user in enumerate(_all(Query(sync=sync, limit=_PAGE)), 1):
            done["users"] = number
            bar.update(task, advance=1)
            if json:
                as_json(user)
            else:
                own = [user[name] for name in _COLUMNS]
                row = [*own, *(user["sync"][name] for name in _SYNC)]
                writer.writerow(map(escaped, row))


def _all(query: Query) -> Iterator[Mapping[str, Any]]:
    while True:
        page = queries.page(query)
        yield from page["items"]
        if page["next"] is None:
            return
        query = query.model_copy(update={"after": int(page["next"])})

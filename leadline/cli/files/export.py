"""`leadline export`: all users with their sync status, as CSV or JSON lines."""

import csv
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from leadline.cli.files.csv_cells import escape
from leadline.cli.output import Json, print_json, progress_bar
from leadline.cli.users.listing import Sync
from leadline.operations import audit
from leadline.users import further_fields, queries, snapshots
from leadline.users.views import Query

#: Number of users read at a time.
_PAGE = 200
_COLUMNS = ("id", "full_name", "phone", "stage", "external_id", "created_at", "updated_at")
_SYNC = ("status", "reason", "bitrix_lead_id", "version")


def export(
    *,
    sync: Annotated[Sync | None, typer.Option(help="Only users with this sync status.")] = None,
    json: Json = False,
) -> None:
    """Write all users to stdout.

    CSV, or JSON lines with --json; `import` reads both.

    Examples:
        (umask 077; leadline export > users.csv)
        leadline export --sync failed --json
    """
    with audit.recorded("export users", sync=sync) as record, progress_bar() as bar:
        task = bar.add_task("exporting", total=snapshots.count())
        writer = csv.writer(sys.stdout)
        columns = (*_COLUMNS, *further_fields.in_response({}))
        if not json:
            writer.writerow((*columns, *_SYNC))
        for number, user in enumerate(_all_users(Query(sync=sync, limit=_PAGE)), 1):
            record["users"] = number
            bar.update(task, advance=1)
            if json:
                print_json(user)
            else:
                user_cells = [user.get(name) for name in columns]
                row = [*user_cells, *(user["sync"][name] for name in _SYNC)]
                writer.writerow(map(escape, row))


def _all_users(query: Query) -> Iterator[Mapping[str, Any]]:
    while True:
        page = queries.page(query)
        yield from page["items"]
        if page["next"] is None:
            return
        query = query.model_copy(update={"after": int(page["next"])})

"""`leadline restore`: restore a dump of Postgres, migrate it, and begin a new history."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from leadline.cli.output import Json, print_facts, print_json, print_note
from leadline.cli.recovery.restored import begin_history
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.errors import LeadlineError
from leadline.runtime import secrets
from leadline.runtime.hosts import each_host, with_first_host
from leadline.runtime.postgres.migrate import migrate
from leadline.runtime.postgres.pool import database

#: The table, in pg_restore's list, by which a dump of Leadline is recognised.
_TABLE = " TABLE public events "
_CLIENTS = """
SELECT usename AS login, count(*) AS connections FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
  AND pid <> pg_backend_pid()
GROUP BY usename ORDER BY usename
"""
_OPTIONS = ("--clean", "--if-exists", "--exit-on-error", "--single-transaction")


class RestoreRefused(LeadlineError):
    """Nothing was restored, and nothing was changed."""


def restore(
    dump: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Restore a dump of Postgres.

    All users and events are replaced by those of the dump (pg_dump --format=custom).
    DATABASE_URL has to be the owner's, and pg_restore on this machine. Stop functions, connector
    and workers first: while any client is connected, the command refuses. Redis and RabbitMQ stay
    as they are. Afterwards the schema is migrated and a new history begun, as `restored` does;
    start everything, then `leadline reconcile` shows what the dump did not contain.

    If it fails, nothing has changed: the dump is restored in one transaction.

    Examples:
        leadline restore leadline.dump
    """
    url = secrets.require("database-url")
    pg_restore = shutil.which("pg_restore")
    if pg_restore is None:
        raise RestoreRefused("pg_restore is missing: install postgresql-client")
    if _TABLE not in _run(pg_restore, "--list", str(dump)):
        raise RestoreRefused(f"{dump} is not a dump of Leadline: it has no table events")
    _check_unused()
    confirm("Replace all users and events by those of the dump?", yes=yes)
    database().close()  # or pg_restore would wait for our own connection
    _run(pg_restore, *_OPTIONS, f"--dbname={_without_password(url)}", str(dump), url=url)
    print_note(f"restored: {dump}")
    print_note(f"schema: revision {migrate(url)}")
    try:
        report = begin_history()
    except LeadlineError:
        print_note("still missing: run `leadline restored` before you start anything")
        raise
    print_json(report) if json else print_facts(report.items())
    print_note("now start everything; then `leadline reconcile` shows what the dump did not have")


def _check_unused() -> None:
    """Refuse while others are connected: they would write between the old state and the new."""
    if clients := database().run(_CLIENTS):
        logins = ", ".join(f"{client['login']} ({client['connections']})" for client in clients)
        raise RestoreRefused(f"stop functions, connector and workers first; connected: {logins}")


def _without_password(url: str) -> str:
    """The URL for the arguments of a process, which every login of the machine can read."""
    parts = with_first_host(url)
    hosts = ",".join(urlsplit(node).netloc.rpartition("@")[2] for node in each_host(url))
    login = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=f"{login}{hosts}").geturl()


def _run(program: str, *arguments: str, url: str = "") -> str:
    password = with_first_host(url).password if url else None
    environment = {**os.environ, **({"PGPASSWORD": unquote(password)} if password else {})}
    finished = subprocess.run(  # noqa: S603 - Postgres' own program
        (program, *arguments), capture_output=True, text=True, env=environment, check=False
    )
    if finished.returncode:
        # pg_restore names objects and rules, but no rows.
        reason = next(
            (line for line in finished.stderr.splitlines() if "error" in line), "it failed"
        )
        raise RestoreRefused(f"nothing was changed: {reason}")
    return finished.stdout

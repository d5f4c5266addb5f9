"""`leadline jobs`: operators' actions on many users or dead letters; list, follow, cancel."""

import time
from typing import Annotated, Any
from uuid import UUID

import typer

from leadline.cli.output import (
    Json,
    print_facts,
    print_json,
    print_line,
    print_note,
    print_table,
    progress_bar,
)
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.bulk import jobs

_COLUMNS = ("id", "kind", "caller", "created_at", "state", "done", "total", "changed", "outcome")
#: Polling interval of a job that another process carries out.
_POLL_S = 0.2

app = typer.Typer(no_args_is_help=True, help="Jobs on many users or dead letters.")

Id = Annotated[str, typer.Argument(help="Id as `list` shows it.")]


@app.command("list")
def show_list(*, json: Json = False) -> None:
    """List the newest jobs: progress, and for the last few their users' outcomes.

    Examples:
        leadline jobs list
        leadline jobs list --json
    """
    newest = jobs.newest()
    if json:
        print_json({"jobs": newest})
        return
    print_table(_COLUMNS, [[job.get(name) for name in _COLUMNS] for job in newest])


@app.command()
def show(job_id: Id, *, json: Json = False) -> None:
    """Show one job: progress, and its users' outcomes.

    Examples:
        leadline jobs show 019ac5e1-7f55-7b55-8d2e-3f0f9a4d2c11
    """
    job = jobs.find(_id(job_id))
    if json:
        print_json(job)
    else:
        print_facts((name, value) for name, value in job.items() if value not in (None, {}))


@app.command()
def cancel(job_id: Id, *, json: Json = False) -> None:
    """Cancel a running job; what is done stays done.

    Examples:
        leadline jobs cancel 019ac5e1-7f55-7b55-8d2e-3f0f9a4d2c11
    """
    with audit.recorded("cancel job", job=_id(job_id)) as record:
        job = jobs.cancel(_id(job_id))
        record["done"] = job["done"]
    if json:
        print_json(job)
    else:
        print_line(f"cancelled; done: {job['done']} of {job['total']}")


def follow(job: dict[str, Any]) -> dict[str, Any]:
    """Advance a job on users, together with the relay, until it ends; returns its final state.

    Ctrl-C ends only the following.
    """
    try:
        with progress_bar() as bar:
            task = bar.add_task(job["kind"], total=job["total"], completed=job["done"])
            while job["state"] == "running":
                if not jobs.advance(budget_s=_POLL_S):
                    time.sleep(_POLL_S)
                job = jobs.find(job["id"])
                bar.update(task, completed=job["done"])
    except KeyboardInterrupt:
        print_note(f"the job goes on; to end it: leadline jobs cancel {job['id']}")
        raise
    return job


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidRequest("a job's id is as `leadline jobs list` shows it") from None

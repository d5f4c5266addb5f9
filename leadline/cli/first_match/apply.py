"""`leadline apply`: write what a plan lists, and nothing else."""

from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_line, progress_bar
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.cli.terminal.failures import IdNotFound
from leadline.errors import InvalidRequest
from leadline.operations import audit
from leadline.operations.first_match import applying, plans
from leadline.operations.first_match.lines import APPLIED
from leadline.operations.first_match.plans import Plan
from leadline.runtime.telemetry import trace_context


def apply(
    plan_id: Annotated[
        int | None, typer.Argument(metavar="[PLAN]", min=1, help="The plan; else the newest.")
    ] = None,
    *,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Start no robots for new leads, where the portal can.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write what a plan lists, and nothing else.

    It compares each user of the plan with its lead again: what changed since is skipped and
    reported, with exit code 1. The others get an event, which the workers carry out within
    Bitrix24's limits: `leadline status` shows the progress. Ambiguous and foreign lines are left
    to an operator. With --quiet, new leads are imported (crm.item.batchImport), which starts no
    robots; where the portal refuses that, they are created as usual, and the workers' log says so.
    It asks first. When interrupted, the same command resumes.

    Examples:
        leadline apply
        leadline apply 3 --yes --json
        leadline apply --quiet
    """
    plan = _ready_plan(plan_id)
    remaining = dict.fromkeys(APPLIED, 0)
    for (kind, outcome), lines in plans.counts(plan).items():
        if kind in APPLIED and not outcome:
            remaining[kind] += lines
    if any(remaining.values()):
        what = ", ".join(f"{kind} {number}" for kind, number in remaining.items() if number)
        confirm(f"Apply plan {plan.id} ({what})?", yes=yes)
    trace_context.begin()
    entered = 0
    changed = list[int]()
    with audit.recorded("apply plan", plan=plan.id) as record, progress_bar() as bar:
        task = bar.add_task("users", total=sum(remaining.values()))
        for step in applying.steps(plan, quiet=quiet):
            entered += len(step.entered)
            changed += step.changed
            bar.update(task, advance=len(step.entered) + len(step.changed))
        # `asked`: the name of earlier releases.
        record.update(asked=entered, changed=len(changed))
    if json:
        print_json({"plan": plan.id, "entered": entered, "changed": changed})
    else:
        print_line(f"entered: {entered}")
        for user_id in changed:
            print_line(f"user {user_id} or its lead has changed since: skipped")
    if changed:
        raise typer.Exit(FINDINGS)


def _ready_plan(plan_id: int | None) -> Plan:
    plan = plans.find(plan_id)
    if plan is None and plan_id is not None:
        raise IdNotFound(f"there is no plan {plan_id}")
    if plan is None:
        raise InvalidRequest("there is no plan yet: `leadline plan` makes one")
    if not plan.is_ready:
        raise InvalidRequest(f"plan {plan.id} is not finished: run `leadline plan`")
    return plan

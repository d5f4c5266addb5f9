"""`leadline plan`: compare all users with all leads, and list what `apply` would write."""

from collections import Counter
from typing import Annotated, Any

import typer

from leadline.cli.output import (
    Json,
    print_facts,
    print_json,
    print_line,
    print_note,
    printable,
    progress_bar,
)
from leadline.cli.terminal.failures import IdNotFound
from leadline.operations.first_match import planning, plans
from leadline.operations.first_match.lines import APPLIED, KINDS
from leadline.operations.first_match.plans import Plan
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.users import snapshots

#: Exit code: done, and `apply` would write something.
WOULD_CHANGE = 2
#: A warning while calls may still be paused, so that the setting can be changed in time.
AMBIGUOUS_NOT_HELD = (
    "{} ambiguous: users of these that wait get their own lead once calls resume; to hold them"
    " for an operator, set LEADLINE_DUPLICATES=hold for the workers, and here"
)
#: Number of lines read at a time.
PAGE = 500


def plan(
    plan_id: Annotated[
        int | None, typer.Argument(metavar="[PLAN]", min=1, help="Show this plan again.")
    ] = None,
    *,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over, ignoring an unfinished plan.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare all users with all leads, and list what would be written.

    create: no lead · update: its lead differs · match: one open lead without origin has its phone
    or e-mail · ambiguous: several may be meant, or several users the same lead · foreign: its lead
    belongs to another installation, or a lead of ours to no user · linked: counted only, nothing to
    write. Exit code 2: `leadline apply` would write something.

    It writes nothing to Bitrix24, shares its limits with the workers and yields to them, and also
    reads while calls are paused. When interrupted, the same command resumes.

    Examples:
        leadline plan
        leadline plan --json > plan.jsonl
        leadline plan 3
    """
    trace_context.begin()
    current = _stored(plan_id) if plan_id else _make(restart=restart)
    counts = _print_lines(current, json=json)
    summary: dict[str, int] = {
        "plan": current.id,
        "leads": current.leads,
        "contacts": current.contacts,
        "linked": current.linked,
    }
    summary |= {kind: counts[kind] for kind in KINDS}
    if counts["ambiguous"] and "hold" not in settings().duplicates:
        print_note(AMBIGUOUS_NOT_HELD.format(counts["ambiguous"]))
    if json:
        print_json({"summary": summary})
    else:
        print_facts(summary.items())
    if any(counts[kind] for kind in APPLIED):
        if not json:
            print_note(f"apply it: leadline apply {current.id}")
        raise typer.Exit(WOULD_CHANGE)


def _stored(plan_id: int) -> Plan:
    stored = plans.find(plan_id)
    if stored is None or not stored.is_ready:
        raise IdNotFound(f"there is no finished plan {plan_id}")
    return stored


def _make(*, restart: bool) -> Plan:
    """Make a plan, or finish the one that was interrupted."""
    newest = None if restart else plans.find()
    if newest is None or newest.is_ready:
        current = plans.begin()
    else:
        current = newest
        print_note(f"continuing plan {current.id}; --restart starts over")
    with progress_bar() as bar:
        leads = bar.add_task("leads", total=None, completed=current.leads)
        users = bar.add_task("users", total=snapshots.count())
        for step in planning.steps(current):
            current = step
            bar.update(leads, completed=current.leads)
            if current.reading == "users":
                bar.update(users, completed=sum(plans.counts(current).values()) + current.linked)
    return current


def _print_lines(current: Plan, *, json: bool) -> Counter[str]:
    """Print the lines of a plan; returns the number of each kind."""
    counts: Counter[str] = Counter()
    after = 0
    while lines := plans.lines(current, PAGE, after):
        for line in lines:
            counts[line["kind"]] += 1
            print_json(_as_json(line)) if json else print_line(_as_text(line))
        after = lines[-1]["number"]
    return counts


def _as_json(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "number"}


def _as_text(line: dict[str, Any]) -> str:
    user = f"user {line['user_id']}" if line["user_id"] else "no user"
    leads = ", ".join(map(str, line["lead_ids"]))
    contacts = ", ".join(map(str, line["contact_ids"]))
    changes = "; ".join(
        f"{name}: {printable(lead_value)} -> {printable(user_value)}"
        for name, (lead_value, user_value) in (line["changes"] or {}).items()
    )
    parts = [
        f"{line['kind']:<9} {user:<12}",
        f"lead {leads}" if leads else "",
        f"contact {contacts}" if contacts else "",
        changes,
        {"entered": "applied", "changed": "skipped, it changed"}.get(line["outcome"] or "", ""),
    ]
    return "  ".join(part for part in parts if part)

"""`leadline reconcile`: compare every user with its lead, and repair differences."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from leadline.cli.files.checkpoint import Checkpoint
from leadline.cli.output import (
    FINDINGS,
    Json,
    print_facts,
    print_json,
    print_line,
    print_note,
    progress_bar,
)
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.operations import audit
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.sync.reconcile import scan
from leadline.sync.reconcile.compare import DRIFT, Finding
from leadline.sync.reconcile.scan import Part, Position
from leadline.users import snapshots

#: Kinds that are only counted.
_NOT_LISTED = frozenset({"ok", "waiting"})


class _Reconciliation:
    """One run, which may continue an interrupted one."""

    def __init__(self, checkpoint: Checkpoint, *, repair: bool, stages: bool, json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.position = Position()
        self._checkpoint = checkpoint
        self._repair = repair
        self._stages = stages
        self._json = json

    def resume(self) -> None:
        """Continue from the checkpoint of an interrupted run, if there is one."""
        stored = self._checkpoint.read()
        if stored is None or stored.get("portal") != settings().portal:
            return
        self.position = Position(stored["walk"], stored["after"])
        self.counts.update(stored["counts"])
        entity = "user" if self.position.walk == "users" else "lead"
        print_note(
            f"continuing after {entity} {self.position.after};"
            f" --restart starts over ({self._checkpoint.path})"
        )

    def handle(self, part: Part) -> None:
        """Report the findings of a part, request repairs and store the checkpoint."""
        for finding in part.findings:
            self.counts[finding.kind] += 1
            if finding.kind not in _NOT_LISTED:
                self._report(finding)
        if self._repair:
            # Named as in the summary of earlier releases.
            self.counts["asked_again"] += len(resync_events.request(self._repairs(part)))
        self.position = part.next
        self._checkpoint.store(
            {
                "portal": settings().portal,
                **asdict(self.position),
                "counts": dict(self.counts),
            }
        )

    def _repairs(self, part: Part) -> Iterator[ResyncRequest]:
        for finding in part.findings:
            overwrites_stage = self._stages and finding.is_moved
            if finding.user_id and (finding.is_repairable or overwrites_stage):
                with_stage = "stage" in finding.fields or overwrites_stage
                yield ResyncRequest(finding.user_id, finding.version, with_stage=with_stage)

    def _report(self, finding: Finding) -> None:
        if self._json:
            print_json(_as_dict(finding))
            return
        user = f"user {finding.user_id}" if finding.user_id else "no user"
        leads = ", ".join(map(str, finding.lead_ids)) or "none"
        fields = f"  differs: {', '.join(finding.fields)}" if finding.fields else ""
        moved = "  stage set in the CRM" if finding.is_moved else ""
        print_line(f"{finding.kind:<9} {user:<12} lead {leads}{fields}{moved}")


def reconcile(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Create missing leads and write what differs.")
    ] = False,
    stages: Annotated[
        bool, typer.Option("--stages", help="With --repair, also overwrite stages set in the CRM.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over, ignoring the checkpoint.")
    ] = False,
    bookmark: Annotated[Path | None, typer.Option(help="Checkpoint file of this run.")] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Compare all users with all leads.

    missing: no lead · doubled: several leads · unlinked: the user has another lead id, or none ·
    drifted: another name or phone, or a stage that a failed write could not set · moved: another
    stage, set in the CRM · foreign: a lead of no user · waiting: a write is in progress. Exit code
    1: something differs (moved does not count).

    It shares Bitrix24's limits with the workers and yields to them. When interrupted, the same
    command resumes. A repair is an event that makes the worker read the lead and write what
    differs; doubled and foreign leads are only reported. --repair asks first.

    Examples:
        leadline reconcile
        leadline reconcile --json > differences.jsonl
        leadline reconcile --repair
    """
    if repair:
        moved = " and overwrite stages set in the CRM" if stages else ""
        confirm(f"Create missing leads, write what differs{moved}, for all users?", yes=yes)
    checkpoint = Checkpoint.locate("reconcile", bookmark)
    run = _Reconciliation(checkpoint, repair=repair, stages=stages, json=json)
    if restart:
        checkpoint.delete()
    run.resume()
    trace_context.begin()
    with ExitStack() as stack:
        if repair:
            record = stack.enter_context(audit.recorded("repair leads", stages=stages))
            # Recorded also if the run is interrupted.
            stack.callback(lambda: record.update(asked=run.counts["asked_again"]))
        _scan(run, stack.enter_context(progress_bar()))
    checkpoint.delete()
    _print_summary(run.counts, json=json)
    if any(run.counts[kind] for kind in DRIFT):
        raise typer.Exit(FINDINGS)


def _scan(run: _Reconciliation, bar: Progress) -> None:
    users = bar.add_task("users", total=snapshots.count(), completed=_seen_users(run.counts))
    leads = bar.add_task("leads", total=None, visible=run.position.walk == "leads")
    for part in scan.parts(run.position):
        bar.update(users if run.position.walk == "users" else leads, advance=part.seen)
        run.handle(part)
        bar.update(leads, visible=run.position.walk != "users")


def _seen_users(counts: Counter[str]) -> int:
    """How many users were compared: all that was counted, but foreign leads and repairs."""
    return sum(counts.values()) - counts["foreign"] - counts["asked_again"]


def _print_summary(counts: Counter[str], *, json: bool) -> None:
    kinds = ("ok", "waiting", "moved", *sorted(DRIFT), "asked_again")
    summary = {kind: counts[kind] for kind in kinds}
    if json:
        print_json({"summary": summary})
        return
    summary["resynced"] = summary.pop("asked_again")
    print_facts(summary.items())


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "user_id": finding.user_id,
        "lead_ids": finding.lead_ids,
        "fields": finding.fields,
        "moved": finding.is_moved,
    }

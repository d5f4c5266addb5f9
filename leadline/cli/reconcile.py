"""`leadline reconcile`: is every user in the CRM, once, and as it should be?"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from leadline.cli.files.checkpoint import Bookmark
from leadline.cli.output import FOUND, Json, as_json, facts, note, progress, say
from leadline.ledger import resync
from leadline.ledger.resync import ResyncRequest
from leadline.operations import audit
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.sync.reconcile import scan as walks
from leadline.sync.reconcile.compare import DIFFERENCES, Finding
from leadline.sync.reconcile.scan import Part, Position
from leadline.users import snapshots

#: Not worth a line each.
_QUIET = frozenset({"ok", "waiting"})


class _Run:
    """One run, perhaps begun by an earlier process."""

    def __init__(self, bookmark: Bookmark, *, repair: bool, stages: bool, json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.position = Position()
        self._bookmark = bookmark
        self._repair = repair
        self._stages = stages
        self._json = json

    def resume(self) -> None:
        """Go on where an earlier run was broken off."""
        before = self._bookmark.read()
        if before is None or before.get("portal") != settings().portal:
            return
        self.position = Position(before["walk"], before["after"])
        self.counts.update(before["counts"])
        note(
            f"continuing after {self.position.walk[:-1]} {self.position.after};"
            f" --restart begins anew ({self._bookmark.path})"
        )

    def take(self, part: Part) -> None:
        """Report a part, have it repaired, and remember that it is done."""
        for finding in part.findings:
            self.counts[finding.kind] += 1
            if finding.kind not in _QUIET:
                self._tell(finding)
        if self._repair:
            self.counts["asked_again"] += len(resync.request(self._repairs(part)))
        self.position = part.next
        self._bookmark.keep(
            {
                "portal": settings().portal,
                **asdict(self.position),
                "counts": dict(self.counts),
            }
        )

    def _repairs(self, part: Part) -> list[ResyncRequest]:
        return [
            ResyncRequest(
                one.user_id,
                one.version,
                with_stage="stage" in one.fields or (self._stages and one.is_moved),
            )
            for one in part.findings
            if one.user_id and (one.is_repairable or (self._stages and one.is_moved))
        ]

    def _tell(self, finding: Finding) -> None:
        if self._json:
            as_json(_as_dict(finding))
            return
        whose = f"user {finding.user_id}" if finding.user_id else "no user"
        leads = ", ".join(map(str, finding.lead_ids)) or "none"
        fields = f"  differs: {', '.join(finding.fields)}" if finding.fields else ""
        moved = "  stage set in the CRM" if finding.is_moved else ""
        say(f"{finding.kind:<9} {whose:<12} lead {leads}{fields}{moved}")


def reconcile(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write what is missing or differs once more.")
    ] = False,
    stages: Annotated[
        bool, typer.Option("--stages", help="Repair stages that were set in the CRM, too.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget how far an earlier run has come.")
    ] = False,
    bookmark: Annotated[
        Path | None, typer.Option(help="File that remembers how far this run has come.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare every user with its lead, and every lead of ours with its user.

    missing: no lead · doubled: several leads · unlinked: a lead that the ledger does not name ·
    drifted: another name or phone · moved: another stage, set in the CRM · foreign: a lead of no
    user · waiting: being written right now. Exit code 1: something differs (moved does not count).

    It shares Bitrix24's limits with the workers and lets them go first. Interrupted, it goes on
    where it was. A repair is a new event that has the worker look at the lead and write what
    differs; doubled and foreign leads are only reported.
    """
    mark = Bookmark.of("reconcile", bookmark)
    run = _Run(mark, repair=repair, stages=stages, json=json)
    if restart:
        mark.forget()
    run.resume()
    trace_context.begin()
    with ExitStack() as stack:
        if repair:
            done = stack.enter_context(audit.recorded("repair leads", stages=stages))
            stack.callback(lambda: done.update(asked=run.counts["asked_again"]))
        _walk(run, stack.enter_context(progress()))
    mark.forget()
    _sum_up(run.counts, json=json)
    if any(run.counts[kind] for kind in DIFFERENCES):
        raise typer.Exit(FOUND)


def _walk(run: _Run, bar: Progress) -> None:
    users = bar.add_task("users", total=snapshots.count(), completed=_seen_users(run.counts))
    leads = bar.add_task("leads", total=None, visible=run.position.walk == "leads")
    for part in walks.parts(run.position):
        bar.update(users if run.position.walk == "users" else leads, advance=part.seen)
        run.take(part)
        bar.update(leads, visible=run.position.walk != "users")


def _seen_users(counts: Counter[str]) -> int:
    return sum(counts.values()) - counts["foreign"] - counts["asked_again"]


def _sum_up(counts: Counter[str], *, json: bool) -> None:
    kinds = ("ok", "waiting", "moved", *sorted(DIFFERENCES), "asked_again")
    summary = {kind: counts[kind] for kind in kinds}
    as_json({"summary": summary}) if json else facts(summary.items())


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "user_id": finding.user_id,
        "lead_ids": finding.lead_ids,
        "fields": finding.fields,
        "moved": finding.is_moved,
    }

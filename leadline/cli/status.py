"""`leadline status`: the verdict, attention lines with commands, and the state of each part."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from leadline.cli.output import FINDINGS, Json, print_facts, print_json, print_line
from leadline.cli.terminal.failures import UNAVAILABLE
from leadline.cli.terminal.times import span
from leadline.ledger.throughput import throughput
from leadline.messages import topology
from leadline.operations import verdict
from leadline.operations.forecast import blocked_s, forecast
from leadline.operations.health import is_relay_late
from leadline.operations.status import (
    budget,
    findings,
    history,
    ledger,
    or_error,
    portal,
    queues,
    results,
    work,
)
from leadline.workqueue.worker_heartbeats import SILENT_S

#: The names in the text output of JSON keys that keep an earlier name.
_LABELS = {"users_due": "ready", "users_delayed": "delayed", "users_in_a_call": "in_flight"}
#: Ages and spans; a clock that differs must not make them negative.
_AGES = ("oldest_s", "overdue_s", "next_call_in_s", "worker_seen_s_ago")
#: Results that wait for longer need attention; the same as in the alert LeadlineResultsLate.
LATE_S = 3600
#: Findings that need an operator and have no figure of their own below, each with a command.
_COMMANDS = {
    "no_connector": "leadline doctor",
    "field_map_defect": "leadline doctor",
    "field_misfit": "leadline mapping check",
    "results_refused": "leadline results list",
}
#: Moves the cursor to the top, and clears the terminal and its scrollback.
_CLEAR = "\033[H\033[2J\033[3J"

Snapshot = dict[str, dict[str, Any]]


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat until Ctrl-C.")] = False,
    every: Annotated[
        float,
        typer.Option(min=1, max=3600, metavar="SECONDS", help="With --watch: seconds between."),
    ] = 2.0,
    json: Json = False,
) -> None:
    """Show whether everything is in sync.

    The verdict, users by state, the oldest open event, queues, workers, whether calls are paused,
    and how long the backlog takes. Lines `attention` name what needs an operator, with a command.
    Exit code 1: there is something; 3: a server can't be reached. --watch ends by Ctrl-C (130);
    with --json it prints a line of JSON each time.

    Examples:
        leadline status
        leadline status --watch --every 5
        leadline status --json | jq .ledger.failed
    """
    while True:
        code = _print(_snapshot(), is_watch=watch, json=json)
        if not watch:
            raise typer.Exit(code)
        time.sleep(every)


def _print(snapshot: Snapshot, *, is_watch: bool, json: bool) -> int:
    """Print the status; returns the exit code."""
    current = findings(snapshot)
    attention = [*_attention(snapshot), *_findings_attention(current)]
    if json:
        timestamp = {"at": datetime.now(UTC)} if is_watch else {}
        print_json(
            {**timestamp, "verdict": verdict.as_json(current), **snapshot, "attention": attention}
        )
    else:
        if is_watch and sys.stdout.isatty():
            sys.stdout.write(_CLEAR)
        head_lines = [
            ("verdict", verdict.as_text(current[0])),
            *(("attention", text) for text in attention),
        ]
        print_facts([*head_lines, *_flat(snapshot)])
        if is_watch:
            print_line(f"at {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}, until Ctrl-C\n")
    if any("error" in part for part in snapshot.values()):
        return UNAVAILABLE
    return FINDINGS if attention else 0


def _snapshot() -> Snapshot:
    parts = {
        "ledger": ledger,
        "history": history,
        "queues": queues,
        "work": work,
        "portal": portal,
        "results": results,
    }
    snapshot = {name: or_error(load) for name, load in parts.items()}
    if "error" not in snapshot["ledger"]:
        snapshot["forecast"] = or_error(
            lambda: _forecast(snapshot["ledger"]["waiting"] - snapshot["ledger"]["held"])
        )
    for part in snapshot.values():
        part.update({name: max(0.0, part[name]) for name in _AGES if part.get(name) is not None})
    return snapshot


def _forecast(waiting: int) -> dict[str, Any]:
    blocked = blocked_s(or_error(budget), datetime.now(UTC))
    return forecast(waiting, throughput(), blocked).as_json()


def _forecast_line(estimate: dict[str, Any]) -> str:
    """The forecast as a sentence; a range, since rates change."""
    settled, accepted = estimate["settled_per_min"], estimate["accepted_per_min"]
    rates = f"{settled:g} settled and {accepted:g} accepted a minute"
    empty = f"empty in {span(estimate['low_s'] or 0)} to {span(estimate['high_s'] or 0)}"
    return {
        "empty": "nothing waits",
        "stalled": "unknown: nothing was settled within ten minutes",
        "growing": f"the backlog grows: {rates}; without new writes {empty}",
        "range": f"{empty}, if no more is accepted: {rates}",
    }[estimate["outlook"]]


def _attention(snapshot: Snapshot) -> Iterator[str]:
    """Problems that need an operator, each with a command."""
    ledger, work, portal = (snapshot[name] for name in ("ledger", "work", "portal"))
    if portal.get("paused"):
        yield _pause(portal)
    if portal.get("reachable") is False:
        kind, reason = portal["unreachable_kind"], portal["unreachable_reason"]
        yield f"Bitrix24 is unreachable, {kind}: {reason}; leadline portal check"
    if "error" not in work:
        yield from _workers_attention(work["worker_seen_s_ago"])
    if is_relay_late(ledger.get("overdue_s")):
        yield f"the relay is late by {span(ledger['overdue_s'])}; leadline doctor"
    yield from _users_attention(ledger)
    dead = (topology.dead_letter_name(name) for name in (topology.REQUESTS, topology.REPLIES))
    if letters := sum(snapshot["queues"].get(name) or 0 for name in dead):
        yield f"{_counted(letters, 'dead letter')}; leadline dead-letters list"
    if given_up := snapshot["results"].get("given_up"):
        yield f"{_counted(given_up, 'result')} given up within a day; leadline results list"
    if (late_s := snapshot["results"].get("oldest_s", 0)) > LATE_S:
        yield f"results have waited for {span(late_s)}; leadline results list"


def _workers_attention(silence_s: float | None) -> Iterator[str]:
    if silence_s is None:
        yield "no worker has reported within the last hour: nothing is called; leadline doctor"
    elif silence_s > SILENT_S:
        yield f"no worker has reported for {span(silence_s)}: nothing is called; leadline doctor"


def _users_attention(ledger: dict[str, Any]) -> Iterator[str]:
    if held := ledger.get("held", 0):
        yield f"{_counted(held, 'user')} held for an operator; leadline held"
    if failed := ledger.get("failed", 0):
        yield f"{_counted(failed, 'user')} failed; leadline failed --group"


def _findings_attention(current: list[verdict.Finding]) -> Iterator[str]:
    for finding in current:
        if command := _COMMANDS.get(finding.code):
            yield f"{finding.sentence.removesuffix('.')}; {command}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _pause(portal: dict[str, Any]) -> str:
    if not portal["by_operator"]:
        return f"Bitrix24 rejects all calls: {portal['reason']}; leadline portal check"
    reason = f": {portal['reason']}" if portal["reason"] else ""
    by = portal.get("by") or "an operator"
    return f"calls are paused by {by}{reason}; leadline audit --orders, leadline portal resume"


def _flat(snapshot: Snapshot) -> list[tuple[str, Any]]:
    """Lines of all parts; delay queues only while something waits in them."""
    estimate = snapshot.get("forecast", {})
    head_lines: list[tuple[str, Any]] = []
    if "outlook" in estimate:
        is_paused = snapshot["portal"].get("paused")
        line = "unknown while calls are paused" if is_paused else _forecast_line(estimate)
        head_lines = [("forecast", line)]
    lines = []
    for part, values in snapshot.items():
        if part == "forecast" and head_lines:
            continue
        for name, value in values.items():
            is_empty_delay_queue = ".delay." in name and not value
            # Endpoints that refuse results have an attention line.
            if name != "refusing" and not is_empty_delay_queue:
                lines.append((f"{part}: {_LABELS.get(name, name)}", value))
    return head_lines + lines

"""`leadline show`: a user, why it is not in the CRM, and its last events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from leadline.cli.output import (
    Json,
    print_facts,
    print_json,
    print_line,
    print_note,
    print_table,
    printable,
)
from leadline.operations import audit, timeline, verdict
from leadline.operations.diagnosis.why import Why
from leadline.operations.status import findings
from leadline.users.model import UserId

_COLUMNS = (
    *("version", "action", "occurred_at", "published_at", "settled_at"),
    *("state", "attempts", "reason", "caller"),
)
#: What an operator can run, by the reason of the state.
_COMMANDS = {
    "whyTransient": "leadline resync {id}",
    "whyPermanent": "leadline resync {id}",
    "whyPaused": "leadline status; leadline portal resume",
    "whyHeld": "leadline held {id} --link LEAD, or --create",
    "whyUnpublished": "leadline doctor",
    "whyUnreceived": "leadline doctor; leadline dead-letters list",
}


def show(
    user_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The user's id.")],
    *,
    calls: Annotated[
        bool, typer.Option("--calls", help="Also what was sent to Bitrix24, and its answers.")
    ] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="As --calls, with names and phones; it is audited.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a user, and why it is not in the CRM.

    The reason is the console's, with the command that helps, and what holds up every user, if
    something does; below are the user's last events.
    Names and phones in requests and answers are masked unless you --reveal them, which is entered
    in the audit trail. Exit code 1: no user has this id.

    Examples:
        leadline show 4300
        leadline show 4300 --calls
        leadline show 4300 --json
    """
    user = timeline.read(UserId(user_id))
    if reveal:
        _reveal(user)
    if json:
        print_json(user)
        return
    sync = user["sync"]
    print_facts([*_own_facts(user), *_sync_facts(sync), *_reason(user), *_system(sync)])
    print_line("")
    print_table(_COLUMNS, [[_cell(event, name) for name in _COLUMNS] for event in sync["events"]])
    if calls or reveal:
        for event in sync["events"]:
            _print_calls(event)
    if user["error"]:
        print_note(f"the work queue is not shown: {user['error']}")


def _reveal(user: dict[str, Any]) -> None:
    """Replace the user's masked calls by unmasked ones, and record that in the audit trail."""
    user_id = UserId(user["id"])
    with audit.recorded("read what was sent", user_ids=[user_id]) as record:
        calls_by_event = {
            event["event_id"]: event["calls"] for event in timeline.last_calls(user_id)
        }
        record["events"] = len(calls_by_event)
    for event in user["sync"]["events"]:
        event["calls"] = calls_by_event.get(event["event_id"], [])


def _print_calls(event: Mapping[str, Any]) -> None:
    for call in event["calls"]:
        sent_at = datetime.fromtimestamp(call["at_ms"] / 1000, UTC)
        status = f"HTTP {call['status']}" if call["status"] else "no answer"
        print_line("")
        print_line(
            f"version {event['version']}  {printable(sent_at)}  {printable(call['method'])}"
            f"  {status}  {call['ms']} ms  {printable(event['correlation_id'])}"
        )
        for name in ("params", "answer", "error"):
            if name in call:
                print_line(f"  {name}: {printable(call[name])}")


def _own_facts(user: Mapping[str, Any]) -> list[tuple[str, object]]:
    names = [name for name in user if name not in {"sync", "why", "error"}]
    return [(name, _local(user[name]) if name.endswith("_at") else user[name]) for name in names]


def _local(moment: str | None) -> datetime | None:
    """A time of the user's JSON, to be printed in local time."""
    return datetime.fromisoformat(moment) if moment else None


def _sync_facts(sync: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The outcome of the last write; when it is retried, the sentence of `_reason` says."""
    names = ("status", "reason", "attempts", "bitrix_lead_id", "version")
    return [(name, sync[name]) for name in names if sync[name] is not None]


def _reason(user: Mapping[str, Any]) -> list[tuple[str, object]]:
    why = Why(**user["why"])
    facts: list[tuple[str, object]] = [("why", why.sentence(printable))]
    if command := _COMMANDS.get(why.code):
        facts.append(("next", command.format(id=user["id"])))
    return facts


def _system(sync: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The system's most important problem, if this user waits and there is one."""
    if sync["status"] != "waiting":
        return []
    worst = findings({})[0]
    return [] if worst.state == "healthy" else [("system", verdict.as_text(worst))]


def _cell(event: Mapping[str, Any], name: str) -> object:
    # A resync is stored as an update that changes no field: `changed` begins with `look`.
    is_resync = name == "action" and event["changed"].startswith("look")
    return "resync" if is_resync else event[name]

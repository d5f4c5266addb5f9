"""`leadline dead-found_letters`: what could not be served, why, and what shall become of it."""

import sys
from typing import Annotated

import orjson
import typer

from leadline.cli.output import FOUND, Json, as_json, complain, facts, note, printable, say, table
from leadline.connector.dead_letters import Decision
from leadline.connector.queue_depths import depths
from leadline.errors import InvalidRequest
from leadline.messages import topology
from leadline.operations import audit
from leadline.operations.dead_letters import Selection, apply, collect, content, summary, url

LIST_MAX = 1000
#: So many ids stand in the audit trail.
NAMED_MAX = 200

app = typer.Typer(no_args_is_help=True, help="Messages that could not be served, and why.")

Queue = Annotated[str, typer.Option(help="Only the dead found_letters of this queue.")]
Reason = Annotated[str, typer.Option(help="Only those whose reason contains this.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def show_list(
    *,
    queue: Queue = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each queue.")] = LIST_MAX,
    json: Json = False,
) -> None:
    """List dead found_letters, the oldest of each queue first. They stay where they are."""
    selection = Selection(frozenset(), queue, reason)
    names = [topology.dead_letter_name(name) for name in selection.queues()]
    there = depths(url(), names).values()
    found = collect(selection, summary, limit)
    unseen = sum(max(0, one.messages - limit) for one in there if one)
    if json:
        as_json({"dead_letters": found, "not_looked_at": unseen})
        return
    columns = ("id", "queue", "died_at", "attempts", "bytes", "message_id", "reason")
    table(columns, [[letter[name] for name in columns] for letter in found])
    if unseen:
        note(f"{unseen} more were not looked at: see --limit")


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(help="Id as `list` shows it.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="The body alone, byte by byte.")] = False,
    json: Json = False,
) -> None:
    """Show one dead letter in full: its envelope and its body."""
    found_letters = collect(Selection(frozenset({letter_id})), lambda letter: letter)
    if not found_letters:
        raise InvalidRequest(f"there is no dead letter {letter_id}")
    if raw:
        sys.stdout.buffer.write(found_letters[0].body)
        return
    whole = summary(found_letters[0]) | content(found_letters[0])
    if json:
        as_json(whole)
        return
    body = whole.pop("body")
    facts((name, value) for name, value in whole.items() if value not in (None, {}))
    say("")
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() if body else "(empty)"
    for line in text.split("\n"):
        say(printable(line))


@app.command()
def replay(
    ids: Ids = None,
    *,
    everything: All = False,
    queue: Queue = "",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Send found_letters back to the queue where they died, with attempts counted anew.

    Safe to repeat: what was served already is recognised.
    """
    selection = _chosen(ids, queue, reason, everything=everything)
    _carry_out(selection, Decision.REPLAY, "replayed", json=json)


@app.command()
def discard(
    ids: Ids = None,
    *,
    everything: All = False,
    queue: Queue = "",
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Throw found_letters away, for ever."""
    selection = _chosen(ids, queue, reason, everything=everything)
    if not yes:
        # Only what was counted when the question was asked.
        selection = Selection(frozenset(collect(selection, lambda letter: letter.id)), queue)
        if not selection.ids:
            raise InvalidRequest("there is no such dead letter")
        typer.confirm(
            f"Discard {len(selection.ids)} dead found_letters for ever?", abort=True, err=True
        )
    _carry_out(selection, Decision.DISCARD, "discarded", json=json)


def _carry_out(selection: Selection, decision: Decision, done: str, *, json: bool) -> None:
    about = {"found_letters": sorted(selection.ids)[:NAMED_MAX], "queue": selection.queue}
    with audit.recorded(f"{decision.value} dead found_letters", **about) as record:
        number, missing = apply(selection, decision)
        record["done"] = number
    as_json({done: number, "not_found": missing}) if json else say(f"{done}: {number}")
    if missing:
        complain(f"not found: {', '.join(missing)}")
        raise typer.Exit(FOUND)


def _chosen(ids: list[str] | None, queue: str, reason: str, *, everything: bool) -> Selection:
    if bool(ids) == bool(everything or reason):
        raise InvalidRequest("name ids, or --reason TEXT, or --all")
    return Selection(frozenset(ids or ()), queue, reason)

"""`leadline dead-letters`: messages that failed, why, and replaying or discarding them."""

import sys
from typing import Annotated

import orjson
import typer

from leadline.cli.output import (
    FINDINGS,
    Json,
    print_error,
    print_facts,
    print_json,
    print_line,
    print_note,
    print_table,
    printable,
)
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.cli.terminal.failures import IdNotFound
from leadline.connector.dead_letters import Decision
from leadline.connector.queue_depths import depths
from leadline.errors import InvalidRequest
from leadline.messages import topology
from leadline.operations import audit
from leadline.operations.dead_letters import Selection, amqp_url, apply, collect, content, summary

#: By default, `list` reads this many messages of each queue.
LIST_MAX = 1000
#: Maximum number of ids in an entry of the audit trail.
AUDITED_IDS_MAX = 200

app = typer.Typer(no_args_is_help=True, help="Messages that failed, with the reason.")

Queue = Annotated[str, typer.Option(help="Only the dead letters of this queue.")]
Reason = Annotated[str, typer.Option(help="Only dead letters whose reason contains this.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def show_list(
    *,
    queue: Queue = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(min=1, help="Messages to read from each queue.")] = LIST_MAX,
    json: Json = False,
) -> None:
    """List dead letters, oldest of each queue first. They stay until you replay or discard them.

    Examples:
        leadline dead-letters list
        leadline dead-letters list --queue bitrix_queue --reason 422 --json
    """
    selection = Selection(frozenset(), queue, reason)
    names = [topology.dead_letter_name(name) for name in selection.queues()]
    queue_depths = depths(amqp_url(), names).values()
    letters = collect(selection, summary, limit)
    unread = sum(max(0, depth.messages - limit) for depth in queue_depths if depth)
    if json:
        print_json({"dead_letters": letters, "not_looked_at": unread})
        return
    columns = ("id", "queue", "died_at", "attempts", "bytes", "message_id", "reason")
    print_table(columns, [[letter[name] for name in columns] for letter in letters])
    if unread:
        print_note(f"{unread} more were not read: see --limit")


@app.command()
def show(
    dead_letter_id: Annotated[str, typer.Argument(help="Id as `list` shows it.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Only the body, byte for byte.")] = False,
    json: Json = False,
) -> None:
    """Show one dead letter in full: envelope and body.

    Examples:
        leadline dead-letters show cee1663500a4
        leadline dead-letters show cee1663500a4 --raw > body
    """
    letters = collect(Selection(frozenset({dead_letter_id})), lambda dead_letter: dead_letter)
    if not letters:
        raise IdNotFound(f"there is no dead letter {dead_letter_id}")
    if raw:
        sys.stdout.buffer.write(letters[0].body)
        return
    fields = summary(letters[0]) | content(letters[0])
    if json:
        print_json(fields)
        return
    body = fields.pop("body")
    print_facts((name, value) for name, value in fields.items() if value not in (None, {}))
    print_line("")
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() if body else "(empty)"
    for line in text.split("\n"):
        print_line(printable(line))


@app.command()
def replay(
    ids: Ids = None,
    *,
    everything: All = False,
    queue: Queue = "",
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Return dead letters to the queue where they died, with delivery attempts reset.

    Safe to repeat: messages that were processed already are recognised. It asks before it replays
    more than those that you name.

    Examples:
        leadline dead-letters replay cee1663500a4
        leadline dead-letters replay --reason 503
        leadline dead-letters replay --all --yes
    """
    selection = _selection(ids, queue, reason, everything=everything)
    if not ids and not yes:
        selection = _confirmed(selection, "Replay {} dead letters?")
    if ids or yes or selection.ids:
        _apply(selection, Decision.REPLAY, "replayed", json=json)
    else:
        _print_done(0, [], "replayed", json=json)  # no dead letter was selected


@app.command()
def discard(
    ids: Ids = None,
    *,
    everything: All = False,
    queue: Queue = "",
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete dead letters permanently. It asks first.

    Examples:
        leadline dead-letters discard cee1663500a4
        leadline dead-letters discard --reason "422 missing" --yes
    """
    selection = _selection(ids, queue, reason, everything=everything)
    if not yes:
        selection = _confirmed(selection, "Discard {} dead letters permanently?")
        if not selection.ids:
            _report(0, sorted(ids or ()), "discarded", json=json)
            return
    _apply(selection, Decision.DISCARD, "discarded", json=json)


def _confirmed(selection: Selection, question: str) -> Selection:
    """Ask about the selected dead letters; returns exactly those that the question counted.

    Raises:
        NotConfirmed: see `confirm`.
    """
    ids = frozenset(collect(selection, lambda dead_letter: dead_letter.id))
    if ids:
        confirm(question.format(len(ids)), yes=False)
    return Selection(ids, selection.queue)


def _apply(selection: Selection, decision: Decision, participle: str, *, json: bool) -> None:
    details = {"letters": sorted(selection.ids)[:AUDITED_IDS_MAX], "queue": selection.queue}
    with audit.recorded(f"{decision.value} dead letters", **details) as record:
        number, not_found = apply(selection, decision)
        record["done"] = number
    _report(number, not_found, participle, json=json)


def _report(number: int, not_found: list[str], participle: str, *, json: bool) -> None:
    """Print what was done, and which ids were not found."""
    _print_done(number, not_found, participle, json=json)
    if not_found:
        print_error(f"not found: {', '.join(not_found)}")
        raise typer.Exit(FINDINGS)


def _print_done(number: int, not_found: list[str], participle: str, *, json: bool) -> None:
    if json:
        print_json({participle: number, "not_found": not_found})
    else:
        print_line(f"{participle}: {number}")


def _selection(ids: list[str] | None, queue: str, reason: str, *, everything: bool) -> Selection:
    if bool(ids) == bool(everything or reason):
        raise InvalidRequest("name ids, or --reason TEXT, or --all")
    return Selection(frozenset(ids or ()), queue, reason)

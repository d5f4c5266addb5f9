"""`leadline dead-letters`: what could not be served, why, and what shall become of it."""

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
import typer

from leadline.messages import topology
from leadline.messages.dead_letters import Decision, Letter, walk, work_queues
from leadline.messages.depths import depths
from leadline.operate.output import FOUND, Json, as_json, complain, facts, note, say, table
from leadline.runtime import secrets
from leadline.runtime.errors import InvalidRequest

LIST_MAX = 1000
Read = TypeVar("Read")

app = typer.Typer(no_args_is_help=True, help="Messages that could not be served, and why.")

Queue = Annotated[str, typer.Option(help="Only the dead letters of this queue.")]
Reason = Annotated[str, typer.Option(help="Only those whose reason contains this.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant."""

    ids: frozenset[str]
    queue: str = ""
    reason: str = ""

    def has(self, letter: Letter) -> bool:
        """Whether this one is meant."""
        return (not self.ids or letter.id in self.ids) and self.reason in letter.reason

    def queues(self) -> tuple[str, ...]:
        """Where to look."""
        known = work_queues()
        if self.queue and self.queue not in known:
            raise InvalidRequest(f"--queue is one of {', '.join(known)}")
        return (self.queue,) if self.queue else known


@app.command("list")
def show_list(
    *,
    queue: Queue = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each queue.")] = LIST_MAX,
    json: Json = False,
) -> None:
    """List dead letters, the oldest of each queue first. They stay where they are."""
    choice = Choice(frozenset(), queue, reason)
    graves = [topology.dead_letters(name) for name in choice.queues()]
    there = depths(_url(), graves).values()
    found = _look(choice, _summary, limit)
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
    letters = _look(Choice(frozenset({letter_id})), lambda letter: letter)
    if not letters:
        raise InvalidRequest(f"there is no dead letter {letter_id}")
    if raw:
        sys.stdout.buffer.write(letters[0].body)
        return
    whole = _summary(letters[0]) | _content(letters[0])
    if json:
        as_json(whole)
        return
    body = whole.pop("body")
    facts((name, value) for name, value in whole.items() if value not in (None, {}))
    say("")
    say(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() if body else "(empty)")


@app.command()
def replay(
    ids: Ids = None,
    *,
    everything: All = False,
    queue: Queue = "",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Send letters back to the queue where they died, with attempts counted anew.

    Safe to repeat: what was served already is recognised.
    """
    choice = _chosen(ids, queue, reason, everything=everything)
    _carry_out(choice, Decision.REPLAY, "replayed", json=json)


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
    """Throw letters away, for ever."""
    choice = _chosen(ids, queue, reason, everything=everything)
    if not yes:
        # Only what was counted when the question was asked.
        choice = Choice(frozenset(_look(choice, lambda letter: letter.id)), queue)
        if not choice.ids:
            raise InvalidRequest("there is no such dead letter")
        typer.confirm(f"Discard {len(choice.ids)} dead letters for ever?", abort=True, err=True)
    _carry_out(choice, Decision.DISCARD, "discarded", json=json)


def _carry_out(choice: Choice, decision: Decision, done: str, *, json: bool) -> None:
    seen: set[str] = set()

    def decide(letter: Letter) -> Decision:
        if not choice.has(letter):
            return Decision.KEEP
        seen.add(letter.id)
        return decision

    number = walk(_url(), decide, choice.queues())[decision]
    missing = sorted(choice.ids - seen)
    as_json({done: number, "not_found": missing}) if json else say(f"{done}: {number}")
    if missing:
        complain(f"not found: {', '.join(missing)}")
        raise typer.Exit(FOUND)


def _chosen(ids: list[str] | None, queue: str, reason: str, *, everything: bool) -> Choice:
    if bool(ids) == bool(everything or reason):
        raise InvalidRequest("name ids, or --reason TEXT, or --all")
    return Choice(frozenset(ids or ()), queue, reason)


def _look(choice: Choice, read: Callable[[Letter], Read], limit: int | None = None) -> list[Read]:
    """What `read` takes from each letter that is meant; bodies are not kept."""
    found: list[Read] = []

    def decide(letter: Letter) -> Decision:
        if choice.has(letter):
            found.append(read(letter))
        return Decision.KEEP

    walk(_url(), decide, choice.queues(), limit=limit)
    return found


def _summary(letter: Letter) -> dict[str, Any]:
    """What a list shows: nothing of the content."""
    return {
        "id": letter.id,
        "queue": letter.queue,
        "reason": letter.reason,
        "died_at": letter.died_at,
        "attempts": letter.attempts,
        "bytes": len(letter.body),
        "message_id": letter.properties.message_id,
        "correlation_id": letter.properties.correlation_id,
    }


def _content(letter: Letter) -> dict[str, Any]:
    """Headers and body: as JSON, else as text, else in base64."""
    readers: tuple[tuple[str, Callable[[bytes], Any]], ...] = (
        ("json", orjson.loads),
        ("text", bytes.decode),
        ("base64", lambda body: base64.b64encode(body).decode()),
    )
    headers = {name: _plain(value) for name, value in (letter.properties.headers or {}).items()}
    whole = {"content_type": letter.properties.content_type, "headers": headers}
    for encoding, read in readers:
        try:
            return whole | {"encoding": encoding, "body": read(letter.body)}
        except ValueError:
            continue
    raise AssertionError("base64 takes every body")


def _plain(value: Any) -> Any:
    """A header's value as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # pika has an integer of its own
    return value if isinstance(value, float | str | bool | None) else str(value)


def _url() -> str:
    return secrets.require("amqp-url")

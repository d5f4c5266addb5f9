"""`leadline import`: many users out of a file, each once, however often one has to begin again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from leadline.cli.files.checkpoint import Bookmark
from leadline.cli.files.import_file import File, Record, Rejected
from leadline.cli.output import FOUND, Json, as_json, note, progress, say
from leadline.errors import InvalidRequest
from leadline.ledger import bulk_import
from leadline.operations import audit
from leadline.runtime.telemetry import trace_context

PART = 1000
_SHOWN = 10


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV with a header line, or JSON lines (.jsonl).")],
    *,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="FIELD=COLUMN, for full_name, phone, stage, id and bitrix_lead_id."
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Of lines that name none.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check all lines, import none.")] = False,
    skip_rejected: Annotated[
        bool, typer.Option("--skip-rejected", help="Import the lines that are in order.")
    ] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="File for the lines that are not in order.")
    ] = None,
    bookmark: Annotated[
        Path | None, typer.Option(help="File that remembers how far this import has come.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a user for each line of a file.

    All lines are checked first; if one is not in order, nothing is imported. Those are written to
    a file of their own (FILE.rejected), to be mended and imported by itself. Interrupted, the same
    command goes on where it was; no line becomes two users, as far as it is repeated within a day.

    Users of another system keep their ids where --map names the column; lines go by ascending id.
    One with a bitrix_lead_id is taken for synced, and nothing is sent: see `leadline reconcile`.
    """
    source = File(file, _mapping(columns or []), stage)
    digest = source.digest()
    refused = rejected or file.with_name(f"{file.stem}.rejected{file.suffix}")
    found = _check(source, digest, Rejected(refused, is_json=source.is_json))
    good, bad = found.good, found.bad
    created = 0
    if good and not check and (skip_rejected or not bad):
        if found.last_id:
            bulk_import.reserve(found.last_id)
        mark = Bookmark.of(f"import-{digest[:8]}", bookmark)
        with audit.recorded("import users", lines=good, file=digest) as done:
            done["created"] = created = _enter(source, found, digest, mark)
    told = {"in_order": good, "rejected": bad, "created": created}
    if json:
        as_json({**told, "rejected_file": str(refused) if bad else None})
    else:
        say(", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in told.items()))
    if bad:
        note(f"rejected lines, and why: {refused}")
        raise typer.Exit(FOUND)


def _mapping(columns: list[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in columns]
    if not all(name and column for name, _, column in pairs):
        raise InvalidRequest("--map is FIELD=COLUMN")
    return {name: column for name, _, column in pairs}


@dataclass(frozen=True, slots=True)
class _Checked:
    """How many lines are in order and how many are not, and the greatest id, if they have any."""

    good: int
    bad: int
    last_id: int
    #: Lines whose lead belongs to a user that is there already.
    held: frozenset[int]


def _check(source: File, digest: str, refused: Rejected) -> _Checked:
    """Look at all lines; those that are not in order are written down."""
    good = last_id = 0
    held = set[int]()
    with progress() as bar:
        task = bar.add_task("checking", total=None)
        for record in _compared(source.records(), digest):
            bar.update(task, advance=1)
            if not record.error and record.user is not None:
                good += 1
                last_id = record.user.id or 0
                continue
            if record.user is not None:
                held.add(record.line)
            if refused.count < _SHOWN:
                note(f"line {record.line}: {record.error}")
            refused.add(record)
    refused.close()
    return _Checked(good, refused.count, last_id, frozenset(held))


def _compared(records: Iterator[Record], digest: str) -> Iterator[Record]:
    """The records; those in order that name the lead of a user that is there already say so."""
    while part := list(islice(records, PART)):
        keys = bulk_import.leads_of_others(
            [(_key(digest, one.line), one.user) for one in part if one.user]
        )
        for one in part:
            is_held = _key(digest, one.line) in keys
            yield replace(one, error="bitrix_lead_id: another user has it") if is_held else one


def _key(digest: str, line: int) -> str:
    """The idempotency key of a line."""
    return f"{digest}:{line}"


def _enter(source: File, found: _Checked, digest: str, mark: Bookmark) -> int:
    """Store all that is in order; returns how many of them are new."""
    before = mark.read() or {}
    # Not by their number: which lines are in order may change meanwhile, as the stages do.
    last, done = int(before.get("line", 0)), int(before.get("done", 0))
    if last:
        note(f"continuing after line {last}")
    trace_context.begin()
    records = (one for one in source.records() if one.line > last and one.line not in found.held)
    users = ((one.line, one.user) for one in records if one.user)
    created = entered = 0
    with progress() as bar:
        task = bar.add_task("importing", total=found.good, completed=done)
        while part := list(islice(users, PART)):
            created += bulk_import.create([(_key(digest, line), user) for line, user in part])
            entered += len(part)
            mark.keep({"line": part[-1][0], "done": done + entered})
            bar.update(task, completed=done + entered)
    mark.forget()
    if already := entered - created:
        note(f"{already} lines were users already")
    return created

"""`leadline import`: create users from a file, each once, even if the import is interrupted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from leadline.cli.files.checkpoint import Checkpoint
from leadline.cli.files.import_file import File, Record, RejectedFile
from leadline.cli.output import FINDINGS, Json, print_json, print_line, print_note, progress_bar
from leadline.errors import InvalidRequest
from leadline.ledger import bulk_import
from leadline.operations import audit
from leadline.runtime.telemetry import trace_context

#: Number of lines that are checked, and stored, in one statement.
BATCH = 1000
#: Maximum number of rejected lines that are printed; the file has all of them.
_PRINT_MAX = 20


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV with a header line, or JSON lines (.jsonl).")],
    *,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="FIELD=COLUMN, for full_name, phone, stage, external_id, id, bitrix_lead_id and"
            " the fields of the map.",
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Stage of lines without one.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only validate.")] = False,
    skip_rejected: Annotated[
        bool, typer.Option("--skip-rejected", help="Import the valid lines.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Start no robots for new leads, where the portal can.")
    ] = False,
    rejected: Annotated[Path | None, typer.Option(help="File for rejected lines.")] = None,
    bookmark: Annotated[Path | None, typer.Option(help="Checkpoint file of this import.")] = None,
    json: Json = False,
) -> None:
    """Create users from a file.

    All lines are validated first; if one is wrong, nothing is imported. Rejected lines are written
    to a file (FILE.rejected), to be corrected and imported separately. When interrupted, the same
    command resumes; no line becomes two users if it is repeated within a day.

    Users of another system keep their ids if --map names the column; ids must ascend. A user with
    a bitrix_lead_id counts as synced, and nothing is sent: see `leadline reconcile`. --quiet: the
    leads are imported, too (crm.item.batchImport), which starts no robots; where the portal refuses
    that, they are created as usual, and the workers' log says so. Exit code 1: lines were rejected.

    Examples:
        leadline import users.csv --check
        leadline import people.csv --map full_name=Имя --map phone=Телефон
        leadline import people.csv --skip-rejected --json
        leadline import people.csv --quiet
    """
    source = File(file, _mapping(columns or []), stage)
    digest = source.digest()
    rejected_file = rejected or file.with_name(f"{file.stem}.rejected{file.suffix}")
    validated = _validate(source, digest, RejectedFile(rejected_file, is_json=source.is_json))
    good, bad = validated.good, validated.bad
    created = 0
    if good and not check and (skip_rejected or not bad):
        if validated.last_id:
            bulk_import.reserve_ids(validated.last_id)
        checkpoint = Checkpoint.locate(f"import-{digest[:8]}", bookmark)
        with audit.recorded("import users", lines=good, file=digest) as record:
            created = _create(source, validated, digest, checkpoint, quiet=quiet)
            record["created"] = created
    report = {"in_order": good, "rejected": bad, "created": created}
    if json:
        print_json({**report, "rejected_file": str(rejected_file) if bad else None})
    else:
        print_line(
            ", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in report.items())
        )
    if bad:
        more = (
            f"{bad - _PRINT_MAX} more rejected lines; all" if bad > _PRINT_MAX else "rejected lines"
        )
        print_note(f"{more}, and why: {rejected_file}")
        raise typer.Exit(FINDINGS)


def _mapping(columns: list[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in columns]
    if not all(name and column for name, _, column in pairs):
        raise InvalidRequest("--map is FIELD=COLUMN")
    return {name: column for name, _, column in pairs}


@dataclass(frozen=True, slots=True)
class _Validated:
    """The numbers of valid and rejected lines, and the greatest id (0 without ids)."""

    good: int
    bad: int
    last_id: int
    #: Lines whose lead or external id belongs to another user already.
    conflicts: frozenset[int]


def _validate(source: File, digest: str, rejected: RejectedFile) -> _Validated:
    """Validate all lines; rejected ones go to the file."""
    good = last_id = 0
    conflicts = set[int]()
    with progress_bar() as bar:
        task = bar.add_task("checking", total=None)
        for record in _with_conflicts_marked(source.records(), digest):
            bar.update(task, advance=1)
            if not record.error and record.user is not None:
                good += 1
                last_id = record.user.id or 0
                continue
            if record.user is not None:
                conflicts.add(record.line)
            if rejected.count < _PRINT_MAX:
                print_note(f"line {record.line}: {record.error}")
            rejected.add(record)
    rejected.close()
    return _Validated(good, rejected.count, last_id, frozenset(conflicts))


def _with_conflicts_marked(records: Iterator[Record], digest: str) -> Iterator[Record]:
    """The records; a valid record with another user's lead or external id gets an error."""
    while batch := list(islice(records, BATCH)):
        users = [(_key(digest, record.line), record.user) for record in batch if record.user]
        leads = bulk_import.taken_by_others(users, "bitrix_lead_id")
        external_ids = bulk_import.taken_by_others(users, "external_id")
        for record in batch:
            key = _key(digest, record.line)
            if key in leads:
                yield replace(record, error="bitrix_lead_id: another user has it")
            elif key in external_ids:
                yield replace(record, error="external_id: another user has it")
            else:
                yield record


def _key(digest: str, line: int) -> str:
    """The idempotency key of a line."""
    return f"{digest}:{line}"


def _create(
    source: File, validated: _Validated, digest: str, checkpoint: Checkpoint, *, quiet: bool
) -> int:
    """Store the valid lines; returns how many users are new."""
    progress = checkpoint.read() or {}
    # By line, not by count: which lines are valid may change meanwhile, with the portal's stages.
    last_line, done = int(progress.get("line", 0)), int(progress.get("done", 0))
    if last_line:
        print_note(f"continuing after line {last_line}")
    trace_context.begin()
    records = (record for record in source.records() if record.line > last_line)
    users = (
        (record.line, record.user)
        for record in records
        if record.user and record.line not in validated.conflicts
    )
    created = entered = 0
    with progress_bar() as bar:
        task = bar.add_task("importing", total=validated.good, completed=done)
        while batch := list(islice(users, BATCH)):
            keyed = [(_key(digest, line), user) for line, user in batch]
            created += bulk_import.create(keyed, quiet=quiet)
            entered += len(batch)
            checkpoint.store({"line": batch[-1][0], "done": done + entered})
            bar.update(task, completed=done + entered)
    checkpoint.delete()
    if already := entered - created:
        print_note(f"{already} lines were imported already")
    return created

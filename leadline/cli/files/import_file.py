"""Records of a file that somebody wants imported: CSV with a header line, or JSON lines."""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson
from pydantic import ValidationError

from leadline.cli.files.csv_cells import escaped, text
from leadline.errors import InvalidRequest
from leadline.ledger.bulk_import import Line
from leadline.users import stages
from leadline.users.model import NewUser

#: Found by their names; the ids of another system only where `--map` names their columns.
FIELDS = tuple(NewUser.model_fields)
IDS = tuple(Line.model_fields.keys() - NewUser.model_fields.keys())
#: What a record may have more than its fields, for a person to read.
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Record:
    """One line that says what a user shall be."""

    line: int
    #: Its cells by their columns; empty where it can't be read.
    content: Mapping[str, Any]
    user: Line | None
    #: What is wrong with it, by field and without values.
    error: str = ""


class File:
    """A file of records, which can be read as often as one likes."""

    def __init__(self, path: Path, columns: Mapping[str, str], stage: str | None) -> None:
        self.path = path
        self.is_json = path.suffix.lower() in {".jsonl", ".ndjson", ".json"}
        self._columns = {name: name for name in FIELDS} | dict(columns)
        self._stage = stage
        known = (*FIELDS, *sorted(IDS))
        if unknown := columns.keys() - set(known):
            raise InvalidRequest(f"--map names {', '.join(known)}, not {', '.join(unknown)}")

    def digest(self) -> str:
        """Names the content: the same file is recognised wherever it lies.

        Raises:
            InvalidRequest: it can't be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:32]
        except OSError as error:
            raise InvalidRequest(f"{self.path} can't be read: {error.strerror}") from None

    def records(self) -> Iterator[Record]:
        """Each line with its user, or with what is wrong.

        Raises:
            InvalidRequest: the file as a whole can't be read.
            DatabaseDown: the stages that exist can't be asked for.
        """
        before = _Before(frozenset(stages.allowed()))
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for line, content in self._json(file) if self.is_json else self._csv(file):
                    record = self._record(line, content, before)
                    if record.user:
                        before.add(record.user)
                    yield record
        except UnicodeDecodeError:
            raise InvalidRequest(f"{self.path} is not UTF-8") from None

    def _csv(self, file: TextIO) -> Iterator[tuple[int, Any]]:
        header = file.readline()
        delimiter = max(",;\t", key=header.count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        names = reader.fieldnames = [text(name) for name in reader.fieldnames or []]
        missing = [
            one for name, one in self._columns.items() if name != "stage" and one not in names
        ]
        if missing:
            raise InvalidRequest(f"there is no column {', '.join(missing)}: see --map")
        try:
            for content in reader:
                yield reader.line_num, {name: text(cell) for name, cell in content.items()}
        except csv.Error as error:
            raise InvalidRequest(
                f"{self.path} is no CSV after line {reader.line_num}: {error}"
            ) from None

    def _json(self, file: TextIO) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, orjson.loads(line)
                except orjson.JSONDecodeError:
                    yield number, None

    def _record(self, line: int, content: Any, before: "_Before") -> Record:
        if not isinstance(content, dict):
            return Record(line, {}, None, "is not a JSON object")
        given = {name: content.get(column) for name, column in self._columns.items()}
        if not given["stage"]:
            given["stage"] = self._stage
        given = {name: value for name, value in given.items() if value not in (None, "")}
        try:
            user = Line.model_validate(given)
        except ValidationError as error:
            return Record(line, content, None, _told(error))
        wrong = self._wrong(user, before)
        return Record(line, content, None if wrong else user, wrong)

    def _wrong(self, user: Line, before: "_Before") -> str:
        """What its fields alone don't tell; nothing where it is in order."""
        if user.stage not in before.allowed:
            return f"stage: must be one of {', '.join(sorted(before.allowed))}"
        if "id" in self._columns and user.id is None:
            return "id: Field required"
        # So none can come twice, however long the file is.
        if user.id is not None and user.id <= before.last_id:
            return "id: must be greater than in the lines before"
        if user.bitrix_lead_id in before.lead_ids:
            return "bitrix_lead_id: a line before has it"
        return ""


@dataclass(slots=True)
class _Before:
    """What a line is compared with: the stages that exist, and the ids of the lines before."""

    allowed: frozenset[str]
    last_id: int = 0
    lead_ids: set[int] = field(default_factory=set)

    def add(self, user: Line) -> None:
        """A line that is in order."""
        self.last_id = user.id or self.last_id
        if user.bitrix_lead_id:
            self.lead_ids.add(user.bitrix_lead_id)


class Rejected:
    """The records that can't be imported, in a file of the same kind, with what is wrong."""

    def __init__(self, path: Path, *, is_json: bool) -> None:
        self.path = path
        self.count = 0
        self._is_json = is_json
        self._file: TextIO | None = None
        self._writer: csv.DictWriter[str] | None = None

    def add(self, record: Record) -> None:
        """One more; the file is made for the first one."""
        self.count += 1
        if self._file is None:
            self.path.touch(mode=0o600)
            self._file = self.path.open("w", encoding="utf-8", newline="")
        told = f"line {record.line}: {record.error}"
        row = {**{str(name): value for name, value in record.content.items()}, ERROR: told}
        if self._is_json:
            self._file.write(orjson.dumps(row).decode() + "\n")
            return
        row.pop("None", None)  # cells beyond the header
        row = {escaped(name): escaped(value) for name, value in row.items()}
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow(row)

    def close(self) -> None:
        """The last one has been added."""
        if self._file is not None:
            self._file.close()


def _told(error: ValidationError) -> str:
    """Each field with what is wrong; the value stays with its owner."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )

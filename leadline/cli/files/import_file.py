"""Records of an import file: CSV with a header line, or JSON lines."""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson
from pydantic import ValidationError

from leadline.cli.files.csv_cells import escape, unescape
from leadline.errors import InvalidRequest
from leadline.ledger.bulk_import import Line
from leadline.mapping.current import field_map
from leadline.users import stages
from leadline.users.field_models import from_cell
from leadline.users.further_fields import with_fields
from leadline.users.model import NewUser

#: Fields of a user, which are found in the columns of the same names.
FIELDS = tuple(NewUser.model_fields)
#: Ids of another system, which are found only if `--map` names their columns.
IDS = tuple(Line.model_fields.keys() - NewUser.model_fields.keys())
#: Column of a rejected line with its error.
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the file: a user to create."""

    line: int
    #: Its cells by column; empty if it can't be read.
    content: Mapping[str, Any]
    user: Line | None
    #: The errors by field, without values; empty if there are none.
    error: str = ""


class File:
    """An import file, which can be read repeatedly."""

    def __init__(self, path: Path, columns: Mapping[str, str], stage: str | None) -> None:
        self.path = path
        self.is_json = path.suffix.lower() in {".jsonl", ".ndjson", ".json"}
        mapping = field_map()
        self._further = mapping.fields if mapping else {}
        self._model = with_fields(Line)
        self._columns = {name: name for name in (*FIELDS, *self._further)} | dict(columns)
        self._stage = stage
        names = (*FIELDS, *self._further, *sorted(IDS))
        if unknown := columns.keys() - set(names):
            raise InvalidRequest(f"--map names {', '.join(names)}, not {', '.join(unknown)}")

    def digest(self) -> str:
        """A hash of the content: recognises the same file under any path.

        Raises:
            OSError: it can't be read.
        """
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]

    def records(self) -> Iterator[Record]:
        """Each line with its user, or with its error.

        Raises:
            InvalidRequest: the file as a whole can't be read.
            DatabaseDown: the portal's stages can't be read.
        """
        earlier = _Earlier(frozenset(stages.allowed()))
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                lines = self._read_json(file) if self.is_json else self._read_csv(file)
                for line, content in lines:
                    record = self._record(line, content, earlier)
                    if record.user:
                        earlier.add(record.user)
                    yield record
        except UnicodeDecodeError:
            raise InvalidRequest(f"{self.path} is not UTF-8") from None

    def _read_csv(self, file: TextIO) -> Iterator[tuple[int, Any]]:
        header = file.readline()
        delimiter = max(",;\t", key=header.count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        names = reader.fieldnames = [unescape(name) for name in reader.fieldnames or []]
        # A column of external ids is required only if --map names it.
        is_mapped = self._columns["external_id"] != "external_id"
        optional = {"stage"} if is_mapped else {"stage", "external_id"}
        optional |= {name for name, field in self._further.items() if not field.required}
        missing_columns = [
            column
            for name, column in self._columns.items()
            if name not in optional and column not in names
        ]
        if missing_columns:
            raise InvalidRequest(f"there is no column {', '.join(missing_columns)}: see --map")
        try:
            for content in reader:
                yield reader.line_num, {name: unescape(cell) for name, cell in content.items()}
        except csv.Error as error:
            raise InvalidRequest(
                f"{self.path} is no CSV after line {reader.line_num}: {error}"
            ) from None

    def _read_json(self, file: TextIO) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, orjson.loads(line)
                except orjson.JSONDecodeError:
                    yield number, None

    def _record(self, line: int, content: Any, earlier: "_Earlier") -> Record:
        if not isinstance(content, dict):
            return Record(line, content={}, user=None, error="is not a JSON object")
        values = {name: content.get(column) for name, column in self._columns.items()}
        if not values["stage"]:
            values["stage"] = self._stage
        # In JSON, `null` clears a further field; an empty cell of CSV counts as absent.
        cleared = [name for name in self._further if self._is_null(name, content)]
        values = {name: value for name, value in values.items() if value not in (None, "")}
        values |= dict.fromkeys(cleared)
        if not self.is_json:
            for name in values.keys() & self._further.keys():
                values[name] = from_cell(self._further[name], str(values[name]))
        try:
            user = self._model.model_validate(values)
        except ValidationError as invalid:
            return Record(line, content, user=None, error=_messages(invalid))
        error = self._error(user, earlier)
        return Record(line, content, None if error else user, error)

    def _is_null(self, name: str, content: Mapping[str, Any]) -> bool:
        is_optional = self.is_json and not self._further[name].required
        return is_optional and content.get(self._columns[name], "") is None

    def _error(self, user: Line, earlier: "_Earlier") -> str:
        """The error in relation to other lines and the portal; "" if there is none."""
        if user.stage not in earlier.stages:
            return f"stage: must be one of {', '.join(sorted(earlier.stages))}"
        if "id" in self._columns and user.id is None:
            return "id: Field required"
        # Ascending ids exclude duplicates without a set of all ids.
        if user.id is not None and user.id <= earlier.last_id:
            return "id: must be greater than on earlier lines"
        if user.bitrix_lead_id in earlier.lead_ids:
            return "bitrix_lead_id: already on an earlier line"
        if user.external_id in earlier.external_ids:
            return "external_id: already on an earlier line"
        return ""


@dataclass(slots=True)
class _Earlier:
    """The portal's stages and the ids of earlier lines, against which a line is checked."""

    stages: frozenset[str]
    last_id: int = 0
    lead_ids: set[int] = field(default_factory=set)
    external_ids: set[str] = field(default_factory=set)

    def add(self, user: Line) -> None:
        """Add a valid line."""
        self.last_id = user.id or self.last_id
        if user.bitrix_lead_id:
            self.lead_ids.add(user.bitrix_lead_id)
        if user.external_id:
            self.external_ids.add(user.external_id)


class RejectedFile:
    """The rejected records, in a file of the same format, each with its error."""

    def __init__(self, path: Path, *, is_json: bool) -> None:
        self.path = path
        self.count = 0
        self._is_json = is_json
        self._file: TextIO | None = None
        self._writer: csv.DictWriter[str] | None = None

    def add(self, record: Record) -> None:
        """Write a record; the first one creates the file."""
        self.count += 1
        if self._file is None:
            self.path.touch(mode=0o600)
            self._file = self.path.open("w", encoding="utf-8", newline="")
        message = f"line {record.line}: {record.error}"
        row = {**{str(name): value for name, value in record.content.items()}, ERROR: message}
        if self._is_json:
            self._file.write(orjson.dumps(row).decode() + "\n")
            return
        row.pop("None", None)  # cells beyond the header, which csv keeps under None
        row = {escape(name): escape(value) for name, value in row.items()}
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow(row)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()


def _messages(error: ValidationError) -> str:
    """The errors by field, without values."""
    return "; ".join(
        f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg'].removeprefix('Value error, ')}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )

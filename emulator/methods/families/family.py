"""A family of records (entities/records.py), with methods to add, change, read and delete them.

Names are in upper case and values are texts, as in crm.lead.*; a family adds its own checks to
those of its columns.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.clock import iso, portal_iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row, selected_names
from emulator.entities.records import Record
from emulator.errors import RestError, invalid_id
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.in_memory_lists import page, select_as_lead_list
from emulator.methods.record_events import send_record_event

Check = Callable[[Call, Record], None]
#: The longest text that is stored: that of a column of type TEXT in MySQL.
TEXT_MAX = 65_535
_INTEGERS = {"integer", "int", "user", "crm_enum_ownertype", "crm_enum_activitytype"}


def accept(_call: Call, _record: Record) -> None:
    """The default check: it accepts every record."""


@dataclass(frozen=True)
class Family:
    """A table of records; `name` begins the names of its methods.

    `title`: the word for a record in error texts.
    """

    name: str
    title: str
    columns: Mapping[str, Column]
    #: The default values of a new record.
    initial: Mapping[str, Any] = field(default_factory=dict)
    #: Columns that must contain an id in a new record.
    ids: tuple[str, ...] = ()
    #: The columns with the time of the creation and of the last change, and those with the authors.
    stamps: tuple[str, str] = ("DATE_CREATE", "DATE_MODIFY")
    authors: tuple[str, str] = ("CREATED_BY_ID", "MODIFY_BY_ID")
    #: The middle of the names of the family's events; empty: no events.
    event: str = ""
    #: Columns that `get` does not return.
    hidden: frozenset[str] = frozenset()
    #: Raises RestError if a new or changed record is invalid.
    check: Check = accept
    check_delete: Check = accept

    def add(self, call: Call) -> MethodResult:
        """Add a record; returns its id."""
        sent = call.require_fields()
        for name in self.ids:
            if positive_int(sent.get(name)) is None:
                raise RestError("", f"{name} is not defined or invalid.")
        now = iso(call.portal.clock.wall())
        author = str(call.user)
        record = {**self.initial, **self.stored_record(sent, is_new=True)}
        record |= {self.stamps[0]: now, self.authors[0]: author}
        self.check(call, record)
        record_id = call.portal.records.add(self.name, record)
        self._send_event(call, "ADD", record_id)
        return MethodResult(record_id)

    def update(self, call: Call) -> MethodResult:
        """Change a record; returns true."""
        record_id, record = self.existing(call)
        now = iso(call.portal.clock.wall())
        author = str(call.user)
        changed = {**record, **self.stored_record(call.require_fields(), is_new=False)}
        changed |= {self.stamps[1]: now, self.authors[1]: author}
        self.check(call, changed)
        call.portal.records.put(self.name, record_id, changed)
        self._send_event(call, "UPDATE", record_id)
        return MethodResult(result=True)

    def get(self, call: Call) -> MethodResult:
        """A record by its id."""
        return MethodResult(self.row(*self.existing(call)))

    def list_(self, call: Call) -> MethodResult:
        """The records that a filter finds."""
        records = call.portal.records.all(self.name)
        rows = [self.row(record_id, record) for record_id, record in records.items()]
        found = select_as_lead_list(rows, call)
        selection = selected_names(call.params)
        rows, total, following = page(found, first_row(call.params))
        if "*" not in selection:
            rows = [{name: row[name] for name in row if name in selection} for row in rows]
        return MethodResult(rows, total, following)

    def delete(self, call: Call) -> MethodResult:
        """Delete a record; returns true."""
        record_id, record = self.existing(call)
        self.check_delete(call, {**record, "ID": record_id})
        call.portal.records.delete(self.name, record_id)
        self._send_event(call, "DELETE", record_id)
        return MethodResult(result=True)

    def _send_event(self, call: Call, verb: str, record_id: int) -> None:
        if self.event:
            send_record_event(call, self.event, verb, record_id)

    def fields(self, _: Call) -> MethodResult:
        """The fields of a record."""
        return MethodResult(describe(self.columns))

    def existing(self, call: Call) -> tuple[int, Record]:
        """The record that `id` names; raises RestError."""
        record_id = positive_int(call.argument("id"))
        if record_id is None:
            raise invalid_id()
        return record_id, self.by_id(call, record_id)

    def by_id(self, call: Call, record_id: int) -> Record:
        """A record by its id; raises RestError."""
        record = call.portal.records.get(self.name, record_id)
        if record is None:
            raise RestError("", f"The {self.title} with ID '{record_id}' is not found")
        return record

    def stored_record(self, sent: Mapping[str, Any], *, is_new: bool) -> Record:
        """The values that a client may set, in their stored form."""
        found: Record = {}
        for name, value in sent.items():
            kind, flags, _ = self.columns.get(str(name).upper(), ("", "o", ""))
            if "o" not in flags and (is_new or "i" not in flags):
                found[str(name).upper()] = stored_value(kind, value)
        return found

    def row(self, record_id: int, record: Record) -> dict[str, Any]:
        """A record as `get` returns it."""
        never_changed = {self.stamps[1]: ""}
        values = {**never_changed, **record, "ID": str(record_id)}
        return {name: values.get(name) for name in self.columns if name not in self.hidden}

    def methods(self, *verbs: str) -> dict[str, Callable[[Call], MethodResult]]:
        """The family's methods by name: all, or the given ones."""
        methods_by_verb = {
            "add": self.add,
            "update": self.update,
            "get": self.get,
            "list": self.list_,
            "delete": self.delete,
            "fields": self.fields,
        }
        return {f"{self.name}.{verb}": methods_by_verb[verb] for verb in verbs or methods_by_verb}


def stored_value(kind: str, value: Any) -> Any:
    """A client's value as text; an object or list as it is, or None in a column of plain values."""
    if value is None:
        return None
    if isinstance(value, dict | list):
        return None if kind in {"string", "char", *_INTEGERS} else value
    if isinstance(value, bool):
        return "Y" if value else "N"
    if kind in {"date", "datetime"}:
        return portal_iso(str(value)) or ""
    return str(value)[:TEXT_MAX]


def texts(*columns: str, kind: str = "string") -> dict[str, Column]:
    """Columns of one `kind`; the title of each is its name."""
    return {name: (kind, "", name) for name in columns}


def require(call: Call, names: Iterable[str]) -> None:
    """Raise RestError 100 if a parameter is missing."""
    for name in names:
        if call.argument(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}")

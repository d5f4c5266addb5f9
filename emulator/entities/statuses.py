"""CRM directories: stages, sources, types and others, each item a row of crm.status.list.

Documentation: crm/status/. The items of DEAL_STAGE and SOURCE are those of its examples.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from emulator.entities.entity import DEAL, LEAD
from emulator.entities.store import Store

_MEANINGS = {"": "process", "S": "success", "F": "failure"}


@dataclass(frozen=True)
class Status:
    """An item of a directory; `semantics` of a stage is empty while in work, then S or F."""

    id: int
    entity_id: str
    status: str
    name: str
    sort: int
    color: str = ""
    semantics: str = ""
    system: bool = True
    category_id: int | None = None
    #: The first name of a system item that was renamed.
    name_init: str = ""

    @property
    def is_stage(self) -> bool:
        """Whether it is a stage of leads or deals."""
        return self.entity_id == LEAD.stages or self.entity_id.startswith(DEAL.stages)

    def described(self) -> dict[str, Any]:
        """The row of crm.status.get."""
        return {
            "ID": str(self.id),
            "ENTITY_ID": self.entity_id,
            "STATUS_ID": self.status,
            "NAME": self.name,
            "NAME_INIT": (self.name_init or self.name) if self.system else "",
            "SORT": str(self.sort),
            "SYSTEM": "Y" if self.system else "N",
            "CATEGORY_ID": None if self.category_id is None else str(self.category_id),
            "COLOR": self.color or None,
            "SEMANTICS": self.semantics or None,
        }

    def listed(self) -> dict[str, Any]:
        """The row of crm.status.list."""
        if not self.is_stage:
            return self.described()
        extra = {"SEMANTICS": _MEANINGS[self.semantics], "COLOR": self.color}
        if self.status.rpartition(":")[2] == "APOLOGY":
            extra["SEMANTICS"] = "apology"
        return {**self.described(), "EXTRA": extra}


class Directories:
    """The directories of this portal, kept in memory; a change is stored at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[int, Status] = {}
        #: By directory and code, in order.
        self._items: dict[str, dict[str, Status]] = {}
        self.load()

    def load(self) -> None:
        """Read all directories again; a new portal gets the usual ones."""
        rows = self._store.db.execute("SELECT id, data FROM status ORDER BY id").fetchall()
        if rows:
            self._rows = {row_id: Status(row_id, **json.loads(data)) for row_id, data in rows}
        else:
            self._rows = {status.id: status for status in usual()}
            with self._store.transaction():
                for status in self._rows.values():
                    self._save(status)
        self._index()

    def all(self) -> list[Status]:
        """All items by id."""
        return list(self._rows.values())

    def items(self, entity_id: str) -> list[Status]:
        """The items of one directory in their order."""
        return list(self._items.get(entity_id, {}).values())

    def get(self, status_id: int) -> Status | None:
        """An item by its id."""
        return self._rows.get(status_id)

    def first(self, entity_id: str) -> str:
        """The first item's code; empty if there is none."""
        return next(iter(self._items.get(entity_id, {})), "")

    def has(self, entity_id: str, code: str) -> bool:
        """Whether a directory has this code."""
        return code in self._items.get(entity_id, {})

    def semantics(self, entity_id: str, code: str) -> str:
        """The group of a stage: P, S or F; an unknown one is P, in work."""
        stage = self._items.get(entity_id, {}).get(code)
        return (stage.semantics if stage else "") or "P"

    def add(self, status: Status) -> int:
        """Add an item, whose id is given here; returns the id."""
        row_id = max(self._rows, default=100) + 2
        self.put(replace(status, id=row_id))
        return row_id

    def put(self, status: Status) -> None:
        """Add or replace an item."""
        self._rows[status.id] = status
        self._save(status)
        self._index()

    def delete(self, status: Status) -> None:
        """Delete an item."""
        del self._rows[status.id]
        self._store.db.execute("DELETE FROM status WHERE id = ?", (status.id,))
        self._index()

    def _save(self, status: Status) -> None:
        data: dict[str, Any] = {name: value for name, value in vars(status).items() if name != "id"}
        self._store.db.execute(
            "INSERT OR REPLACE INTO status (id, data) VALUES (?, ?)",
            (status.id, json.dumps(data, ensure_ascii=False)),
        )

    def _index(self) -> None:
        self._items = {}
        for status in sorted(self._rows.values(), key=lambda row: (row.sort, row.id)):
            self._items.setdefault(status.entity_id, {})[status.status] = status


def usual() -> list[Status]:
    """The directories of a new portal."""
    leads = [
        Status(1, "STATUS", "NEW", "Not processed", 10, "#00FFFF"),
        Status(3, "STATUS", "IN_PROCESS", "In progress", 20, "#2FC6F6"),
        Status(5, "STATUS", "PROCESSED", "Processed", 30, "#55D0E0"),
        Status(19, "STATUS", "UC_ZA04R1", "Waiting for documents", 40, "#FFA900", system=False),
        Status(15, "STATUS", "CONVERTED", "Converted", 50, "#37B44A", "S"),
        Status(17, "STATUS", "JUNK", "Low-quality lead", 60, "#F54819", "F"),
    ]
    deals = [
        Status(99 + 2 * n, "DEAL_STAGE", code, name, 10 * n, color, semantics, system)
        for n, (code, name, color, semantics, system) in enumerate(_DEAL_STAGES, 1)
    ]
    number = 201
    others: list[Status] = []
    for entity_id, items in _OTHERS.items():
        for place, (code, name) in enumerate(items.items(), 1):
            others.append(Status(number, entity_id, code, name, 10 * place))
            number += 2
    return [*sorted(leads, key=lambda status: status.id), *deals, *others]


_DEAL_STAGES = (
    ("NEW", "New", "#39A8EF", "", True),
    ("PREPARATION", "Documents", "#2FC6F6", "", False),
    ("PREPAYMENT_INVOICE", "Prepayment", "#55D0E0", "", False),
    ("EXECUTING", "In progress", "#47E4C2", "", False),
    ("FINAL_INVOICE", "Final invoice", "#FFA900", "", False),
    ("WON", "Won", "#7BD500", "S", True),
    ("LOSE", "Lost", "#FF5752", "F", True),
    ("APOLOGY", "Reason of the loss", "#FF5752", "F", False),
)
_OTHERS = {
    "SOURCE": {
        "CALL": "Call",
        "EMAIL": "E-mail",
        "WEB": "Website",
        "ADVERTISING": "Advertising",
        "PARTNER": "Existing client",
        "RECOMMENDATION": "Recommendation",
        "TRADE_SHOW": "Trade show",
        "WEBFORM": "CRM form",
        "CALLBACK": "Callback",
        "RC_GENERATOR": "Sales generator",
        "STORE": "Online store",
        "OTHER": "Other",
    },
    "HONORIFIC": {"HNR_EN_1": "Mr.", "HNR_EN_2": "Mrs.", "HNR_EN_3": "Ms.", "HNR_EN_4": "Dr."},
    "CONTACT_TYPE": {
        "CLIENT": "Client",
        "SUPPLIER": "Supplier",
        "PARTNER": "Partner",
        "OTHER": "Other",
    },
    "COMPANY_TYPE": {
        "CUSTOMER": "Client",
        "SUPPLIER": "Supplier",
        "COMPETITOR": "Competitor",
        "PARTNER": "Partner",
        "OTHER": "Other",
    },
    "EMPLOYEES": {
        "EMPLOYEES_1": "Fewer than 50",
        "EMPLOYEES_2": "50 to 250",
        "EMPLOYEES_3": "250 to 500",
        "EMPLOYEES_4": "More than 500",
    },
    "INDUSTRY": {
        "IT": "Information technology",
        "TELECOM": "Telecommunications",
        "MANUFACTURING": "Manufacturing",
        "BANKING": "Banking",
        "CONSULTING": "Consulting",
        "FINANCE": "Finance",
        "GOVERNMENT": "Government",
        "DELIVERY": "Delivery",
        "ENTERTAINMENT": "Entertainment",
        "NOTPROFIT": "Non-profit",
        "OTHER": "Other",
    },
    "DEAL_TYPE": {
        "SALE": "Sale",
        "COMPLEX": "Complex sale",
        "GOODS": "Goods",
        "SERVICES": "Services",
        "SERVICE": "After-sales service",
    },
}

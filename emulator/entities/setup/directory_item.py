"""An item of one of the CRM's directories (reference lists), such as a stage or a source.

Documentation: crm/status/.
"""

from dataclasses import dataclass
from typing import Any

from emulator.entities.entity import LEAD, QUOTE

_MEANINGS = {"": "process", "S": "success", "F": "failure"}
_STAGES = (LEAD.stage_directory, QUOTE.stage_directory)


@dataclass(frozen=True)
class DirectoryItem:
    """An item of the directory `entity_id`; `status` is its code.

    `semantics` of a stage: empty while in progress, `S` for success, `F` for failure.
    """

    id: int
    entity_id: str
    status: str
    name: str
    sort: int
    color: str = ""
    semantics: str = ""
    system: bool = True
    category_id: int | None = None
    #: The original name of a system item that was renamed.
    name_init: str = ""

    @property
    def is_stage(self) -> bool:
        """Whether the item is a stage of any type of object."""
        return self.entity_id.startswith(_STAGES) or "_STAGE" in self.entity_id

    def row(self) -> dict[str, Any]:
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

    def list_row(self) -> dict[str, Any]:
        """The row of crm.status.list."""
        if not self.is_stage:
            return self.row()
        extra = {"SEMANTICS": _MEANINGS[self.semantics], "COLOR": self.color}
        if self.status.rpartition(":")[2] == "APOLOGY":
            extra["SEMANTICS"] = "apology"
        return {**self.row(), "EXTRA": extra}

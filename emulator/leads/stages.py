"""The lead stages of this portal: five standard ones and a custom one."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A column of the lead board; `semantics` is None while in work, then S or F."""

    id: int
    status: str
    name: str
    sort: int
    color: str
    semantics: str | None = None
    system: bool = True

    def described(self) -> dict[str, Any]:
        """The row of crm.status.list."""
        meaning = {None: "process", "S": "success", "F": "failure"}[self.semantics]
        return {
            "ID": str(self.id),
            "ENTITY_ID": "STATUS",
            "STATUS_ID": self.status,
            "NAME": self.name,
            "NAME_INIT": self.name if self.system else "",
            "SORT": str(self.sort),
            "SYSTEM": "Y" if self.system else "N",
            "CATEGORY_ID": None,
            "COLOR": self.color,
            "SEMANTICS": self.semantics,
            "EXTRA": {"SEMANTICS": meaning, "COLOR": self.color},
        }


STAGES = (
    Stage(1, "NEW", "Not processed", 10, "#00FFFF"),
    Stage(3, "IN_PROCESS", "In progress", 20, "#2FC6F6"),
    Stage(5, "PROCESSED", "Processed", 30, "#55D0E0"),
    Stage(19, "UC_ZA04R1", "Waiting for documents", 40, "#FFA900", system=False),
    Stage(15, "CONVERTED", "Converted", 50, "#37B44A", "S"),
    Stage(17, "JUNK", "Low-quality lead", 60, "#F54819", "F"),
)

FIRST = STAGES[0].status
KNOWN = {stage.status: stage for stage in STAGES}


def semantics(status: str) -> str:
    """The meaning of a stage: P, S or F; an unknown one is P, in work."""
    stage = KNOWN.get(status)
    return (stage.semantics if stage else None) or "P"

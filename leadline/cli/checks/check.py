"""A check of `leadline doctor`, and its result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    is_ok: bool
    result: str
    #: What to do about a problem, or else empty.
    fix: str = ""

    def as_json(self) -> dict[str, object]:
        """The check as JSON, under the names of earlier releases."""
        return {"name": self.name, "is_well": self.is_ok, "told": self.result, "mend": self.fix}

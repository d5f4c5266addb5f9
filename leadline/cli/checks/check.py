"""What `leadline doctor` prints of each check."""

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
        """The check under the names that scripts know; two of them are older than ours."""
        return {"name": self.name, "is_well": self.is_ok, "told": self.result, "mend": self.fix}

"""crm.timeline.icon.* and crm.timeline.logo.*: pictures by code, the portal's and others.

Documentation: crm/timeline/logmessage/icons/, crm/timeline/logmessage/logo/.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.families.family import require

#: The codes of the pictures that every portal has.
_SYSTEM = ("call", "arrow-down", "mail", "task", "comment")


@dataclass(frozen=True)
class Pictures:
    """Pictures of one kind: icon, logo."""

    kind: str

    @property
    def family(self) -> str:
        """The beginning of its methods' names."""
        return f"crm.timeline.{self.kind}"

    def add(self, call: Call) -> MethodResult:
        """The new picture."""
        require(call, ("code", "fileContent"))
        code = _code(call)
        if code not in self._own(call):
            call.portal.records.add(self.family, {"code": code})
        return MethodResult({self.kind: self._row(code, is_system=False)})

    def get(self, call: Call) -> MethodResult:
        """A picture by its code."""
        code = _code(call)
        pictures = self._own(call)
        if code not in pictures and code not in _SYSTEM:
            raise self._missing(code)
        return MethodResult({self.kind: self._row(code, is_system=code not in pictures)})

    def list_(self, call: Call) -> MethodResult:
        """The system's pictures, then the others."""
        pictures = self._own(call)
        rows = [self._row(code, is_system=True) for code in _SYSTEM if code not in pictures]
        rows += [self._row(code, is_system=False) for code in pictures]
        return MethodResult({f"{self.kind}s": rows}, total=len(rows))

    def delete(self, call: Call) -> MethodResult:
        """Delete a picture, unless it is the system's; returns true."""
        code = _code(call)
        pictures = self._own(call)
        if code not in pictures:
            raise self._missing(code)
        call.portal.records.delete(self.family, pictures[code])
        return MethodResult(result=True)

    def _own(self, call: Call) -> dict[str, int]:
        """The record's number of each picture that was added, by code."""
        rows = call.portal.records.all(self.family)
        return {row["code"]: number for number, row in rows.items()}

    def _row(self, code: str, *, is_system: bool) -> dict[str, Any]:
        address = "" if is_system else f"/upload/crm/{self.kind}/{code}"
        return {"code": code, "isSystem": is_system, "fileUri": address}

    def _missing(self, code: str) -> RestError:
        return RestError("NOT_FOUND", f"{self.kind.capitalize()} not found for code `{code}`")


def _code(call: Call) -> str:
    require(call, ("code",))
    return str(call.argument("code"))[:50]


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    f"{pictures.family}.{verb}": method
    for pictures in (Pictures("icon"), Pictures("logo"))
    for verb, method in (
        ("add", pictures.add),
        ("get", pictures.get),
        ("list", pictures.list_),
        ("delete", pictures.delete),
    )
}

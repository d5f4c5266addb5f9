"""A write to an object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.entities.entity import Entity
from emulator.entities.multifields import RowChange
from emulator.errors import RestError

#: The method, in an object's history, of a robot's write.
ROBOT = "robot"


@dataclass(frozen=True)
class Write:
    """A write: who makes it and how, and the fields and multifield rows that it changes.

    `method` and `sent` are what the object's history shows: a REST method with the client's
    parameter, or `user`, `robot` and so on with the fields. `fields` are by upper-case name.
    `application` is the one that writes, by its `auth_connector` ("" if it sent none); its own
    offline queue does not get the event.
    """

    entity: Entity
    method: str
    sent: Any
    fields: Mapping[str, Any]
    rows: Sequence[RowChange] = ()
    application: str = ""
    user: int = 1
    #: Read-only fields, which only an import or the portal itself may set, by upper-case name.
    system: Mapping[str, Any] = field(default_factory=dict)
    #: A change by the portal itself: date and author of the last change stay.
    is_system: bool = False
    #: Whether robots react to the write.
    runs_robots: bool = True

    @property
    def acting_user(self) -> int:
        """The user whose token the event carries; 0 if the portal itself or a robot wrote."""
        return 0 if self.is_system or self.method == ROBOT else self.user

    @property
    def is_item_method(self) -> bool:
        """Whether the write was made by a method of crm.item.*."""
        return self.method.startswith("crm.item")

    def error(self, code: str, description: str) -> RestError:
        """An error: with a code for crm.item.*, with an empty one for the older methods."""
        return RestError(code if self.is_item_method else "", description)

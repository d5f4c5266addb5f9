"""A request's method and parameters, and a batch's commands."""

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.entities.entity import ENTITIES
from emulator.entities.multifields import positive_int
from emulator.entities.query import argument
from emulator.faults import canonical_name
from emulator.http.params import Params
from emulator.requests.batch import Command

_TABLES = {entity.type_id: entity.table for entity in ENTITIES}


@dataclass(frozen=True)
class ParsedRequest:
    """A method with its parameters; for a batch also its commands."""

    method: str
    params: Params
    commands: Sequence[Command] = ()

    @property
    def steps(self) -> Sequence[Command]:
        """The commands to run: those of the batch, or the method itself."""
        return self.commands if self.method == "batch" else [Command("", self.method, self.params)]

    @property
    def canonical_name(self) -> str:
        """The method's name in fault rules."""
        return _canonical_name(self.method, self.params)

    @property
    def canonical_command_names(self) -> list[str]:
        """The names of a batch's commands in fault rules."""
        return [_canonical_name(command.method, command.params) for command in self.commands]


def _canonical_name(method: str, params: Params) -> str:
    if not method.startswith("crm.item."):
        return method
    table = _TABLES.get(positive_int(argument(params, "entityTypeId")) or 0)
    return canonical_name(method, table) if table else method

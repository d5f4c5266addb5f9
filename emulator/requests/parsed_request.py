"""A parsed request."""

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.errors import RestError
from emulator.faults import canonical_name
from emulator.http.params import Params
from emulator.methods.objects.items import entity_of
from emulator.requests.batch import Command


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
    def name(self) -> str:
        """The canonical method, for fault rules."""
        return _name(self.method, self.params)

    @property
    def command_names(self) -> list[str]:
        """The canonical commands, for fault rules."""
        return [_name(command.method, command.params) for command in self.commands]


def _name(method: str, params: Params) -> str:
    if not method.startswith("crm.item."):
        return method
    try:
        entity = entity_of(params)
    except RestError:
        return method
    return canonical_name(method, entity.table)

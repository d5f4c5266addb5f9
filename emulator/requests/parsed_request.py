"""What one request asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.errors import RestError
from emulator.faults import same_operation
from emulator.http.params import Params
from emulator.methods.items import demand_leads
from emulator.requests.batch import Command


@dataclass(frozen=True)
class Order:
    """A method with its parameters; for a batch also its commands."""

    method: str
    params: Params
    commands: Sequence[Command] = ()

    @property
    def steps(self) -> Sequence[Command]:
        """What is to be run: its commands, or the method itself."""
        return self.commands if self.method == "batch" else [Command("", self.method, self.params)]

    @property
    def name(self) -> str:
        """The method as fault rules know it."""
        return _name(self.method, self.params)

    @property
    def command_names(self) -> list[str]:
        """The commands as fault rules know them."""
        return [_name(each.method, each.params) for each in self.commands]


def _name(method: str, params: Params) -> str:
    if not method.startswith("crm.item."):
        return method
    try:
        demand_leads(params)
    except RestError:
        return method
    return same_operation(method)

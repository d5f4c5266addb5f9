"""Follow the processes' logs and show their lines as a person likes to read them."""

from collections.abc import Iterable

from local.runner.console import Console
from local.runner.program import Program
from local.runner.readable import readable
from local.runner.state import State
from local.runner.supervision import log_file
from local.runner.tail import Tail

#: Their logs are long and for experts: in the files only.
_SILENT = frozenset({"postgres", "rabbitmq", "redis", "epmd"})


class Follower:
    """All logs that a person wants to see, merged as they come."""

    def __init__(self, state: State, programs: Iterable[Program], console: Console) -> None:
        names = [program.name for program in programs if program.name not in _SILENT]
        self._tails = {name: Tail(log_file(state, name)) for name in names}
        self._console = console

    def show_new_lines(self) -> None:
        """Print what came since the last call."""
        for name, tail in self._tails.items():
            for line in tail.new_lines():
                text = readable(name, line, colours=self._console.has_colours)
                if text:
                    self._console.line(text)

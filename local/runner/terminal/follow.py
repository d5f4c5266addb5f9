"""Follow the processes' logs and print them in readable form."""

from collections.abc import Iterable

from local.runner.processes.program import Program
from local.runner.processes.supervision import log_file
from local.runner.state import State
from local.runner.terminal.console import Console
from local.runner.terminal.readable import readable
from local.runner.terminal.tail import Tail

#: Processes whose logs are not printed: they are long, and for experts.
_FILE_ONLY = frozenset({"postgres", "rabbitmq", "redis", "epmd"})


class Follower:
    """The logs worth reading, merged as they grow."""

    def __init__(self, state: State, programs: Iterable[Program], console: Console) -> None:
        names = [program.name for program in programs if program.name not in _FILE_ONLY]
        self._tails = {name: Tail(log_file(state, name)) for name in names}
        self._console = console

    def show_new_lines(self) -> None:
        """Print the lines since the last call."""
        for name, tail in self._tails.items():
            for line in tail.new_lines():
                text = readable(name, line, colours=self._console.has_colours)
                if text:
                    self._console.line(text)

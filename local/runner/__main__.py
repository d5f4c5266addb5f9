"""`python -m local.runner [stop | reset]`: run the system, stop it, or delete its data."""

import sys
from pathlib import Path

from leadline.errors import BadConfiguration
from local.runner import env_file
from local.runner.choices import Choices
from local.runner.runner import run
from local.runner.state import State
from local.runner.stop import reset, stop
from local.runner.terminal.console import Console

_USAGE = "python -m local.runner [stop | reset]"


def main() -> int:
    """Run, stop or reset the system; returns the exit code."""
    console = Console(sys.stdout)
    commands = {"stop": stop, "reset": reset}
    if sys.argv[1:]:
        command = commands.get(sys.argv[1])
        if command is None or sys.argv[2:]:
            console.error(f"usage: {_USAGE}")
            return 2
        return command(State.default(), console)
    if loaded := env_file.load():
        file, names = loaded
        console.step(f"{_relative(file)} sets {', '.join(names) or 'nothing new'}")
    try:
        choices = Choices.read()
    except ValueError as error:
        console.error(f"PORT, BITRIX_PORT, WORKERS and THREADS must be numbers: {error}")
        return 1
    except BadConfiguration as error:
        console.error(str(error))
        return 1
    return run(State.default(), choices, console)


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())

"""A copy of the source tree, in which mistakes are made on purpose."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
#: The parts that tests need.
PARTS = ("leadline", "functions", "emulator", "local", "migrations", "tests", "pyproject.toml")
#: Compiled files are matched to their source by whole seconds only: make none.
ENVIRONMENT: Mapping[str, str] = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def copy(to: Path) -> None:
    """Copy the files that tests need into this empty folder."""
    for part in PARTS:
        path = CHECKOUT / part
        if path.is_dir():
            shutil.copytree(path, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, to / part)

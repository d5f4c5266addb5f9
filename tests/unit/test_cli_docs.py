"""The command line's page in the documentation names every command and option."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from leadline.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Each command as its words."""
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def options(command: Any) -> set[str]:
    """Every option by its long name."""
    return {word for each in command.params for word in each.opts if word.startswith("--")}


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example(name: str) -> None:
    assert f"leadline {name}" in PAGE


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_documented(name: str) -> None:
    for option in options(ALL[name]):
        assert option in PAGE


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_a_json_option_and_a_description(name: str) -> None:
    assert "--json" in options(ALL[name])
    assert ALL[name].help


def test_no_function_and_no_process_loads_the_command_line() -> None:
    root = Path(__file__).parents[2]
    ours = set(root.glob("leadline/cli/**/*.py"))
    others = {*root.glob("functions/*/main.py"), *root.glob("leadline/*/**/*.py")} - ours
    loads = re.compile(r"leadline\.cli\b|leadline import .*\bcli\b")
    assert any("import typer" in path.read_text(encoding="utf-8") for path in ours)
    assert not [path for path in others if loads.search(path.read_text(encoding="utf-8"))]

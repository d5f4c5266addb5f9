"""The command line describes itself: in its help, in its list of commands and in the docs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from leadline.cli.commands import COMMANDS, load

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
#: Commands without --json: they print text for people and shells.
WITHOUT_JSON = {"completion", "help"}
#: Client libraries of the servers, and what else takes long to import.
HEAVY = ("pg8000", "pika", "redis", "rq", "sqlalchemy", "requests", "pydantic", "rich.table")


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Each command at or below this one, with its words."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands(subcommand, *path, name)


def options(command: Any) -> set[str]:
    """Every option by its long name."""
    return {word for param in command.params for word in param.opts if word.startswith("--")}


ALL = {words: command for name in COMMANDS for words, command in commands(load(name), name)}


def examples(command: Any) -> list[list[str]]:
    """The words of each example after `leadline`, up to a redirection or a pipe."""
    lines = (command.epilog or "").splitlines()
    found = [re.search(r"leadline ([^|>)]*)", line) for line in lines if "leadline" in line]
    return [shlex.split(match[1]) for match in found if match]


@pytest.mark.parametrize("name", ALL)
def test_every_command_is_documented(name: str) -> None:
    assert f"leadline {name}" in PAGE


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_documented(name: str) -> None:
    for option in options(ALL[name]):
        assert option in PAGE


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_a_json_option_and_a_description(name: str) -> None:
    assert ("--json" in options(ALL[name])) is (name not in WITHOUT_JSON)
    assert ALL[name].help


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_examples_that_the_command_accepts(name: str) -> None:
    command, words = ALL[name], name.split()
    assert examples(command)
    for example in examples(command):
        assert example[: len(words)] == words
        try:
            command.make_context(name, example[len(words) :])
        except typer.BadParameter as error:
            # The files of the examples do not exist here.
            assert "does not exist" in error.message  # noqa: PT017 - other examples raise nothing


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_help_says(name: str) -> None:
    assert (load(name).help or "").split("\n")[0] == COMMANDS[name].summary


def test_the_start_loads_no_heavy_package() -> None:
    """Listing and completing must not cost more than Python and typer."""
    code = f"""
import sys
import leadline.cli.main
print([name for name in {HEAVY} if name in sys.modules])
"""
    ran = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "[]\n"


def test_no_function_and_no_process_loads_the_command_line() -> None:
    root = Path(__file__).parents[2]
    ours = set(root.glob("leadline/cli/**/*.py"))
    others = {*root.glob("functions/*/main.py"), *root.glob("leadline/*/**/*.py")} - ours
    loads = re.compile(r"leadline\.cli\b|leadline import .*\bcli\b")
    assert any("import typer" in path.read_text(encoding="utf-8") for path in ours)
    assert not [path for path in others if loads.search(path.read_text(encoding="utf-8"))]

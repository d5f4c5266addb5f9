"""docs/tutorial.md: its commands, run in order, print what the page shows."""

import os
import re
import subprocess

import pytest

from tests.forks import Forks
from tests.servers import eventually
from tests.system import CHECKOUT, System

_BLOCK = re.compile(r"^```(sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: A probe of a paused portal comes within 30 s; a slow machine takes longer for the rest.
WITHIN_S = 180
#: A command that may be repeated until it shows the expected output.
_READS = ("show", "status", "failed", "reconcile")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d")


@pytest.mark.slow("its portal is away for some seconds")
def test_each_command_prints_what_the_page_shows(fresh_system: System, forks: Forks) -> None:
    page = (CHECKOUT / "docs/tutorial.md").read_text(encoding="utf-8")
    for shell, text in _BLOCK.findall(page):
        if text == "make run\n":
            continue
        # A block of `sh` is a command without shown output, any other one a session.
        steps = [(text, list[str]())] if shell else _commands(text)
        for command, lines in steps:
            _run(fresh_system, forks, command, lines)


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """Commands of a session, each with its output, but for omissions and lines with a time."""
    found = []
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *lines = step.splitlines()
        outputs = [" ".join(line.split()) for line in lines if not _MOMENT.search(line)]
        found.append((command, [line for line in outputs if line not in {"", "…"}]))
    return found


def _run(system: System, forks: Forks, command: str, lines: list[str]) -> None:
    def prints_expected_lines() -> bool:
        printed = {
            " ".join(line.split()) for line in _output_of(system, forks, command).splitlines()
        }
        return printed.issuperset(lines)

    words = command.split()
    within_s = WITHIN_S if len(words) > 1 and words[1] in _READS else 0
    eventually(prints_expected_lines, within_s, f"{command} shows {lines}")


def _output_of(system: System, forks: Forks, command: str) -> str:
    environment = {**os.environ, "LEADLINE_STATE": str(system.state.root)}
    program, *words = command.split()
    if program == ".venv/bin/leadline":
        return forks.run("leadline", *words, env=environment).stdout
    local_command = command.replace("http://127.0.0.1:3000", system.url("edge")).replace(
        "http://127.0.0.1:3024", system.url("bitrix24").partition("/rest/")[0]
    )
    result = subprocess.run(
        ("/bin/bash", "-euc", local_command),
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert not result.stderr.startswith("curl: "), result.stderr
    return result.stdout

"""The command line at a terminal and in a shell: help, completion, confirmation, the browser."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadline import __version__
from tests.integration.conftest import CommandOutput

Leadline = Callable[..., CommandOutput]

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No connection, and no local run."""
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))
    return tmp_path


# Help and version


def test_the_version_is_that_of_the_package(leadline: Leadline) -> None:
    assert leadline("--version").out.decode() == f"leadline {__version__}\n"


@pytest.mark.parametrize("words", [("failed",), ("dead-letters", "replay"), ("portal",)])
def test_the_command_help_prints_the_same_as_the_option(
    leadline: Leadline, words: tuple[str, ...]
) -> None:
    help_output = leadline("help", *words)
    assert (help_output.code, help_output.out) == (0, leadline(*words, "--help").out)
    assert f"leadline {' '.join(words)}" in help_output.out.decode()


def test_help_of_an_unknown_command_is_wrong_usage(leadline: Leadline) -> None:
    assert leadline("help", "nothing").code == 2
    assert leadline("help", "status", "nothing").code == 2


# Completion

#: What is typed after `leadline`, and what bash offers.
COMPLETIONS = {
    "re": {"resync", "reconcile", "restore", "restored", "results"},
    "dead-letters re": {"replay"},
    "failed --s": {"--since"},
    "users --sync ": {"waiting", "synced", "failed"},
    "completion z": {"zsh"},
    "help dea": {"dead-letters"},
}


@pytest.mark.slow("starts the program for each line, as a shell does")
def test_bash_completes_commands_options_and_values(state: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    program = state / "leadline"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m leadline "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    # After a space, the word to complete is an empty one.
    lines = [f"{line}''" if line.endswith(" ") else line for line in COMPLETIONS]
    script = "".join(
        f"COMP_WORDS=(leadline {line});"
        " COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _leadline_completion leadline;"
        ' echo "${COMPREPLY[*]}"\n'
        for line in lines
    )
    ran = subprocess.run(
        (bash, "-c", f"source <(leadline completion bash)\n{script}"),
        cwd=CHECKOUT,
        env={**os.environ, "PATH": f"{state}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    offered = [set(line.split()) for line in ran.stdout.splitlines()]
    assert dict(zip(COMPLETIONS, offered, strict=True)) == COMPLETIONS


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_by_the_same_program(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    script = leadline("completion", shell)
    assert (script.code, script.err) == (0, "")
    assert f"_LEADLINE_COMPLETE=complete_{shell}" in script.out.decode()
    monkeypatch.setenv("_LEADLINE_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "leadline dead-")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert "dead-letters" in leadline().out.decode()


# Confirmation


def run_at_a_terminal(answer: str, *words: str) -> tuple[int, str]:
    """The exit code and the output of a command whose question gets this answer."""
    controller, terminal_end = pty.openpty()
    process = subprocess.Popen(
        (sys.executable, "-m", "leadline", *words),
        cwd=CHECKOUT,
        stdin=terminal_end,
        stdout=terminal_end,
        stderr=terminal_end,
        start_new_session=True,
    )
    os.close(terminal_end)
    output = ""
    for text in _read_until_closed(controller):
        output += text
        if answer and "[y/N]" in output:
            os.write(controller, answer.encode())
            answer = ""
    os.close(controller)
    return process.wait(60), output


def _read_until_closed(terminal: int) -> Iterator[str]:
    """Yield what is written to a terminal, for at most a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until and select.select([terminal], [], [], 60)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            return
        if not data:
            return
        yield data.decode(errors="replace")


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_a_command_that_is_not_confirmed_does_nothing(answer: str) -> None:
    code, output = run_at_a_terminal(answer, "portal", "pause")
    assert code == 2
    assert "Pause all calls" in output
    assert "nothing was done" in output


def test_answering_yes_runs_the_command() -> None:
    code, output = run_at_a_terminal("y\n", "portal", "pause")
    assert (code, "REDIS_URL" in output) == (3, True), "the command went on, and misses its server"


def test_the_option_yes_skips_the_question(leadline: Leadline) -> None:
    output = leadline("portal", "pause", "--yes")
    assert (output.code, "Pause all" in output.err) == (3, False)


def test_without_a_terminal_the_refusal_says_how_to_confirm(leadline: Leadline) -> None:
    output = leadline("portal", "pause")
    assert (output.code, "--yes" in output.err) == (2, True)


# The console's address


@pytest.mark.parametrize(
    "base", ["https://leads.example.com/console", "http://[::1]:3000/console/"]
)
def test_without_a_browser_the_url_of_a_user_is_printed(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setenv("LEADLINE_CONSOLE_URL", base)
    output = leadline("open", "user", 42)
    assert output.code == 0
    assert output.out.decode() == f"{base.rstrip('/')}#/users/42\n"
    assert "no browser" in output.err
    assert leadline("open", "user", 42, "--print").err == ""
    assert leadline("open", "--json").json == {"url": base.rstrip("/"), "opened": False}

"""The command line at a terminal, in a shell and in a script, where it needs no server."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadline import __version__
from leadline.cli.terminal import times
from leadline.errors import InvalidRequest

CHECKOUT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 28, 15, 30, tzinfo=UTC).astimezone()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """No connection, and no local run."""
    return {
        "PATH": os.environ["PATH"],
        "LEADLINE_STATE": str(tmp_path),
        "LEADLINE_SECRETS_DIR": str(tmp_path),
    }


def run(env: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "leadline", *words),
        cwd=CHECKOUT,
        env={**env, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# Help and version


def test_the_version_is_that_of_the_package(env: dict[str, str]) -> None:
    assert run(env, "--version").stdout == f"leadline {__version__}\n"


@pytest.mark.parametrize("words", [("failed",), ("dead-letters", "replay"), ("portal",)])
def test_help_prints_what_the_option_prints(env: dict[str, str], words: tuple[str, ...]) -> None:
    asked = run(env, "help", *words)
    assert asked.returncode == 0
    assert asked.stdout == run(env, *words, "--help").stdout
    assert words[-1] in asked.stdout


def test_help_of_an_unknown_command_is_wrong_usage(env: dict[str, str]) -> None:
    assert run(env, "help", "nothing").returncode == 2
    assert run(env, "help", "status", "nothing").returncode == 2


# Completion


def completed(env: dict[str, str], *words: str) -> set[str]:
    """What bash offers at the end of these words, by the script that the program prints."""
    bash = shutil.which("bash")
    assert bash
    program = Path(env["LEADLINE_STATE"]) / "leadline"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m leadline "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = f"""
source <(leadline completion bash)
COMP_WORDS=({" ".join(f"'{word}'" for word in ("leadline", *words))}); COMP_CWORD={len(words)}
_leadline_completion leadline
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(
        (bash, "-c", script),
        cwd=CHECKOUT,
        env={**env, "PATH": f"{program.parent}:{env['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("re",), {"resync", "reconcile", "restore", "restored"}),
        (("dead-letters", "re"), {"replay"}),
        (("failed", "--s"), {"--since"}),
        (("users", "--sync", ""), {"waiting", "synced", "failed"}),
        (("completion", "z"), {"zsh"}),
    ],
)
def test_bash_completes_commands_options_and_values(
    env: dict[str, str], words: tuple[str, ...], offered: set[str]
) -> None:
    assert completed(env, *words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_by_the_same_program(env: dict[str, str], shell: str) -> None:
    script = run(env, "completion", shell)
    assert (script.returncode, script.stderr) == (0, "")
    assert f"_LEADLINE_COMPLETE=complete_{shell}" in script.stdout
    asked = {
        "_LEADLINE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "leadline dead-",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert "dead-letters" in run(env, **asked).stdout


# Confirmation


def at_a_terminal(env: dict[str, str], answer: str, *words: str) -> tuple[int, str]:
    """The exit code and the output of a command whose question gets this answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        (sys.executable, "-m", "leadline", *words),
        cwd=CHECKOUT,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    for text in _read(ours):
        shown += text
        if answer and "[y/N]" in shown:
            os.write(ours, answer.encode())
            answer = ""
    os.close(ours)
    return process.wait(30), shown


def _read(terminal: int) -> Iterator[str]:
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
def test_a_question_without_a_yes_does_nothing(env: dict[str, str], answer: str) -> None:
    code, shown = at_a_terminal(env, answer, "portal", "pause")
    assert code == 2
    assert "Pause all calls" in shown
    assert "nothing was done" in shown


def test_a_yes_goes_on(env: dict[str, str]) -> None:
    code, shown = at_a_terminal(env, "y\n", "portal", "pause")
    assert (code, "REDIS_URL" in shown) == (3, True), "it went on, and misses its server"


def test_the_option_answers_the_question(env: dict[str, str]) -> None:
    ran = run(env, "portal", "pause", "--yes")
    assert (ran.returncode, "Pause all" in ran.stderr) == (3, False)


def test_without_a_terminal_the_refusal_says_how_to_confirm(env: dict[str, str]) -> None:
    ran = run(env, "portal", "pause")
    assert ran.returncode == 2
    assert "--yes" in ran.stderr


# The console's address


@pytest.mark.parametrize(
    "base", ["https://leads.example.com/console", "http://[::1]:3000/console/"]
)
def test_the_url_of_a_user_is_printed_where_no_browser_is(env: dict[str, str], base: str) -> None:
    ran = run(env, "open", "user", "42", LEADLINE_CONSOLE_URL=base)
    assert ran.returncode == 0
    assert ran.stdout.startswith(base.rstrip("/"))
    assert ran.stdout.rstrip().endswith("42")
    assert "no browser" in ran.stderr
    shown = run(env, "open", "--json", LEADLINE_CONSOLE_URL=base)
    assert json.loads(shown.stdout) == {"url": base.rstrip("/"), "opened": False}


# Moments


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1).astimezone()),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30).astimezone()),
        ("2026-11-01T12:30Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_date_or_how_long_ago(text: str, moment: datetime) -> None:
    assert times.parse_moment(text, NOW) == moment


def test_a_clock_time_is_the_last_such_moment() -> None:
    earlier, later = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    assert times.parse_moment(f"{earlier:%H:%M}", NOW) == earlier
    assert times.parse_moment(f"{later:%H:%M:%S}", NOW) == later - timedelta(days=1)
    assert times.parse_moment(f"{NOW:%H:%M}", NOW) == NOW


@pytest.mark.parametrize(
    "text", ["", "noon", "25:00", "12:99", "-5m", "9999999d", "999999d", "1.5h"]
)
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidRequest, match="clock time"):
        times.parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (0.4, "0 s"), (99, "99 s"), (120, "2 min"), (12_600, "3.5 h"), (172_800, "2 d")],
)
def test_a_span_is_in_one_unit_and_never_negative(seconds: float, shown: str) -> None:
    assert times.span(seconds) == shown

"""Errors of every command: one shape with --json, and the exit codes of docs/cli.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from leadline.cli.commands import COMMANDS
from leadline.cli.terminal import suggestions
from tests.integration.conftest import CommandOutput

Leadline = Callable[..., CommandOutput]

NOWHERE = "postgresql://u:geheim@127.0.0.1:1/x"
#: Words of a command, its settings, and the error's code and exit code.
FAILURES = [
    (("show",), {}, "wrong_usage", 2),
    (("show", "nobody"), {}, "wrong_usage", 2),
    (("nothing",), {}, "wrong_usage", 2),
    (("users", "--limit", "0"), {}, "wrong_usage", 2),
    (("failed", "--since", "lunch"), {"DATABASE_URL": NOWHERE}, "wrong_usage", 2),
    (("open", "user"), {}, "wrong_usage", 2),
    (("dead-letters", "replay"), {}, "wrong_usage", 2),
    (("portal", "pause"), {}, "not_confirmed", 2),
    (("restored",), {}, "not_confirmed", 2),
    (("erase", "1"), {}, "not_confirmed", 2),
    (("reconcile", "--repair"), {}, "not_confirmed", 2),
    (("show", "1"), {}, "bad_configuration", 3),
    (("open",), {}, "bad_configuration", 3),
    (("open",), {"LEADLINE_CONSOLE_URL": "leads.example.com"}, "bad_configuration", 3),
    (("users",), {"DATABASE_URL": NOWHERE}, "database_down", 3),
    (("failed", "--group"), {"DATABASE_URL": NOWHERE}, "database_down", 3),
    (("tail", "--limit", "1"), {"DATABASE_URL": NOWHERE}, "database_down", 3),
    (("audit",), {"DATABASE_URL": NOWHERE}, "database_down", 3),
    (
        ("dead-letters", "list"),
        {"AMQP_URL": "amqp://u:geheim@127.0.0.1:1/"},
        "broker_down",
        3,
    ),
    (("portal", "resume"), {"REDIS_URL": "redis://:geheim@127.0.0.1:1"}, "queue_down", 3),
    (("doctor",), {"LEADLINE_BURST": "1"}, "invalid_settings", 3),
]


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No connection, and no local run."""
    monkeypatch.setenv("LEADLINE_STATE", str(tmp_path))


def documented_codes() -> dict[str, int]:
    """The exit code of each error code, as docs/cli.md has it."""
    page = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`[a-z_`, ]+`) \| (\d+) \|", page, re.MULTILINE)
    return {name: int(code) for names, code in table for name in re.findall("[a-z_]+", names)}


def test_the_page_names_each_error_with_its_exit_code() -> None:
    used = {code: exit_code for _, _, code, exit_code in FAILURES}
    assert used.items() <= documented_codes().items()


@pytest.mark.parametrize(("words", "settings", "code", "exit_code"), FAILURES)
def test_an_error_has_one_shape_and_its_exit_code(
    leadline: Leadline,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    settings: dict[str, str],
    code: str,
    exit_code: int,
) -> None:
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    output = leadline(*words, "--json")
    assert (output.code, output.out) == (exit_code, b"")
    error = json.loads(output.err.splitlines()[-1])["error"]
    assert set(error) == {"code", "message", "exit_code"}
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    as_text = leadline(*words)
    assert (as_text.code, as_text.out) == (exit_code, b"")
    assert error["message"] in as_text.err
    assert "geheim" not in output.err + as_text.err


def test_an_invalid_setting_is_named_with_what_is_expected(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_BURST", "geheim")
    monkeypatch.setenv("LEADLINE_QUEUE_TYPE", "stream")
    output = leadline("status")
    assert output.code == 3
    assert "LEADLINE_BURST: should be a valid integer" in output.err
    assert "LEADLINE_QUEUE_TYPE: should be 'quorum' or 'classic'" in output.err
    assert "geheim" not in output.err
    assert "stream" not in output.err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("why", "Use: leadline show"),
        ("pause", "Use: leadline portal pause"),
        ("retry", "Use: leadline resync"),
        ("statsu", "Did you mean status"),
        ("xyzzy", "No such command 'xyzzy'."),
    ],
)
def test_an_unknown_command_gets_a_suggestion(leadline: Leadline, word: str, hint: str) -> None:
    output = leadline(word, "4300", "--json")
    message = json.loads(output.err)["error"]["message"]
    assert (output.code, hint in message) == (2, True)
    assert not re.search("erase|restore", message)


def test_every_suggestion_names_an_existing_command() -> None:
    commands = {meant.split()[0] for meant in suggestions._MEANT.values()}  # noqa: SLF001
    assert commands <= {*COMMANDS, "--version"}
    assert not COMMANDS.keys() & suggestions._MEANT.keys()  # noqa: SLF001


@pytest.mark.usefixtures("in_postgres", "in_redis")
def test_an_unknown_user_has_the_exit_code_of_a_finding(leadline: Leadline) -> None:
    output = leadline("show", 99, "--json")
    assert (output.code, output.out) == (1, b"")
    assert json.loads(output.err)["error"]["code"] == "user_not_found"


def test_a_missing_schema_is_named_with_the_migration(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    without_schema = sqlalchemy.make_url(postgres).set(database="template1")
    monkeypatch.setenv("DATABASE_URL", without_schema.render_as_string(hide_password=False))
    output = leadline("failed", "--json")
    error = json.loads(output.err)["error"]
    assert (output.code, error["code"]) == (3, "schema_outdated")
    assert "migrate" in error["message"]

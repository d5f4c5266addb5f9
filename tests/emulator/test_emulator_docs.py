"""The emulator's page in the documentation is complete."""

import json
from dataclasses import fields
from pathlib import Path

from emulator.faults import Rule
from emulator.methods import METHODS
from emulator.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs/emulator.md").read_text(encoding="utf-8")


def test_every_setting_and_its_default_is_documented() -> None:
    for name, default in Settings().as_json().items():
        rows = (row for row in PAGE.splitlines() if row.startswith("|"))
        line = next((row for row in rows if f"`{name}`" in row.split("|")[1]), None)
        assert line is not None, name
        text = default if isinstance(default, str) else json.dumps(default)
        assert text in line, name


def test_every_key_of_a_fault_is_documented() -> None:
    for field in fields(Rule):
        assert f"`{field.name}`" in PAGE


def test_every_method_is_documented() -> None:
    count = f"{len(METHODS) + 1} methods"  # and `batch`
    assert count in PAGE
    assert count in (Path(__file__).parents[2] / "emulator/README.md").read_text(encoding="utf-8")
    for name in METHODS:
        assert f"`{name}`" in PAGE

"""The guides name only what is there."""

import re
from pathlib import Path

import pytest

from tests.deploy.manifests import CHECKOUT

GUIDES = sorted((CHECKOUT / "docs" / "deploy").glob("*.md"))
_IN_CODE = re.compile(r"`((?:tests|deploy|scripts|local|docs)/[\w./-]+?)(?:::(\w+))?`")
_COMMAND = re.compile(r"(?:-k|-f|\./|^ *)((?:deploy|scripts|local)/[\w./-]+)", re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _id(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("guide", GUIDES, ids=_id)
def test_files_and_tests_that_are_named_exist(guide: Path) -> None:
    for name, test in _IN_CODE.findall(_text(guide)):
        path = CHECKOUT / name
        # What an operator makes is not there yet.
        if name == "local/.env":
            continue
        assert path.exists(), name
        assert not test or f"def {test}(" in _text(path), f"{name} has no {test}"


@pytest.mark.parametrize("guide", GUIDES, ids=_id)
def test_commands_name_files_that_exist(guide: Path) -> None:
    for name in _COMMAND.findall(_text(guide)):
        assert (CHECKOUT / name).exists(), name


def test_every_expectation_has_its_row() -> None:
    rows = re.findall(
        r"^\| (\d+) \|", _text(CHECKOUT / "docs/deploy/expectations.md"), re.MULTILINE
    )
    assert rows == [str(number) for number in range(1, 33)]
